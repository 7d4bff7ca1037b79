"""Two workers never decide on the same usage or the same bill: what cannot be held is put off, nothing is written."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest

from given import CLEAN_STAY, VISIT, House, a_bill, admitted, billed, discharged, lines_of
from safeweave.adjudication import store
from safeweave.adjudication.store import Decided
from safeweave.database import Transaction
from safeweave.events import CaseReady, DeterminationMade
from safeweave.ids import person_key
from safeweave.worker import PUT_OFF, Later

SECOND_STAY = (
    admitted("2026-03-07T08:00", visit="ZY2"),
    discharged("2026-03-09T10:00", visit="ZY2"),
    billed(a_bill("9", "600.00", "300.00", lines=lines_of("600.00", "2026-03-08")), "2026-03-09T10:30", visit="ZY2"),
)


class Beside:
    """A transaction beside which another holds some keys; it notes what is asked of it, in order."""

    def __init__(self, tx: Transaction, refused: Collection[str]) -> None:
        self._tx, self._refused = tx, set(refused)
        self.asked: list[str] = []
        self.wanted: set[str] = set()

    def hold(self, keys: Collection[str]) -> set[str]:
        self.asked.append("hold")
        self.wanted |= set(keys)
        return set(keys) - self._refused

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        self.asked.append(sql)
        return self._tx.rows(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class Undone(Exception):
    pass


def decided_beside(
    house: House, visits: Sequence[str], refused: Collection[str], made: list[Decided] | None = None
) -> tuple[list[Any], Beside, int]:
    """What `determine` tells of these cases while others hold `refused`, and the rows it adds; all of it is undone.

    The determinations themselves are added to `made`.
    """
    cases = [house.case(visit).id for visit in visits]
    kept: list[Any] = []

    def try_it() -> None:
        with house.node.database.transaction() as tx:
            for table in ("determination", "paid_bill", "usage_addition"):
                tx.run(f"delete from {table}")
            beside = Beside(tx, refused)
            told = house.node.adjudicator.determine([CaseReady(case) for case in cases], beside, house.time())
            tx.flush()
            rows = store.of_cases(tx, cases)
            kept.extend((told, beside, len(rows)))
            if made is not None:
                made.extend(rows)
            raise Undone

    with pytest.raises(Undone):
        try_it()
    told, beside, rows = kept
    return told, beside, rows


@pytest.fixture
def two_stays(house: House) -> House:
    house.hears(*CLEAN_STAY, *SECOND_STAY)
    return house


def made(told: Sequence[Any]) -> list[str]:
    return [event.case for event in told if isinstance(event, DeterminationMade)]


def put_off(told: Sequence[Any]) -> list[Later]:
    return [item for item in told if isinstance(item, Later)]


def test_a_case_holds_its_person_and_its_bills(two_stays):
    told, beside, rows = decided_beside(two_stays, [VISIT], ())
    assert beside.wanted == {person_key(two_stays.case().person), "bill:33060226-0000000001"}
    assert (made(told), put_off(told), rows) == ([two_stays.case().id], [], 1)


def test_what_decides_is_read_only_after_it_is_held(two_stays):
    _, beside, _ = decided_beside(two_stays, [VISIT], ())
    held = beside.asked.index("hold")
    for table in ("from determination", "from paid_bill", "from usage_addition"):
        assert [table in sql for sql in beside.asked[:held]].count(True) == 0
        assert any(table in sql for sql in beside.asked[held:])


def test_a_case_whose_person_another_holds_is_put_off_and_writes_nothing(two_stays):
    case = two_stays.case()
    told, _, rows = decided_beside(two_stays, [VISIT], {person_key(case.person)})
    assert told == [Later(CaseReady(case.id), two_stays.time() + PUT_OFF)]
    assert (PUT_OFF, rows) == (timedelta(milliseconds=50), 0)


def test_a_case_whose_bill_another_holds_is_put_off_and_writes_nothing(two_stays):
    told, _, rows = decided_beside(two_stays, [VISIT], {"bill:33060226-0000000001"})
    assert [later.event for later in put_off(told)] == [CaseReady(two_stays.case().id)]
    assert (made(told), rows) == ([], 0)


def test_a_later_stay_does_not_overtake_an_earlier_one_of_the_same_person(two_stays):
    first, second = two_stays.case().id, two_stays.case("ZY2").id
    told, _, rows = decided_beside(two_stays, [VISIT, "ZY2"], {"bill:33060226-0000000001"})
    assert [later.event for later in put_off(told)] == [CaseReady(first), CaseReady(second)]
    assert rows == 0


def test_an_earlier_stay_is_decided_though_a_later_one_of_the_same_person_is_put_off(two_stays):
    first, second = two_stays.case().id, two_stays.case("ZY2").id
    told, _, rows = decided_beside(two_stays, [VISIT, "ZY2"], {"bill:33060226-0000000009"})
    assert (made(told), rows) == ([first], 1)
    assert [later.event for later in put_off(told)] == [CaseReady(second)]


def test_a_determination_says_whose_it_is(two_stays):
    (decided,) = two_stays.decided()
    assert person_key(decided.id) == person_key(two_stays.case().person)


def test_of_two_stays_decided_together_the_second_counts_what_the_first_has_used(two_stays):
    rows: list[Decided] = []
    decided_beside(two_stays, [VISIT, "ZY2"], (), rows)
    first, second = sorted(rows, key=lambda decided: decided.sequence)
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.usage_before.of("limit", "2026-01-01", "stay_year") == 0
    assert second.usage_before.of("limit", "2026-01-01", "stay_year") == first.payable == 45_000
    assert second.result.usage.of("limit", "2026-01-01", "stay_year") == first.payable + second.payable
