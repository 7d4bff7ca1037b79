"""What staff do on pages, through the API: the desk, what-ifs and deciding again, by the rules of the pages."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adjudication.test_deciding_again import DEDUCTIBLE, EXPENSE, corrects, counts, holds_together, lives, money
from bulk.test_what_if import stay
from given import House, a_bill, billed, lines_of, yuan
from pages.given_pages import site_of
from pages.test_api import Machine, machine
from pages.test_workbench import KEY, refers
from safeweave.adjudication import again
from safeweave.cases import clocks
from safeweave.consortium.ending import LockedClaim
from safeweave.ids import CaseId
from safeweave.web.asked import Site
from safeweave.web.what_if import process
from safeweave.web.workbench import queue
from safeweave.web.workbench.queue import Filter
from safeweave.words import say

ENGLISH = {"accept-language": "en"}


def sees(caller: Machine, case: str) -> dict[str, Any]:
    answer = caller.calls("GET", f"/api/desk/{case}", headers=ENGLISH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def decides(caller: Machine, case: str, verdict: str, headers: dict[str, str] | None = None, **said: Any) -> Any:
    """Read the case and decide it as it is now, unless a version is said."""
    body = {"verdict": verdict, "version": said.pop("version", None) or sees(caller, case)["version"], **said}
    return caller.calls("POST", f"/api/desk/{case}/decision", json=body, headers={**ENGLISH, **(headers or {})})


def confirms(caller: Machine, case: str, proposal: str, verdict: str = "confirm", words: str = "") -> Any:
    body = {"proposal": proposal, "verdict": verdict, "words": words}
    return caller.calls("POST", f"/api/desk/{case}/confirmation", json=body, headers=ENGLISH)


def the_line(caller: Machine, case: str) -> dict[str, Any]:
    [line] = [line for each in sees(caller, case)["waiting"] for part in each["parts"] for line in part["lines"]]
    return dict(line)


# ---------------------------------------------------------------- what waits


def test_the_queue_says_why_how_much_until_when_and_for_whom_and_names_nobody(house: House, site):
    case = refers(house)
    answer = machine(site, "examiner").calls("GET", "/api/desk")
    [told] = answer.json()["items"]
    assert (told["case"], told["reasons"], told["skills"]) == (case, ["above_authority"], ["money"])
    assert (told["payable"], told["days_left"], told["proposed"]) == (yuan("15000.00"), 30, False)
    assert "测试甲" not in answer.text
    assert "person" not in told
    assert house.rows("select count(*) from page_view") == [(0,)]


def test_the_queue_is_filtered_as_the_page_is(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")

    def listed(query: str) -> list[str]:
        return [each["case"] for each in examiner.calls("GET", f"/api/desk?{query}").json()["items"]]

    assert listed("skill=money") == listed("reason=above_authority") == [case]
    assert listed("skill=medical") == listed("reason=other") == listed("proposed=1") == []
    decides(examiner, case, "refuse", note="既往症")
    assert listed("proposed=1") == [case]
    refused = examiner.calls("GET", "/api/desk?skill=none")
    assert (refused.status_code, refused.json()["field"]) == (400, "skill")


def test_the_queue_comes_page_by_page_each_once_though_a_case_leaves_it_meanwhile(house: House, site):
    for number in range(1, 4):
        house.hears(*stay(f"ZY{number}", str(number), icd="F32.900", when=f"{number:02}"))
    items = house.asks(lambda tx: queue.waiting(tx, site.clock(), "zh", Filter()))
    every, [skill] = [each.case for each in items], items[0].skills
    assert len(every) == 3
    examiner = machine(site, "examiner")
    filtered = examiner.calls("GET", f"/api/desk?limit=2&skill={skill}").json()
    assert ([each["case"] for each in filtered["items"]], filtered["next"] != "") == (every[:2], True)
    seen, where = list[str](), "/api/desk?limit=1"
    while where:
        answer = examiner.calls("GET", where)
        seen += [each["case"] for each in answer.json()["items"]]
        where = answer.links["next"]["url"] if answer.json()["next"] else ""
        if len(seen) == 1:  # the one the cursor names is decided
            assert decides(examiner, seen[0], "refuse", note="不在保障范围").status_code == 200
    assert seen == every


# ---------------------------------------------------------------- one case


def test_a_case_is_told_with_its_lines_reasons_and_what_the_caller_may_do_and_the_view_is_noted(house: House, site):
    case = refers(house)
    told = sees(machine(site, "examiner"), case)
    assert (told["stage"], told["decidable"], told["proposal"], told["decided"]) == ("referred", True, None, None)
    assert [each["code"] for each in told["reasons"]] == ["above_authority"]
    [waiting] = told["waiting"]
    [line] = [line for part in waiting["parts"] for line in part["lines"]]
    assert (waiting["payable"], line["source"], line["amount"]) == (yuan("15000.00"), f"{KEY}:1", yuan("20000.00"))
    assert line["paid"] + sum(cut["amount"] for cut in line["cuts"]) == line["amount"]
    assert told["authority"] == {
        "decides": True, "confirms": False, "pay": yuan("50000.00"), "adjust": yuan("2000.00"),
        "refuse": yuan("5000.00"),
    }  # fmt: skip
    assert sees(machine(site, "director"), case)["authority"]["refuse"] is None
    assert "*" in told["document"]
    assert house.rows("select distinct action, thing from page_view") == [("referrals.read", case)]


def test_approved_it_is_computed_again_and_paid(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")
    done = decides(examiner, case, "approve", note="病历与费用相符")
    assert (done.status_code, done.json()) == (200, {"case": case, "outcome": "done", "proposal": ""})
    assert sees(examiner, case)["decided"]["note"] == "病历与费用相符"
    house.works()
    assert house.payouts() == [("paid", yuan("15000.00"))]
    assert house.decided()[-1].decided_by == "a examiner"
    house.is_sound()


def test_the_same_call_with_the_same_key_decides_once_and_is_answered_the_same(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")
    version = sees(examiner, case)["version"]
    first, again_, other = [
        decides(examiner, case, "approve", {"idempotency-key": key}, version=version, note="相符")
        for key in ("one", "one", "two")
    ]
    assert (first.status_code, again_.status_code, other.status_code) == (200, 200, 409)
    assert (again_.json(), again_.headers["idempotency-replayed"]) == (first.json(), "true")
    house.works()
    assert house.rows("select count(*) from desk_act") == [(1,)]
    assert house.payouts() == [("paid", yuan("15000.00"))]


def test_of_many_at_the_same_moment_one_decides_and_all_others_are_told(house: House, site):
    case = refers(house)
    callers = [machine(site, "examiner") for _ in range(3)]
    version = sees(callers[0], case)["version"]
    ways = [(caller, "") for caller in callers] + [(callers[0], "same"), (callers[0], "same")]
    with ThreadPoolExecutor(len(ways)) as pool:
        sent = [
            pool.submit(decides, caller, case, "approve", {"idempotency-key": key} if key else {}, version=version,
                        note="相符")
            for caller, key in ways
        ]  # fmt: skip
        answers = sorted(each.result().status_code for each in sent)
    assert answers in ([200, 409, 409, 409, 409], [200, 200, 409, 409, 409])
    house.works()
    assert house.rows("select count(*) from desk_act") == [(1,)]
    assert house.payouts() == [("paid", yuan("15000.00"))]


def test_a_version_that_was_overtaken_decides_nothing_and_is_told_in_both_languages(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")
    version = sees(examiner, case)["version"]
    house.hears(billed(a_bill("2", total="500.00", lines=lines_of("500.00")), "2026-03-09"))
    now = sees(examiner, case)["version"]
    for language in ("zh", "en"):
        answer = decides(examiner, case, "approve", {"accept-language": language}, version=version, note="旧")
        assert (answer.status_code, answer.json()["field"]) == (409, "version")
        assert answer.json()["detail"] == say("api.stale", language, version=now)  # type: ignore[arg-type]
    assert house.decided()[-1].decided_by == "machine"


def test_adjusted_it_needs_reason_clause_and_a_line_and_pays_what_was_said(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")
    line = the_line(examiner, case)["field"]

    def adjusts(fen: int, name: str = line, **said: str) -> tuple[int, str, str]:
        answer = decides(examiner, case, "adjust", changes=[{"line": name, "paid": fen}], **said)
        told = answer.json()
        return answer.status_code, told.get("field", ""), told.get("detail", "")

    assert adjusts(yuan("14000.00"), clause="1.6") == (400, "note", "Give a reason.")
    assert adjusts(yuan("14000.00"), note="自费") == (400, "clause", "An adjustment needs its clause.")
    assert "at most 19,600.00 is left" in adjusts(yuan("19600.01"), note="自费", clause="1.6")[2]
    assert "There is no line" in adjusts(1, "paid|x", note="自费", clause="1.6")[2]
    assert "No amount was changed" in adjusts(yuan("15000.00"), note="自费", clause="1.6")[2]
    assert adjusts(-1, note="自费", clause="1.6")[:2] == (400, "changes[0].paid")
    assert adjusts(yuan("14000.00"), note="自费", clause="1.6")[0] == 200
    house.works()
    assert house.payouts() == [("paid", yuan("14000.00"))]


def test_what_is_missing_is_asked_for_once_and_the_clock_stands(house: House, site):
    case = refers(house)
    examiner = machine(site, "examiner")
    assert decides(examiner, case, "ask").json()["field"] == "wanted"
    assert decides(examiner, case, "ask", wanted="出院小结").json()["outcome"] == "asked"
    house.works()
    assert house.asks(lambda tx: clocks.is_paused(tx, CaseId(case)))
    told = sees(examiner, case)
    assert [each["words"] for each in told["asked_for"]] == ["a examiner: 出院小结"]
    assert (told["can_ask"], [each["paused"] for each in told["clocks"] if each["clock"] == "decision"]) == (
        False, [True],
    )  # fmt: skip
    assert decides(examiner, case, "supplied").json()["outcome"] == "supplied"
    again_ = decides(examiner, case, "ask", wanted="还要发票")
    assert (again_.status_code, again_.json()["detail"]) == (409, "What is missing may be asked for once; it was.")
    assert decides(examiner, case, "supplied").json()["detail"] == "Nothing is waited for."


def test_a_claim_whose_consent_has_ended_is_decided_by_nobody_and_what_opens_it_is_said(house: House, site):
    case = refers(house)
    [(sender, visit, person)] = house.rows("select sender, visit, person from claim_case")
    with site.database.transaction() as tx:
        tx.run(
            "insert into consented_visit (sender, visit, consent, person, named, kinds, until, state, ending, asked_at)"
            " values (?, ?, 'consent_x', ?, 'x', 'bill', '2026-01-01', 'ended', 'revoked', '2026-01-01')",
            (sender, visit, person),
        )
    answer = decides(machine(site, "examiner"), case, "approve", note="相符")
    locked = LockedClaim(CaseId(case), "revoked").said("en")
    assert (answer.status_code, answer.json()["detail"]) == (409, locked)
    assert house.rows("select count(*) from desk_act") == [(0,)]


# ---------------------------------------------------------------- four eyes


def test_above_the_limit_it_waits_for_a_second_person_who_is_not_the_first(house: House, site):
    house.insures("P-2", product="million-medical-2025", first="2026-01-01", since="2024-01-01")
    case = refers(house, "900000.00")
    senior, other, director = machine(site, "senior"), machine(site, "senior"), machine(site, "director")
    proposed = decides(senior, case, "refuse", note="无赔付责任").json()
    assert proposed["outcome"] == "proposed"
    told = sees(senior, case)
    assert (told["proposal"]["id"], told["proposal"]["verdict"]) == (proposed["proposal"], "refuse")
    assert (told["authority"]["confirms"], sees(other, case)["authority"]["confirms"]) == (False, True)
    for caller, said in (
        (senior, "Whoever proposes does not confirm."),
        (other, "above your authority"),
    ):
        answer = confirms(caller, case, proposed["proposal"])
        assert (answer.status_code, said in answer.json()["detail"]) == (409, True), answer.text
    assert confirms(machine(site, "examiner"), case, proposed["proposal"]).status_code == 403
    beside = decides(machine(site, "examiner"), case, "approve", note="我来")
    assert "has proposed a decision" in beside.json()["detail"]
    assert confirms(director, case, proposed["proposal"]).json() == {"case": case, "outcome": "done"}
    assert confirms(director, case, proposed["proposal"]).status_code == 409
    house.works()
    assert house.stage() == "refused"
    assert house.decided()[-1].decided_by == "a senior / a director"
    house.is_sound()


def test_what_is_given_back_with_words_can_be_decided_otherwise(house: House, site):
    case = refers(house)
    examiner, senior = machine(site, "examiner"), machine(site, "senior")
    change = {"line": the_line(examiner, case)["field"], "paid": yuan("9000.00")}
    act = decides(examiner, case, "adjust", note="多项自费", clause="1.6", changes=[change]).json()["proposal"]
    assert sees(senior, case)["proposal"]["changes"] == [change]
    assert confirms(senior, case, act, "return").json()["detail"] == "Say why you give it back."
    assert confirms(senior, case, act, "return", "请补自费明细").json()["outcome"] == "returned"
    told = sees(examiner, case)
    assert told["proposal"] is None
    assert "请补自费明细" in [each.get("words") for each in told["history"]]
    change["paid"] = yuan("13500.00")
    assert decides(examiner, case, "adjust", note="自费", clause="1.6", changes=[change]).json()["outcome"] == "done"
    house.works()
    assert house.payouts() == [("paid", yuan("13500.00"))]


# ---------------------------------------------------------------- what if


@pytest.fixture
def trying(site: Site):
    yield site
    site.close()


def tries(director: Machine, **asked: Any) -> Any:
    body = {"product": EXPENSE, **asked}
    return director.calls("POST", "/api/what-if", json=body, headers=ENGLISH)


def test_from_the_figures_of_a_product_to_what_one_of_them_moves(house: House, trying):
    for number, total in enumerate(("1000.00", "2000.00", "450.00"), start=1):
        house.hears(*stay(f"ZY{number}", str(number), total, when=f"{number:02}"))
    director, operator = machine(trying, "director"), machine(trying, "operator")
    figures = operator.calls("GET", f"/api/products/{EXPENSE}/figures").json()["items"]
    units = {each["name"]: (each["unit"], each["value"]) for each in figures}
    assert units[DEDUCTIBLE] == ("fen", 10_000)
    assert units["ratio[1].rows[0].rate"] == ("basis_points", 9_000)
    begun = tries(director, figures={DEDUCTIBLE: 0})
    assert begun.status_code == 201, begun.text
    where = begun.headers["location"]
    trying.trying.wait(300)
    told = operator.calls("GET", where, headers=ENGLISH).json()
    assert (told["state"], told["percent"], told["fault"]) == ("done", 100, "")
    [change] = told["changes"]
    assert (change["figure"], change["unit"], change["before"], change["after"]) == (DEDUCTIBLE, "fen", 10_000, 0)
    came = told["answer"]
    assert (came["cases"], came["more"], came["less"], came["same"]) == (3, 3, 0, 0)
    assert came["would_be_paid"] - came["paid"] == yuan("225.00")
    assert sum(step["cases"] for step in came["steps"]) == len(came["most"]) == 3
    [listed] = operator.calls("GET", "/api/what-if").json()["items"]
    assert (listed["id"], listed["state"]) == (told["id"], "done")
    assert tries(operator, figures={DEDUCTIBLE: 0}).status_code == 403


def test_a_product_without_any_case_ends_well_with_no_cases_and_all_figures_0(house: House, trying):
    director = machine(trying, "director")
    where = tries(director, figures={DEDUCTIBLE: 0}).headers["location"]
    trying.trying.wait(300)
    told = director.calls("GET", where).json()
    assert told["state"] == "done"
    steps, most = told["answer"].pop("steps"), told["answer"].pop("most")
    assert set(told["answer"].values()) == {0}
    assert ({step["cases"] for step in steps}, most) == ({0}, [])


def test_what_cannot_be_tried_is_said_with_its_place_and_nothing_is_asked(house: House, trying):
    director = machine(trying, "director")
    for asked, field, said in (
        ({"figures": {}}, "figures", "Nothing is changed yet"),
        ({"figures": {DEDUCTIBLE: 10_000}}, "figures", "Nothing is changed yet"),
        ({"figures": {"deductible[7].yuan": 1}}, "figures", "has no figure deductible[7].yuan"),
        ({"figures": {"ratio[1].rows[0].rate": 12_000}}, "ratio[1].rows[0].rate", "“120” will not do for: Share paid"),
        ({"figures": {DEDUCTIBLE: -1}}, "figures[...]", ">= 0"),
        ({"figures": {DEDUCTIBLE: 0}, "product": "none"}, "product", "no such product"),
        ({"figures": {DEDUCTIBLE: 0}, "from_day": "2026-05-01", "until_day": "2026-04-01"}, "until_day",
         "The last day is before the first"),
    ):  # fmt: skip
        answer = tries(director, **asked)
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        assert said in answer.json()["detail"]
    assert house.rows("select count(*) from what_if") == [(0,)]
    assert director.calls("GET", "/api/products/none/figures").status_code == 404


def test_one_that_is_cancelled_is_not_gone_on_with_and_is_cancelled_once(house: House, trying, monkeypatch):
    monkeypatch.setattr(process.Trying, "look", lambda self: None)
    director = machine(trying, "director")
    where = tries(director, figures={DEDUCTIBLE: 5_000}).headers["location"]
    assert director.calls("GET", where).json()["state"] == "waiting"
    assert director.calls("POST", f"{where}/cancellation").json()["state"] == "cancelled"
    over = director.calls("POST", f"{where}/cancellation", headers=ENGLISH)
    assert (over.status_code, over.json()["detail"]) == (409, "The what-if is over; there is nothing to cancel.")
    assert director.calls("POST", "/api/what-if/none/cancellation").status_code == 404


def test_what_was_tried_comes_page_by_page_the_latest_first(house: House, trying, monkeypatch):
    monkeypatch.setattr(process.Trying, "look", lambda self: None)
    director = machine(trying, "director")
    asked = [tries(director, figures={DEDUCTIBLE: fen}).json()["id"] for fen in range(5)]
    seen, where = list[str](), "/api/what-if?limit=2"
    while where:
        answer = director.calls("GET", where)
        seen += [each["id"] for each in answer.json()["items"]]
        where = answer.links["next"]["url"] if answer.json()["next"] else ""
    assert sorted(seen) == sorted(asked)
    assert len(set(seen)) == 5
    for cursor in ("WyJhIiwiYiJd", "WyJhIl0"):  # ["a", "b"], ["a"]
        for path in ("/api/what-if", "/api/again", "/api/again/x/cases"):
            assert director.calls("GET", f"{path}?cursor={cursor}").status_code in (400, 404), path


# ---------------------------------------------------------------- deciding again


def test_one_asks_another_approves_and_both_undo_it(house: House):
    lives(house, "1000.00", "2000.00")
    corrects(house, **{DEDUCTIBLE: "50.00"})
    site = site_of(house)
    before, used = money(house), house.usage()
    asking, approving = machine(site, "director"), machine(site, "senior")

    def posts(caller: Machine, path: str, **body: Any) -> Any:
        return caller.calls("POST", path, json=body, headers=ENGLISH)

    asked = posts(asking, "/api/again", product=EXPENSE, why="the deductible was wrong")
    assert (asked.status_code, asked.json()["state"]) == (201, "reading"), asked.text
    run = asked.headers["location"]
    house.works()
    told = approving.calls("GET", run).json()
    [planned] = [each for each in told["sums"] if each["cases"]]
    assert (told["state"], planned["state"], planned["cases"]) == ("proposed", "planned", 2)
    assert planned["paid_after"] - planned["paid"] == yuan("90.00")
    own = posts(asking, f"{run}/approval", verdict="approve")
    assert (own.status_code, "another person must" in own.json()["detail"]) == (409, True)
    assert posts(approving, f"{run}/approval", verdict="reject").json()["field"] == "words"
    assert posts(approving, f"{run}/approval", verdict="approve").json()["state"] == "approved"
    house.works()
    assert counts(house, told["id"]) == {"decided": 2}
    late = posts(approving, f"{run}/approval", verdict="approve")
    assert late.json()["detail"] == say("again.not_now.not_proposed", "en")
    assert posts(asking, f"{run}/undo", why=" ").json()["field"] == "why"
    assert posts(approving, f"{run}/undo", why="x").status_code == 403  # a senior approves, and does not ask
    assert posts(asking, f"{run}/undo", why="the old one was right").json()["undo_asked"]["by"] == "a director"
    assert posts(asking, f"{run}/undo/approval", verdict="approve").status_code == 409
    assert posts(approving, f"{run}/undo/approval", verdict="approve").json()["state"] == "undoing"
    house.works()
    assert (money(house), house.usage()) == (before, used)
    holds_together(house)
    first = approving.calls("GET", f"{run}/cases?limit=1")
    second = approving.calls("GET", first.links["next"]["url"]).json()
    assert [each["state"] for each in (*first.json()["items"], *second["items"])] == ["undone", "undone"]
    assert second["next"] == ""
    [listed] = approving.calls("GET", "/api/again").json()["items"]
    assert (listed["id"], listed["answered"]["by"]) == (told["id"], "a senior")


def test_what_cannot_be_decided_again_is_said_with_its_place(house: House, site):
    director = machine(site, "director")
    for asked, field in (
        ({"why": " "}, "why"), ({"why": "x", "product": "none"}, "product"),
        ({"why": "x", "cases": ["a b"]}, "cases[0]"), ({"why": "x", "cases": ["c"] * 501}, "cases"),
        ({"why": "x", "from_day": "2026-02-30"}, "from_day"),
        ({"why": "x", "from_day": "2026-05-01", "until_day": "2026-04-01"}, "until_day"),
    ):  # fmt: skip
        answer = director.calls("POST", "/api/again", json={"product": EXPENSE, **asked}, headers=ENGLISH)
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
    assert house.asks(lambda tx: again.latest(tx, 5)) == []
    assert director.calls("GET", "/api/again/again_none").status_code == 404
