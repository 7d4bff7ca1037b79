"""What is sent to a phone: short, and nothing in it that a stranger who sees the screen may not know."""

import re
from datetime import UTC, datetime

import pytest

from safeweave.ids import CaseId, PersonId
from safeweave.telling.letter import Contacts, Named
from safeweave.telling.message import Change, Message, Recipient, is_told, messages
from safeweave.words import LANGUAGES, catalogue

NOW = datetime(2026, 3, 6, 7, 21, 5, tzinfo=UTC)
CONTACTS = Contacts(insurer=Named("安织健康保险股份有限公司", "Anzhi Health Insurance Co., Ltd."), phone="400-800-1234")
OCCASIONS = sorted(key.split(".")[1] for key in catalogue() if key.startswith("messages.") and key.endswith(".sms"))


def told(occasion: str, language: str = "zh", **more: str) -> dict[str, Message]:
    change = Change(
        f"{occasion}:1", CaseId("case_0000000000000001"), occasion, amount="1,234,567.89", last4="6789",
        letter="letter_0000000000000001", wanted="出院小结（子宫内膜息肉）", **more,
    )  # fmt: skip
    to = Recipient(PersonId("person_1"), "王小𠮷", language, "13800000001", "wang@example.org", "openid-1")  # type: ignore[arg-type]
    return {message.channel: message for message in messages(change, to, CONTACTS, NOW)}


def test_every_occasion_of_the_story_has_words():
    assert set(OCCASIONS) >= {
        "opened", "referred", "paid", "paid_zero", "supplement", "recovery", "refused", "arrived",
        "account_wrong", "account_needed", "withdrawn", "reopened", "asked",
    }  # fmt: skip
    assert all(is_told(occasion) for occasion in OCCASIONS)
    assert not is_told("charged")


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_a_chinese_sms_has_at_most_140_characters_and_an_english_one_two_parts(occasion):
    assert len(told(occasion)["sms"].text) <= 140
    assert len(told(occasion, "en")["sms"].text) <= 306


@pytest.mark.parametrize("occasion", OCCASIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_sms_tells_a_stranger_nothing(occasion, language):
    said = told(occasion, language)["sms"].text
    for private in ("王小𠮷", "13800000001", "息肉", "医院名", "case_", "letter_", "person_", "N84"):
        assert private not in said
    assert not re.search(r"\d{5,}", said.replace("400-800-1234", "").replace(",", "").replace("1234567.89", ""))


@pytest.mark.parametrize("occasion", OCCASIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wechat_message_fits_its_field_of_twenty_characters(occasion, language):
    said = told(occasion, language)["wechat"]
    assert 0 < len(said.text) <= 20
    assert said.subject == ""


@pytest.mark.parametrize("occasion", OCCASIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_e_mail_greets_by_name_says_whom_to_call_and_is_signed(occasion, language):
    said = told(occasion, language)["email"]
    assert said.subject
    assert said.text.startswith("王小𠮷，您好：" if language == "zh" else "Dear 王小𠮷,")
    assert "400-800-1234" in said.text
    assert said.text.endswith(CONTACTS.insurer.in_(language))
    assert "{" not in said.text


def test_the_message_of_a_payment_reads_like_this():
    assert told("paid")["sms"].text == (
        "【安织健康保险股份有限公司】您的理赔已核定，赔付 1,234,567.89 元，正付往尾号 6789 的账户，您不用做什么。"
        "如有疑问请致电 400-800-1234。"
    )
    assert told("arrived", "en")["sms"].text == (
        "Anzhi Health Insurance Co., Ltd.: 1,234,567.89 yuan has been paid into the account ending in 6789."
        " We wish you well. Questions: 400-800-1234."
    )


def test_a_person_is_told_only_on_the_channels_they_have():
    change = Change("opened:1", CaseId("case_1"), "opened")
    assert messages(change, Recipient(PersonId("p"), "王", "zh"), CONTACTS, NOW) == []
    only = messages(change, Recipient(PersonId("p"), "王", "zh", email="w@example.org"), CONTACTS, NOW)
    assert [message.channel for message in only] == ["email"]


def test_what_is_asked_for_stands_in_the_e_mail_and_not_in_the_sms():
    said = told("asked")
    assert "出院小结（子宫内膜息肉）" in said["email"].text
    assert "出院小结" not in said["sms"].text
