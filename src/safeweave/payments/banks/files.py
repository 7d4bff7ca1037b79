"""A bank that speaks in files: pain.001 orders go to an outbox folder, pain.002 and camt.053 come from an inbox folder.

Which payments went into which file stands in our store before the file appears, so a key goes out in one file only, and
that file is written later, byte for byte, if we stopped before it was there. A file read is moved to `done`; one
that cannot be read is moved to `refused`, beside a text that says where it is wrong, and changes nothing.
"""

import logging
import os
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from safeweave.clock import Clock, shanghai_day
from safeweave.database import Database, Row, Transaction, at_of, at_text
from safeweave.errors import Malformed, Unavailable
from safeweave.ids import derived
from safeweave.money import Fen
from safeweave.payments import iso20022
from safeweave.payments.bank import Instruction, Notice, Outcome, StatementEntry
from safeweave.payments.banks.book import content_of
from safeweave.payments.iso20022 import Debtor

log = logging.getLogger("safeweave.payments")


class FileBank:
    """The bank reached through the folders `outbox` and `inbox`; `name` keeps several such banks apart."""

    def __init__(self, name: str, database: Database, outbox: Path, inbox: Path, debtor: Debtor, clock: Clock) -> None:
        self.name, self.database, self.outbox, self.inbox, self.debtor, self.clock = (
            name, database, outbox, inbox, debtor, clock,
        )  # fmt: skip
        for folder in (outbox, inbox, inbox / "done", inbox / "refused"):
            folder.mkdir(parents=True, exist_ok=True)

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """Pending, each of them, once the file that orders it is in the outbox; one ordered before is not repeated."""
        with self.database.transaction() as tx:
            held = self._held(tx, [instruction.key for instruction in instructions])
            fresh = [instruction for instruction in instructions if instruction.key not in held]
            if fresh:
                message = derived("msg", self.name, *(instruction.key for instruction in fresh))
                content = iso20022.write_order(message, fresh, self.debtor, now, shanghai_day(now))
                tx.run(
                    "insert into bank_file (id, bank, content) values (?, ?, ?)", (message, self.name, content.decode())
                )
                tx.run_many(
                    "insert into bank_file_payment (key, bank, content, file, amount_fen, status)"
                    " values (?, ?, ?, ?, ?, 'pending')",
                    [(i.key, self.name, content_of(i), message, i.amount) for i in fresh],
                )
                held |= self._held(tx, [instruction.key for instruction in fresh])
        self._write_files(now)
        return [_outcome(held.get(instruction.key), instruction) for instruction in instructions]

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """What the files in the inbox have said of each by now; unknown if no file of ours ordered it."""
        self._write_files(now)
        self.collect(now)
        with self.database.reading() as tx:
            held = self._held(tx, [instruction.key for instruction in instructions])
        return [_outcome(held.get(instruction.key), instruction) for instruction in instructions]

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """The lines of all statements received that were booked on these days."""
        self.collect(self.clock())
        with self.database.reading() as tx:
            rows = tx.rows(
                "select id, kind, key, amount_fen, booked_on, reason from bank_file_entry"
                " where bank = ? and booked_on between ? and ? order by booked_on, id",
                (self.name, first_day.isoformat(), last_day.isoformat()),
            )
        return [
            StatementEntry(id, kind, key, Fen(amount), date.fromisoformat(day), reason)
            for id, kind, key, amount, day, reason in rows
        ]

    def notices(self, after: int) -> list[Notice]:
        """What status reports and statements have told since `seq` = `after`."""
        self.collect(self.clock())
        with self.database.reading() as tx:
            rows = tx.rows(
                "select seq, id, kind, key, amount_fen, at, reason from bank_file_notice where bank = ? and seq > ?"
                " order by seq",
                (self.name, after),
            )
        return [Notice(seq, id, kind, key, Fen(fen), at_of(at), reason) for seq, id, kind, key, fen, at, reason in rows]

    def collect(self, now: datetime) -> int:
        """How many files of the inbox were read. What is refused is moved aside with the place of its fault."""
        count = 0
        for file in sorted(self.inbox.glob("*.xml")):
            try:
                count += self._is_taken(file, now)
            except FileNotFoundError:
                continue  # another process of ours took it
            except OSError as fault:
                log.warning("%s in the inbox of bank %s cannot be taken: %s", file.name, self.name, fault.strerror)
        return count

    def _is_taken(self, file: Path, now: datetime) -> bool:
        """Whether this file was read and not refused; in either case it is moved aside."""
        content = file.read_bytes()
        try:
            message = iso20022.message_in(content, file.name)
            with self.database.transaction() as tx:
                if message == iso20022.STATUS:
                    self._take_statuses(tx, iso20022.read_statuses(content, file.name), now)
                elif message == iso20022.STATEMENT:
                    for statement in iso20022.read_statement(content, file.name):
                        self._take_statement(tx, statement, file.name, now)
                else:
                    known = f"{iso20022.STATUS} and {iso20022.STATEMENT}"
                    raise Malformed(f"a {message}; only {known} are read here", file=file.name)
        except Malformed as fault:
            reason = self.inbox / "refused" / f"{file.name}.txt"
            reason.write_text(f"{fault}\n", encoding="utf-8")
            os.replace(file, self.inbox / "refused" / file.name)
            return False
        os.replace(file, self.inbox / "done" / file.name)
        return True

    def _held(self, tx: Transaction, keys: Sequence[str]) -> dict[str, Row]:
        rows = tx.rows(
            "select key, content, status, reason, at, amount_fen, file from bank_file_payment"
            " where bank = ? and key in ?",
            (self.name, keys),
        )
        return {row[0]: row for row in rows}

    def _write_files(self, now: datetime) -> None:
        with self.database.reading() as tx:
            unwritten = tx.rows(
                "select id from bank_file where bank = ? and written_at is null order by id", (self.name,)
            )
        for (id,) in unwritten:
            with self.database.transaction(beside=True) as tx:
                tx.wait_for({f"outbox of bank {self.name}"})  # of several callers one writes
                row = tx.row("select content from bank_file where id = ? and written_at is null", (id,))
                if row is None:
                    continue
                try:
                    _write_whole(self.outbox, f"{id}.xml", row[0].encode())
                except OSError as fault:
                    raise Unavailable(f"the outbox of bank {self.name} cannot be written: {fault.strerror}") from None
                # The file now speaks for itself; its names are not kept twice.
                tx.run("update bank_file set written_at = ?, content = '' where id = ?", (at_text(now), id))

    def _take_statuses(self, tx: Transaction, statuses: iso20022.Statuses, now: datetime) -> None:
        outcomes = list(statuses.outcomes)
        if statuses.answer_to_all is not None:
            keys = tx.rows(
                "select key from bank_file_payment where bank = ? and file = ? order by key",
                (self.name, statuses.original),
            )
            outcomes = [(key, statuses.answer_to_all) for (key,) in keys]
        held = self._held(tx, [key for key, _ in outcomes])
        for key, outcome in outcomes:
            if key not in held or held[key][2] != "pending" or outcome.kind not in ("booked", "refused"):
                continue
            self._settle(tx, held[key], outcome.kind, outcome.at or now, outcome.reason)

    def _settle(self, tx: Transaction, held: Row, status: str, at: datetime, reason: str) -> None:
        key, amount = held[0], held[5]
        tx.run(
            "update bank_file_payment set status = ?, reason = ?, at = ? where key = ?",
            (status, reason, at_text(at), key),
        )
        self._notice(tx, f"{status}:{key}", status, key, amount, at, reason)

    def _take_statement(self, tx: Transaction, statement: iso20022.Statement, file: str, now: datetime) -> None:
        if statement.account != self.debtor.account:
            raise Malformed("the statement of another account than ours", file=file, field="Stmt/Acct/Id/Othr/Id")
        held = self._held(tx, [entry.key for entry in statement.entries if entry.key])
        for entry in statement.entries:
            tx.run(
                "insert into bank_file_entry (bank, id, kind, key, amount_fen, booked_on, reason)"
                " values (?, ?, ?, ?, ?, ?, ?) on conflict (bank, id) do nothing",
                (self.name, entry.id, entry.kind, entry.key, entry.amount, entry.booked_on.isoformat(), entry.reason),
            )
            if entry.key not in held:
                continue
            # A statement is the last word: what it shows as paid is paid, even if no status report said so.
            if entry.kind == "payment" and held[entry.key][2] == "pending":
                self._settle(tx, held[entry.key], "booked", now, "")
            elif entry.kind == "return":
                self._notice(tx, f"returned:{entry.id}", "returned", entry.key, entry.amount, now, entry.reason)

    def _notice(self, tx: Transaction, id: str, kind: str, key: str, amount: Fen, at: datetime, reason: str) -> None:
        tx.run(
            "insert into bank_file_notice (seq, bank, id, kind, key, amount_fen, at, reason)"
            " values ((select coalesce(max(seq), 0) + 1 from bank_file_notice), ?, ?, ?, ?, ?, ?, ?)"
            " on conflict (bank, id) do nothing",
            (self.name, id, kind, key, amount, at_text(at), reason),
        )


def _outcome(held: Row | None, instruction: Instruction) -> Outcome:
    if held is None:
        return Outcome("unknown")
    _, content, status, reason, at, *_ = held
    if content != content_of(instruction):
        return Outcome("conflict")
    return Outcome(status, at_of(at) if at else None, reason)


def _write_whole(folder: Path, name: str, content: bytes) -> None:
    part = folder / f".{name}.part"  # a dot and another ending: no bank client picks up half a file
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, folder / name)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
