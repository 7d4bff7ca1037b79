"""Telling on a real store: once, on every channel a person has, and with a letter that never changes."""

import json
import random
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from given_cases import HOSPITAL_CODE, NOW, POLICY, a_case, a_person, a_policy, a_store, an_adjudicator, polyp_bill
from letter_stories import CONTACTS
from pypdf import PdfReader

from safeweave import people
from safeweave.cases import cases_by_id
from safeweave.cases.store import HospitalRow, save_hospitals
from safeweave.clock import shanghai_day
from safeweave.database import at_text, unpacked
from safeweave.errors import NotFound, Unavailable
from safeweave.events import (
    CaseMoved,
    CaseOpened,
    CaseReady,
    CaseReferred,
    ClockDue,
    DeterminationMade,
    MessageDelivered,
    MessageTold,
    MessageUndeliverable,
    PayoutConfirmed,
    PayoutReturned,
    RecoveryOpened,
)
from safeweave.facts import Overlay
from safeweave.ids import CaseId, DeterminationId, MessageId, PayoutId, person_key
from safeweave.money import Fen
from safeweave.people import Guardianship
from safeweave.settings import Settings
from safeweave.telling import Post, alarms, letter_page, letter_show, letter_text, messages_of, store, undeliverable
from safeweave.telling.channels import Mailbox, Outcome, SmsGateway
from safeweave.telling.letter import Named
from safeweave.telling.message import wording
from safeweave.words import catalogue
from safeweave.worker import Later, Worker, tell
from safeweave_simulator.phone import Phones, PhoneServer

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def database(tmp_path, store):
    opened = a_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def post(tmp_path):
    return Post({name: Mailbox(tmp_path / f"{name}.jsonl") for name in ("sms", "email", "wechat")}, CONTACTS)


def written(tx, case: str = "case_polyp") -> dict[str, str]:
    """The last message on each channel."""
    return {channel: text for _, channel, text in messages_of(tx, CaseId(case))}


def test_the_insured_hears_that_nothing_needs_doing_once_on_each_channel(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        first = post.tell([CaseOpened(case)], tx, NOW)
        again = post.tell([CaseOpened(case), CaseOpened(case)], tx, NOW + timedelta(days=1))
        assert {event.channel for event in first} == {"sms", "email", "wechat"}
        assert again == []
        assert written(tx)["sms"] == (
            "【安织健康保险股份有限公司】我们已得知您就医的消息，会自动为您办理理赔，您不用做什么。"
            "如非本人就医，请告诉我们。如有疑问请致电 400-800-1234。"
        )


def test_a_message_is_gone_if_the_change_it_tells_of_is(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))

    def fail_after_telling():
        with database.transaction() as tx:
            post.tell([CaseOpened(case)], tx, NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_telling()
    with database.reading() as tx:
        assert messages_of(tx, case) == []


def determined(database, post, bill=None, account="6222020000006789"):
    """The determination of the polyp story, told."""
    with database.transaction() as tx:
        person = a_person(tx)
        a_policy(tx, person, account)
        case = a_case(tx, person, bill=bill)
        (made,) = an_adjudicator().determine([CaseReady(case)], tx, NOW)
        post.tell([made], tx, NOW)
    return made


def test_a_payment_is_told_with_its_amount_and_the_end_of_the_account(database, post):
    determined(database, post)
    with database.reading() as tx:
        said = written(tx)
    assert "赔付 2,381.85 元，正付往尾号 6789 的账户" in said["sms"]
    assert "letter_" in said["email"]
    assert said["wechat"] == "理赔已核定，正在付款"


def test_without_an_account_the_insured_is_asked_for_one_and_told_of_no_payment(database, post):
    determined(database, post, account="")
    with database.reading() as tx:
        said = written(tx)
    assert "赔付 2,381.85 元。我们还没有您的收款账户" in said["sms"]
    assert not any("正付往" in text for text in said.values())


def test_the_letter_of_a_determination_is_kept_and_reads_as_on_the_day_it_was_written(database, post):
    made = determined(database, post)
    with database.reading() as tx:
        before = letter_text(tx, made.determination, "zh")
    with database.transaction() as tx:
        renamed = HospitalRow(HOSPITAL_CODE, "改名后的医院", "Renamed Hospital", 3, True, "330200", date(2021, 12, 6))
        save_hospitals(tx, [renamed])
        tx.run("update person_name set name = '改名'")
    with database.reading() as tx:
        after = letter_text(tx, made.determination, "zh")
    assert after == before
    assert "王小𠮷" in before
    assert "宁波市第一医院" in before
    assert "P-2021-000123" in before
    assert "2021 年 12 月 3 日至 2021 年 12 月 6 日" in before
    assert "我们付给您  2,381.85 元" in before
    assert "尾号 6789" in before
    assert "这份保单每次理赔有 100.00 元免赔额，这次计入了 100.00 元。" in before


def test_the_letter_can_be_had_as_text_page_and_pdf_in_both_languages(database, post, tmp_path, capsys):
    made = determined(database, post)
    assert letter_show(database, made.case, "en") == 0
    assert "We pay you  2,381.85 yuan" in capsys.readouterr().out
    letter_show(database, made.case, "zh", "pdf", tmp_path / "out" / "letter.pdf")
    read = "".join(page.extract_text() for page in PdfReader(tmp_path / "out" / "letter.pdf").pages)
    assert "住院医疗保险金：怎么算的" in read
    assert "letter.pdf" in capsys.readouterr().out
    with database.reading() as tx:
        (row,) = store.letters_of_case(tx, made.case)
        assert letter_page(tx, row.facts.id).startswith('<!doctype html>\n<html lang="zh-CN">')
        with pytest.raises(NotFound):
            letter_page(tx, "letter_none")
    with pytest.raises(NotFound, match="has no letter"):
        letter_show(database, CaseId("case_none"), "zh")


def test_a_relaxation_that_helped_is_named_by_what_it_lifted(database, post):
    overlay = Overlay("typhoon-2021", ("deductible",), date(2021, 12, 1), date(2021, 12, 31))
    with database.transaction() as tx:
        person = a_person(tx)
        a_policy(tx, person)
        (made,) = an_adjudicator(overlay).determine([CaseReady(a_case(tx, person))], tx, NOW)
        post.tell([made], tx, NOW)
        assert "· 不扣免赔额（措施 typhoon-2021）" in letter_text(tx, made.determination, "zh")
        assert "· no deductible (measure typhoon-2021)" in letter_text(tx, made.determination, "en")


def test_a_referral_by_the_rules_is_told_as_looked_at_by_a_person_and_never_as_refused(database, post):
    bill = polyp_bill()
    wrong = msgspec.structs.replace(bill, total=Fen(bill.total + 100))
    made = determined(database, post, wrong)
    assert made.decision == "refer"
    with database.reading() as tx:
        assert "理赔人员亲自看过" in written(tx)["sms"]
        said = letter_text(tx, made.determination, "zh")
    assert "票据的合计与明细加起来不一致" in said
    assert "我们最迟在 2022 年 1 月 5 日前告诉您结果" in said
    assert "怎么算的" not in said


def test_two_policies_that_refer_one_case_on_one_day_are_one_message(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        first = post.tell([CaseReferred(case, ("policy_unknown",))], tx, NOW)
        second = post.tell([CaseReferred(case, ("product_unknown",))], tx, NOW)
        assert (len(first), second) == (3, [])
        later = post.tell([CaseReferred(case, ("person_doubtful",))], tx, NOW + timedelta(days=3))
        assert len(later) == 3


def test_a_case_without_a_policy_gets_a_letter_that_says_why_a_person_looks(database, post, capsys):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        post.tell([CaseReferred(case, ("policy_unknown",))], tx, NOW)
    letter_show(database, case, "zh")
    assert "我们没有找到对应这次就医的有效保单，理赔人员会再查一遍。" in capsys.readouterr().out


def test_a_refusal_by_a_person_is_told_with_the_person_s_words(database, post):
    bill = polyp_bill()
    made = determined(database, post, msgspec.structs.replace(bill, total=Fen(bill.total + 100)))
    with database.transaction() as tx:
        told = an_adjudicator().decide_by_person(tx, made.case, "工号 0231", "票据经查验为伪造。", True, LATER)
        post.tell(told, tx, LATER)
        assert "很抱歉这次不能赔付" in written(tx)["sms"]
        said = letter_text(tx, told[0].determination, "zh")
    assert "理赔人员的说明：票据经查验为伪造。" in said
    assert "作出决定的理赔人员：工号 0231" in said
    assert "本决定由理赔人员作出，不是机器的决定。" in said


@pytest.mark.parametrize(
    ("event", "needed"),
    [
        (CaseMoved(CaseId("case_polyp"), "paid", "reopened"), "我们会重新核定"),
        (CaseMoved(CaseId("case_polyp"), "admitted", "withdrawn"), "医院撤销了您的就医登记"),
        (RecoveryOpened(CaseId("case_polyp"), DeterminationId("det_1"), Fen(11815)), "此前多付了 118.15 元"),
        (PayoutConfirmed(PayoutId("pay_1"), CaseId("case_polyp"), Fen(238185), NOW), "2,381.85 元已付到您登记的账户"),
        (PayoutReturned(PayoutId("pay_1"), CaseId("case_polyp"), Fen(238185), "closed"), "没能付到您登记的账户"),
    ],
)
def test_what_happens_later_is_told_too(database, post, event, needed):
    with database.transaction() as tx:
        a_case(tx, a_person(tx))
        assert len(post.tell([event], tx, NOW)) == 3
        assert post.tell([event], tx, NOW) == []
        assert needed in written(tx)["sms"]


def test_a_stage_that_is_nobody_s_business_is_not_told(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        assert post.tell([CaseMoved(case, "admitted", "charged")], tx, NOW) == []


def test_what_somebody_was_told_reads_the_same_after_its_words_have_changed(database, post, monkeypatch):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        post.tell([CaseOpened(case)], tx, NOW)
        before = messages_of(tx, case)
    monkeypatch.setitem(catalogue(), "messages.opened.sms", {"zh": "新的说法", "en": "New words"})
    wording.cache_clear()
    try:
        with database.reading() as tx:
            assert messages_of(tx, case) == before
        with database.transaction() as tx:
            another = a_case(tx, a_person(tx, "李小小", sequence=6), "case_another")
            post.tell([CaseOpened(another)], tx, NOW)
            assert written(tx, another)["sms"] == "新的说法"
    finally:
        wording.cache_clear()


def test_of_a_message_only_what_is_of_this_person_is_kept(database, post):
    with database.transaction() as tx:
        for number in range(2):
            case = a_case(tx, a_person(tx, f"王{number}", sequence=2 * number), f"case_{number}")
            post.tell([CaseOpened(case)], tx, NOW)
        tx.flush()
        kept = tx.rows("select channel, subject, body from message where case_id = 'case_1'")
        assert {channel: (subject, body) for channel, subject, body in kept} == {
            "sms": ("", ""), "email": ("", '["王1"]'), "wechat": ("", ""),
        }  # fmt: skip
        assert tx.row("select count(*) from wording") == (3,)  # one for each channel, however many were told


def test_a_message_of_the_first_version_holds_its_words_itself(database):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        id = MessageId(f"msg_{person_key(case)}m4kcp2d9e0")
        tx.run(
            "insert into message (id, change, channel, person, case_id, occasion, language, address, subject, body,"
            " amount, told_at, shard)"
            " values (?, 'opened:1', 'email', 'p', ?, 'opened', 'zh', 'a@b', '主题', ?, '', ?, ?)",
            (id, case, "{name}，您好", at_text(NOW), person_key(case)),
        )
        assert written(tx) == {"email": "{name}，您好"}
        assert store.waiting_messages(tx, [id])[id].subject == "主题"


def test_an_english_speaker_is_told_in_english(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, language="en"))
        post.tell([CaseOpened(case)], tx, NOW)
        assert written(tx)["sms"].startswith("Anzhi Health Insurance Co., Ltd.: We have heard of your visit")


def test_a_child_s_guardian_is_told_in_the_guardian_s_language_and_on_the_guardian_s_phone(database, post):
    with database.transaction() as tx:
        child = a_person(tx, "王小小", date(2016, 5, 1), 4, phone="", email="", wechat="")
        guardian = a_person(tx, "Anna Wang", language="en", phone="13900000002", email="", wechat="")
        people.add_guardianships(tx, [Guardianship(child, guardian, "birth certificate", date(2016, 5, 1))], NOW)
        case = a_case(tx, child)
        (told,) = post.tell([CaseOpened(case)], tx, NOW)
        (message,) = store.waiting_messages(tx, [told.message]).values()
    assert (message.to, message.language, message.person) == ("13900000002", "en", guardian)


def test_from_the_14th_birthday_on_the_person_is_told_and_not_the_guardian(database, post):
    day = shanghai_day(NOW)
    birthday = day.replace(year=day.year - 14)
    born = {"on the birthday": birthday, "the day before": birthday + timedelta(days=1)}
    told = {}
    with database.transaction() as tx:
        for number, (when, birth) in enumerate(born.items(), 4):
            child = a_person(tx, f"王小{number}", birth, 2 * number, phone=f"1390000001{number}", email="", wechat="")
            guardian = a_person(
                tx, f"王大{number}", sequence=2 * number, phone=f"1390000002{number}", email="", wechat=""
            )
            people.add_guardianships(tx, [Guardianship(child, guardian, "birth certificate", birth)], NOW)
            (event,) = post.tell([CaseOpened(a_case(tx, child, f"case_polyp{number}"))], tx, NOW)
            (message,) = store.waiting_messages(tx, [event.message]).values()
            told[when] = (message.person == child, message.person == guardian)
    assert told == {"on the birthday": (True, False), "the day before": (False, True)}


def test_one_of_14_whom_nobody_can_reach_is_told_of_through_the_guardian(database, post):
    with database.transaction() as tx:
        child = a_person(tx, "王小小", shanghai_day(NOW).replace(year=NOW.year - 15), 4, phone="", email="", wechat="")
        guardian = a_person(tx, "王大", phone="13900000002", email="", wechat="")
        people.add_guardianships(tx, [Guardianship(child, guardian, "birth certificate", date(2016, 5, 1))], NOW)
        (told,) = post.tell([CaseOpened(a_case(tx, child))], tx, NOW)
        (message,) = store.waiting_messages(tx, [told.message]).values()
    assert message.person == guardian


def test_nobody_is_told_by_machine_about_somebody_who_died(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, died_on=date(2021, 12, 5)))
        assert post.tell([CaseOpened(case)], tx, NOW) == []


def test_what_is_missing_is_asked_for_once_and_stands_in_the_outbox(database, post):
    with database.transaction() as tx:
        person = a_person(tx)
        case = a_case(tx, person)
        for _ in range(2):
            post.ask(tx, cases_by_id(tx, [case])[case], "出院小结", NOW)
        assert "还需要以下资料，只需补充这一次：出院小结。" in written(tx)["email"]
        assert len(messages_of(tx, case)) == 3


def test_the_desk_is_warned_of_a_clock_and_no_customer_sees_it(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx))
        assert post.warn([ClockDue(case, "decision", 80)], tx, NOW) == []
        post.warn([ClockDue(case, "decision", 80)], tx, NOW)
        assert [(each[1], each[2]) for each in alarms(tx)] == [(case, "案件 case_polyp：30 日核定期限已过 80%。")]
        assert messages_of(tx, case) == []


# ---------------------------------------------------------------- delivery


def a_worker(database, post) -> Worker:
    follows = {
        CaseOpened: (post.tell,),
        MessageTold: (post.deliver,),
        MessageDelivered: (post.note_delivered,),
        MessageUndeliverable: (post.note_undeliverable,),
    }
    instants = iter(NOW + timedelta(minutes=10 * step) for step in range(100_000))
    return Worker(database, follows, lambda: next(instants))


def many_cases(database, count: int) -> list[CaseOpened]:
    with database.transaction() as tx:
        opened = []
        for number in range(count):
            person = a_person(
                tx,
                f"王{number}",
                date(1980, 1, 1),
                2 * number,
                phone=f"138{number:08d}",
                email="",
                wechat=f"openid-{number}",
            )
            opened.append(CaseOpened(a_case(tx, person, f"case_{number}")))
        tell(tx, opened, NOW)
    return opened


def test_every_message_reaches_its_phone_exactly_once_through_a_gateway_that_often_fails(database, post):
    phones = Phones(seed=random.Random(11).randrange(1000), silent=0.3, dead={"13800000007"})
    server = PhoneServer(phones)
    try:
        post.channels = {**post.channels, "sms": SmsGateway(f"{server.url}/sms")}
        many_cases(database, 40)
        worker = a_worker(database, post)
        for _ in range(300):
            worker.work()
            for lane in worker.lanes:
                worker.call_out(lane)
        assert sorted(m["to"] for m in phones.messages) == sorted(f"138{n:08d}" for n in range(40) if n != 7)
        assert len(post.channels["wechat"].read()) == 40
        with database.reading() as tx:
            rows = tx.rows(
                "select channel, delivered_at is not null, receipt, fault from message where channel = 'sms'"
            )
            lost = undeliverable(tx)
        assert sum(delivered for _, delivered, _, _ in rows) == 39
        assert [(message.to, fault) for message, fault in lost] == [("13800000007", "HTTP 422")]
    finally:
        server.close()


def test_a_silent_channel_keeps_the_others_waiting_no_longer_than_itself(database, post, tmp_path):
    post.channels = {**post.channels, "sms": SmsGateway("http://127.0.0.1:1/sms")}
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, email=""))
        told = post.tell([CaseOpened(case)], tx, NOW)
        requests = post.deliver.load(told, tx)
    answers = post.deliver.call(requests, NOW)
    assert answers == [Later(next(event for event in told if event.channel == "sms"), NOW + timedelta(minutes=5))]
    assert [line["channel"] for line in Mailbox(tmp_path / "wechat.jsonl").read()] == ["wechat"]


def test_if_no_channel_answers_the_worker_asks_again_itself(database, post):
    post.channels = {"sms": SmsGateway("http://127.0.0.1:1/sms")}
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, email="", wechat=""))
        requests = post.deliver.load(post.tell([CaseOpened(case)], tx, NOW), tx)
    with pytest.raises(Unavailable):
        post.deliver.call(requests, NOW)


class Deferring:
    """A channel that answers and takes nothing now."""

    def deliver(self, messages):
        return [Outcome(message.id, deferred="SMTP 450") for message in messages]


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(0), timedelta(minutes=5)),
        (timedelta(minutes=40), timedelta(minutes=40)),
        (timedelta(days=5), timedelta(hours=2)),
    ],
)
def test_a_message_that_is_deferred_is_sent_again_after_longer_and_longer_waits(database, post, age, wait):
    post.channels = {"email": Deferring()}
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, phone="", wechat=""))
        (told,) = post.tell([CaseOpened(case)], tx, NOW)
        requests = post.deliver.load([told], tx)
    assert post.deliver.call(requests, NOW + age) == [Later(told, NOW + age + wait)]


def test_a_message_that_is_deferred_for_more_than_five_days_is_given_up(database, post):
    post.channels = {"email": Deferring()}
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, phone="", wechat=""))
        (told,) = post.tell([CaseOpened(case)], tx, NOW)
        requests = post.deliver.load([told], tx)
    (answer,) = post.deliver.call(requests, NOW + timedelta(days=5, seconds=1))
    assert answer == MessageUndeliverable(told.message, "email", "SMTP 450, given up after 5 days")
    with database.transaction() as tx:
        post.note_undeliverable([answer], tx, NOW + timedelta(days=5, seconds=1))
        assert post.deliver.load([told], tx) == [None]


def test_what_was_delivered_is_not_loaded_again(database, post):
    with database.transaction() as tx:
        case = a_case(tx, a_person(tx, email="", wechat=""))
        (told,) = post.tell([CaseOpened(case)], tx, NOW)
        post.note_delivered([MessageDelivered(told.message, "sms", "r")], tx, NOW)
        assert post.deliver.load([told], tx) == [None]


def test_statements_do_not_grow_with_the_batch(database, post):
    def statements(count: int, start: int) -> int:
        with database.transaction() as tx:
            events = [
                CaseOpened(a_case(tx, a_person(tx, "王", date(1980, 1, 1), 2 * (start + n)), f"case_{start + n}"))
                for n in range(count)
            ]
        with database.transaction() as tx:
            before = database.statements
            post.tell(events, tx, NOW)
            return database.statements - before

    statements(1, 0)  # which also keeps the words
    assert statements(2, 1) == statements(20, 10)


def test_without_servers_messages_go_to_mailboxes_below_the_node_s_home(tmp_path: Path):
    settings = Settings(home=tmp_path, phone="400-800-1234")
    post = Post.from_settings(settings)
    assert all(isinstance(channel, Mailbox) for channel in post.channels.values())
    assert post.contacts.phone == "400-800-1234"
    assert post.contacts.insurer.en == settings.company_en


def test_a_letter_kept_by_the_first_version_reads_the_same(database, post):
    made = determined(database, post)
    with database.transaction() as tx:
        before = letter_text(tx, made.determination, "zh")
        (row,) = store.letters_of_case(tx, made.case)
        content = msgspec.json.encode(msgspec.structs.replace(row.facts, product=Named("hospital-expense-2020")))
        tx.run("update letter set content = ?", (content,))  # it repeated what stands in the columns
        assert letter_text(tx, made.determination, "zh") == before


def test_what_is_kept_of_a_letter_is_small_and_holds_no_diagnosis(database, post):
    made = determined(database, post)
    with database.reading() as tx:
        (content,) = tx.row("select content from letter where case_id = ?", (made.case,))
    kept = json.loads(unpacked(content))
    assert "lines" not in kept
    assert b"N84" not in unpacked(content)
    assert len(content) < 200
    assert isinstance(made, DeterminationMade)
    assert made.policy == POLICY
