"""Settlement by book entry: where no money leaves, such as the back-testing of past claims.

Each instruction is booked at once and kept in its own table, which is also the statement.
"""

from collections.abc import Sequence
from datetime import date, datetime

from safeweave.clock import shanghai_day
from safeweave.database import Database, Transaction, at_of, at_text
from safeweave.ids import derived
from safeweave.money import Fen
from safeweave.payments.bank import Instruction, Notice, Outcome, StatementEntry


def content_of(instruction: Instruction) -> str:
    """A short form of everything a key must never change, without a readable name or account."""
    return derived(
        "content", instruction.amount, instruction.name, instruction.account, instruction.bank_code, instruction.purpose
    )


class BookBank:
    """A bank that is a table of ours."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """Booked, each of them, at `now`; one sent before is answered as it was then."""
        at, day = at_text(now), shanghai_day(now).isoformat()
        sent = {instruction.key: instruction for instruction in reversed(instructions)}
        with self.database.transaction(beside=True) as tx:
            tx.wait_for({"book"})  # its numbers follow one another
            ((last,),) = tx.rows("select coalesce(max(seq), 0) from book_settlement")
            before = {key for (key,) in tx.rows("select key from book_settlement where key in ?", (list(sent),))}
            fresh = [instruction for instruction in reversed(sent.values()) if instruction.key not in before]
            tx.run_many(
                "insert into book_settlement (seq, key, content, amount_fen, booked_at, booked_on)"
                " values (?, ?, ?, ?, ?, ?)",
                [(seq, i.key, content_of(i), i.amount, at, day) for seq, i in enumerate(fresh, start=last + 1)],
            )
            return self._outcomes(tx, instructions)

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """Booked, or unknown."""
        with self.database.reading() as tx:
            return self._outcomes(tx, instructions)

    def _outcomes(self, tx: Transaction, instructions: Sequence[Instruction]) -> list[Outcome]:
        keys = [instruction.key for instruction in instructions]
        held = {
            key: (content, booked_at)
            for key, content, booked_at in tx.rows(
                "select key, content, booked_at from book_settlement where key in ?", (keys,)
            )
        }
        outcomes = []
        for instruction in instructions:
            content, booked_at = held.get(instruction.key, ("", ""))
            if not content:
                outcomes.append(Outcome("unknown"))
            elif content != content_of(instruction):
                outcomes.append(Outcome("conflict"))
            else:
                outcomes.append(Outcome("booked", at_of(booked_at)))
        return outcomes

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """What was booked on these days, in order."""
        with self.database.reading() as tx:
            rows = tx.rows(
                "select seq, key, amount_fen, booked_on from book_settlement where booked_on between ? and ?"
                " order by seq",
                (first_day.isoformat(), last_day.isoformat()),
            )
        return [
            StatementEntry(f"book-{seq}", "payment", key, Fen(-amount), date.fromisoformat(day))
            for seq, key, amount, day in rows
        ]

    def notices(self, after: int) -> list[Notice]:
        """None: everything is answered at once."""
        return []
