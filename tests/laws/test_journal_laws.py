"""What always holds of money that moves: the books balance, a payout leaves once, and the bank agrees with us."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from payments.given_payments import NOON, House, RunningBank, Time, determination, house, running_bank
from safeweave import payments
from safeweave.database import Database
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.events import Event, PayoutConfirmed, PayoutRefused, PayoutReturned, PayoutUnconfirmed
from safeweave.ids import CaseId, DeterminationId
from safeweave.money import Fen
from safeweave.payments import store
from safeweave.payments.bank import Instruction, Notice, Outcome, StatementEntry
from safeweave.payments.banks.sandbox import SandboxBank
from safeweave.payments.journal import trial_balance
from safeweave.payments.payout import OPEN, Payout, payout_id
from safeweave.payments.reconcile import reconcile

NAMES = ("a", "b", "c")
AMOUNT = {"a": Fen(238185), "b": Fen(1), "c": Fen(99_999_999_999)}
HANDLERS: dict[type[Event], Any] = {
    PayoutConfirmed: payments.confirm,
    PayoutRefused: payments.refuse,
    PayoutReturned: payments.return_payment,
    PayoutUnconfirmed: payments.note_unconfirmed,
}
TABLES = ("payout", "recovery", "journal_entry", "bank_notice", "bank_notice_cursor", "event", "task")
ALL_DAYS = (date(2026, 1, 1), date(2026, 12, 31))

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("laws") / "node.sqlite")
    yield database
    database.close()


def wipe(database: Database) -> None:
    with database.transaction() as tx:
        for table in TABLES:
            tx.run(f"delete from {table}")


def ordered(database: Database, names: Sequence[str]) -> None:
    with database.transaction() as tx:
        for name in names:
            payments.order_payouts([determination(name, payable=AMOUNT[name])], tx, NOON)


def happened(what: str, name: str) -> Event:
    payout, case, amount = payout_id(DeterminationId(f"det_{name}")), CaseId(f"case_{name}"), AMOUNT[name]
    return {
        "confirmed": PayoutConfirmed(payout, case, amount, NOON),
        "refused": PayoutRefused(payout, case, "AC04"),
        "returned": PayoutReturned(payout, case, amount, "AC04"),
        "unconfirmed": PayoutUnconfirmed(payout, case),
    }[what]


def check_books(database: Database) -> list[Payout]:
    """The books balance, and each account is what the states of the payouts say it is."""
    with database.reading() as tx:
        assert payments.trial_balance_fen(tx) == 0
        balances = trial_balance(tx)
        every = store.payouts(tx, [row[0] for row in tx.rows("select id from payout")]).values()
        unbalanced = tx.rows("select booking from journal_entry group by booking having sum(fen) <> 0")
    live = [payout for payout in every if payout.replaced_by is None]

    def total(*states: str) -> int:
        return sum(payout.amount for payout in live if payout.state in states)

    assert unbalanced == []
    assert balances["claims_incurred"] == total("waiting", "ordered", "unconfirmed", "paid", "refused", "returned")
    assert balances["claims_payable"] == -total("waiting", "ordered", "refused", "returned")
    assert balances["bank_in_transit"] == -total("unconfirmed")
    assert balances["bank"] == -total("paid")
    return live


WORDS = st.lists(
    st.tuples(st.sampled_from(["confirmed", "refused", "returned", "unconfirmed"]), st.sampled_from(NAMES)), max_size=14
)


@QUIET
@given(WORDS)
@example([("unconfirmed", "a"), ("returned", "a"), ("confirmed", "a")])
@example([("refused", "a"), ("confirmed", "a")])  # the bank contradicts itself
def test_the_books_balance_after_every_word_of_the_bank_in_any_order(
    database: Database, words: list[tuple[str, str]]
) -> None:
    wipe(database)
    ordered(database, [*NAMES, *NAMES])
    check_books(database)
    for what, name in words:
        event = happened(what, name)
        with suppress(InvariantBroken), database.transaction() as tx:  # a contradiction is parked and changes nothing
            HANDLERS[type(event)]([event], tx, NOON)
        check_books(database)


@QUIET
@given(WORDS)
def test_hearing_everything_twice_is_hearing_it_once(database: Database, words: list[tuple[str, str]]) -> None:
    def books(copies: int) -> list[tuple[Any, ...]]:
        wipe(database)
        ordered(database, NAMES * copies)
        for what, name in words:
            event = happened(what, name)
            for _ in range(copies):
                with suppress(InvariantBroken), database.transaction() as tx:
                    HANDLERS[type(event)]([event], tx, NOON)
        with database.reading() as tx:
            states = tx.rows("select id, state from payout order by id")
            return states + tx.rows("select booking, account, fen, reverses from journal_entry order by booking, no")

    assert books(1) == books(2)


LINES = st.lists(st.tuples(st.sampled_from([*NAMES, "stranger"]), st.sampled_from([-1, 0, 1])), max_size=6)


@QUIET
@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), LINES)
@example(set(NAMES), set(), [])
def test_the_difference_is_exactly_what_one_side_misses(
    database: Database, paid: set[str], lost: set[str], extra: list[tuple[str, int]]
) -> None:
    wipe(database)
    ordered(database, NAMES)
    with database.transaction() as tx:
        payments.confirm([happened("confirmed", name) for name in sorted(paid)], tx, NOON)  # type: ignore[misc]

    def line(no: int, name: str, change: int) -> StatementEntry:
        amount = Fen(-AMOUNT.get(name, Fen(500)) + change)
        key = payout_id(DeterminationId(f"det_{name}"))
        return StatementEntry(f"E{no}", "payment", key, amount, NOON.date())

    statement = [line(no, name, 0) for no, name in enumerate(sorted(paid - lost))]
    statement += [line(no, name, change) for no, (name, change) in enumerate(extra, 100) if AMOUNT.get(name) != 1]
    with database.reading() as tx:
        found = reconcile(tx, statement)
        ours = trial_balance(tx)["bank"]
    assert found.difference_fen == ours - sum(entry.amount for entry in statement)
    assert found.difference_fen == sum(item.fen for item in found.items)
    ours_by_key = Counter((payout_id(DeterminationId(f"det_{name}")), -AMOUNT[name]) for name in paid)
    theirs_by_key = Counter((entry.key, entry.amount) for entry in statement)
    missed = (ours_by_key - theirs_by_key) + (theirs_by_key - ours_by_key)
    assert Counter((item.ref, item.moved) for item in found.items) == missed


# ---------------------------------------------------------------- whatever the bank does


class ForgetfulBank:
    """The sandbox bank, of whose answers some are lost with the process that waited for them."""

    def __init__(self, bank: SandboxBank, lost: Sequence[bool]) -> None:
        self.bank, self.lost = bank, list(lost)

    def _may_lose(self, outcomes: list[Outcome]) -> list[Outcome]:
        if self.lost and self.lost.pop():
            raise Unavailable("we were killed after the bank had answered")
        return outcomes

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        return self._may_lose(self.bank.send(instructions, now))

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        return self._may_lose(self.bank.ask(instructions, now))

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        return self.bank.statement(first_day, last_day)

    def notices(self, after: int) -> list[Notice]:
        return self.bank.notices(after)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningBank]:
    with running_bank(Time()) as bank:
        yield bank


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["silent", "silent_before", "refused", "booked_later", "returned_later", "duplicate_notice"]),
        st.sampled_from([2_000, 5_000, 10_000]),  # share of the payments, in basis points
        st.integers(0, 999),  # seed
        st.integers(1, 3),  # times each
    ),
    max_size=4,
)


@settings(QUIET, max_examples=15)
@given(FAULTS, st.lists(st.booleans(), max_size=6), st.lists(st.integers(1, 10**8), min_size=1, max_size=6))
@example([("silent", 10_000, 0, 3)], [True, True], [238185])
@example([("silent_before", 10_000, 0, 3), ("returned_later", 10_000, 0, 1)], [True], [238185, 1])
def test_a_payout_never_leaves_twice_and_the_books_agree_with_the_bank_whatever_goes_wrong(
    server: RunningBank,
    tmp_path_factory: pytest.TempPathFactory,
    faults: list[tuple[str, int, int, int]],
    lost: list[bool],
    amounts: list[int],
) -> None:
    folder: Path = tmp_path_factory.mktemp("faults")
    server.time.at = NOON
    server.open(folder / "bank.sqlite", "100000000.00")
    for kind, share, seed, times in faults:
        server.fails(kind, share_bp=share, seed=seed, times=times, ms=0 if kind.startswith("silent") else 3_600_000)
    client = SandboxBank(server.url, seconds=5)
    node: House = house(folder / "node.sqlite", {"main": ForgetfulBank(client, lost)}, time=server.time)

    node.told(*(determination(str(no), payable=Fen(amount)) for no, amount in enumerate(amounts)))
    for _ in range(30):
        check_books(node.database)
        node.wait(1800)
        if all(payout.state not in OPEN for payout in check_books(node.database)):
            break
    node.wait(7200, steps=2)  # what comes back later has come back

    settled = check_books(node.database)
    statement = client.statement(*ALL_DAYS)
    left = Counter(entry.key for entry in statement if entry.kind == "payment")
    assert set(left.values()) <= {1}
    assert all(payout.state in ("paid", "refused", "returned") for payout in settled)
    assert set(left) == {payout.id for payout in settled if payout.state in ("paid", "returned")}
    paid_net = -sum(entry.amount for entry in statement)
    assert paid_net == sum(amounts) - sum(p.amount for p in settled if p.state in ("refused", "returned"))
    with node.database.reading() as tx:
        assert reconcile(tx, statement).items == ()
        assert tx.rows("select parked from task where parked is not null") == []
    node.database.close()
    client.close()
