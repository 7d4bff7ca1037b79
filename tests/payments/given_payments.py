"""Determinations, payees and a running sandbox bank, for tests about money that moves."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn

from safeweave import payments
from safeweave.database import Database, Transaction
from safeweave.events import (
    DeterminationMade,
    PayoutConfirmed,
    PayoutOrdered,
    PayoutRefused,
    PayoutReturned,
    PayoutUnconfirmed,
    RecoveryOpened,
)
from safeweave.ids import CaseId, DeterminationId, PersonId, PolicyId
from safeweave.money import Fen, fen_of
from safeweave.payments import BankDesk
from safeweave.payments.bank import Bank
from safeweave.payments.desk import PayeeKey
from safeweave.worker import Follows, Outside, Worker, tell
from safeweave_simulator.bank import bank_app
from safeweave_simulator.bank_books import BankBooks, Fault
from stores import place

NOON = datetime(2026, 3, 6, 4, 0, tzinfo=UTC)  # noon in Shanghai


def determination(name: str, yuan: str = "2381.85", **changes: Any) -> DeterminationMade:
    """A determination that pays, unless said otherwise; its case and policy are named after it."""
    made = {
        "case": CaseId(f"case_{name}"),
        "determination": DeterminationId(f"det_{name}"),
        "policy": PolicyId(f"policy_{name}"),
        "person": PersonId("person_a"),
        "decision": "pay",
        "payable": fen_of(yuan),
        "payee": "insured",
    }
    return DeterminationMade(**{**made, **changes})


@dataclass(frozen=True)
class Account:
    """A payee as coverage knows one."""

    role: str = "insured"
    name: str = "测试甲"
    account: str = "6222020000000000018"
    bank_code: str = "102332000018"


@dataclass
class Accounts:
    """Who is paid where; `everyone` is used for whoever is not named."""

    everyone: Account | None = field(default_factory=Account)
    named: dict[PayeeKey, Account] = field(default_factory=dict)
    asked: list[PayeeKey] = field(default_factory=list)

    def __call__(self, tx: Transaction, keys: Sequence[PayeeKey]) -> Mapping[PayeeKey, Account]:
        self.asked += keys
        known = {key: self.named.get(key, self.everyone and replace(self.everyone, role=key[2])) for key in keys}
        return {key: account for key, account in known.items() if account is not None}


@dataclass
class Time:
    """The one clock of a test, moved by hand."""

    at: datetime = NOON

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def follows(desk: BankDesk) -> Follows:
    """What follows what, of the money part alone."""
    return {
        DeterminationMade: (payments.order_payouts,),
        RecoveryOpened: (),
        PayoutOrdered: (desk.address, Outside("bank", desk.load, desk.send)),
        PayoutUnconfirmed: (payments.note_unconfirmed, Outside("bank", desk.load, desk.ask)),
        PayoutConfirmed: (payments.confirm,),
        PayoutRefused: (payments.refuse,),
        PayoutReturned: (payments.return_payment,),
    }


@dataclass
class House:
    """An insurer's money side: database, desk and worker on one clock."""

    database: Database
    desk: BankDesk
    time: Time
    worker: Worker

    def told(self, *events: Any) -> None:
        """Tell these and do everything due."""
        with self.database.transaction() as tx:
            tell(tx, events, self.time())
        self.worker.drain()

    def wait(self, seconds: float, steps: int = 1) -> None:
        """Let time pass and do what becomes due, the banks' notices included."""
        for _ in range(steps):
            self.time.pass_(seconds)
            with self.database.reading() as tx:
                cursors = self.desk.notice_cursors(tx)
            notices = self.desk.fetch(cursors)
            with self.database.transaction() as tx:
                tell(tx, self.desk.take(notices, tx, self.time()), self.time())
            self.worker.drain()

    def states(self) -> dict[str, str]:
        """The state of every payout, by determination and attempt."""
        with self.database.reading() as tx:
            return {f"{d}/{n}": s for d, n, s in tx.rows("select determination, attempt, state from payout")}

    def balances(self) -> dict[str, Fen]:
        """The accounts that are not zero."""
        with self.database.reading() as tx:
            assert payments.trial_balance_fen(tx) == 0
            return {account: fen for account, fen in payments.trial_balance(tx).items() if fen}


def house(path: Path, banks: Mapping[str, Bank], accounts: Accounts | None = None, time: Time | None = None) -> House:
    """A money side over a fresh file."""
    clock = time or Time()
    database = Database(place(path))
    desk = BankDesk(banks, accounts or Accounts())
    return House(database, desk, clock, Worker(database, follows(desk), clock))


@dataclass
class RunningBank:
    """The sandbox bank, listening; its books can be changed under it."""

    url: str
    time: Time
    _use: Callable[[BankBooks], None]
    books: BankBooks = None  # type: ignore[assignment]

    def open(self, path: Path, opening: str = "1000000.00") -> BankBooks:
        """Begin with fresh books."""
        self.books = BankBooks(path, fen_of(opening))
        self._use(self.books)
        return self.books

    def fails(self, kind: str, *keys: str, **how: Any) -> None:
        """From now on this goes wrong, for these keys or (with none) for all."""
        self.books.add_fault(Fault(kind, keys=keys or None, **how))  # type: ignore[arg-type]


class _Present:
    """The books that the bank has at present."""

    books: BankBooks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.books, name)

    def become(self, books: BankBooks) -> None:
        """From now on it has these."""
        self.books = books


@contextmanager
def running_bank(time_: Time) -> Iterator[RunningBank]:
    """A sandbox bank over real HTTP in a thread of this process, on the clock of the test."""
    present = _Present()
    front = bank_app(present, clock=time_)  # type: ignore[arg-type]
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(front, log_level="critical", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield RunningBank(url, time_, present.become)
    finally:
        server.should_exit = True
        thread.join()
