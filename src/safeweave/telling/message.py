"""A short message about one change, in the words of each channel. Pure."""

import re
from datetime import datetime
from functools import cache, lru_cache
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


class Wording(Fact):
    """The words of a message, with places such as {name} that are filled in for each person."""

    subject: str  # "" for an SMS and a WeChat message
    body: str

    @property
    def id(self) -> str:
        """The id that always belongs to these words."""
        return _wording_id(self)

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the places to fill in, each once, without the amount, which every message has."""
        return _places(self)


class Message(Fact):
    """One message on one channel, as it stands in the outbox. An SMS and a WeChat message have no subject.

    `filled` is what stands in the places of its wording; None: these are the words themselves.
    """

    id: MessageId
    change: str
    channel: str
    person: PersonId
    case: CaseId
    occasion: str
    language: Language
    to: str
    wording: Wording
    amount: str
    told_at: datetime
    filled: tuple[str, ...] | None = None

    @property
    def subject(self) -> str:
        """What it is about, in a few words."""
        return self._with_places_filled(self.wording.subject)

    @property
    def text(self) -> str:
        """What the person reads."""
        return self._with_places_filled(self.wording.body)

    def _with_places_filled(self, words: str) -> str:
        if self.filled is None or len(parts := _parts(words)) == 1:
            return words
        values = dict(zip(self.wording.places, self.filled, strict=True), amount=self.amount)
        return "".join([values[part] if number % 2 else part for number, part in enumerate(parts)])


_PLACE = re.compile(r"\{(name|amount|last4|letter|wanted)\}")


@lru_cache(maxsize=1000)
def _parts(words: str) -> tuple[str, ...]:
    """Text and places by turns."""
    return tuple(_PLACE.split(words))


@lru_cache(maxsize=1000)
def _places(wording: Wording) -> tuple[str, ...]:
    found = dict.fromkeys((*_parts(wording.subject)[1::2], *_parts(wording.body)[1::2]))
    return tuple(place for place in found if place != "amount")


@lru_cache(maxsize=1000)
def _wording_id(wording: Wording) -> str:
    return derived("wording", wording.subject, wording.body)


def messages(change: Change, to: Recipient, contacts: Contacts, now: datetime) -> list[Message]:
    """One message for each channel the person has."""
    told = []
    for channel in CHANNELS:
        address = getattr(to, channel)
        if address:
            words = wording(change.occasion, channel, to.language, bool(change.last4), bool(change.letter), contacts)
            values = {"name": to.name, "last4": change.last4, "letter": change.letter, "wanted": change.wanted}
            told.append(Message(
                message_id(change.key, channel, change.case), change.key, channel, to.person, change.case,
                change.occasion, to.language, address, words, change.amount, now,
                tuple([values[place] for place in words.places]),
            ))  # fmt: skip
    return told


def message_id(change: str, channel: str, case: CaseId) -> MessageId:
    """The id that always belongs to a change of this case on a channel."""
    return MessageId(derived("msg", change, channel, of=case))


@lru_cache(maxsize=1000)
def wording(
    occasion: str, channel: ChannelName, language: Language, has_account: bool, has_letter: bool, contacts: Contacts
) -> Wording:
    """The words for an occasion on a channel, with the account's last digits and the letter if there are any."""
    if channel == "wechat":
        return Wording("", say(f"messages.{occasion}.wechat", language))
    account = "account" if has_account else "account_unknown"
    values = {
        "sign": say("messages.sign", language, insurer=contacts.insurer.in_(language)),
        "call": say("messages.call", language, phone=contacts.phone) if contacts.phone else "",
        "amount": "{amount}",
        "account": say(f"messages.{account}", language, last4="{last4}"),
        "wanted": "{wanted}",
    }
    if channel == "sms":
        return Wording("", say(f"messages.{occasion}.sms", language, **values))
    parts = [
        say("messages.greeting", language, name="{name}"),
        say(f"messages.{occasion}.email", language, **values),
        say("messages.letter", language, letter="{letter}") if has_letter else "",
        values["call"].strip(),
        contacts.insurer.in_(language),
    ]
    return Wording(say(f"messages.{occasion}.subject", language, **values), "\n\n".join(part for part in parts if part))


@cache
def is_told(occasion: str) -> bool:
    """Whether there are words for this occasion."""
    return knows(f"messages.{occasion}.sms")
