"""Statutory clocks: calendar days, the first not counted, a last day on a holiday moves to the next working day."""

import json
from datetime import date, datetime, timedelta

import pytest

from given import CLEAN_STAY, NOON, OTHER_PERSON, a_bill, admitted, at, billed, day, discharged
from people.given_people import SAMPLE_MALE
from safeweave.cases import clocks
from safeweave.cases.clocks import due_day, is_working_day, mark_at
from safeweave.commands.case import ask, supplied
from safeweave.database import Database
from safeweave.errors import Conflict
from safeweave.events import ClockDue
from safeweave.ids import CaseId
from safeweave.main import main
from stores import place

CASE = CaseId("case_a")
ABOVE_AUTHORITY = (admitted(), discharged(), billed(a_bill(total="30000.00", fund="4000.00")))


@pytest.fixture
def database(tmp_path, store):
    found = Database(place(tmp_path / "clocks.db"))
    yield found
    found.close()


def started(database: Database, *kinds: clocks.ClockKind, now: datetime = NOON) -> None:
    with database.transaction() as tx:
        clocks.start(tx, [(CASE, kind) for kind in kinds], now)


def rung(database: Database, now: datetime) -> list[tuple[str, int]]:
    with database.transaction() as tx:
        return [(event.clock, event.percent) for event in clocks.ring(tx, now)]


def running(database: Database, before: date | None = None) -> list[tuple[str, str]]:
    with database.reading() as tx:
        return [(row.kind, row.due_on.isoformat()) for row in clocks.running(tx, before)]


# ---------------------------------------------------------------- counting days


def test_the_first_day_is_not_counted():
    always = lambda _: True  # noqa: E731
    assert due_day("refusal_notice", day("2026-03-10"), works=always) == day("2026-03-13")
    assert due_day("payment", day("2026-03-10"), works=always) == day("2026-03-20")
    assert due_day("decision", day("2026-03-10"), works=always) == day("2026-04-09")
    assert due_day("advance", day("2026-03-10"), works=always) == day("2026-05-09")


def test_a_last_day_on_a_weekend_or_holiday_moves_to_the_next_working_day():
    assert due_day("refusal_notice", day("2026-03-11")) == day("2026-03-16")  # a Saturday: the Monday after
    assert due_day("payment", day("2025-09-21")) == day("2025-10-09")  # 1 October: after the National Day week
    assert due_day("payment", day("2026-02-06")) == day("2026-02-24")  # 16 February: after the Spring Festival


def test_a_weekend_day_on_which_offices_work_counts_as_a_working_day():
    assert is_working_day(day("2025-09-28"))  # a Sunday, worked in place of the holiday
    assert not is_working_day(day("2025-10-06"))  # a Monday of the National Day week


def test_years_not_yet_announced_know_only_weekends():
    assert is_working_day(day("2099-01-01"))  # a Thursday
    assert not is_working_day(day("2099-01-03"))


def test_days_while_a_supplement_was_asked_for_are_added():
    assert due_day("decision", day("2026-03-10"), 5) == day("2026-04-14")


def test_a_clock_ends_at_midnight_in_shanghai_after_its_last_day():
    assert mark_at(NOON, day("2026-03-20"), 100) == at("2026-03-21T00:00")
    assert mark_at(at("2026-03-10T00:00"), day("2026-03-19"), 50) == at("2026-03-15T00:00")


# ---------------------------------------------------------------- marks


def test_each_mark_is_told_once_in_its_time(database):
    started(database, "payment")  # noon of 10 March until midnight after the 20th: 10.5 days
    assert rung(database, NOON + timedelta(days=5.2)) == []
    assert rung(database, NOON + timedelta(days=5.25)) == [("payment", 50)]
    assert rung(database, NOON + timedelta(days=5.3)) == []
    assert rung(database, NOON + timedelta(days=8.4)) == [("payment", 80)]
    assert rung(database, NOON + timedelta(days=10.5)) == [("payment", 100)]
    assert rung(database, NOON + timedelta(days=100)) == []


def test_no_mark_is_lost_while_nobody_looked(database, tmp_path):
    started(database, "payment")
    database.close()
    again = Database(place(tmp_path / "clocks.db"))
    assert rung(again, NOON + timedelta(days=40)) == [("payment", 50), ("payment", 80), ("payment", 100)]
    assert rung(again, NOON + timedelta(days=41)) == []
    again.close()


def test_a_clock_that_is_stopped_rings_no_more(database):
    started(database, "payment", "advance")
    with database.transaction() as tx:
        clocks.stop(tx, [(CASE, "payment")], NOON)
    assert rung(database, NOON + timedelta(days=20)) == []
    assert [kind for kind, _ in running(database)] == ["advance"]


def test_a_clock_that_runs_is_not_started_twice_and_one_that_stopped_begins_anew(database):
    started(database, "decision")
    started(database, "decision", now=NOON + timedelta(days=3))
    assert running(database) == [("decision", "2026-04-09")]
    with database.transaction() as tx:
        clocks.stop(tx, [(CASE, "decision")], NOON)
    started(database, "decision", now=NOON + timedelta(days=5))
    assert running(database) == [("decision", "2026-04-14")]


# ---------------------------------------------------------------- the one pause


def test_what_is_said_of_a_clock_last_in_a_transaction_counts(database):
    case, other = CaseId("case_1"), CaseId("case_2")
    with database.transaction() as tx:
        clocks.stop(tx, [(other, "decision")], NOON)  # what is stopped is not written after all that starts, or before
        clocks.start(tx, [(case, "decision"), (case, "payment"), (other, "payment")], NOON)
        clocks.stop(tx, [(case, "decision")], NOON)
        clocks.restart(tx, [(case, "papers")], NOON)
        clocks.stop(tx, [(case, "papers")], NOON)
        clocks.stop(tx, [(case, "payment")], NOON)
        clocks.start(tx, [(case, "payment"), (other, "decision")], NOON)
    with database.reading() as tx:
        left = [(clock.case, clock.kind) for clock in clocks.running(tx)]
    assert sorted(left) == [(case, "payment"), (other, "decision"), (other, "payment")]


def test_the_decision_clock_stands_still_once_while_a_supplement_is_asked_for(database):
    started(database, "decision")
    with database.transaction() as tx:
        assert clocks.pause(tx, CASE, NOON + timedelta(days=2))
        assert not clocks.pause(tx, CASE, NOON + timedelta(days=3))
    assert rung(database, NOON + timedelta(days=25)) == []
    with database.transaction() as tx:
        assert clocks.resume(tx, CASE, NOON + timedelta(days=7))
        assert not clocks.resume(tx, CASE, NOON + timedelta(days=7))
        assert not clocks.pause(tx, CASE, NOON + timedelta(days=8))
    assert running(database) == [("decision", "2026-04-14")]


def test_a_mark_told_before_the_pause_is_not_told_again_after_it(database):
    started(database, "decision")
    assert rung(database, NOON + timedelta(days=16)) == [("decision", 50)]
    with database.transaction() as tx:
        clocks.pause(tx, CASE, NOON + timedelta(days=16))
    with database.transaction() as tx:
        clocks.resume(tx, CASE, NOON + timedelta(days=26))
    assert rung(database, NOON + timedelta(days=27)) == []
    assert rung(database, NOON + timedelta(days=36)) == [("decision", 80)]


def test_only_the_decision_clock_can_be_paused(database):
    started(database, "payment", "advance")
    with database.transaction() as tx:
        assert not clocks.pause(tx, CASE, NOON)


def test_of_very_many_marks_that_come_together_each_look_takes_some_until_all_have_rung(database):
    cases = [CaseId(f"case_{number}") for number in range(clocks.MOST_AT_ONCE + 100)]
    with database.transaction() as tx:
        clocks.start(tx, [(case, "payment") for case in cases], NOON)
    looks: list[list[CaseId]] = []
    while not looks or looks[-1]:
        with database.transaction(beside=True) as tx:
            looks.append([event.case for event in clocks.ring(tx, NOON + timedelta(days=6))])
    assert [len(look) for look in looks] == [clocks.MOST_AT_ONCE, 100, 0]
    assert sorted(looks[0] + looks[1]) == sorted(cases)


# ---------------------------------------------------------------- clocks of cases


def test_a_referral_starts_the_clocks_of_the_decision_and_of_the_advance(house):
    house.hears(*ABOVE_AUTHORITY)
    assert house.clocks() == [("decision", "2026-04-09"), ("advance", "2026-05-09")]


def test_a_decision_ends_its_clocks_and_a_payment_that_arrived_ends_its_own(house):
    house.bank.fails("booked_later", ms=30_000)
    house.hears(*ABOVE_AUTHORITY)
    house.decides()
    assert house.clocks() == [("payment", "2026-03-20")]
    house.waits(seconds=60)
    assert (house.stage(), house.clocks()) == ("closed", [])


def test_a_refusal_starts_the_three_days_in_which_it_must_be_told(house):
    house.hears(*ABOVE_AUTHORITY)
    house.decides(refuse=True)
    assert house.stage() == "refused"
    assert ("decision", "2026-04-09") not in house.clocks()
    started = house.rows("select kind, due_on from clock where kind = 'refusal_notice'")
    assert started == [("refusal_notice", "2026-03-13")]


def test_a_refusal_that_was_delivered_has_been_told_in_time(house):
    house.insures("P-2", name="测试乙", document=SAMPLE_MALE, phone="10000000001")
    house.hears(admitted(person=OTHER_PERSON), *ABOVE_AUTHORITY[1:])
    house.decides(refuse=True)
    assert (house.stage(), house.clocks()) == ("refused", [])


def test_a_referral_repeated_by_further_papers_keeps_the_first_clock(house):
    house.hears(*ABOVE_AUTHORITY)
    house.waits(days=3)
    house.hears(billed(a_bill("2", "500.00", "100.00"), "2026-03-06T16:00"))
    assert house.stage() == "referred"
    assert house.clocks() == [("decision", "2026-04-09"), ("advance", "2026-05-09")]


def test_a_referred_case_that_new_papers_let_the_machine_decide_has_no_clock_left(house):
    house.hears(admitted(icd="??"), discharged(icd="??"), billed())
    assert [kind for kind, _ in house.clocks()] == ["decision", "advance"]
    house.hears(discharged("2026-03-06T15:05", told_at=at("2026-03-07")))
    assert (house.stage(), house.clocks()) == ("closed", [])


def test_a_returned_payment_is_due_within_ten_days_again(house):
    house.bank.fails("returned_later", ms=3_000)
    house.hears(*CLEAN_STAY)
    house.waits(seconds=10)
    assert house.stage() == "determined"
    assert [kind for kind, _ in house.clocks()] == ["payment"]


def test_the_desk_is_warned_at_each_mark_and_none_is_lost_on_restart(house):
    house.hears(*ABOVE_AUTHORITY)
    house.restarts()
    house.waits(days=31)
    occasions = "select occasion, count(*) from message where occasion like 'clock.%' group by 1 order by 1"
    assert house.rows(occasions) == [("clock.advance", 1), ("clock.decision", 3)]
    house.is_sound()


def test_asking_for_a_supplement_is_possible_once_and_noted(house, capsys):
    from argparse import Namespace

    house.hears(*ABOVE_AUTHORITY)
    case = house.case().id
    settings = house.node.settings
    ask(settings, Namespace(case=case, by="李核赔", wanted="出院小结"))
    with pytest.raises(Conflict):
        ask(settings, Namespace(case=case, by="李核赔", wanted="化验单"))
    supplied(settings, Namespace(case=case))
    with pytest.raises(Conflict):
        supplied(settings, Namespace(case=case))
    assert house.history()[-2:] == ["supplement_asked", "supplement_received"]


def test_safeweave_clocks_lists_what_is_near(house, capsys):
    house.hears(*ABOVE_AUTHORITY)
    assert main(["--home", str(house.node.settings.home), "clocks", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(c["clock"], c["due_on"], c["paused"]) for c in listed] == [
        ("decision", "2026-04-09", False),
        ("advance", "2026-05-09", False),
    ]
    assert listed[0]["case"] == house.case().id


def test_the_due_event_names_case_clock_and_mark(database):
    started(database, "refusal_notice")
    with database.transaction() as tx:
        assert clocks.ring(tx, NOON + timedelta(days=2)) == [ClockDue(CASE, "refusal_notice", 50)]
