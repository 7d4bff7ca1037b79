"""`safeweave payouts`, `pay-again`, `journal`, `reconcile`: looking at the money."""

import argparse
import sys

from safeweave import payments, worker
from safeweave.commands.inbox import shown_at, work_off
from safeweave.commands.screen import print_json, print_table
from safeweave.errors import Malformed, NotFound
from safeweave.ids import PayoutId
from safeweave.money import fen_of, yuan_shown, yuan_text
from safeweave.node import open_node
from safeweave.payments import BankDesk, store
from safeweave.payments.reconcile import Filed, reconcile_command
from safeweave.settings import Settings
from safeweave.words import Language, knows, say

STATEMENT = "bank-statement.xml"  # the camt.053 that a demo leaves in its home when its bank closes


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
        [(state_shown(state, settings.language), count, yuan_shown(fen)) for state, (count, fen) in totals.items()],
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
                    state_shown(p.state, settings.language),
                    reason_shown(p.reason, settings.language),
                    shown_at(p.ordered_at),
                )
                for p in open_payouts
            ],
            "cli.payouts.none",
        )
    return 0


def state_shown(state: str, language: Language) -> str:
    """A payout's state in words."""
    return say(f"payments.state.{state}", language)


def reason_shown(reason: str, language: Language) -> str:
    """Why a payout waits or failed, in words; "" if it did not."""
    key = f"payments.reason.{reason}"
    return say(key, language) if knows(key) else say("payments.reason.other", language, code=reason) if reason else ""


def pay_again(settings: Settings, asked: argparse.Namespace) -> int:
    """Pay again, under a new key, what a bank refused or sent back; the account was corrected meanwhile."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        now = node.clock()
        worker.tell(tx, payments.pay_again(tx, PayoutId(asked.payout), now), now)
    work_off(node)
    print(say("cli.pay-again.done", settings.language, payout=asked.payout))
    return 0


def recoveries(settings: Settings, asked: argparse.Namespace) -> int:
    """What is still to come back."""
    node = open_node(settings)
    with node.database.reading() as tx:
        found = payments.open_recoveries(tx)
    if asked.json:
        print_json(
            [
                {"recovery": r.id, "case": r.case, "yuan": yuan_text(r.amount), "received": yuan_text(r.received)}
                for r in found
            ]
        )
        return 0
    print_table(
        settings.language,
        ["columns.recovery", "columns.case", "columns.amount", "columns.still_open", "columns.since"],
        [(r.id, r.case, yuan_shown(r.amount), yuan_shown(r.amount - r.received), shown_at(r.opened_at)) for r in found],
        "cli.recoveries.none",
    )
    return 0


def receive_recovery(settings: Settings, asked: argparse.Namespace) -> int:
    """Book money that came back, and say what it settled; the same bank reference is booked once."""
    node = open_node(settings)
    try:
        amount = fen_of(asked.yuan)
    except ValueError as error:
        raise Malformed(str(error), field="--yuan") from None
    with node.database.transaction() as tx:
        receipt = payments.Receipt(asked.reference, asked.recovery, amount)
        (became,) = payments.receive_recoveries(tx, [receipt], node.clock())
    key, lang = "cli.recoveries.receive", settings.language
    if became is None:
        print(say(f"{key}.repeated", lang, reference=asked.reference))
        return 0
    if became.settled:
        print(say(f"{key}.done", lang, amount=yuan_shown(became.settled)))
    if became.unallocated:
        print(say(f"{key}.unallocated", lang, recovery=asked.recovery, amount=yuan_shown(became.unallocated)))
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
    files = list(asked.statement or ())
    left_by_the_demo = settings.home / STATEMENT
    if not files and "main" not in node.desk.banks and left_by_the_demo.exists():
        files = [left_by_the_demo]
    if files:
        others = [bank for name, bank in node.desk.banks.items() if name != "main"]
        account: Filed | BankDesk = Filed(files, others)
    elif "main" in node.desk.banks:
        account = node.desk
    else:
        raise NotFound(say("cli.reconcile.no_bank", settings.language))
    return reconcile_command(node.database, account, settings.language, asked.json, sys.stdout)
