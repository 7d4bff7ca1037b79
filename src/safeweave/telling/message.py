"""A short message about one change, in the words of each channel. Pure."""

from datetime import datetime
from typing import Literal

from safeweave.facts import Fact
from safeweave.ids import CaseId, MessageId, PersonId, derived
from safeweave.telling.letter import Contacts
from safeweave.words import Language, knows, say

ChannelName = Literal["sms", "email", "wechat"]
CHANNELS: tuple[ChannelName, ...] = ("sms", "email", "wechat")
DESK = "desk"  # alarms to the insurer's own people; shown, not sent


class Recipient(Fact):
    """Who is told: the insured, or a minor's guardian. A channel without an address is not used."""

    person: PersonId
    name: str
    language: Language
    sms: str = ""  # a phone number
    email: str = ""
    wechat: str = ""  # an openid


class Change(Fact):
    """Something a person should know. `key` is the same however often it is told, so that it is told once."""

    key: str
    case: CaseId
    occasion: str  # an entry of words/messages.toml
    amount: str = ""
    last4: str = ""
    letter: str = ""
    wanted: str = ""


class Message(Fact):
    """One message on one channel, as it stands in the outbox. An SMS and a WeChat message have no subject."""

    id: MessageId
    change: str
    channel: str
    person: PersonId
    case: CaseId
    occasion: str
    language: Language
    to: str
    subject: str
    text: str
    amount: str
    told_at: datetime


def messages(change: Change, to: Recipient, contacts: Contacts, now: datetime) -> list[Message]:
    """One message for each channel the person has."""
    return [
        Message(
            message_id(change.key, channel), change.key, channel, to.person, change.case, change.occasion, to.language,
            address, *_words(change, channel, to, contacts), change.amount, now,
        )
        for channel in CHANNELS
        if (address := getattr(to, channel))
    ]  # fmt: skip


def message_id(change: str, channel: str) -> MessageId:
    """The id that always belongs to a change on a channel."""
    return MessageId(derived("msg", change, channel))


def _words(change: Change, channel: ChannelName, to: Recipient, contacts: Contacts) -> tuple[str, str]:
    """(subject, text) in the recipient's language."""
    language = to.language
    if channel == "wechat":
        return "", say(f"messages.{change.occasion}.wechat", language)
    account = "account" if change.last4 else "account_unknown"
    values = {
        "sign": say("messages.sign", language, insurer=contacts.insurer.in_(language)),
        "call": say("messages.call", language, phone=contacts.phone) if contacts.phone else "",
        "amount": change.amount,
        "account": say(f"messages.{account}", language, last4=change.last4),
        "wanted": change.wanted,
    }
    if channel == "sms":
        return "", say(f"messages.{change.occasion}.sms", language, **values)
    parts = [
        say("messages.greeting", language, name=to.name),
        say(f"messages.{change.occasion}.email", language, **values),
        say("messages.letter", language, letter=change.letter) if change.letter else "",
        values["call"].strip(),
        contacts.insurer.in_(language),
    ]
    return say(f"messages.{change.occasion}.subject", language, **values), "\n\n".join(part for part in parts if part)


def is_told(occasion: str) -> bool:
    """Whether there are words for this occasion."""
    return knows(f"messages.{occasion}.sms")
