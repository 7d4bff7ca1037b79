"""`safeweave again`: paid cases decided again in bulk; what would change, approval by another person, undo."""

import argparse
from datetime import date

import msgspec

from safeweave import worker
from safeweave.adjudication import again
from safeweave.adjudication.again import Run, Wanted
from safeweave.commands.inbox import work_off
from safeweave.commands.screen import print_json, print_table
from safeweave.database import Transaction
from safeweave.errors import Malformed, NotAllowed
from safeweave.ids import CaseId
from safeweave.money import yuan_shown
from safeweave.node import Node, open_node
from safeweave.settings import Settings
from safeweave.web import accounts
from safeweave.web.access import role_that_may
from safeweave.web.accounts import Account
from safeweave.words import Language, say

MOST_LISTED = 50


def preview(settings: Settings, asked: argparse.Namespace) -> int:
    """Ask that paid decisions be made again, and show what would change; nothing is decided."""
    node = open_node(settings)
    wanted = Wanted(
        tuple(CaseId(case) for case in asked.case or ()),
        _day(asked.from_day, settings.language, "--from"), _day(asked.until_day, settings.language, "--until"),
    )  # fmt: skip
    with node.database.transaction() as tx:
        who = _who(tx, asked.by, "again.propose", settings.language)
        run, told = node.again.ask(tx, asked.product, asked.why, wanted, who.id, who.name, node.clock())
        worker.tell(tx, told, node.clock())
    work_off(node)
    return _show(node, run, settings.language, asked.json)


def approve(settings: Settings, asked: argparse.Namespace) -> int:
    """Approve what another person asked for; it is carried out at once."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        who = _who(tx, asked.by, "again.approve", settings.language)
        run = again.run_with(tx, asked.id)
        worker.tell(tx, node.again.answer(tx, run, True, who.id, who.name, "", node.clock()), node.clock())
    work_off(node)
    return _show(node, asked.id, settings.language, asked.json)


def undo(settings: Settings, asked: argparse.Namespace) -> int:
    """Ask that a run be undone, with `--why`; or approve that, as another person."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        run, now = again.run_with(tx, asked.id), node.clock()
        if run.state == "undo_proposed":
            who = _who(tx, asked.by, "again.approve", settings.language)
            worker.tell(tx, node.again.answer_undo(tx, run, True, who.id, who.name, now), now)
        else:
            who = _who(tx, asked.by, "again.propose", settings.language)
            again.ask_undo(tx, run, asked.why or "", who.id, who.name, now)
    work_off(node)
    return _show(node, asked.id, settings.language, asked.json)


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """Runs, the latest first."""
    node = open_node(settings)
    with node.database.reading() as tx:
        runs = [(run, again.counts(tx, run.id)) for run in again.latest(tx, MOST_LISTED)]
    if asked.json:
        print_json([_as_json(run, sums) for run, sums in runs])
        return 0
    print_table(
        settings.language,
        ["columns.number", "columns.name", "columns.status", "columns.why", "columns.case"],
        [
            (run.id, run.by_name, say(f"again.state.{run.state}", settings.language), run.why,
             f"{sum(each.cases for each in sums.values()):,}")
            for run, sums in runs
        ],
        "cli.again.none",
    )  # fmt: skip
    return 0


def _who(tx: Transaction, account: str, action: str, language: Language) -> Account:
    """The account that acts, if it may. Raises NotFound, NotAllowed."""
    found = accounts.account(tx, account)
    if role_that_may(action, accounts.standing_at_large(found)) is None:
        words = say(f"portal.action.{action}", language)
        raise NotAllowed(say("cli.again.may_not", language, name=found.name, action=words))
    return found


def _show(node: Node, id: str, language: Language, as_json: bool) -> int:
    with node.database.reading() as tx:
        run, sums = again.run_with(tx, id), again.counts(tx, id)
    if as_json:
        print_json(_as_json(run, sums))
        return 0
    print(say("cli.again.stands", language, run=run.id, state=say(f"again.state.{run.state}", language)))
    for state, each in sums.items():
        if each.cases:
            print(
                say(
                    "cli.again.sums", language, state=say(f"again.case.{state}", language), cases=f"{each.cases:,}",
                    before=yuan_shown(each.before_fen), after=yuan_shown(each.after_fen),
                )
            )  # fmt: skip
    return 0


def _as_json(run: Run, sums: dict[again.CaseState, again.Sums]) -> dict[str, object]:
    return {**msgspec.to_builtins(run), "cases": {state: msgspec.to_builtins(each) for state, each in sums.items()}}


def _day(text: str | None, language: Language, name: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Malformed(say("cli.policies.no_day", language, text=text), field=name) from None
