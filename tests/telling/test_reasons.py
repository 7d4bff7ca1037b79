import string
from pathlib import Path

import pytest

from safeweave.adjudication.reasons import CUT_REASONS, PERSON_REASONS, REFER_CODES
from safeweave.telling.letter import reason
from safeweave.telling.reasons import SYSTEM_REASONS, reference
from safeweave.words import LANGUAGES, catalogue

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reasons.md"
EVERY_CODE = sorted({*CUT_REASONS, *PERSON_REASONS, *REFER_CODES, *SYSTEM_REASONS})


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", EVERY_CODE)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_a_label_a_sentence_and_advice_in_both_languages(code, language):
    label = reason(code, "short", language)
    sentence = reason(code, "insured", language, 12345, "1.4")
    advice = reason(code, "examiner", language)
    assert label
    assert "{" not in label + sentence + advice
    assert len(label) <= (12 if language == "zh" else 40)
    assert sentence.endswith("。" if language == "zh" else ".")
    assert advice.endswith(("。", ".", "?"))


def test_no_words_are_kept_for_codes_that_nothing_says():
    assert {key.split(".")[1] for key in catalogue() if key.startswith("reasons.")} == set(EVERY_CODE)


@pytest.mark.parametrize("code", [*CUT_REASONS, *PERSON_REASONS])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_cut_names_its_clause_and_reads_well_without_one(code, language):
    with_clause = reason(code, "insured", language, 12345, "2.3")
    without = reason(code, "insured", language, 12345)
    assert ("（条款 2.3）" if language == "zh" else " (clause 2.3)") in with_clause
    assert "条款 " not in without
    assert "(clause" not in without
    assert "  " not in without


@pytest.mark.parametrize(
    ("fen", "zh", "en"),
    [
        (34000, "少赔 340.00 元（条款 1.4）。", "340.00 yuan less is paid (clause 1.4)."),
        (-34000, "多赔 340.00 元（条款 1.4）。", "340.00 yuan more is paid (clause 1.4)."),
    ],
)
def test_what_a_person_changed_is_told_as_less_or_more_and_never_as_a_negative_amount(fen, zh, en):
    assert reason("adjusted", "insured", "zh", fen, "1.4") == f"经理赔人员复核，{zh}"
    assert reason("adjusted", "insured", "en", fen, "1.4") == f"After review by one of our people, {en}"


@pytest.mark.parametrize("code", [*REFER_CODES, *SYSTEM_REASONS])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_referral_is_told_without_amounts(code, language):
    assert placeholders(catalogue()[f"reasons.{code}.insured"][language]) == set()


def test_both_languages_fill_the_same_placeholders():
    texts = {
        key: value for key, value in catalogue().items() if key.split(".")[0] in ("reasons", "letters", "messages")
    }
    differing = [
        key
        for key, value in texts.items()
        if placeholders(value["zh"]) != placeholders(value["en"]) and key != "letters.day"
    ]
    assert differing == []


def test_the_reference_page_is_what_the_words_say():
    assert PAGE.read_text(encoding="utf-8") == reference()
