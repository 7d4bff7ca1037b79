"""`safeweave payouts`, `pay-again`, `journal`, `reconcile`: looking at the money."""

import argparse
import sys

from safeweave import payments, worker
from safeweave.commands.inbox import shown_at, work_off
from safeweave.commands.screen import print_json, print_table
from safeweave.errors import NotFound
from safeweave.ids import PayoutId
from safeweave.money import yuan_shown, yuan_text
from safeweave.node import open_node
from safeweave.payments import store
from safeweave.payments.reconcile import reconcile_command
from safeweave.settings import Settings
from safeweave.words import knows, say


def payouts(settings: Settings, asked: argparse.Namespace) -> int:
    """Payouts that are not paid yet, with the reason, and the totals by state."""
    node = open_node(settings)
    with node.database.reading() as tx:
        open_payouts, totals = store.unsettled(tx, 1000), store.totals(tx)
    if asked.json:
        print_json(
            {
                "totals": {state: {"count": count, "yuan": yuan_text(fen)} for state, (count, fen) in totals.items()},
                "open": [
                    {"payout": p.id, "case": p.case, "yuan": yuan_text(p.amount), "state": p.state, "reason": p.reason}
                    for p in open_payouts
                ],
            }
        )
        return 0
    lang = settings.language
    print_table(
        lang,
        ["columns.state", "columns.count", "columns.amount"],
        [(_state(state, settings), count, yuan_shown(fen)) for state, (count, fen) in totals.items()],
        "cli.payouts.none",
    )
    if open_payouts:
        print()
        print_table(
            lang,
            ["columns.payout", "columns.case", "columns.amount", "columns.state", "columns.why", "columns.since"],
            [
                (
                    p.id,
                    p.case,
                    yuan_shown(p.amount),
                    _state(p.state, settings),
                    _reason(p.reason, settings),
                    shown_at(p.ordered_at),
                )
                for p in open_payouts
            ],
            "cli.payouts.none",
        )
    return 0


def _state(state: str, settings: Settings) -> str:
    key = f"payments.state.{state}"
    return say(key, settings.language) if knows(key) else state


def _reason(reason: str, settings: Settings) -> str:
    key = f"payments.reason.{reason}"
    return say(key, settings.language) if knows(key) else reason


def pay_again(settings: Settings, asked: argparse.Namespace) -> int:
    """Pay again, under a new key, what a bank refused or sent back; the account was corrected meanwhile."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        now = node.clock()
        worker.tell(tx, payments.pay_again(tx, PayoutId(asked.payout), now), now)
    work_off(node)
    print(say("cli.pay-again.done", settings.language, payout=asked.payout))
    return 0


def journal(settings: Settings, asked: argparse.Namespace) -> int:
    """The trial balance, account by account; its sum must be zero."""
    node = open_node(settings)
    with node.database.reading() as tx:
        balance, total = payments.trial_balance(tx), payments.trial_balance_fen(tx)
    if asked.json:
        print_json({"accounts": dict(balance), "trial_balance_fen": total})
    else:
        rows = [
            (say(f"payments.account.{account}", settings.language), yuan_shown(fen)) for account, fen in balance.items()
        ]
        print_table(
            settings.language,
            ["columns.account", "columns.balance"],
            [*rows, (say("cli.journal.sum", settings.language), yuan_shown(total))],
            "cli.journal.none",
        )
    return 0 if total == 0 else 1


def reconcile(settings: Settings, asked: argparse.Namespace) -> int:
    """Our journal against the bank's statement: 0.00, or every item that one side misses."""
    node = open_node(settings)
    if "sandbox" not in node.desk.banks:
        raise NotFound(say("cli.reconcile.no_bank", settings.language))
    return reconcile_command(node.database, node.desk, settings.language, asked.json, sys.stdout)
