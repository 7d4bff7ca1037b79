"""The sandbox bank's own books: payments by key, the account, its notices, and the faults asked for.

Every change is one SQLite transaction with full fsync, so a bank that is killed comes back as it was last told.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

FaultKind = Literal[
    "slow", "silent", "silent_before", "refused", "booked_later", "returned_later", "duplicate_notice"
]  # fmt: skip
FAULTS: tuple[FaultKind, ...] = (
    "slow", "silent", "silent_before", "refused", "booked_later", "returned_later", "duplicate_notice",
)  # fmt: skip

_TABLES = """
create table if not exists payment (
    key text primary key, amount_fen integer not null, name text not null, account text not null,
    bank_code text not null, purpose text not null, status text not null, reason text not null, booked_at text
);
create table if not exists entry (
    id integer primary key, kind text not null, key text not null, amount_fen integer not null, booked_at text not null,
    booked_on text not null, reason text not null, text text not null
);
create table if not exists notice (
    seq integer primary key autoincrement, id text not null, kind text not null, key text not null,
    amount_fen integer not null, at text not null, reason text not null
);
create table if not exists account (account text primary key, name text not null, closed integer not null);
create table if not exists fault (
    id integer primary key, kind text not null, share_bp integer not null, seed integer not null, keys text,
    times integer not null, reason text not null, ms integer not null
);
create table if not exists fault_hit (
    fault integer not null, key text not null, count integer not null, primary key (fault, key)
);
create table if not exists due (
    key text not null, what text not null, due_at text not null, reason text not null, primary key (key, what)
);
create table if not exists balance (
    id integer primary key check (id = 1), opening_fen integer not null, now_fen integer not null
);
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment as ordered; its key never carries other content."""

    key: str
    amount_fen: int
    name: str
    account: str
    bank_code: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault asked for: it hits the named keys, or the share of all keys that `seed` picks, `times` times each.

    `ms` is how long a slow or silent answer takes, or how long after the order a later booking or return comes.
    """

    kind: FaultKind
    share_bp: int = 10_000
    seed: int = 0
    keys: tuple[str, ...] | None = None
    times: int = 1
    reason: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bank does with one order: its results, how long it takes, and whether it says anything at all."""

    results: list[dict[str, Any]]
    delay_ms: int = 0
    silent: bool = False


def is_picked(fault_kind: str, share_bp: int, seed: int, key: str) -> bool:
    """Whether `seed` picks this key for the fault: the same keys each time, whatever the order they come in."""
    digest = hashlib.sha256(f"{seed}/{fault_kind}/{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10_000 < share_bp


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _day(at: datetime) -> date:
    return at.astimezone(SHANGHAI).date()


class BankBooks:
    """The bank's state in one file."""

    def __init__(self, path: Path | str, opening_fen: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.executescript(_TABLES)
        self._connection.execute("insert or ignore into balance values (1, ?, ?)", (opening_fen, opening_fen))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    # ------------------------------------------------------------ payments

    def order(self, payments: Sequence[Payment], now: datetime) -> Answer:
        """Book, take or refuse each payment; a known key is answered as before, or `conflict` if it differs."""
        with self._change() as db:
            self._settle_due(db, now)
            before = self._hits(db, payments, ("silent_before",))
            if before:
                return Answer([], max(fault.ms for fault in before), silent=True)
            results = [self._order_one(db, payment, now) for payment in payments]
            silent = self._hits(db, payments, ("silent",))
            slow = self._hits(db, payments, ("slow",))
        return Answer(results, max((fault.ms for fault in (*silent, *slow)), default=0), silent=bool(silent))

    def _order_one(self, db: sqlite3.Connection, payment: Payment, now: datetime) -> dict[str, Any]:
        row = db.execute(
            "select amount_fen, name, account, bank_code, purpose from payment where key = ?", (payment.key,)
        ).fetchone()
        if row is not None:
            if row != (payment.amount_fen, payment.name, payment.account, payment.bank_code, payment.purpose):
                return {"key": payment.key, "status": "conflict", "reason": "AM05", "booked_at": None}
            return self._result(db, payment.key)
        refused = self._hits(db, [payment], ("refused",))
        reason = (refused[0].reason or "AC04") if refused else self._account_fault(db, payment)
        if not reason and payment.amount_fen > self._balance(db):
            reason = "AM04"
        status = "refused" if reason else "accepted"
        db.execute(
            "insert into payment values (?, ?, ?, ?, ?, ?, ?, ?, null)",
            (payment.key, payment.amount_fen, payment.name, payment.account, payment.bank_code, payment.purpose, status,
             reason),
        )  # fmt: skip
        if reason:
            return self._result(db, payment.key)
        later = self._hits(db, [payment], ("booked_later",))
        returned = self._hits(db, [payment], ("returned_later",))
        booked_at = now + timedelta(milliseconds=later[0].ms) if later else now
        if later:
            self._plan(db, payment.key, "book", booked_at, "")
        else:
            self._book(db, payment.key, now)
        if returned:
            due_at = booked_at + timedelta(milliseconds=returned[0].ms)
            self._plan(db, payment.key, "return", due_at, returned[0].reason or "AC04")
        self._settle_due(db, now)
        return self._result(db, payment.key)

    def _account_fault(self, db: sqlite3.Connection, payment: Payment) -> str:
        known = db.execute("select name, closed from account where account = ?", (payment.account,)).fetchone()
        if known is None:
            return ""  # another bank's account: that bank would send it back
        name, closed = known
        if closed:
            return "AC04"
        same = normalize("NFC", name).replace(" ", "") == normalize("NFC", payment.name).replace(" ", "")
        return "" if same else "BE01"

    def _book(self, db: sqlite3.Connection, key: str, at: datetime) -> None:
        (amount,) = db.execute("select amount_fen from payment where key = ?", (key,)).fetchone()
        db.execute("update payment set status = 'booked', booked_at = ? where key = ?", (_text(at), key))
        self._enter(db, "payment", key, -amount, at, "", "")
        self._tell(db, f"booked:{key}", "booked", key, amount, at, "")

    def _enter(
        self, db: sqlite3.Connection, kind: str, key: str, fen: int, at: datetime, reason: str, text: str
    ) -> int | None:
        db.execute("update balance set now_fen = now_fen + ?", (fen,))
        return db.execute(
            "insert into entry (kind, key, amount_fen, booked_at, booked_on, reason, text)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            (kind, key, fen, _text(at), _day(at).isoformat(), reason, text),
        ).lastrowid

    def _tell(self, db: sqlite3.Connection, id: str, kind: str, key: str, fen: int, at: datetime, reason: str) -> None:
        payment = Payment(key, fen, "", "")
        for _ in range(2 if self._hits(db, [payment], ("duplicate_notice",)) else 1):
            db.execute(
                "insert into notice (id, kind, key, amount_fen, at, reason) values (?, ?, ?, ?, ?, ?)",
                (id, kind, key, fen, _text(at), reason),
            )

    def _plan(self, db: sqlite3.Connection, key: str, what: str, due_at: datetime, reason: str) -> None:
        db.execute("insert into due values (?, ?, ?, ?)", (key, what, _text(due_at), reason))

    def _settle_due(self, db: sqlite3.Connection, now: datetime) -> None:
        due = db.execute(
            "select key, what, due_at, reason from due where due_at <= ? order by due_at, what", (_text(now),)
        ).fetchall()
        for key, what, due_at, reason in due:
            at = datetime.fromisoformat(due_at)
            if what == "book":
                self._book(db, key, at)
            else:
                (amount,) = db.execute("select amount_fen from payment where key = ?", (key,)).fetchone()
                entry = self._enter(db, "return", key, amount, at, reason, "")
                self._tell(db, f"returned:{entry}", "returned", key, amount, at, reason)
            db.execute("delete from due where key = ? and what = ?", (key, what))

    def _result(self, db: sqlite3.Connection, key: str) -> dict[str, Any]:
        row = db.execute(
            "select key, status, reason, booked_at, amount_fen, name, account from payment where key = ?", (key,)
        ).fetchone()
        if row is None:
            return {"key": key, "status": "unknown", "reason": "", "booked_at": None}
        names = ("key", "status", "reason", "booked_at", "amount_fen", "name", "account")
        return dict(zip(names, row, strict=True))

    def results(self, keys: Iterable[str], now: datetime) -> list[dict[str, Any]]:
        """What became of each key; status `unknown` for one never seen."""
        with self._change() as db:
            self._settle_due(db, now)
            return [self._result(db, key) for key in keys]

    # ------------------------------------------------------------ account

    def _balance(self, db: sqlite3.Connection) -> int:
        (balance,) = db.execute("select now_fen from balance").fetchone()
        return int(balance)

    def balance(self, now: datetime) -> dict[str, int]:
        """Opening and present balance in fen, and what was paid and sent back."""
        with self._change() as db:
            self._settle_due(db, now)
            (opening,) = db.execute("select opening_fen from balance").fetchone()
            moved = dict(db.execute("select kind, sum(amount_fen) from entry group by kind").fetchall())
            return {
                "opening_fen": opening,
                "balance_fen": self._balance(db),
                "paid_fen": -moved.get("payment", 0),
                "returned_fen": moved.get("return", 0),
                "received_fen": moved.get("receipt", 0),
            }

    def statement(self, first_day: date, last_day: date, now: datetime) -> tuple[int, list[dict[str, Any]]]:
        """The balance before the first day and the lines of these Shanghai days, both included."""
        with self._change() as db:
            self._settle_due(db, now)
            (opening,) = db.execute("select opening_fen from balance").fetchone()
            (before,) = db.execute(
                "select coalesce(sum(amount_fen), 0) from entry where booked_on < ?", (first_day.isoformat(),)
            ).fetchone()
            rows = db.execute(
                "select id, kind, key, amount_fen, booked_on, reason, text from entry where booked_on between ? and ?"
                " order by id",
                (first_day.isoformat(), last_day.isoformat()),
            ).fetchall()
        names = ("id", "kind", "key", "amount_fen", "booked_on", "reason", "text")
        lines = [dict(zip(names, (f"E{row[0]:010d}", *row[1:]), strict=True)) for row in rows]
        return int(opening + before), lines

    def receive(self, amount_fen: int, text: str, now: datetime) -> str:
        """Somebody pays in; the id of the line."""
        with self._change() as db:
            entry = self._enter(db, "receipt", "", amount_fen, now, "", text)
            return f"E{entry:010d}"

    def open_account(self, account: str, name: str, closed: bool) -> None:
        """A payee's account that this bank checks names against, or has closed."""
        with self._change() as db:
            db.execute("insert or replace into account values (?, ?, ?)", (account, name, int(closed)))

    def notices(self, after: int, now: datetime) -> list[dict[str, Any]]:
        """What was told after this number, at most a thousand."""
        with self._change() as db:
            self._settle_due(db, now)
            rows = db.execute(
                "select seq, id, kind, key, amount_fen, at, reason from notice where seq > ? order by seq limit 1000",
                (after,),
            ).fetchall()
        names = ("seq", "id", "kind", "key", "amount_fen", "at", "reason")
        return [dict(zip(names, row, strict=True)) for row in rows]

    # ------------------------------------------------------------ faults

    def add_fault(self, fault: Fault) -> None:
        """From now on this goes wrong, until `clear_faults`."""
        keys = None if fault.keys is None else json.dumps(list(fault.keys))
        with self._change() as db:
            db.execute(
                "insert into fault (kind, share_bp, seed, keys, times, reason, ms) values (?, ?, ?, ?, ?, ?, ?)",
                (fault.kind, fault.share_bp, fault.seed, keys, fault.times, fault.reason, fault.ms),
            )

    def clear_faults(self) -> None:
        """Nothing more goes wrong; what was planned already still comes."""
        with self._change() as db:
            db.execute("delete from fault_hit")
            db.execute("delete from fault")

    def _hits(self, db: sqlite3.Connection, payments: Sequence[Payment], kinds: tuple[FaultKind, ...]) -> list[Fault]:
        """The faults of these kinds that hit one of these payments now; each hit is counted."""
        hit: list[Fault] = []
        rows = db.execute("select id, kind, share_bp, seed, keys, times, reason, ms from fault order by id").fetchall()
        for id, kind, share_bp, seed, keys, times, reason, ms in rows:
            if kind not in kinds:
                continue
            named = None if keys is None else set(json.loads(keys))
            for payment in payments:
                picked = is_picked(kind, share_bp, seed, payment.key) if named is None else payment.key in named
                if not picked:
                    continue
                counted = db.execute(
                    "insert into fault_hit values (?, ?, 1) on conflict (fault, key) do update set count = count + 1"
                    " where count < ?",
                    (id, payment.key, times),
                ).rowcount
                if counted:
                    hit.append(Fault(kind, share_bp, seed, None, times, reason, ms))
        return hit
