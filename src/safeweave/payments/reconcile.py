"""Our journal's bank account against the bank's own statement: 0.00, or every item that one side misses."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal, Protocol, TextIO

from safeweave.database import Database, Transaction
from safeweave.facts import Fact
from safeweave.money import Fen, yuan_shown, yuan_text
from safeweave.payments import iso20022, store
from safeweave.payments.bank import StatementEntry
from safeweave.words import Language, say

Fault = Literal["missing_at_bank", "missing_in_journal", "not_yet_confirmed", "unknown_at_bank"]


class Item(Fact):
    """An amount on one side only; `fen` is what it adds to journal less bank, `ref` the key or the bank's line."""

    fault: Fault
    ref: str
    fen: Fen
    moved: Fen  # as its own side has it: money that leaves is negative

    def words(self, language: Language) -> str:
        """Which side misses what, as people read it."""
        direction = "out" if self.moved < 0 else "in"
        moved = say(f"payments.reconcile.{direction}", language)
        return say(
            f"payments.reconcile.{self.fault}", language, ref=self.ref, amount=yuan_shown(abs(self.moved)), moved=moved
        )


class Reconciliation(Fact):
    """What the comparison found: the difference is the journal's bank balance less the statement's, in fen."""

    difference_fen: Fen
    items: tuple[Item, ...]


def reconcile(tx: Transaction, statement: Sequence[StatementEntry]) -> Reconciliation:
    """The journal's bank account against a statement that begins with the account, entry by entry.

    Payments and returns meet by their key and amount, other lines by the bank's reference; the same line twice is two.
    The difference is always the sum of the items.
    """
    ours: dict[tuple[str, Fen], int] = Counter()
    for ref, fen in _by_ref(tx):
        ours[ref, fen] += 1
    theirs: dict[tuple[str, Fen], int] = Counter()
    for entry in statement:
        theirs[_ref(entry), entry.amount] += 1
    unmatched = {place: ours[place] - theirs[place] for place in {**ours, **theirs} if ours[place] != theirs[place]}
    states = store.states(tx, sorted({ref for ref, _ in unmatched}))
    items = []
    for (ref, fen), surplus in sorted(unmatched.items()):
        if surplus > 0:
            fault: Fault = "missing_at_bank"
        elif ref not in states:
            fault = "unknown_at_bank"
        elif states[ref] in ("ordered", "unconfirmed"):
            fault = "not_yet_confirmed"
        else:
            fault = "missing_in_journal"
        items += [Item(fault, ref, Fen(fen if surplus > 0 else -fen), fen)] * abs(surplus)
    return Reconciliation(Fen(sum(item.fen for item in items)), tuple(items))


def _by_ref(tx: Transaction) -> list[tuple[str, Fen]]:
    """Every movement of our bank account; a receipt that was split over two accounts is one movement again."""
    movements: dict[tuple[str, bool], int] = defaultdict(int)
    for ref, booking, fen in store.bank_entries(tx):
        movements[ref, booking.startswith(("recovery_received:", "receipt_unallocated:")) or fen > 0] += fen
    return [(ref, Fen(fen)) for (ref, _), fen in movements.items()]


def _ref(entry: StatementEntry) -> str:
    return entry.key if entry.key and entry.kind in ("payment", "return") else entry.id


class Account(Protocol):
    """Whoever can tell what was booked on our account: one bank, or the desk for all of them."""

    def statement(self, first_day: date, last_day: date) -> Sequence[StatementEntry]:
        """The lines booked on these Shanghai days, both included."""
        ...


class Filed:
    """An account as camt.053 files tell it, beside accounts that still answer; Malformed if a file cannot be read."""

    def __init__(self, files: Sequence[Path], others: Sequence[Account] = ()) -> None:
        self.files, self.others = files, others

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """The entries booked in these days, each once however many files hold it."""
        entries: dict[str, StatementEntry] = {}
        for file in self.files:
            for statement in iso20022.read_statement(file.read_bytes(), str(file)):
                entries |= {entry.id: entry for entry in statement.entries if first_day <= entry.booked_on <= last_day}
        return [*entries.values(), *(entry for other in self.others for entry in other.statement(first_day, last_day))]


def reconcile_command(database: Database, account: Account, language: Language, as_json: bool, out: TextIO) -> int:
    """Print "0.00", or the difference and every item, in the reader's language or as JSON: 0 without items, else 1.

    The whole life of the account is compared, so the journal must hold no bank that `account` does not speak for.
    Raises Unavailable if a bank does not answer.
    """
    entries = account.statement(date.min, date.max)
    with database.reading() as tx:
        found = reconcile(tx, entries)
    if as_json:
        json.dump(
            {
                "difference": yuan_text(found.difference_fen),
                "difference_fen": found.difference_fen,
                "items": [
                    {"fault": i.fault, "ref": i.ref, "difference_fen": i.fen, "amount_fen": i.moved,
                     "text": i.words(language)}
                    for i in found.items
                ],
            },
            out, ensure_ascii=False, indent=2,
        )  # fmt: skip
        out.write("\n")
    else:
        out.write(f"{yuan_text(found.difference_fen)}\n")
        for item in found.items:
            out.write(f"{item.words(language)}\n")
    return 1 if found.items else 0
