"""What keeps the pages fast over many cases: keys that are gone through, figures kept exact, nothing read in vain."""

from datetime import timedelta

import pytest

import stores
from given import CLEAN_STAY, House, a_bill, admitted, billed, discharged
from pages.given_pages import Browser, site_of, staff
from safeweave.cases import store as cases
from safeweave.database import Transaction
from safeweave.database.waits import noting, waiting
from safeweave.people import store as people
from safeweave.web import live
from safeweave.web.asked import Site
from safeweave.web.operations import tally
from safeweave.web.operations.figures import figures
from safeweave.web.workbench import queue
from safeweave.web.workbench.queue import Filter

VISITS = 5_000


@pytest.fixture
def site(house: House) -> Site:
    return site_of(house)


def many_visits(tx: Transaction) -> None:
    """Visits of two hospitals, with their bills."""
    tx.run_many(
        "insert into visit (sender, visit, person, case_id, waiting, first_told_at) values (?, ?, null, ?, null, ?)",
        [(f"H{n % 2}", f"V{n}", f"case_{n}", "2026-03-01T00:00:00.000000Z") for n in range(VISITS)],
    )
    tx.run_many(
        "insert into visit_alias (sender, kind, value, visit) values (?, 'bill', ?, ?)",
        [(f"H{n % 2}", f"B{n}", f"V{n}") for n in range(VISITS)],
    )


def test_a_number_is_found_at_every_hospital_without_reading_all_visits(house):
    with house.node.database.transaction() as tx:
        many_visits(tx)
        if house.node.database.shared:
            tx.run("analyze visit")
            tx.run("analyze visit_alias")
    with house.node.database.reading() as tx:
        assert cases.cases_named(tx, "V17", 5) == ["case_17"]
        assert cases.cases_of_bill(tx, "B4998", 5) == ["case_4998"]
        assert cases.cases_of_bill(tx, "B-none", 5) == []
        assert stores.looks_up(tx, "visit", cases.CASES_OF_VISIT, (["H0", "H1"], "V17", 5))
        aliases = "visit_alias" if house.node.database.shared else "a"
        assert stores.looks_up(tx, aliases, cases.CASES_OF_BILL, (["H0", "H1"], "B17", 5))


def test_the_cases_that_are_counted_again_are_looked_for_first(house):
    with house.node.database.transaction() as tx:
        tx.run_many(
            "insert into tally_case (case_id, counted, look_until) values (?, '[]', ?)",
            [(f"case_{n}", "2026-03-09T00:00:00.000000Z" if n == 1 else None) for n in range(VISITS)],
        )
        if house.node.database.shared:
            tx.run("analyze tally_case")
    with house.node.database.reading() as tx:
        counted = "tally_case" if house.node.database.shared else "t"
        assert stores.looks_up(tx, counted, tally.AGAIN, ("2026-03-08T00:00:00.000000Z", 5))


def test_a_name_is_found_present_and_former_once(house):
    with house.node.database.transaction() as tx:
        [(person,)] = tx.rows("select person from person_name")
        tx.run(
            "insert into person_name (person, name, name_key, name_birth, last_day, added_at)"
            " select person, '测试甲甲', '测试甲甲', '测试甲甲|1990-01-01', '2025-01-01', added_at from person_name"
        )
        assert people.named_like(tx, "测试", 1) == people.named_like(tx, "测试甲", 5) == [person]


# ---------------------------------------------------------------- figures


def counted(house: House) -> None:
    house.time.pass_(tally.LATE.total_seconds() + 1)
    house.node.look_around()


def test_the_times_of_a_day_stay_right_when_an_instruction_is_noted_late(house, site):
    house.hears(*CLEAN_STAY)
    late, house.node.instructed = house.node.instructed, []
    counted(house)
    with house.node.database.reading() as tx:
        assert figures(tx, house.time(), 30).instructed.count == 0
    house.node.instructed = late
    house.node.write_times()
    counted(house)
    with house.node.database.reading() as tx:
        found = figures(tx, house.time(), 30)
        assert tx.rows("select count(*) from tally where figure = 'instructed_p50'") == [(1,)]
    [day] = [day for day in found.days if day.p50 is not None]
    assert (day.p50, day.p95) == (found.instructed.p50, found.instructed.p95)


def test_the_times_of_each_day_are_those_of_its_buckets_whatever_comes_in_which_order(house):
    def add(day: str, milliseconds: float, count: int) -> None:
        with house.node.database.transaction() as tx:
            tally.add(tx, tally.Counter({("instructed", day, tally.bucket(milliseconds), "count"): count}))

    today = house.time().date()
    for n in range(19):
        add(today.isoformat(), 100 * 1.2**n, 1)
    add((today - timedelta(days=1)).isoformat(), 7.0, 3)
    add(today.isoformat(), 0.4, 1)  # late, and the shortest of all
    with house.node.database.reading() as tx:
        *_, before, now = figures(tx, house.time(), 7).days
    assert (before.p50, before.p95) == (tally.reaches(int(tally.bucket(7.0))),) * 2
    assert now.p50 == tally.reaches(int(tally.bucket(100 * 1.2**8)))  # the tenth of twenty
    assert now.p95 == tally.reaches(int(tally.bucket(100 * 1.2**17)))  # the nineteenth
    add((today - timedelta(days=1)).isoformat(), 7.0, -3)  # taken out again
    with house.node.database.reading() as tx:
        assert figures(tx, house.time(), 7).days[-2].p50 is None


def test_a_store_that_was_counted_before_gets_the_times_of_its_days(house, site):
    house.hears(*CLEAN_STAY)
    house.node.write_times()
    counted(house)
    with house.node.database.transaction() as tx:
        tx.run("delete from tally where figure in ?", (tally.DAYS_TIMES,))
        tx.run("delete from tally_place where what = ?", (tally.TIMES,))
    counted(house)
    with house.node.database.reading() as tx:
        assert [day.p50 is not None for day in figures(tx, house.time(), 30).days].count(True) == 1


# ---------------------------------------------------------------- desk


def test_a_page_of_the_desk_is_what_the_whole_of_it_shows_there(house, site):
    for n in range(5):
        house.insures(f"P-{n + 10}") if n == 0 else None
        house.hears(
            admitted(visit=f"Z{n}"), discharged(visit=f"Z{n}"),
            billed(a_bill(f"{n}", total="20000.00"), visit=f"Z{n}"),
        )  # fmt: skip
    with house.node.database.reading() as tx:
        every = queue.waiting(tx, house.time(), "en", Filter())
        assert len(every) == 5
        for wanted in (Filter(), Filter(skill=every[0].skills[0]), Filter(reason=every[0].reasons[0])):
            whole = queue.waiting(tx, house.time(), "en", wanted)
            assert queue.page(tx, house.time(), "en", wanted, 0, 2) == (whole[:2], 0, len(whole))
            last = (len(whole) - 1) // 2
            assert queue.page(tx, house.time(), "en", wanted, 99, 2) == (whole[2 * last :], last, len(whole))
        assert queue.page(tx, house.time(), "en", Filter(proposed=True), 0, 2) == ([], 0, 0)


def test_the_desk_looks_again_only_for_cases_that_a_person_has_or_had(house, site):
    house.hears(*CLEAN_STAY)
    with house.node.database.reading() as tx:
        assert not any("desk" in tick.topics for _, _, tick in live.after(tx, live.Since(0, 0)))
        place = live.latest(tx)
    house.hears(admitted(visit="ZY9"), discharged(visit="ZY9"), billed(a_bill("9", total="20000.00"), visit="ZY9"))
    with house.node.database.reading() as tx:
        ticks = [tick for _, _, tick in live.after(tx, place)]
        assert "desk" in ticks[-1].topics
        place = live.latest(tx)
    house.decides(visit="ZY9")
    with house.node.database.reading() as tx:
        assert all("desk" in tick.topics for _, _, tick in live.after(tx, place))


def test_what_follows_of_an_open_case_is_the_queue_and_not_the_case(house, site):
    house.hears(admitted(), discharged(), billed(a_bill(total="20000.00")))
    case = house.case().id
    desk = Browser(site).is_signed_in_as(staff(site, "examiner"))
    desk.opens(f"/desk/cases/{case}?skill=money")
    assert f'hx-get="/desk?page=0&amp;now={case}&amp;skill=money&amp;reason="' in desk.page.text
    assert 'aria-current="page"' in desk.opens(f"/desk?page=0&now={case}&skill=money&reason=").text + desk.page.text


# ---------------------------------------------------------------- times of the server


def test_every_answer_says_how_long_it_took_and_how_long_others_were_waited_for(site):
    answer = Browser(site).opens("/sign-in")
    total, wait = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(", "))
    assert total >= wait >= 0


def test_waits_are_noted_for_whoever_asked_and_for_nobody_else():
    with waiting():
        pass
    with noting() as waits:
        assert waits.longest == 0
        with waiting():
            pass
        assert waits.longest > 0
