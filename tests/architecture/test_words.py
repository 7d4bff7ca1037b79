"""Every sentence a person reads exists in Chinese and in English, and says the same things."""

import re
from string import Formatter
from typing import get_args

import pytest
from test_imports import SOURCES
from write_docs import help_key

from safeweave.adjudication.reasons import CUT_REASONS, PERSON_REASONS, REFER_CODES
from safeweave.cases.clocks import DAYS
from safeweave.cases.lifecycle import HAPPENINGS, STAGES
from safeweave.events import DeterminationMade
from safeweave.main import COMMANDS
from safeweave.payments.journal import What
from safeweave.payments.payout import State
from safeweave.telling.message import CHANNELS
from safeweave.telling.reasons import SYSTEM_REASONS
from safeweave.words import LANGUAGES, Language, catalogue, knows

ENTRIES = catalogue()
CHINESE = re.compile("[\u4e00-\u9fff]")
DECISIONS = get_args(DeterminationMade.__annotations__["decision"])
NAMED_DIFFERENTLY = {"letters.day"}  # a month is a number in Chinese and a name in English


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_entry_exists_in_both_languages():
    incomplete = [key for key, texts in ENTRIES.items() if set(texts) != set(LANGUAGES) or not all(texts.values())]
    assert incomplete == []


def test_both_languages_fill_in_the_same_values():
    """Only a pair made for one language each (`what_zh`, `what_en`) may differ."""

    def filled_in(key: str, language: Language) -> set[str]:
        return {re.sub("_(zh|en)$", "", name) for name in placeholders(ENTRIES[key][language])}

    differing = [
        key for key in ENTRIES if key not in NAMED_DIFFERENTLY and filled_in(key, "zh") != filled_in(key, "en")
    ]
    assert differing == []


def test_no_chinese_is_left_in_the_english():
    """But for what has no other name: laws, 医保 and the words of a Chinese bill."""
    allowed = re.compile("医保|保险法|民法典|解释二|居民身份证|统一社会信用代码|[甲乙丙是否男女]")
    found = [key for key, texts in ENTRIES.items() if CHINESE.search(allowed.sub("", texts["en"]))]
    assert found == []


@pytest.mark.parametrize(
    "key",
    [
        *(f"stages.{stage}" for stage in STAGES),
        *(f"happenings.{happening}" for happening in HAPPENINGS),
        *(f"decisions.{decision}" for decision in DECISIONS),
        *(f"clocks.{clock}" for clock in DAYS),
        *(f"messages.clock.{clock}" for clock in DAYS),
        *(f"channels.{channel}" for channel in CHANNELS),
        *(f"payments.state.{state}" for state in get_args(State)),
        *(f"payments.booking.{what}" for what in get_args(What)),
        *(f"status.message.{status}" for status in ("taken", "duplicate", "refused", "conflict", "repaired")),
    ],
)
def test_every_word_of_a_closed_list_is_said(key):
    assert knows(key)


@pytest.mark.parametrize("code", [*CUT_REASONS, *PERSON_REASONS, *REFER_CODES, *SYSTEM_REASONS])
def test_every_reason_has_words_for_whoever_reads_it(code):
    assert [use for use in ("short", "insured", "examiner") if not knows(f"reasons.{code}.{use}")] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_is_explained(command):
    group, _, _ = command.name.rpartition(" ")
    assert knows(f"cli.{command.name.replace(' ', '.')}.about")
    assert not group or knows(f"cli.{group}.about")
    for names, _ in command.options:
        assert knows(help_key(command, names)), names


def test_every_key_written_out_in_the_source_exists():
    written = re.compile(r"""\b(?:say|NotHere)\(\s*["']([a-z_]+(?:\.[\w-]+)+)["']""")
    topics = {key.partition(".")[0] for key in ENTRIES}
    found = {
        f"{path.name}: {key}"
        for path in SOURCES
        for key in written.findall(path.read_text(encoding="utf-8"))
        if key.partition(".")[0] in topics and not knows(key)
    }
    assert found == set()
