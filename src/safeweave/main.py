"""The command line. Each command is one row of the table below; what it does stands in `commands/`."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safeweave import __version__
from safeweave.errors import Malformed, SafeweaveError
from safeweave.settings import NotASetting, Settings, from_environment, language_of
from safeweave.words import LANGUAGES, Language, catalogue, knows, say

Option = tuple[tuple[str, ...], dict[str, Any]]  # add_argument's own arguments


def option(*names: str, **details: Any) -> Option:
    """One argument of a command; its help is the catalogue's `cli.<command>.<name>`."""
    return names, details


def between(number: type[int] | type[float], least: float, most: float) -> Callable[[Language], Callable[[str], float]]:
    """What reads an argument that is a number from `least` to `most`, in the reader's language."""

    def reads(language: Language) -> Callable[[str], float]:
        def read(text: str) -> float:
            try:
                value = number(text)
            except ValueError:
                value = number(least) - 1
            if not least <= value <= most:
                kind = "whole" if number is int else "number"
                raise argparse.ArgumentTypeError(
                    say(f"cli.not_between.{kind}", language, text=text, least=least, most=most)
                )
            return value

        return read

    return reads


@dataclass(frozen=True)
class Command:
    """A command: its words, the function that runs it (`module:function`) and its arguments.

    Of the options in `one_of`, by name, exactly one must be given.
    """

    name: str
    run: str
    options: tuple[Option, ...] = ()
    one_of: tuple[str, ...] = ()


STAGES = tuple(key.removeprefix("stages.") for key in catalogue() if key.startswith("stages."))
JSON = option("--json", action="store_true")
CASE = option("case")
BY_ACCOUNT = option("--by", required=True)
ROOTS = option("--roots", type=Path, required=True)
INIT = (
    option("--name", required=True),
    option("--url", required=True),
    option("--port", reads=between(int, 1, 65535)),
    option("--suite", choices=("std-1", "gm-1"), default="std-1"),
)
ROTATE = (option("--heights", reads=between(int, 1, 10**9), default=1000),)
PREPARE = option("--prepare", type=Path)
JOIN = (option("--ledger", required=True), ROOTS)
HOW = option("--how", choices=("paper", "screen", "phone"), default="paper")

COMMANDS: tuple[Command, ...] = (
    Command(
        "demo",
        "demo:demo",
        (
            option("--headless", action="store_true"),
            JSON,
            option("--seed", type=int, default=7),
            option("--seconds", reads=between(int, 1, 3600), default=60),
            option("--hospitals", reads=between(int, 1, 30), default=3),
            option("--rate", reads=between(float, 0.1, 10_000)),
            option("--keep", action="store_true"),
        ),
    ),
    Command(
        "serve",
        "serve:serve",
        (option("--processes", reads=between(int, 1, 64), default=1), option("--pages", action="store_true")),
    ),
    Command("work", "serve:work"),
    Command("feed", "feed:feed", (option("path", nargs="+", type=Path), option("--sender"), JSON)),
    Command("stories", "deciding:stories", (option("path", nargs="+"), option("--products"), JSON)),
    Command("adjudicate", "deciding:adjudicate", (option("--products", required=True),)),
    Command("products check", "deciding:check_products", (option("folder"),)),
    Command("case list", "case:list_cases", (option("--stage", action="append", default=[], choices=STAGES), JSON)),
    Command("case show", "case:show", (CASE, JSON)),
    Command(
        "case decide",
        "case:decide",
        (
            CASE,
            option("--approve", dest="verdict", action="store_const", const="approve"),
            option("--refuse", dest="verdict", action="store_const", const="refuse"),
            option("--by", required=True),
            option("--reason", required=True),
        ),
        one_of=("--approve", "--refuse"),
    ),
    Command(
        "case ask", "case:ask", (CASE, option("--by", required=True), option("--for", dest="wanted", required=True))
    ),
    Command("case supplied", "case:supplied", (CASE,)),
    Command(
        "replay", "case:replay", (option("case", nargs="?"), option("--all", dest="every", action="store_true"), JSON)
    ),
    Command(
        "letter",
        "case:letter",
        (
            CASE,
            option("--format", choices=("text", "html", "pdf"), default="text"),
            option("--to", choices=("zh", "en"), dest="reader"),
            option("--output", type=Path),
        ),
    ),
    Command("clocks", "case:clocks", (option("--days", type=int), JSON)),
    Command("inbox list", "inbox:list_inbox", (JSON,)),
    Command("inbox show", "inbox:show", (option("number", type=int),)),
    Command(
        "inbox retry",
        "inbox:retry",
        (
            option("number", type=int),
            option("--file", type=Path),
            option("--sender"),
        ),
    ),
    Command("outbox list", "outbox:list_", (JSON,)),
    Command("outbox call", "outbox:call", (option("lane"),)),
    Command(
        "outbox replay",
        "outbox:replay",
        (option("--task", type=int, nargs="+"), option("--all", action="store_true")),
        one_of=("--task", "--all"),
    ),
    Command(
        "policies import",
        "policies:import_",
        (option("path", nargs="+", type=Path), option("--strict", action="store_true"), JSON),
    ),
    Command("policies list", "policies:list_", (JSON,)),
    Command("policies show", "policies:show", (option("number"), option("--unmasked", action="store_true"), JSON)),
    Command("policies export", "policies:export", (option("--output", type=Path),)),
    Command(
        "policies renew",
        "policies:renew",
        (option("number"), option("--first-day", required=True), option("--last-day", required=True)),
    ),
    Command(
        "policies lapse",
        "policies:lapse",
        (option("number"), option("--on"), option("--due-on"), option("--demanded-on"), option("--reason")),
    ),
    Command("policies reinstate", "policies:reinstate", (option("number"), option("--on", required=True))),
    Command("hospitals import", "hospitals:import_", (option("path", type=Path),)),
    Command("hospitals list", "hospitals:list_", (JSON,)),
    Command(
        "senders add",
        "hospitals:add_sender",
        (
            option("id"),
            option("--hospital", default=""),
            option("--facility", default=""),
            option("--application", default=""),
        ),
    ),
    Command(
        "accounts add",
        "accounts:add",
        (
            option("name"),
            option(
                "--role",
                choices=("agent", "examiner", "senior", "director", "hospital", "commission", "operator"),
                required=True,
            ),
            option("--phone", default=""),
            option("--email", default=""),
            option("--licence", default=""),
            option("--sender", default=""),
        ),
    ),
    Command("accounts list", "accounts:list_", (JSON,)),
    Command("accounts close", "accounts:close", (option("account"),)),
    Command(
        "accounts sign-out", "accounts:sign_out", (option("account", nargs="?"), option("--all", action="store_true"))
    ),
    Command(
        "clients add",
        "clients:add",
        (
            option("name"),
            option(
                "--role",
                choices=("examiner", "senior", "director", "hospital", "commission", "operator"),
                required=True,
            ),
            option("--keys", type=Path, required=True),
            option("--scope", action="append"),
            option("--sender", default=""),
        ),
    ),
    Command("clients list", "clients:list_", (JSON,)),
    Command("clients close", "clients:close", (option("client"),)),
    Command("senders list", "hospitals:list_senders", (JSON,)),
    Command(
        "consent give",
        "consent:give",
        (
            option("person"),
            option("--act", choices=("give", "process"), required=True),
            option("--giver"),
            option("--giver-name"),
            option("--recipient", required=True),
            option("--recipient-name"),
            option("--contact", required=True),
            option("--purpose", choices=("claim", "advance"), default="claim"),
            option(
                "--kind",
                action="append",
                required=True,
                choices=("identity", "admission", "diagnosis", "bill", "settlement", "record"),
            ),
            option("--visit"),
            option("--first-day"),
            option("--last-day", required=True),
            option("--by"),
            option("--proof"),
            HOW,
            option("--follows"),
            option("--text"),
            JSON,
        ),
    ),
    Command("consent import", "consent:import_", (option("file", type=Path, nargs="+"),)),
    Command("consent revoke", "consent:revoke", (option("consent"), option("--by"), HOW, option("--reason"), JSON)),
    Command(
        "consent choose",
        "consent:choose",
        (option("consent"), option("choice", choices=("withdraw", "apply")), option("--by"), JSON),
    ),
    Command("consent list", "consent:list_", (option("person"), JSON)),
    Command("consent reads", "consent:reads", (option("person"), JSON)),
    Command(
        "ledger audit",
        "ledger:audit_",
        (
            option("log"),
            ROOTS,
            option("--disclosed", type=Path),
            option("--grace", reads=between(int, 0, 10**9), default=0),
            option("--late", reads=between(int, 0, 10**9), default=24 * 3600),
            JSON,
        ),
    ),
    Command("verify", "ledger:verify", (option("file", type=Path), ROOTS, JSON)),
    Command("hospital init", "member:init_hospital", (*INIT, option("--witness", action="store_true"))),
    Command("hospital join", "member:join", JOIN),
    Command("hospital rotate", "member:rotate", ROTATE),
    Command("hospital serve", "member_serve:serve_hospital"),
    Command("insurer init", "member:init_insurer", (*INIT, option("--witness", action="store_true"))),
    Command("insurer join", "member:join", JOIN),
    Command("insurer rotate", "member:rotate", ROTATE),
    Command("insurer serve", "member_serve:serve_insurer"),
    Command("insurer prove", "member:prove", (option("case"), option("file", type=Path))),
    Command(
        "commission init",
        "member:init_commission",
        (
            *INIT,
            option("--ask", action="append", default=[]),
            option("--quorum", reads=between(int, 0, 100), default=0),
            option("--office", type=Path, action="append", default=[]),
            option("--needed", reads=between(int, 1, 32)),
        ),
    ),
    Command("commission office", "member:office", INIT),
    Command("commission join", "member:join", JOIN),
    Command("commission rotate", "member:rotate", ROTATE),
    Command("commission admit", "member:admit", (option("application", type=Path), PREPARE)),
    Command(
        "commission suspend",
        "member:suspend",
        (option("member"), option("--reason", choices=("left", "key_lost", "breach", "order"), required=True), PREPARE),
    ),
    Command(
        "commission approve",
        "member:approve",
        (option("prepared", type=Path), option("--to", type=Path, required=True)),
    ),
    Command(
        "commission send",
        "member:send",
        (option("prepared", type=Path), option("approval", type=Path, nargs="*")),
    ),
    Command("commission serve", "member_serve:serve_commission"),
    Command("exchange status", "exchange:show", (JSON,)),
    Command(
        "exchange again",
        "exchange:again",
        (option("--delivery"), option("--all", action="store_true")),
        one_of=("--delivery", "--all"),
    ),
    Command("store status", "store:status", (JSON,)),
    Command("store migrate", "store:migrate"),
    Command("store move", "store:move", (option("--to", required=True), JSON)),
    Command("store unpack", "store:unpack"),
    Command("payouts", "money:payouts", (JSON,)),
    Command("recoveries list", "money:recoveries", (JSON,)),
    Command(
        "recoveries receive",
        "money:receive_recovery",
        (option("recovery"), option("--yuan", required=True), option("--reference", required=True)),
    ),
    Command("pay-again", "money:pay_again", (option("payout"),)),
    Command("journal", "money:journal", (JSON,)),
    Command("reconcile", "money:reconcile", (option("--statement", type=Path, action="append"), JSON)),
    Command("messages", "messages:list_", (option("--person"), JSON)),
    Command(
        "what-if extract", "what_if:extract", (option("--to", type=Path), option("--anew", action="store_true"), JSON)
    ),
    Command(
        "what-if run",
        "what_if:run",
        (
            option("--product", type=Path, action="append"),
            option("--from", dest="from_day"),
            option("--engine", choices=("local", "ray"), default="local"),
            option("--jobs", reads=between(int, 1, 1024)),
            option("--extract", type=Path),
            option("--to", type=Path),
            JSON,
        ),
    ),
    Command(
        "again preview",
        "again:preview",
        (
            option("--product", required=True),
            option("--why", required=True),
            BY_ACCOUNT,
            option("--from", dest="from_day"),
            option("--until", dest="until_day"),
            option("--case", action="append"),
            JSON,
        ),
    ),
    Command("again approve", "again:approve", (option("id"), BY_ACCOUNT, JSON)),
    Command("again undo", "again:undo", (option("id"), BY_ACCOUNT, option("--why"), JSON)),
    Command("again list", "again:list_", (JSON,)),
    Command(
        "bench",
        "bench:bench",
        (
            JSON,
            option("--quick", action="store_true"),
            option("--only"),
            option("--database"),
            option("--feeders", reads=between(int, 1, 64), default=2),
            option("--batch", reads=between(int, 1, 10_000), default=500),
            option("--data", type=Path),
            option("--grown", reads=between(int, 1, 100_000_000)),
        ),
    ),
)


def parser(language: str) -> argparse.ArgumentParser:
    """The argument parser, its help in that language."""
    lang: Any = language
    _argparse_speaks(lang)
    top = argparse.ArgumentParser(
        "safeweave",
        description=say("cli.about", lang),
        epilog=say("cli.start", lang),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"safeweave {__version__}")
    top.add_argument("--home", type=Path, help=say("cli.home", lang))
    top.add_argument("--language", choices=("zh", "en"), help=say("cli.language", lang))
    groups = {"": top.add_subparsers(dest="command", metavar=say("cli.command", lang), required=True)}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in groups:
            about = say(f"cli.{group}.about", lang)
            groups[group] = (
                groups[""]
                .add_parser(group, help=about, description=about)
                .add_subparsers(dest="action", metavar=say("cli.command", lang), required=True)
            )
        key = f"cli.{command.name.replace(' ', '.')}"
        about = say(f"{key}.about", lang)
        added = groups[group].add_parser(name, help=about, description=about)
        choice = added.add_mutually_exclusive_group(required=True) if command.one_of else added
        for names, given in command.options:
            details = {name: value for name, value in given.items() if name != "reads"}
            if "reads" in given:
                details["type"] = given["reads"](lang)
            plain = names[-1].lstrip("-").replace("-", "_")
            word = f"{key}.{plain}" if knows(f"{key}.{plain}") else f"cli.option.{plain}"
            (choice if names[0] in command.one_of else added).add_argument(*names, help=say(word, lang), **details)
        added.set_defaults(run=command.run)
    return top


def _argparse_speaks(language: Language) -> None:
    """Give argparse's own sentences in that language: it looks its words up under a name of its module."""
    spoken = {texts["en"]: texts[language] for key, texts in catalogue().items() if key.startswith("cli.argparse.")}

    def one(text: str) -> str:
        return spoken.get(text, text)

    def many(text: str, texts: str, count: int) -> str:
        return one(text if count == 1 else texts)

    vars(argparse).update(_=one, ngettext=many)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 it did not go well, 2 asked wrongly."""
    os.umask(0o077)  # stores and outboxes hold names and diagnoses: they are for this user alone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a name shows "?"
    given = list(sys.argv[1:] if arguments is None else arguments)
    language = _language(given) or language_of(os.environ)
    try:
        settings = from_environment(os.environ)
    except NotASetting as error:
        print(error.said(language), file=sys.stderr)
        return 2
    asked = parser(language).parse_args(given)
    settings = replace(settings, language=language, home=asked.home or settings.home)
    module, _, function = asked.run.partition(":")
    run = getattr(importlib.import_module(f"safeweave.commands.{module}"), function)
    try:
        return int(run(settings, asked))
    except Malformed as malformed:
        what = _said(malformed, settings.language) or malformed.what
        told = str(malformed) if malformed.file else f"{malformed.field}: {what}" if malformed.field else what
        print(told, file=sys.stderr)
        return 2
    except SafeweaveError as error:
        print(_said(error, settings.language) or error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(say("cli.not_opened", language, file=error.filename, why=error.strerror), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _said(error: SafeweaveError, language: Language) -> str:
    """What the error says in that language, if it speaks more than English."""
    said: Callable[[Language], str] | None = getattr(error, "said", None)
    return said(language) if said else ""


def _language(arguments: Sequence[str]) -> Language | None:
    """The language asked for, looked up early so that --help already speaks it."""
    for position, argument in enumerate(arguments):
        value = argument.partition("=")[2] if argument.startswith("--language=") else None
        if argument == "--language" and position + 1 < len(arguments):
            value = arguments[position + 1]
        for language in LANGUAGES:
            if value == language:
                return language
    return None


__all__ = ["COMMANDS", "Settings", "main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
