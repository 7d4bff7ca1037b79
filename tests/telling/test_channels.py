"""Channels against real local servers."""

from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from safeweave.errors import Malformed, Unavailable
from safeweave.ids import CaseId, MessageId, PersonId
from safeweave.ports import free_port
from safeweave.telling.channels import Mailbox, Outcome, SmsGateway, Smtp, WeChat
from safeweave.telling.message import Message, Wording
from safeweave_simulator.phone import Phones, PhoneServer
from waiting import PATIENCE

NOW = datetime(2026, 3, 6, 7, 21, 5, tzinfo=UTC)


def a_message(number: int = 1, channel: str = "email", to: str = "wang@example.org") -> Message:
    return Message(
        MessageId(f"msg_{number}"), f"paid:{number}", channel, PersonId("p"), CaseId("case_1"), "paid", "zh", to,
        Wording("您的理赔已核定", "王小𠮷，您好：\n\n我们付给您 2,381.85 元。"), "2,381.85", NOW,
    )  # fmt: skip


class Postmaster:
    """An SMTP server's decisions: unknown people are refused for good, a full box and an odd text for now.

    After `closing_after` letters it says 421, as a server that shuts down does.
    """

    closing_after = 1000

    def __init__(self) -> None:
        self.taken: list[Envelope] = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("full"):
            return "452 mailbox full"
        if address.startswith("unknown"):
            return "450 domain not found"
        if len(self.taken) >= self.closing_after:
            return "421 closing"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("odd"):
            return "451 looks odd"
        self.taken.append(envelope)
        return "250 OK"


@pytest.fixture
def postmaster():
    with a_server() as master:
        yield master


@pytest.fixture
def ascii_postmaster():
    with a_server(enable_SMTPUTF8=False) as master:
        yield master


@contextmanager
def a_server(**options):
    master = Postmaster()
    port = free_port()
    controller = Controller(master, hostname="127.0.0.1", port=port, ready_timeout=PATIENCE, **options)
    controller.start()
    master.url = f"smtp://127.0.0.1:{port}"
    yield master
    controller.stop()


def test_an_e_mail_arrives_with_its_chinese_subject_text_and_own_id(postmaster):
    (outcome,) = Smtp(postmaster.url, "claims@anzhi.example", "安织健康").deliver([a_message()])
    assert (outcome.receipt, outcome.fault, outcome.again) == ("<msg_1@anzhi.example>", "", False)
    (envelope,) = postmaster.taken
    mail = message_from_bytes(envelope.content, policy=policy.default)
    assert envelope.rcpt_tos == ["wang@example.org"]
    assert mail["Subject"] == "您的理赔已核定"
    assert mail["From"] == "安织健康 <claims@anzhi.example>"
    assert mail["Message-ID"] == "<msg_1@anzhi.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines()[0] == "王小𠮷，您好："


def test_an_address_that_does_not_exist_is_final_and_the_next_one_is_served(postmaster):
    outcomes = Smtp(postmaster.url, "claims@anzhi.example").deliver(
        [a_message(1, to="nobody@example.org"), a_message(2), a_message(3, to="wang@example.org\nBcc: all@example.org")]
    )
    assert [outcome.fault for outcome in outcomes[:2]] == ["SMTP 550", ""]
    assert outcomes[2].fault == "cannot be written as an e-mail (ValueError)"
    assert len(postmaster.taken) == 1


def test_a_full_mailbox_is_tried_again_later(postmaster):
    (outcome,) = Smtp(postmaster.url, "claims@anzhi.example").deliver([a_message(to="full@example.org")])
    assert outcome.deferred == "SMTP 452"


def test_addresses_that_the_server_defers_keep_no_other_letter_waiting(postmaster):
    to = ["unknown@no.example", "full@example.org", "odd@example.org", "wang@example.org"]
    outcomes = Smtp(postmaster.url, "claims@anzhi.example").deliver([a_message(n, to=t) for n, t in enumerate(to)])
    assert [outcome.deferred for outcome in outcomes] == ["SMTP 450", "SMTP 452", "SMTP 451", ""]
    assert not any(outcome.again or outcome.fault for outcome in outcomes)
    assert [envelope.rcpt_tos for envelope in postmaster.taken] == [["wang@example.org"]]


def test_a_server_that_shuts_down_is_not_asked_for_the_rest(postmaster):
    postmaster.closing_after = 1
    outcomes = Smtp(postmaster.url, "claims@anzhi.example").deliver([a_message(n) for n in range(3)])
    assert [outcome.again for outcome in outcomes] == [False, True, True]


def test_an_address_that_cannot_be_written_is_final_for_its_letter_alone(postmaster):
    outcomes = Smtp(postmaster.url, "claims@anzhi.example").deliver([a_message(1, to="a@[b.c"), a_message(2)])
    assert [outcome.fault for outcome in outcomes] == ["cannot be written as an e-mail (AttributeError)", ""]
    assert len(postmaster.taken) == 1


def test_a_chinese_address_is_final_where_the_server_takes_none_and_the_next_one_is_served(ascii_postmaster):
    told = [a_message(1, to="张三@qq.com"), a_message(2)]
    outcomes = Smtp(ascii_postmaster.url, "claims@anzhi.example").deliver(told)
    assert [outcome.fault for outcome in outcomes] == ["the mail server takes ASCII addresses only", ""]
    assert len(ascii_postmaster.taken) == 1


def test_a_mail_server_that_is_not_there_means_later():
    outcomes = Smtp("smtp://127.0.0.1:1", "claims@anzhi.example").deliver([a_message(1), a_message(2)])
    assert [outcome.again for outcome in outcomes] == [True, True]


def test_a_password_is_never_sent_in_the_clear(postmaster):
    url = postmaster.url.replace("smtp://", "smtp://user:secret@")
    assert [outcome.again for outcome in Smtp(url, "claims@anzhi.example").deliver([a_message()])] == [True]
    assert postmaster.taken == []


def test_a_mail_server_must_be_written_as_one():
    with pytest.raises(Malformed, match="smtp://"):
        Smtp("mail.example.org", "claims@anzhi.example")


@pytest.fixture
def phones():
    kept = Phones(dead={"13800000009", "openid-9"})
    server = PhoneServer(kept)
    kept.url = server.url  # type: ignore[attr-defined]
    yield kept
    server.close()


def test_an_sms_reaches_the_phone_once_however_often_it_is_sent(phones):
    gateway = SmsGateway(f"{phones.url}/sms")
    for _ in range(2):
        (outcome,) = gateway.deliver([a_message(channel="sms", to="13800000001")])
        assert outcome.receipt == "sms-msg_1"
    assert [(m["to"], m["text"].splitlines()[0]) for m in phones.messages] == [("13800000001", "王小𠮷，您好：")]


def test_a_number_that_is_dead_is_final(phones):
    (outcome,) = SmsGateway(f"{phones.url}/sms").deliver([a_message(channel="sms", to="13800000009")])
    assert outcome.fault == "HTTP 422"


def test_a_gateway_that_fails_twice_in_a_row_is_not_asked_for_the_rest_of_the_round(phones):
    phones.silent = 1.0
    outcomes = SmsGateway(f"{phones.url}/sms").deliver([a_message(n, "sms", "13800000001") for n in range(3)])
    assert [outcome.again for outcome in outcomes] == [True, True, True]
    assert len(phones.messages) <= 2


@pytest.mark.parametrize("status", [429, 500])
def test_a_number_at_which_the_gateway_falters_keeps_no_other_waiting(phones, status):
    phones.codes = {"13800000005": status}
    told = [a_message(n, "sms", to) for n, to in enumerate(["13800000005", "13800000001", "13800000005"])]
    assert SmsGateway(f"{phones.url}/sms").deliver(told) == [
        Outcome(MessageId("msg_0"), deferred=f"HTTP {status}"),
        Outcome(MessageId("msg_1"), receipt="sms-msg_1"),
        Outcome(MessageId("msg_2"), again=True),  # nobody behind it to say whether the gateway still answers
    ]


def test_a_subscription_message_has_the_shape_wechat_wants(phones):
    (outcome,) = WeChat(f"{phones.url}/wechat", "template-1").deliver([a_message(channel="wechat", to="openid-1")])
    assert outcome.receipt == "wx-msg_1"
    (sent,) = phones.messages
    assert (sent["touser"], sent["template_id"], sent["lang"]) == ("openid-1", "template-1", "zh_CN")
    assert sent["data"]["amount2"] == {"value": "2,381.85元"}


def test_somebody_who_does_not_want_wechat_messages_gets_none(phones):
    (outcome,) = WeChat(f"{phones.url}/wechat", "t").deliver([a_message(channel="wechat", to="openid-9")])
    assert outcome.fault == "WeChat 43101: the user does not accept messages"


@pytest.mark.parametrize(
    ("code", "first", "next_one"),
    [
        (47001, Outcome(MessageId("msg_1"), deferred="WeChat 47001"), Outcome(MessageId("msg_2"), receipt="wx-msg_2")),
        (45009, Outcome(MessageId("msg_1"), again=True), Outcome(MessageId("msg_2"), again=True)),
        (-1, Outcome(MessageId("msg_1"), again=True), Outcome(MessageId("msg_2"), again=True)),
    ],
)
def test_an_answer_of_wechat_about_one_person_keeps_no_other_waiting(phones, code, first, next_one):
    phones.codes = {"openid-1": code}
    told = [a_message(1, "wechat", "openid-1"), a_message(2, "wechat", "openid-2")]
    assert WeChat(f"{phones.url}/wechat", "t").deliver(told) == [first, next_one]


def test_the_mailbox_holds_each_message_once_even_after_a_restart(tmp_path: Path):
    file = tmp_path / "outbox" / "sms.jsonl"
    Mailbox(file).deliver([a_message(1), a_message(2)])
    Mailbox(file).deliver([a_message(2), a_message(3)])
    assert [line["id"] for line in Mailbox(file).read()] == ["msg_1", "msg_2", "msg_3"]


def test_a_line_cut_off_by_a_crash_is_written_again(tmp_path: Path):
    file = tmp_path / "sms.jsonl"
    Mailbox(file).deliver([a_message(1), a_message(2)])
    file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    Mailbox(file).deliver([a_message(2)])
    assert [line["id"] for line in Mailbox(file).read()] == ["msg_1", "msg_2"]


def test_a_line_cut_off_in_the_middle_of_a_character_disturbs_no_later_message(tmp_path: Path):
    file = tmp_path / "email.jsonl"
    Mailbox(file).deliver([a_message(1)])
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: whole.index("𠮷".encode()) + 2].replace(b"msg_1", b"msg_2"))
    Mailbox(file).deliver([a_message(2)])
    assert [line["id"] for line in Mailbox(file).read()] == ["msg_1", "msg_2"]


def test_a_disk_that_takes_nothing_keeps_messages_waiting_and_none_is_written_twice(tmp_path: Path):
    file = tmp_path / "email.jsonl"
    file.mkdir()  # nothing can be appended to it
    mailbox = Mailbox(file)
    with pytest.raises(Unavailable):
        mailbox.deliver([a_message(1)])
    file.rmdir()
    mailbox.deliver([a_message(1)])
    mailbox.deliver([a_message(1), a_message(2)])
    assert [line["id"] for line in mailbox.read()] == ["msg_1", "msg_2"]
