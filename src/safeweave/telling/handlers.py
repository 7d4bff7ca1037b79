"""Tells people what changed: a letter, and one message per channel for each change, written with the change itself."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from safeweave import cases, payments, people
from safeweave.cases.case import CaseHead
from safeweave.clock import shanghai_day
from safeweave.consents.consent import GIVES_ITSELF
from safeweave.database import Transaction
from safeweave.errors import Unavailable
from safeweave.events import (
    CaseMoved,
    CaseOpened,
    CaseReferred,
    ClaimChosen,
    ClockDue,
    ConsentEnded,
    DeterminationMade,
    Event,
    MessageDelivered,
    MessageTold,
    MessageUndeliverable,
    PayoutConfirmed,
    PayoutRefused,
    PayoutReturned,
    RecoveryOpened,
)
from safeweave.ids import CaseId, PersonId
from safeweave.money import yuan_shown
from safeweave.people import Person, age_on
from safeweave.people.person import OF_AGE
from safeweave.settings import Settings
from safeweave.telling import letters, store
from safeweave.telling.channels import Channel, Mailbox, Outcome, SmsGateway, Smtp, WeChat
from safeweave.telling.letter import Contacts, Named, kind_of
from safeweave.telling.message import DESK, Change, Message, Recipient, Wording, is_told, message_id, messages
from safeweave.words import say
from safeweave.worker import Later, Outside, Told, tell

log = logging.getLogger("safeweave.telling")

AGAIN_AFTER = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=2)
GIVEN_UP_AFTER = timedelta(days=5)  # RFC 5321 §4.5.4.1


@dataclass
class Post:
    """Writes letters and messages, and hands the messages to their channels."""

    channels: Mapping[str, Channel]
    contacts: Contacts = field(default_factory=Contacts)
    deliver: Outside = field(init=False)
    _kept: set[Wording] = field(default_factory=set)  # words that surely stand in the store

    def __post_init__(self) -> None:
        self.deliver = Outside("post", self._load, self._send, "channel", self.channels)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Post":
        """The post of a node: servers where they are set up, else mailboxes below its home. Malformed if a URL is."""
        outbox = settings.home / "outbox"
        channels: dict[str, Channel] = {name: Mailbox(outbox / f"{name}.jsonl") for name in ("sms", "email", "wechat")}
        if settings.sms_url:
            channels["sms"] = SmsGateway(settings.sms_url)
        if settings.smtp_url:
            channels["email"] = Smtp(settings.smtp_url, settings.mail_from, settings.company)
        if settings.wechat_url:
            channels["wechat"] = WeChat(settings.wechat_url, settings.wechat_template)
        return cls(channels, Contacts(insurer=Named(settings.company, settings.company_en), phone=settings.phone))

    # ------------------------------------------------------------ telling

    def tell(self, events: Sequence[Event], tx: Transaction, now: datetime) -> list[Event]:
        """The messages about these events, and the letters of determinations and referrals; nothing twice."""
        today = shanghai_day(now)
        files = cases.heads(tx, [event.case for event in events])  # type: ignore[attr-defined]
        wards = {file.person for file in files.values()}
        persons = people.known_people(tx, wards)
        self._write_letters(events, tx, persons, now)
        changes = self._changes(events, tx, today)
        recipients = _recipients(tx, persons, today)
        written: list[Message] = []
        for change in changes:
            to = recipients.get(files[change.case].person) if change.case in files else None
            if to is not None:
                written += messages(change, to, self.contacts, now)
        return [MessageTold(message.id, message.channel) for message in self._written(tx, written)]

    def ask(self, tx: Transaction, case: CaseHead, wanted: str, now: datetime) -> None:
        """Ask the insured, once, for what is missing (保险法 22)."""
        to = self._recipient(tx, case, now)
        if to is not None:
            key = f"asked:{case.id}:{shanghai_day(now)}"
            self._put(tx, Change(key, case.id, "asked", wanted=wanted), to, now)

    def tell_of_agent(self, tx: Transaction, case: CaseHead, id: str, agent: str, did: str, now: datetime) -> None:
        """Tell the insured what an agent did for them; `did` is a key of portal.did, `id` that of the act."""
        to = self._recipient(tx, case, now)
        if to is not None:
            words = say(f"portal.did.{did}", to.language, agent=agent)
            self._put(tx, Change(f"agent:{id}", case.id, "agent_acted", wanted=words), to, now)

    def _recipient(self, tx: Transaction, case: CaseHead, now: datetime) -> Recipient | None:
        known = people.people_by_id(tx, [case.person])
        return _recipients(tx, known, shanghai_day(now)).get(case.person)

    def _put(self, tx: Transaction, change: Change, to: Recipient, now: datetime) -> None:
        told = self._written(tx, messages(change, to, self.contacts, now))
        tell(tx, [MessageTold(message.id, message.channel) for message in told], now)

    def _written(self, tx: Transaction, told: Sequence[Message]) -> list[Message]:
        """Those that were not told before, now in the outbox, with the words they need."""
        new = store.add_messages(tx, told)
        wordings = {message.wording for message in new if message.wording not in self._kept}
        if wordings:
            store.add_wordings(tx, wordings)
            tx.committed.append(lambda: self._kept.update(wordings))
        return new

    def warn(self, due: Sequence[ClockDue], tx: Transaction, now: datetime) -> list[Event]:
        """Tell the claims desk that clocks have reached their marks."""
        alarms = []
        for event in due:
            key = f"clock:{event.case}:{event.clock}:{event.percent}:{shanghai_day(now)}"
            text = say(f"messages.clock.{event.clock}", "zh", case=event.case, percent=event.percent)
            log.warning("clock %s of case %s has reached %d %%", event.clock, event.case, event.percent)
            alarms.append(
                Message(
                    message_id(key, DESK, event.case), key, DESK, PersonId(""), event.case, f"clock.{event.clock}",
                    "zh", "", Wording("", text), "", now,
                )
            )  # fmt: skip
        store.note_delivered(tx, [(message.id, "") for message in store.add_messages(tx, alarms)], now)
        return []

    def _write_letters(
        self, events: Sequence[Event], tx: Transaction, persons: dict[PersonId, Person], now: datetime
    ) -> None:
        made = [event for event in events if isinstance(event, DeterminationMade)]
        if made:
            letters.write_letters(tx, made, persons, self.contacts, now)
        referred = [event for event in events if isinstance(event, CaseReferred)]
        if referred:
            letters.write_referral_letters(tx, referred, persons, self.contacts, now)

    def _changes(self, events: Sequence[Event], tx: Transaction, today: date) -> list[Change]:
        last4 = _accounts(events, tx)
        found = (_CHANGES[type(event)](event, last4.get(_subject(event), ""), today) for event in events)
        return [change for change in found if change is not None and is_told(change.occasion)]

    # ------------------------------------------------------------ delivering

    def _load(self, events: Sequence[MessageTold], tx: Transaction) -> list[Message | None]:
        waiting = store.waiting_messages(tx, [event.message for event in events])
        return [waiting.get(event.message) for event in events]

    def _send(self, requests: Sequence[Message], now: datetime) -> Told:
        """Deliver, channel by channel, so that a silent one keeps nobody else waiting.

        Raises Unavailable if none of the channels answers.
        """
        outcomes: list[tuple[Message, Outcome]] = []
        for name in dict.fromkeys(message.channel for message in requests):
            part = [message for message in requests if message.channel == name]
            outcomes += zip(part, self.channels[name].deliver(part), strict=True)
        if outcomes and all(outcome.again for _, outcome in outcomes):
            raise Unavailable("no channel takes messages")
        return [told for message, outcome in outcomes if (told := _told(message, outcome, now)) is not None]

    def note_delivered(self, delivered: Sequence[MessageDelivered], tx: Transaction, now: datetime) -> list[Event]:
        """Remember the receipts of channels that give one; a refusal that arrived is told in time (保险法 24)."""
        store.note_delivered(tx, [(event.message, event.receipt) for event in delivered], now)
        refused = store.cases_told(tx, [event.message for event in delivered], "refused")
        cases.note_refusals_told(tx, refused, now)
        return []

    def note_undeliverable(self, failed: Sequence[MessageUndeliverable], tx: Transaction, now: datetime) -> list[Event]:
        """Remember which messages reach nobody; the other channels have been told the same."""
        store.note_faults(tx, [(event.message, event.fault) for event in failed])
        return []


def _told(message: Message, outcome: Outcome, now: datetime) -> Event | Later | None:
    if outcome.again:
        return Later(MessageTold(message.id, message.channel), now + AGAIN_AFTER)
    if outcome.deferred:
        age = now - message.told_at
        if age > GIVEN_UP_AFTER:
            why = f"{outcome.deferred}, given up after {GIVEN_UP_AFTER.days} days"
            return MessageUndeliverable(message.id, message.channel, why)
        return Later(MessageTold(message.id, message.channel), now + min(max(age, AGAIN_AFTER), LONGEST_WAIT))
    if outcome.fault:
        return MessageUndeliverable(message.id, message.channel, outcome.fault)
    # Of most messages only a receipt is worth noting; of a refusal, that it was told within its three days.
    is_noted = outcome.receipt or message.occasion == "refused"
    return MessageDelivered(message.id, message.channel, outcome.receipt) if is_noted else None


# ---------------------------------------------------------------- which event is which change


def _determined(event: DeterminationMade, last4: str, today: date) -> Change | None:
    kind = kind_of(event.decision, event.payable, event.adjustment)
    if kind == "recovery":
        return None  # RecoveryOpened tells it
    if kind == "referred":
        return _referred(event, last4, today)
    amount = event.payable if event.adjustment is None else event.adjustment
    letter = letters.letter_id(event.determination)
    occasion = "account_needed" if kind in ("paid", "supplement") and not last4 else kind
    return Change(f"{kind}:{event.determination}", event.case, occasion, yuan_shown(amount), last4, letter)


def _referred(event: CaseReferred | DeterminationMade, last4: str, today: date) -> Change:
    """Several policies may refer one case on one day: that is one change for the person."""
    return Change(f"referred:{event.case}:{today}", event.case, "referred")


def _opened(event: CaseOpened, last4: str, today: date) -> Change:
    return Change(f"opened:{event.case}", event.case, "opened")


def _moved(event: CaseMoved, last4: str, today: date) -> Change:
    return Change(f"{event.stage}:{event.case}:{today}", event.case, event.stage)


def _recovery(event: RecoveryOpened, last4: str, today: date) -> Change:
    letter = letters.letter_id(event.determination)
    return Change(f"recovery:{event.determination}", event.case, "recovery", yuan_shown(event.amount), letter=letter)


def _arrived(event: PayoutConfirmed, last4: str, today: date) -> Change:
    return Change(f"arrived:{event.payout}", event.case, "arrived", yuan_shown(event.amount), last4)


def _account_wrong(event: PayoutRefused | PayoutReturned, last4: str, today: date) -> Change:
    return Change(f"account_wrong:{event.payout}", event.case, "account_wrong", last4=last4)


def _consent_ended(event: ConsentEnded, last4: str, today: date) -> Change:
    """A claim may live on several consents; that it waits for a choice is told once a day."""
    return Change(f"consent_{event.ending}:{event.case}:{today}", event.case, f"consent_{event.ending}")


def _chosen(event: ClaimChosen, last4: str, today: date) -> Change:
    return Change(f"claim_{event.choice}:{event.case}:{today}", event.case, f"claim_{event.choice}")


_CHANGES: dict[type[Event], Callable[[Any, str, date], Change | None]] = {
    CaseOpened: _opened,
    CaseMoved: _moved,  # a stage without words in messages.toml is not told
    CaseReferred: _referred,
    DeterminationMade: _determined,
    RecoveryOpened: _recovery,
    ConsentEnded: _consent_ended,  # of the dead nobody is told by machine
    ClaimChosen: _chosen,
    PayoutConfirmed: _arrived,
    PayoutRefused: _account_wrong,
    PayoutReturned: _account_wrong,
}


# ---------------------------------------------------------------- whom


def _recipients(tx: Transaction, persons: Mapping[PersonId, Person], today: date) -> dict[PersonId, Recipient]:
    """Who is told about each person: the person, or the guardian of a child under 14 (个人信息保护法 31).

    From the 14th birthday on it is the person, unless no way to reach it is known: then the guardian must hear of it.
    Nobody is told by machine about somebody who has died; a person calls the family.
    """
    guardian_of = {
        person.id: guardian
        for person in persons.values()
        if _speaks_through_another(person, today) and (guardian := person.guardian_on(today))
    }
    guardians = people.people_by_id(tx, set(guardian_of.values()))
    found = {}
    for asked, person in persons.items():
        to = guardians.get(guardian_of[person.id], person) if person.id in guardian_of else person
        if person.died_on is None and to.died_on is None:
            found[asked] = Recipient(to.id, to.name, to.language, to.phone, to.email, to.wechat)
    return found


def _speaks_through_another(person: Person, today: date) -> bool:
    if person.birth is None:
        return False
    age = age_on(person.birth, today)
    return age < GIVES_ITSELF or (age < OF_AGE and not (person.phone or person.email or person.wechat))


def _subject(event: Event) -> str:
    return getattr(event, "payout", "") or getattr(event, "determination", "")


def _accounts(events: Iterable[Event], tx: Transaction) -> dict[str, str]:
    """The last four digits of the account each determination or payout pays into, as far as known."""
    made = [event for event in events if isinstance(event, DeterminationMade) and event.decision == "pay"]
    known = cases.payees(tx, [(event.policy, event.person, event.payee) for event in made])
    found: dict[str, str] = {
        event.determination: payee.account[-4:]
        for event in made
        if (payee := known.get((event.policy, event.person, event.payee)))
    }
    paid: list[CaseId] = [
        event.case for event in events if isinstance(event, PayoutConfirmed | PayoutRefused | PayoutReturned)
    ]
    accounts = payments.payouts_of(tx, paid) if paid else []
    return found | {payout.id: payout.account[-4:] for payout in accounts}
