"""Calls those who asked to be told: one call at a time for each subscription, in order, until it is taken.

What is sent next is read when the call is made, so nothing waits in memory and nothing is skipped: a call that had no
answer is made again with at least the same events. A receiver may so hear of one twice, and knows it by its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from safeweave import outbox
from safeweave.adjudication import store as determinations
from safeweave.cases import store as case_store
from safeweave.clock import Clock
from safeweave.consents import ConsentId, consents_by_id, state_at
from safeweave.consents import fhir as consent_fhir
from safeweave.database import Transaction
from safeweave.errors import Unavailable
from safeweave.events import Event, SubscriberDue, SubscriberTold
from safeweave.facts import Fact
from safeweave.ids import CaseId, DeterminationId, PersonId
from safeweave.keys.resting import Rest
from safeweave.settings import Settings
from safeweave.web.access import STAFF, Role, stage_for
from safeweave.web.api import clients
from safeweave.web.audit import View, note_views
from safeweave.web.notices import hearing, reaching, store
from safeweave.web.notices.bundles import Kind, notification
from safeweave.web.notices.reading import person_of, role_that_reads, sender_of
from safeweave.web.notices.store import Happened, Subscription
from safeweave.web.notices.topics import TOPICS, Topic
from safeweave.web.resources import claim_response, explanation, task

_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode
NOTHING = ""  # the kind of a call that need not be made any more


class Notification(Fact, frozen=True):
    """One call to be made."""

    subscription: str
    endpoint: str
    kind: str
    up_to: int
    headers: dict[str, str]
    content: bytes
    seconds: int


def lane(subscription: str) -> str:
    """Where the calls for a subscription stand in the outbox."""
    return f"subscriber/{subscription}"


def headers_sealed(rest: Rest, id: str, headers: Sequence[str]) -> str:
    """The client's own headers as they are kept."""
    return msgspec.json.encode(rest.lock(id, msgspec.json.encode(list(headers)))).decode() if headers else ""


@dataclass
class Subscribers:
    """Those who asked to be told."""

    settings: Settings
    rest: Rest
    clock: Clock

    @cached_property
    def private(self) -> tuple[reaching.Network, ...]:
        """The private networks in which subscribers may be."""
        return reaching.networks(self.settings.subscribers_private)

    def hear(self, tx: Transaction, now: datetime) -> list[Event]:
        """What happened since the last look; this is a timer."""
        return hearing.hear(tx, now)

    # ------------------------------------------------------------ calling

    def load(self, due: Sequence[SubscriberDue], tx: Transaction) -> list[Notification]:
        """What each is to be sent now."""
        known = store.by_id(tx, [event.subscription for event in due])
        return [self._next(tx, known[event.subscription]) for event in due]

    def _next(self, tx: Transaction, each: Subscription) -> Notification:
        client = clients.registered(tx, [each.client]).get(each.client)
        if each.state == "off" or client is None:
            return Notification(each.id, "", NOTHING, 0, {}, b"", 0)
        kind: Kind = "handshake" if each.state == "requested" else "heartbeat"
        found: list[Happened] = []
        if each.state == "active" and each.taken < each.last_number:
            kind = "event-notification"
            found = store.events(tx, each.id, each.taken, each.last_number, each.most)
        now = self.clock()
        seen = seen_by(tx, each, client, found, self.settings.company, now)
        up_to = found[-1].number if found else each.taken
        headers = {"content-type": "application/fhir+json", "idempotency-key": f"{each.id}/{kind}/{up_to}"}
        if each.headers:
            pieces = msgspec.json.decode(each.headers, type=list[bytes])
            own = msgspec.json.decode(self.rest.unlock(each.id, pieces), type=list[str])
            headers |= {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in own)}
        state = "requested" if kind == "handshake" else "active"
        content = _encode(notification(each, kind, state, now, found, seen))
        return Notification(each.id, each.endpoint, kind, up_to, headers, content, each.timeout)

    def call(self, asked: Sequence[Notification], now: datetime) -> list[Event]:
        """Send these, in order. Raises Unavailable if it may be taken later, Refused if never."""
        for each in asked:
            if each.kind != NOTHING:
                reaching.post(each.endpoint, each.headers, each.content, each.seconds, self.private)
        return [SubscriberTold(each.subscription, each.kind, each.up_to) for each in asked]

    def note(self, told: Sequence[SubscriberTold], tx: Transaction, now: datetime) -> list[Event]:
        """Go on behind what was taken."""
        due: list[Event] = []
        for event in told:
            if event.kind == NOTHING:
                store.rests(tx, event.subscription)
                continue
            before = store.by_id(tx, [event.subscription])[event.subscription]
            if store.note_taken(tx, event.subscription, event.up_to, now):
                due.append(SubscriberDue(event.subscription))
            if before.payload == "full-resource":
                self._note_views(tx, before, event.up_to, now)
        return due

    def _note_views(self, tx: Transaction, each: Subscription, up_to: int, now: datetime) -> None:
        """What a client was sent, it has looked at."""
        client = clients.registered(tx, [each.client]).get(each.client)
        if client is None:
            return
        role: Role = client.role  # type: ignore[assignment]
        action = _action(TOPICS[each.topic], role)
        note_views(tx, [
            View(PersonId(one.person), client.account, role, action, one.thing, now)
            for one in store.events(tx, each.id, each.taken, up_to, each.most)
        ])  # fmt: skip


def _action(topic: Topic, role: str) -> str:
    return topic.hospitals if role == "hospital" else topic.action


def state_of(tx: Transaction, each: Subscription) -> tuple[str, str]:
    """How a subscription stands (FHIR R4 SubscriptionStatus), and what is wrong with it."""
    if each.state == "off":
        return "off", each.reason
    if why := outbox.parked_in(tx, lane(each.id)):
        return "error", why
    circuit = outbox.circuit(tx, lane(each.id))
    return each.state, circuit.error if circuit.failures else ""


def seen_by(
    tx: Transaction, each: Subscription, client: clients.Registered, events: Sequence[Happened], company: str,
    now: datetime,
) -> dict[str, Any]:  # fmt: skip
    """What of these events the client may still read: the resource by thing, or None where only ids are wanted."""
    topic, seen = TOPICS[each.topic], dict[str, Any]()
    if each.payload == "empty":
        return seen
    for event in events:
        person = person_of(tx, event.person)
        sender = sender_of(tx, _case_of(tx, topic, event.thing))
        role = role_that_reads(tx, client, topic, person, event.thing, sender, now) if person is not None else None
        if role is not None:
            seen[event.thing] = _resource(tx, topic, event.thing, company, role, now) if (
                each.payload == "full-resource"
            ) else None  # fmt: skip
    return seen


def _case_of(tx: Transaction, topic: Topic, thing: str) -> str:
    if topic.resource == "Task":
        return thing
    if topic.resource == "Consent":
        return ""
    found = determinations.by_id(tx, [DeterminationId(thing)]).get(DeterminationId(thing))
    return found.case if found else ""


def _resource(tx: Transaction, topic: Topic, thing: str, company: str, role: Role, now: datetime) -> dict[str, Any]:
    if topic.resource == "Task":
        head = case_store.heads(tx, [CaseId(thing)])[CaseId(thing)]
        return task(head, stage_for(head.stage, role in STAFF))
    if topic.resource == "Consent":
        kept = consents_by_id(tx, [ConsentId(thing)])[ConsentId(thing)]
        person = person_of(tx, kept.consent.person)
        if person is None:
            raise Unavailable(f"the person of {thing} is not there")
        return consent_fhir.write(kept, state_at(kept, person, now))
    decided = determinations.by_id(tx, [DeterminationId(thing)])[DeterminationId(thing)]
    return claim_response(decided, company) if topic.resource == "ClaimResponse" else explanation(decided, company)
