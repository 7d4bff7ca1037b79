"""The operations room: figures that agree with what is stored, repair, and who may see any of it."""

from datetime import timedelta

import msgspec
import pytest

from given import CLEAN_STAY, HOSPITAL, SENDER, House, a_bill, billed, settled, yuan
from pages.given_pages import Browser, site_of, staff, steps
from pages.test_permissions import NEAR
from safeweave.consents import Read, note_reads
from safeweave.exchange import inbound, senders
from safeweave.ids import PersonId
from safeweave.overview import milliseconds, overview
from safeweave.web.access import ROLES, STAFF, table
from safeweave.web.accounts import account_of
from safeweave.web.asked import Site
from safeweave.web.operations import tally
from safeweave.web.operations.figures import Times, figures, silent, times
from waiting import until


@pytest.fixture
def site(house: House) -> Site:
    return site_of(house)


@pytest.fixture
def room(site: Site) -> Browser:
    return Browser(site, "en").is_signed_in_as(staff(site, "operator"))


def counts(house: House):
    """The figures, once everything is counted."""
    house.time.pass_(tally.LATE.total_seconds() + 1)
    house.node.look_around()
    with house.node.database.reading() as tx:
        return figures(tx, house.time(), 30)


# ---------------------------------------------------------------- figures


def test_a_paid_stay_is_untouched_timed_and_paid(house, site):
    house.hears(*CLEAN_STAY)
    house.node.write_times()
    found = counts(house)
    assert (found.decided, found.untouched, found.untouched_share) == (1, 1, 1.0)
    assert (found.paid, found.paid_fen) == (1, yuan("450.00"))
    assert found.stages == {"closed": 1}
    assert found.instructed.count == found.settled.count == 1
    assert found.behind == 0
    assert found.trial_balance_fen == 0
    with house.node.database.reading() as tx:
        [exact] = milliseconds(tx)
    assert exact <= found.instructed.p95 <= max(exact, 1) * tally.PRECISION


def test_the_figures_agree_with_a_count_over_everything_that_is_stored(house, site):
    house.hears(*CLEAN_STAY)
    house.hears(*[msgspec.structs.replace(event, visit="ZY2", **({"bill": a_bill("2", fund=None)}
                  if hasattr(event, "bill") else {})) for event in CLEAN_STAY])  # fmt: skip
    found = counts(house)
    with house.node.database.reading() as tx:
        counted = overview(tx)
    assert (found.decided, found.untouched, found.paid, found.paid_fen) == (
        counted.decided, counted.untouched, counted.paid, counted.paid_fen,
    )  # fmt: skip
    assert dict(found.stages) == counted.stages
    assert found.messages == counted.messages


def test_a_case_that_goes_to_a_person_counts_for_its_reasons_and_is_reserved_for(house, site):
    house.hears(*CLEAN_STAY[:2])
    before = counts(house)
    assert (before.decided, {each.kind: each.count for each in before.reserves}) == (
        0, {"ordered": 0, "held": 0, "open": 1},
    )  # fmt: skip
    house.hears(billed(a_bill(social=None, fund=None)))
    after = counts(house)
    with house.node.database.reading() as tx:
        expected = overview(tx).refer_reasons
    assert expected
    assert dict(after.referred) == expected
    assert (after.decided, after.untouched) == (1, 0)
    assert {each.kind: each.count for each in after.reserves} == {"ordered": 0, "held": 1, "open": 0}


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # on the other engine one writes at a time
def test_a_case_whose_step_is_committed_after_very_many_with_higher_numbers_is_counted(house, site):
    house.hears(*CLEAN_STAY)
    assert counts(house).stages == {"closed": 1}
    database, case = house.node.database, house.case().id
    with database.transaction(beside=True) as late:
        steps(late, case, ["refused"], house.time())
        late.run("update claim_case set stage = 'refused' where id = ?", (case,))
        with database.transaction(beside=True) as quick:
            steps(quick, "case_other", ["closed"] * 1000, house.time())
        assert counts(house).stages == {"closed": 1}

    def is_quiet() -> bool:
        counts(house)
        places = dict(house.rows("select what, place from tally_place"))
        return places["steps_sure"] == places["steps_again"] == places["steps"]

    until(is_quiet)  # whoever else writes to another database of this server is waited for too
    assert counts(house).stages == {"refused": 1}


def test_counting_everything_again_changes_nothing(house, site):
    house.hears(*CLEAN_STAY)
    first = counts(house)
    cases = [case for (case,) in house.rows("select id from claim_case")]
    with house.node.database.transaction() as tx:
        tally.recount(tx, cases, house.time())
    assert counts(house) == first


def test_a_correction_after_the_payment_moves_the_figures_with_it(house, site):
    house.hears(*CLEAN_STAY)
    counts(house)
    house.hears(settled(fund="500.00", when="2026-03-09T10:00"))
    found = counts(house)
    with house.node.database.reading() as tx:
        counted = overview(tx)
    assert (found.paid_fen, dict(found.stages)) == (counted.paid_fen, counted.stages)


def test_percentiles_come_from_steps_of_five_per_cent():
    buckets = {tally.bucket(ms): [1, 0] for ms in (100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200)}
    found = times(buckets)
    assert 1600 <= found.p50 <= 1600 * tally.PRECISION
    assert 51200 <= found.p95 == found.p99 <= 51200 * tally.PRECISION
    assert found.within_3s == 0.5
    assert times({}) == Times(0, None, None, None, None)


def test_a_hospital_is_silent_after_a_day_and_four_times_its_usual_pause(house, site):
    with house.node.database.transaction() as tx:
        senders.save(tx, [(SENDER, None)])
    with house.node.database.reading() as tx:
        assert [(each.sender, each.last_at) for each in silent(tx, house.time())] == [(HOSPITAL, None)]
    house.hears(*CLEAN_STAY)
    counts(house)
    with house.node.database.reading() as tx:
        assert silent(tx, house.time()) == []
        assert [each.sender for each in silent(tx, house.time() + timedelta(hours=25))] == [HOSPITAL]


# ---------------------------------------------------------------- pages


def test_the_room_shows_every_figure_with_how_it_is_counted_a_chart_and_a_table(house, room):
    house.hears(*CLEAN_STAY)
    house.node.look_around()
    assert room.opens("/operations").status_code == 200
    text = room.text
    assert "100.0%" in text
    assert "450.00 yuan" in text
    assert "closed" in text
    assert room.page.text.count('class="chart"') >= 4
    assert room.page.text.count("How this is counted") >= 8
    assert "style=" not in room.page.text


@pytest.mark.parametrize("days", ["1", "7", "90", "0", "x"])
def test_the_room_opens_for_any_span(room, days):
    assert room.opens(f"/operations?days={days}").status_code == 200


def test_a_message_that_cannot_be_read_is_mended_on_the_page(house, room):
    with house.node.database.transaction() as tx:
        senders.save(tx, [(SENDER, None)])
    refused = house.takes(inbound.open_message(b'{"resourceType": "Encounter"', SENDER, house.node.limits))
    assert room.opens("/operations/inbox").status_code == 200
    assert str(refused.number) in room.text
    room.opens(f"/operations/inbox/{refused.number}")
    assert "Encounter" in room.page.text
    room.sends(f"/operations/inbox/{refused.number}", sender=HOSPITAL)
    assert room.page.status_code == 400
    assert "still cannot be read" in room.text
    patient = '{"resourceType": "Patient", "id": "p1", "name": [{"text": "测试甲"}]}'
    room.sends(f"/operations/inbox/{refused.number}", sender=HOSPITAL, text=patient)
    assert room.page.url.path == "/operations/inbox"
    assert "The message is taken" in room.text
    assert house.rows("select status from inbound_message where id = ?", refused.number) == [("repaired",)]
    assert house.rows("select count(*) from page_view where action = 'inbox.read' and thing = ?",
                      f"message:{refused.number}")[0][0] >= 1  # fmt: skip


def test_health_shows_work_outsiders_and_silence(house, room):
    house.hears(*CLEAN_STAY)
    assert room.opens("/operations/health").status_code == 200
    assert "Everybody outside answers" in room.text


def test_a_supervisor_sees_counts_and_nobody(house, site):
    house.hears(*CLEAN_STAY)
    examiner = Browser(site).is_signed_in_as(staff(site, "examiner"))
    for _ in range(3):
        examiner.opens(f"/desk/cases/{house.case().id}")
    supervisor = Browser(site, "en").is_signed_in_as(staff(site, "commission"))
    assert supervisor.opens("/operations/oversight").status_code == 200
    assert "a referral and its evidence 3" in supervisor.text
    assert "None is over" in supervisor.text
    [(person,), *_] = house.rows("select id from person")
    for secret in ("测试甲", person, house.case().id):
        assert secret not in supervisor.page.text
    with site.database.transaction() as tx:
        tx.run("insert into clock (case_id, shard, kind, started_at, due_on) values ('case_x', 'x', 'decision', ?, ?)",
               ("2026-01-01T00:00:00.000000Z", "2026-01-31"))  # fmt: skip
    supervisor.opens("/operations/oversight?days=7")
    assert "fewer than 3" in supervisor.text
    assert "31 Jan 2026" in supervisor.text
    with site.database.transaction() as tx:
        tx.run("insert into member_contact (member, name, url) values ('abc', '示例人寿', '')")
        read = Read(PersonId(person), "abc", ("bill",), "claim", "message", None, site.clock())
        note_reads(tx, [read])
    supervisor.opens("/operations/oversight")
    assert "示例人寿" in supervisor.text


OURS = {
    "figures.read": ("GET", "/operations"),
    "health.read": ("GET", "/operations/health"),
    "oversight.read": ("GET", "/operations/oversight"),
    "inbox.read": ("GET", "/operations/inbox"),
    "inbox.repair": ("POST", "/operations/visits"),
    "what_if.read": ("GET", "/operations/what-if"),
    "what_if.run": ("POST", "/operations/what-if"),  # 400: nothing is changed yet, and it was allowed to say so
    "again.read": ("GET", "/operations/again"),
    "again.propose": ("POST", "/operations/again"),
    "again.approve": ("POST", "/operations/again/none/answer"),  # 404: there is none, and it was allowed to look
}


def test_every_cell_of_what_is_nobodys_is_as_the_table_says(house, site):
    house.insures("P-1")
    wrong = []
    for number, (role, _) in enumerate(NEAR):
        if role in ("insured", "guardian"):
            [(person,), *_] = house.rows("select id from person")
            with site.database.transaction() as tx:
                account = account_of(tx, PersonId(person), site.clock())
        else:
            account = staff(site, role, licence=f"L-{number}")
        browser = Browser(site).is_signed_in_as(account)
        browser.opens("/settings")
        token = browser.forms[0].fields[0][1]
        for action, (method, path) in OURS.items():
            status = browser.client.request(method, path, data={"_csrf": token}, follow_redirects=False).status_code
            if (status == 403) == (role in table()[action]) or status not in (200, 303, 400, 403, 404):
                wrong.append((role, action, status))
    assert wrong == []
    assert {action for action in table() if not {"insured", "agent", "hospital"} & set(table()[action])
            and set(table()[action]) <= {*STAFF, "commission"}} >= set(OURS)  # fmt: skip
    assert set(ROLES) >= {role for row in table().values() for role in row}
