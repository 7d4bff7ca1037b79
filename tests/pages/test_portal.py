"""What the insured, guardians and agents see and do, through the real app on a real store."""

from datetime import UTC, date, datetime, timedelta

import pytest

from consents.given_consents import HOSPITAL as CLINIC
from consents.given_consents import INSURER
from given import CLEAN_STAY, House, a_bill, admitted, billed, discharged, yuan
from pages.given_pages import Browser, account_for, person_named, site_of, staff
from people.given_people import SAMPLE_MALE
from safeweave import consents, people
from safeweave.cases import clocks
from safeweave.consents.texts import newest
from safeweave.ids import PersonId
from safeweave.people import Guardianship
from safeweave.web import accounts
from safeweave.web.asked import Site

CHILD = "330102201501010019"


def gives(house: House, person: PersonId, act: str = "give", by: str = "", proof: str = "") -> consents.Consent:
    """A consent of this person that is in force since yesterday."""
    text = newest(act)  # type: ignore[arg-type]
    now = house.time()
    made = consents.consent_of(
        person, act, CLINIC if act == "give" else None, INSURER, "claim", ("identity", "bill"),  # type: ignore[arg-type]
        now - timedelta(days=1), now + timedelta(days=90), (text.version, text.digest), PersonId(by or person),
        now - timedelta(days=1), "screen", proof=proof,
    )  # fmt: skip
    with house.node.database.transaction() as tx:
        consents.give(tx, [made], now)
    return made


@pytest.fixture
def child(house: House, person: PersonId) -> PersonId:
    """A child of 11 with a policy, whose guardian is 测试甲."""
    house.insures("P-9", name="测试小乙", document=CHILD)
    found = person_named(house, "测试小乙")
    with house.node.database.transaction() as tx:
        people.add_guardianships(tx, [Guardianship(found, person, "出生医学证明 A33", date(2015, 1, 1))], house.time())
    return found


# ---------------------------------------------------------------- a stay


def test_a_stay_is_told_from_admission_to_money(house, mine, person):
    house.hears(admitted())
    mine.opens("/")
    assert "示例市第一医院" in mine.text
    assert "住院中" in mine.text
    house.hears(*CLEAN_STAY[1:])
    mine.opens(f"/stays/{house.case().id}")
    assert "赔付 450.00 元" in mine.text
    told = [
        mine.text.index(step) for step in ("您住院了", "您出院了", "票据与清单齐全", "理赔有了结论", "450.00 元 已到账")
    ]
    assert told == sorted(told)


def test_a_decision_says_why_line_by_line_with_its_clause(house, mine):
    house.hears(*CLEAN_STAY)
    mine.opens(f"/decisions/{house.decided()[0].id}")
    assert "450.00" in mine.text
    assert "条款 1.4" in mine.text
    assert "条款 1.6" in mine.text
    assert "100.00" in mine.text


def test_a_letter_comes_as_pdf_in_the_readers_language(house, mine):
    house.hears(*CLEAN_STAY)
    [(letter,)] = house.rows("select id from letter")
    mine.opens(f"/letters/{letter}")
    assert mine.page.headers["content-type"] == "application/pdf"
    assert mine.page.content.startswith(b"%PDF")


def test_policies_are_told_in_plain_words_with_what_the_year_has_used(house, mine, person):
    house.hears(*CLEAN_STAY)
    mine.opens(f"/people/{person}/policies")
    assert "每次先由您承担 100.00 元" in mine.text
    assert "每年最多赔 15,000.00 元" in mine.text
    assert "本年度已计 450.00 元" in mine.text
    mine.opens("/language/en?back=" + f"/people/{person}/policies")
    assert "You bear the first 100.00 yuan each time." in mine.text


def test_messages_are_shown_once_each_whatever_ways_they_went(house, mine, person):
    with house.node.database.transaction() as tx:
        tx.run("update person set email = 'a@example.com' where id = ?", (person,))
    house.hears(*CLEAN_STAY)
    mine.opens(f"/people/{person}/messages")
    assert mine.page.text.count("<article") == len(house.rows("select distinct change from message"))


def test_a_name_with_rare_characters_is_shown_as_it_is(house, site):
    house.insures("P-7", name="𠮷野😀", document=SAMPLE_MALE)
    person = person_named(house, "𠮷野😀")
    browser = Browser(site).is_signed_in_as(account_for(site, person))
    browser.opens("/")
    assert "𠮷野😀" in browser.text


# ---------------------------------------------------------------- asking


def test_a_person_can_be_asked_for_in_one_tap_and_once(house, mine):
    house.hears(*CLEAN_STAY)
    case = house.case().id
    mine.opens(f"/stays/{case}")
    form = mine.form(f"/stays/{case}/ask")
    mine.sends("", form)
    mine.sends("", form)
    house.works()
    assert house.stage() == "referred"
    assert [kind for (kind,) in house.rows("select kind from case_request")] == ["person"]
    house.is_sound()


def test_an_objection_puts_a_decision_before_a_person_with_what_was_said(house, mine):
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    mine.opens(f"/decisions/{decided.id}/object")
    mine.sends(f"/decisions/{decided.id}/object", words="床位费应该赔 😀 𠮷")
    house.works()
    assert house.rows("select kind, words from case_request") == [("objection", "床位费应该赔 😀 𠮷")]
    assert "床位费应该赔 😀 𠮷" in mine.text
    assert house.stage() == "referred"
    house.decides(note="维持原结论")
    assert house.stage() == "closed"
    assert house.payouts() == [("paid", yuan("450.00"))]
    house.is_sound()


def test_a_request_during_the_stay_waits_for_its_papers(house, mine):
    house.hears(admitted())
    mine.opens(f"/stays/{house.case().id}")
    mine.sends(f"/stays/{house.case().id}/ask")
    house.works()
    assert house.stage() == "admitted"
    assert "等待答复" in mine.text


def test_what_was_asked_for_can_be_handed_in_and_the_clock_runs_on(house, mine):
    house.hears(admitted(), discharged(), billed(a_bill(total="99000.00")))
    case = house.case().id
    assert house.stage() == "referred"
    with house.node.database.transaction() as tx:
        assert clocks.pause(tx, case, house.time())
    house.waits(days=2)
    mine.is_signed_in_as(account_for(mine.site, person_named(house, "测试甲")))
    mine.opens(f"/people/{person_named(house, '测试甲')}/papers")
    assert mine.sends(f"/stays/{case}/papers", words=" ").status_code == 400
    mine.sends(f"/stays/{case}/papers", words="出院小结")
    assert house.history()[-1] == "supplement_received"
    mine.opens(f"/stays/{case}")
    assert "测试甲：出院小结" in mine.text
    assert not house.asks(lambda tx: clocks.is_paused(tx, case))


# ---------------------------------------------------------------- consents


def test_a_consent_of_ones_own_choice_is_read_whole_before_it_is_given(house, mine, person):
    gives(house, person)
    mine.opens(f"/people/{person}/consents")
    assert f"/people/{person}/new-consent" in mine.page.text
    where = f"/people/{person}/new-consent"
    choice = {"act": "process", "recipient": INSURER.member, "purpose": "advance", "period": "month",
              "kind": ["identity", "record"]}  # fmt: skip
    for wrong in ({"recipient": "nobody"}, {"act": "x"}, {"period": ""}, {"kind": []}, {"act": "give"},
                  {"act": "give", "giver": INSURER.member}):  # fmt: skip
        mine.opens(where)
        assert mine.sends(where, **{**choice, **wrong}).status_code == 400, wrong
        assert mine.form(where)
    mine.opens(where)
    mine.sends(where, **choice)
    assert INSURER.name in mine.text
    assert len(house.asks(lambda tx: consents.consents_of(tx, [person]))[person]) == 1  # shown, and not given yet
    shown = mine.form(where)
    mine.sends(where, shown, text="another")
    assert mine.form(where).fields  # another text: it is shown again
    mine.sends(where, shown)
    made = house.asks(lambda tx: consents.consents_of(tx, [person]))[person][-1].consent
    assert (made.act, made.purpose, made.kinds) == ("process", "advance", ("identity", "record"))
    assert made.ends_at - made.begins_at == timedelta(days=30)
    mine.opens(where)
    mine.sends(where, **choice)
    late = mine.form(where)
    house.waits(days=0.03)
    mine.sends(where, late)
    assert len(house.asks(lambda tx: consents.consents_of(tx, [person]))[person]) == 2  # shown too long ago


def test_a_consent_is_taken_back_in_one_tap_and_what_ends_is_said(house, mine, person):
    made = gives(house, person)
    mine.opens(f"/people/{person}/consents")
    mine.sends(f"/people/{person}/consents/{made.id}/withdraw")
    assert "已撤回" in mine.text
    assert "从现在起不再取得您的任何新信息" in mine.text
    kept = house.asks(lambda tx: consents.consents_by_id(tx, [made.id]))[made.id]
    assert kept.revoked_at == house.time()
    form = next(form for form in mine.forms if ("choice", "apply") in form.fields)
    mine.sends("", form)
    assert house.asks(lambda tx: consents.choices(tx, [made.id])) == {made.id: "apply"}


def test_a_consent_that_ended_can_be_given_again_in_one_tap(house, mine, person):
    made = gives(house, person)
    mine.opens(f"/people/{person}/consents")
    mine.sends(f"/people/{person}/consents/{made.id}/withdraw")
    house.time.pass_(60)
    mine.opens(f"/people/{person}/consents")
    assert "请您同意" in mine.text
    mine.sends(f"/people/{person}/consents")
    kept = house.asks(lambda tx: consents.consents_of(tx, [person]))[person]
    assert [each.consent.follows for each in kept] == [None, made.id]
    assert kept[1].consent.text_digest == newest("give").digest
    mine.opens(f"/people/{person}/consents")
    assert "请您同意" not in mine.text


def test_what_is_asked_of_a_person_waits_on_the_first_page(house, mine, person):
    gives(house, person)
    asks = consents.asks_to_hand_over(person, CLINIC.member, INSURER.member, "claim", ["identity"], house.time())
    with house.node.database.transaction() as tx:
        answers = consents.allowed(tx, asks)
        refused = [(ask, why) for ask, why in zip(asks, answers, strict=True) if not why.allowed]
        consents.note_askings(tx, refused, house.time())
    mine.opens("/")
    assert "有一项授权等您答复" in mine.text
    mine.opens(f"/people/{person}/consents")
    assert "处理您的资料" in mine.text
    mine.sends(f"/people/{person}/consents")
    assert "您的授权已生效" in mine.text
    house.time.pass_(1)
    again = consents.Ask(person, "process", "", INSURER.member, "claim", ("identity",), house.time())
    assert house.asks(lambda tx: consents.allowed(tx, [again]))[0].allowed
    mine.opens("/")
    assert "有一项授权等您答复" not in mine.text


def test_a_guardian_consents_for_a_child_and_the_proof_is_kept(house, mine, person, child):
    made = gives(house, child, by=person, proof="出生医学证明 A33")
    mine.opens(f"/people/{child}/consents")
    assert "正在代 测试小乙 办理" in mine.text
    mine.sends(f"/people/{child}/consents/{made.id}/withdraw")
    house.time.pass_(60)
    mine.opens(f"/people/{child}/consents")
    mine.sends(f"/people/{child}/consents")
    again = house.asks(lambda tx: consents.consents_of(tx, [child]))[child][1].consent
    assert (again.given_by, again.proof) == (person, "出生医学证明 A33")


def test_a_person_sees_who_read_the_record_and_who_looked(house, site, mine, person):
    made = gives(house, person)
    read = consents.Read(person, INSURER.member, ("bill",), "claim", "核对票据", made.id, house.time())
    with house.node.database.transaction() as tx:
        consents.note_reads(tx, [read])
    house.hears(*CLEAN_STAY)
    examiner = Browser(site).is_signed_in_as(staff(site, "examiner"))
    assert examiner.opens(f"/stays/{house.case().id}").status_code == 200
    mine.opens(f"/people/{person}/reads")
    assert "核对票据" in mine.text
    assert INSURER.name in mine.text
    assert "examiner 员工 理赔员" in mine.text


# ---------------------------------------------------------------- money


def test_the_account_is_changed_only_to_one_in_the_right_name(house, mine, person):
    mine.opens(f"/people/{person}/account")
    mine.sends(f"/people/{person}/account", name="王五", bank_account="6222020000000000018")
    assert mine.page.status_code == 400
    assert "户名须为 测试甲" in mine.text
    mine.sends(f"/people/{person}/account", name="测试甲", bank_account="12")
    assert mine.page.status_code == 400
    mine.sends(f"/people/{person}/account", name="测试甲", bank_account=" ")
    assert "请填写银行账号。" in mine.text
    mine.sends(f"/people/{person}/account", name="测试甲", bank_account="6217 0000 1000 0000 019")
    assert "尾号 0019" in mine.text


def test_a_payout_that_waited_for_an_account_leaves_once_there_is_one(house, mine, person):
    with house.node.database.transaction() as tx:
        tx.run("update payee_change set account = ''")
    house.hears(*CLEAN_STAY)
    assert house.payouts() == [("waiting", yuan("450.00"))]
    mine.opens(f"/stays/{house.case().id}")
    assert "等待付款" in mine.text
    mine.opens(f"/people/{person}/account")
    mine.sends(f"/people/{person}/account", bank_account="6222020000000000018")
    house.waits(seconds=60)
    assert house.payouts() == [("paid", yuan("450.00"))]
    house.is_sound()


# ---------------------------------------------------------------- agents


@pytest.fixture
def agent(site: Site) -> Browser:
    return Browser(site).is_signed_in_as(staff(site, "agent", licence="A-1001"))


def test_an_agent_sees_nothing_before_the_invitation_is_accepted_and_all_is_over_when_it_is_ended(
    house, mine, person, agent
):
    assert agent.opens(f"/people/{person}").status_code == 404
    mine.opens(f"/people/{person}/agents")
    mine.sends(f"/people/{person}/agents", licence="A-1001")
    assert agent.opens(f"/people/{person}").status_code == 404
    agent.opens("/agent")
    agent.sends("/agent/.*/answer", next(f for f in agent.forms if ("answer", "accept") in f.fields))
    assert agent.opens(f"/people/{person}").status_code == 200
    assert "正在代 测试甲 办理" in agent.text
    assert agent.opens(f"/people/{person}/account").status_code == 403
    assert agent.opens(f"/people/{person}/consents").status_code == 403
    mine.opens(f"/people/{person}/agents")
    mine.sends(f"/people/{person}/agents/.*/end")
    assert agent.opens(f"/people/{person}").status_code == 404


def test_an_agent_sees_a_decision_once_the_customer_has(house, mine, person, agent):
    mine.opens(f"/people/{person}/agents")
    mine.sends(f"/people/{person}/agents", licence="A-1001")
    agent.opens("/agent")
    agent.sends("", next(f for f in agent.forms if ("answer", "accept") in f.fields))
    house.hears(*CLEAN_STAY)
    decided = house.decided()[0]
    agent.opens(f"/stays/{house.case().id}")
    assert "结论须由客户本人先查看" in agent.text
    assert "450.00" not in agent.text
    assert "到账" not in agent.text.replace("等", "")
    agent.opens(f"/people/{person}")
    assert "450.00" not in agent.text
    assert agent.opens(f"/decisions/{decided.id}").status_code == 403
    mine.opens(f"/decisions/{decided.id}")
    assert agent.opens(f"/decisions/{decided.id}").status_code == 200
    assert "450.00" in agent.text


def test_an_invitation_is_over_after_21_days(house, mine, person, agent):
    mine.opens(f"/people/{person}/agents")
    mine.sends(f"/people/{person}/agents", licence="A-1001")
    agent.opens("/agent")
    accepts = next(f for f in agent.forms if ("answer", "accept") in f.fields)
    house.time.at += timedelta(days=21)
    [found] = house.asks(lambda tx: accounts.with_roles(tx, ["agent"]))
    agent.is_signed_in_as(found)
    agent.opens("/agent")
    assert "21 天内未接受" in agent.text
    agent.sends("", accepts, _csrf=dict(agent.form("/sign-out").fields)["_csrf"])
    assert agent.page.status_code == 409
    assert agent.opens(f"/people/{person}").status_code == 404


def test_only_an_agent_can_be_invited_and_only_once(house, site, mine, person, agent):
    mine.opens(f"/people/{person}/agents")
    assert mine.sends(f"/people/{person}/agents", licence="nobody").status_code == 400
    mine.opens(f"/people/{person}/agents")
    mine.sends(f"/people/{person}/agents", licence="A-1001")
    mine.opens(f"/people/{person}/agents")
    assert mine.sends(f"/people/{person}/agents", licence="A-1001").status_code == 409
    assert house.rows("select count(*) from delegation") == [(1,)]


def test_an_hour_of_day_is_told_as_in_shanghai(house, mine):
    house.time.at = datetime(2026, 3, 10, 17, 30, tzinfo=UTC)
    mine = Browser(site_of(house)).is_signed_in_as(account_for(mine.site, person_named(house, "测试甲")))
    house.hears(admitted())
    mine.opens(f"/stays/{house.case().id}")
    assert "2026年3月11日 01:30" in mine.text
