"""What examiners do: the queue, a case on one screen, decisions with authority, drafts, search and export."""

import json
from concurrent.futures import ThreadPoolExecutor

from given import House, a_bill, admitted, billed, discharged, lines_of, yuan
from pages.given_pages import Browser, staff
from people.given_people import SAMPLE_FEMALE
from safeweave import coverage
from safeweave.adjudication import replay as replaying
from safeweave.cases import clocks, requests
from safeweave.ids import CaseId
from safeweave.web.access import Role
from safeweave.web.asked import Site
from safeweave.web.workbench.authority import every_skill, limits, may_alone, skills

KEY = "33060226-0000000001"


def refers(house: House, total: str = "20000.00", fund: str = "400.00") -> str:
    """A stay above the machine's authority: the rules pay 15,000.00, the limit of the year."""
    house.hears(admitted(), discharged(), billed(a_bill(total=total, fund=fund)))
    assert house.stage() == "referred"
    return house.case().id


def at_desk(site: Site, role: Role = "examiner", language: str = "zh") -> Browser:
    return Browser(site, language).is_signed_in_as(staff(site, role))


def amount_field(browser: Browser) -> str:
    [name] = [name for name, _ in browser.form(".*/decide").fields if name.startswith("paid|")]
    return name


def decides(browser: Browser, case: str, verdict: str, **fields: str) -> int:
    """Open a case and press a button; the status of where it led."""
    browser.opens(f"/desk/cases/{case}")
    return int(browser.sends(f"/desk/cases/{case}/decide", verdict=verdict, **fields).status_code)


# ---------------------------------------------------------------- queue


def test_the_queue_says_why_how_much_until_when_and_for_whom_and_names_nobody(house, site):
    refers(house)
    desk = at_desk(site)
    desk.opens("/")
    assert desk.page.url.path == "/desk"
    for words in ("金额较大，需人工复核", "15,000.00 元", "剩 30 天", "金额与权限", "ZY20260301", "示例市第一医院"):
        assert words in desk.text
    assert "测试甲" not in desk.text
    assert house.rows("select count(*) from page_view") == [(0,)]


def test_the_queue_is_filtered_by_skill_and_what_is_decided_leaves_it_at_once(house, site):
    case = refers(house)
    desk = at_desk(site)
    assert "没有待处理" in desk.opens("/desk?skill=medical").text
    assert case in desk.opens("/desk?skill=money").text
    decides(desk, case, "approve", note="病历与费用相符")
    assert "没有待处理" in desk.text  # before anything has followed
    house.works()
    assert "没有待处理" in desk.opens("/desk").text


def test_a_case_referred_without_a_determination_says_its_reason(house, site, mine, person):
    house.hears(admitted(), discharged(), billed())
    case = house.case().id
    mine.opens(f"/stays/{case}")
    mine.sends(f"/stays/{case}/ask")
    house.works()
    desk = at_desk(site)
    assert "客户要求人工" in desk.opens("/desk").text
    assert decides(desk, case, "approve", note="已核对，结论不变") == 200
    house.works()
    assert (house.stage(), house.payouts()) == ("closed", [("paid", yuan("450.00"))])
    [request] = house.asks(lambda tx: requests.of(tx, [case]))
    assert (request.answer, request.answered_by) == ("已核对，结论不变", "examiner 员工")


# ---------------------------------------------------------------- deciding


def test_a_case_shows_person_bill_rules_and_history_on_one_screen_and_the_view_is_noted(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    for words in (
        "测试甲",
        SAMPLE_FEMALE[:6] + "********",
        KEY,
        "规则应赔 15,000.00 元",
        "条款 1.9",
        "规则：安织住院万元护（2020）",
    ):
        assert words in desk.text
    assert SAMPLE_FEMALE not in desk.page.text
    evidence, decision = desk.page.text.split('id="pane-decision"')
    assert f'data-source="{KEY}:1"' in evidence  # the bill's line and the decision's point at each other
    assert f'data-source="{KEY}:1"' in decision
    assert house.rows("select action, thing from page_view") == [("referrals.read", case)]


def test_approved_it_is_computed_again_and_paid(house, site):
    case = refers(house)
    desk = at_desk(site)
    assert decides(desk, case, "approve", note="病历与费用相符") == 200
    assert "已决定" in desk.text
    house.works()
    assert house.payouts() == [("paid", yuan("15000.00"))]
    assert house.decided()[-1].decided_by == "examiner 员工"
    assert house.decided()[-1].note == "病历与费用相符"


def test_adjusted_it_needs_reason_and_clause_and_pays_what_was_typed(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    line = amount_field(desk)
    assert decides(desk, case, "adjust", **{line: "14000", "note": "自费项目"}) == 400
    assert "依据的条款" in desk.text
    assert dict(desk.form(".*/decide").fields)[line] == "14000"  # what was typed stands there still
    assert decides(desk, case, "adjust", **{line: "14000", "clause": "1.6"}) == 400
    assert decides(desk, case, "adjust", **{line: "x", "clause": "1.6", "note": "自费项目"}) == 400
    assert decides(desk, case, "adjust", **{line: "19600.01", "clause": "1.6", "note": "自费项目"}) == 400
    assert "最多 19,600.00" in desk.text
    assert decides(desk, case, "adjust", clause="1.6", note="自费项目") == 400
    assert "没有改动" in desk.text
    assert decides(desk, case, "adjust", **{line: "14,000", "clause": "1.6", "note": "自费项目"}) == 200
    house.works()
    assert house.payouts() == [("paid", yuan("14000.00"))]
    desk.opens(f"/desk/cases/{case}")
    assert "自费项目" in desk.text
    results = house.asks(
        lambda tx: replaying.replay(tx, [CaseId(case)], lambda keys: coverage.opening_usage(tx, keys))
    )  # fmt: skip
    assert [fault for result in results for fault in result.faults] == []


def test_a_reason_is_needed_whatever_is_decided(house, site):
    case = refers(house)
    desk = at_desk(site)
    for verdict in ("approve", "refuse", "adjust", "ask", "nonsense", ""):
        assert decides(desk, case, verdict) == 400
    assert house.decided()[-1].decided_by == "machine"


def test_what_is_missing_is_asked_for_once_and_the_clock_stands(house, site, mine):
    case = refers(house)
    desk = at_desk(site)
    assert decides(desk, case, "ask", wanted="出院小结") == 200
    house.works()
    assert house.asks(lambda tx: clocks.is_paused(tx, CaseId(case)))
    assert ("asked",) in house.rows("select occasion from message where channel = 'sms'")
    assert "出院小结" in mine.opens(f"/stays/{case}").text
    assert "等客户补充，时限暂停" in desk.text
    assert decides(desk, case, "supplied") == 200
    assert not house.asks(lambda tx: clocks.is_paused(tx, CaseId(case)))
    assert "不能再次要求" in desk.text
    assert decides(desk, case, "ask", wanted="还要发票") == 409


# ---------------------------------------------------------------- four eyes


def test_a_refusal_above_the_limit_waits_for_a_second_person(house, site):
    case = refers(house)
    first, second = at_desk(site), at_desk(site, "senior")
    assert decides(first, case, "refuse", note="既往症，条款 2.3") == 200
    house.works()
    assert house.stage() == "referred"
    assert "待复核" in first.text
    assert decides(at_desk(site), case, "approve", note="我来") == 409  # nobody decides beside it
    first.opens(f"/desk/cases/{case}")
    assert not [form for form in first.forms if form.action.endswith("/confirm")]
    second.opens("/desk?proposed=1")
    assert case in second.page.text
    second.opens(f"/desk/cases/{case}")
    assert "既往症，条款 2.3" in second.text
    assert second.sends(f"/desk/cases/{case}/confirm", verdict="confirm").status_code == 200
    house.works()
    assert house.stage() == "refused"
    assert house.decided()[-1].decided_by == "examiner 员工 / senior 员工"
    house.is_sound()


def test_who_proposes_does_not_confirm_even_with_the_role_for_it(house, site):
    house.insures("P-2", product="million-medical-2025", first="2026-01-01", since="2024-01-01")
    case = refers(house, "900000.00")
    senior = at_desk(site, "senior")
    senior.opens(f"/desk/cases/{case}")
    proposed = decides(senior, case, "refuse", note="无赔付责任")
    assert proposed == 200
    assert house.rows("select state from desk_act") == [("open",)]
    [(act,)] = house.rows("select id from desk_act")
    senior.opens(f"/desk/cases/{case}")
    form = senior.form(".*/decide")
    form.action = f"/desk/cases/{case}/confirm"
    assert senior.sends("", form, act=act, verdict="confirm").status_code == 409
    assert "须由另一人复核" in senior.text
    other = at_desk(site, "senior")
    other.opens(f"/desk/cases/{case}")
    assert other.sends(f"/desk/cases/{case}/confirm", verdict="confirm").status_code == 409
    assert "超出您的权限" in other.text
    director = at_desk(site, "director")
    director.opens(f"/desk/cases/{case}")
    assert director.sends(f"/desk/cases/{case}/confirm", verdict="confirm").status_code == 200
    house.works()
    assert house.stage() == "refused"


def test_what_is_given_back_is_there_again_as_it_was_written(house, site):
    case = refers(house)
    first, second = at_desk(site), at_desk(site, "senior")
    first.opens(f"/desk/cases/{case}")
    line = amount_field(first)
    decides(first, case, "adjust", **{line: "9000.00", "clause": "1.6", "note": "多项自费"})
    second.opens(f"/desk/cases/{case}")
    assert second.sends(f"/desk/cases/{case}/confirm", verdict="return").status_code == 409
    second.opens(f"/desk/cases/{case}")
    assert second.sends(f"/desk/cases/{case}/confirm", verdict="return", words="请补自费明细").status_code == 200
    first.opens(f"/desk/cases/{case}")
    assert "请补自费明细" in first.text
    fields = dict(first.form(".*/decide").fields)
    assert (fields[line], fields["clause"], fields["note"]) == ("9000.00", "1.6", "多项自费")
    assert decides(first, case, "adjust", **{line: "13500.00"}) == 200  # within the limit now
    house.works()
    assert house.payouts() == [("paid", yuan("13500.00"))]


def test_what_changed_since_it_was_proposed_is_not_confirmed(house, site):
    case = refers(house)
    decides(at_desk(site), case, "refuse", note="既往症")
    second = at_desk(site, "senior")
    second.opens(f"/desk/cases/{case}")
    house.hears(billed(a_bill("2", total="500.00", lines=lines_of("500.00")), "2026-03-09"))
    assert second.sends(f"/desk/cases/{case}/confirm", verdict="confirm").status_code == 409
    assert house.decided()[-1].decided_by == "machine"


# ---------------------------------------------------------------- two at once


def test_two_examiners_on_one_case_and_only_the_first_decides_while_the_other_loses_no_word(house, site):
    case = refers(house)
    first, second = at_desk(site), at_desk(site)
    second.opens(f"/desk/cases/{case}")
    decides(first, case, "approve", note="病历与费用相符")
    answer = second.sends(f"/desk/cases/{case}/decide", verdict="refuse", note="我写了很久的长理由" * 20)
    assert answer.status_code == 409
    assert "examiner 员工 已经决定了此案" in second.text
    assert "我写了很久的长理由" in second.text
    house.works()
    assert house.payouts() == [("paid", yuan("15000.00"))]


def test_of_many_examiners_at_the_same_moment_one_decides_and_all_others_are_told(house, site):
    case = refers(house)
    desks = [at_desk(site) for _ in range(4)]
    for desk in desks:
        desk.opens(f"/desk/cases/{case}")
    for desk in desks[2:]:  # the same form from two windows
        desk.page, desk.client.cookies = desks[1].page, desks[1].client.cookies
    with ThreadPoolExecutor(len(desks)) as pool:
        sent = [pool.submit(desk.sends, ".*/decide", verdict="approve", note="病历与费用相符") for desk in desks]
        answers = sorted(each.result().status_code for each in sent)
    assert answers in ([200, 409, 409, 409], [200, 200, 200, 409])
    house.works()
    assert house.payouts() == [("paid", yuan("15000.00"))]
    assert house.rows("select count(*) from desk_act") == [(1,)]


def test_who_else_is_at_work_is_said(house, site):
    case = refers(house)
    first, second = at_desk(site), at_desk(site, "senior")
    decides(first, case, "draft", note="看到一半")
    second.opens(f"/desk/cases/{case}")
    assert "examiner 员工 也在处理此案" in second.text
    assert "看到一半" not in second.text


def test_a_stale_tab_decides_nothing_and_gives_back_what_was_typed(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    house.hears(billed(a_bill("2", total="500.00", lines=lines_of("500.00")), "2026-03-09"))
    answer = desk.sends(f"/desk/cases/{case}/decide", verdict="approve", note="旧页面上写的理由 𠮷")
    assert answer.status_code == 409
    assert house.decided()[-1].decided_by == "machine"
    assert "旧页面上写的理由 𠮷" in desk.page.text
    again = desk.sends(f"/desk/cases/{case}/decide")  # knowing that it changed
    assert again.status_code == 200
    assert house.decided()[-1].note == "旧页面上写的理由 𠮷"


def test_sent_twice_or_from_the_back_button_it_is_decided_once(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    form = desk.form(".*/decide")
    for _ in range(3):
        answer = desk.sends("", form, verdict="approve", note="病历与费用相符")
        assert (answer.status_code, answer.url.path) == (200, "/desk")
    house.works()
    assert house.payouts() == [("paid", yuan("15000.00"))]
    assert house.rows("select count(*) from desk_act") == [(1,)]


def test_a_draft_is_kept_and_a_second_tab_does_not_write_over_it(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    desk.opens(f"/desk/cases/{case}")
    other_tab = desk.form(".*/decide")
    desk.opens(f"/desk/cases/{case}")
    line = amount_field(desk)
    desk.sends(f"/desk/cases/{case}/decide", verdict="draft", note="写了一半 𠮷", **{line: "14000"})
    assert dict(desk.form(".*/decide").fields)["note"] == "写了一半 𠮷"
    assert dict(desk.form(".*/decide").fields)[line] == "14000"
    answer = desk.sends("", other_tab, verdict="draft", note="另一个窗口写的")
    assert answer.status_code == 409
    assert "另一个窗口写的" in desk.page.text
    desk.opens(f"/desk/cases/{case}")
    assert dict(desk.form(".*/decide").fields)["note"] == "写了一半 𠮷"
    decides(desk, case, "approve")
    assert house.rows("select count(*) from desk_draft") == [(0,)]


def test_the_page_keeps_drafts_by_itself_and_the_form_still_works_once(house, site):
    case = refers(house)
    desk = at_desk(site)
    desk.opens(f"/desk/cases/{case}")
    form = desk.form(".*/decide")
    sent = {name: value for name, value in form.fields if name != "_once"} | {"note": "边写边存"}
    answer = desk.client.post(f"/desk/cases/{case}/draft", data=sent)
    assert (answer.status_code, answer.json()) == (200, {"draft": 1})
    assert desk.client.post(f"/desk/cases/{case}/draft", data=sent).status_code == 409
    assert desk.sends("", form, verdict="approve", note="边写边存").status_code == 200
    assert house.decided()[-1].note == "边写边存"


# ---------------------------------------------------------------- finding and taking away


def test_everything_an_examiner_may_see_is_found_and_its_view_noted(house, site):
    case = refers(house)
    desk = at_desk(site)
    for number, asked_for in enumerate(["测试", "测试甲", SAMPLE_FEMALE, "ZY20260301", KEY, "P-1", case], start=1):
        desk.opens(f"/desk/search?q={asked_for}")
        assert "找到 1 件" in desk.text, asked_for
        assert f"/desk/cases/{case}" in desk.page.text
        assert house.rows("select action, thing from page_view") == [("referrals.read", case)] * number
        if asked_for != SAMPLE_FEMALE:
            assert SAMPLE_FEMALE[6:14] not in desk.text


def test_what_is_not_there_is_not_found(house, site):
    refers(house)
    desk = at_desk(site)
    for asked_for in ("", "测", "没有这个人", "%", "_", "' or 1=1 --", "𠮷" * 200, "P-2"):
        page = desk.client.get("/desk/search", params={"q": asked_for})
        assert page.status_code == 200
        assert "/desk/cases/" not in page.text


def test_the_queue_and_a_case_are_taken_away_as_files(house, site):
    case = refers(house)
    desk = at_desk(site)
    listed = desk.opens("/desk/queue.json").json()
    assert [(row["case"], row["reasons"], row["yuan"]) for row in listed] == [(case, ["above_authority"], "15000.00")]
    table = desk.opens("/desk/queue.csv")
    assert table.content.startswith("\ufeffcase,visit".encode())
    assert "above_authority" in table.text
    found = json.loads(desk.opens(f"/desk/cases/{case}/case.json").text)
    assert found["waiting"][0]["benefits"][-1]["lines"][0]["yuan"] == "20000.00"
    assert SAMPLE_FEMALE not in json.dumps(found, ensure_ascii=False)
    assert "1.9" in desk.opens(f"/desk/cases/{case}/lines.csv").text


def test_nothing_of_the_desk_is_shown_to_others(house, site, mine):
    case = refers(house)
    for browser in (mine, at_desk(site, "operator"), at_desk(site, "hospital"), at_desk(site, "commission")):
        of_case = [f"/desk/cases/{case}{rest}" for rest in ("", "/case.json", "/lines.csv")]
        for path in ("/desk", "/desk/keys", "/desk/search?q=P-1", "/desk/queue.csv", "/desk/queue.json", *of_case):
            assert browser.client.get(path).status_code in (403, 404), path
    assert house.rows("select count(*) from page_view where action like 'referrals%'") == [(0,)]


def test_in_english_everything_is_said_in_english(house, site):
    case = refers(house)
    desk = at_desk(site, language="en")
    for path in ("/desk", f"/desk/cases/{case}", "/desk/search?q=P-1", "/desk/keys"):
        desk.opens(path)
        assert desk.page.status_code == 200
    desk.opens(f"/desk/cases/{case}")
    for words in ("The rules pay 15,000.00 yuan", "Approve", "Ask for what is missing", "Large amount"):
        assert words in desk.text


# ---------------------------------------------------------------- the data behind it


def test_every_skill_has_words_and_every_limit_is_money():
    assert set(skills().values()) <= set(every_skill())
    assert set(limits()) == {"examiner", "senior", "director"}
    assert may_alone("examiner", "refuse", 500_000)
    assert not may_alone("examiner", "refuse", 500_001)
    assert may_alone("director", "pay", 10**12)
    assert not may_alone("operator", "pay", 0)
