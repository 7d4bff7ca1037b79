"""FHIR Subscriptions: a client asks to be told of what it may read, over a hook of its own.

Source: HL7 FHIR 4.0.1 Subscription; Subscriptions R5 Backport 1.1 (profiles for R4).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from safeweave import outbox
from safeweave.database import Transaction
from safeweave.errors import Conflict, Malformed, NotAllowed, NotFound
from safeweave.events import SubscriberDue
from safeweave.web.access import Role, Scope, Standing, role_that_may
from safeweave.web.api import clients
from safeweave.web.api.call import Answer, Call, Client, Endpoints, Parameter
from safeweave.web.api.problem import FHIR
from safeweave.web.notices import reaching, store, subscribers
from safeweave.web.notices.bundles import CONTENT, FILTER, HEARTBEAT, MOST, TIMEOUT, notification, resource, status
from safeweave.web.notices.store import Subscription
from safeweave.web.notices.topics import BY_CANONICAL, Topic
from safeweave.web.resources import fhir_id, own_id

endpoints = Endpoints()

MOST_OF_A_CLIENT = 20
MOST_HEADERS, LONGEST_HEADER = 5, 2000
MOST_EVENTS = 100
_HEADER = re.compile(r"(Authorization|X-[A-Za-z0-9-]{1,60}): ?[\x20-\x7e]{1,1900}", re.I)
_PAYLOADS: tuple[store.Payload, ...] = ("empty", "id-only", "full-resource")
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**53}


def _client(call: Call) -> Client:
    """The machine that calls. Raises NotAllowed for people, and for roles that are told of nothing."""
    account, client = call.asked.who, call.client
    scope: Scope = "sender" if account.role == "hospital" else "all"
    standing = Standing(account.role, frozenset({scope})) if client is not None else None  # type: ignore[arg-type]
    if client is None or standing is None or role_that_may("subscriptions.keep", [standing]) is None:
        raise NotAllowed("subscriptions.keep")
    return client


def _mine(call: Call, tx: Transaction) -> Subscription:
    client, id = _client(call), own_id(call.asked.place("id"))
    found = store.by_id(tx, [id]).get(id)
    if found is None or found.client != client.id or (found.state == "off" and found.reason == "deleted"):
        raise NotFound("there is no such subscription")
    return found


def _shown(tx: Transaction, each: Subscription) -> dict[str, Any]:
    state, why = subscribers.state_of(tx, each)
    return resource(_with(each, why), state)


def _with(each: Subscription, why: str) -> Subscription:
    return Subscription(**{name: getattr(each, name) for name in each.__struct_fields__} | {"reason": why})


@endpoints.post("/fhir/Subscription", "subscribe", scope="Subscription", kind=FHIR, status=201)
def subscribe(call: Call, tx: Transaction) -> Answer:
    """Ask to be told; a handshake follows, and with its answer it is active."""
    client = _client(call)
    if len(store.of_client(tx, client.id)) >= MOST_OF_A_CLIENT:
        raise Conflict(f"a client has {MOST_OF_A_CLIENT} subscriptions at most; delete one")
    asked = call.body(dict[str, Any])
    if asked.get("resourceType") != "Subscription":
        raise Malformed("it is no Subscription", field="resourceType")
    topic = BY_CANONICAL.get(_text(asked, "criteria"))
    if topic is None:
        raise Malformed(f"the topics are {', '.join(BY_CANONICAL)}", field="criteria")
    registered = clients.registered(tx, [client.id])[client.id]
    if not clients.allows(registered.scopes, topic.resource, False):
        raise Malformed(f"the client may not read {topic.resource}", field="criteria")
    id, channel = store.new_id(), _part(asked, "channel")
    site = call.asked.site
    endpoint = _text(channel, "endpoint")
    if _text(channel, "type") != "rest-hook":
        raise Malformed("only rest-hook is spoken", field="channel.type")
    if _text(channel, "payload") != "application/fhir+json":
        raise Malformed("only application/fhir+json is sent", field="channel.payload")
    reaching.check(endpoint, reaching.networks(site.settings.subscribers_private))
    payload = str(_extended(_part(channel, "_payload"), CONTENT, "valueCode", "id-only"))
    if payload not in _PAYLOADS:
        raise Malformed(f"the content is one of {', '.join(_PAYLOADS)}", field="channel.payload")
    new = Subscription(
        id, client.id, topic.name, _patient(call, tx, asked, topic), endpoint, payload,
        _number(channel, HEARTBEAT, "valueUnsignedInt", 0, 0, 7 * 24 * 3600),
        _number(channel, TIMEOUT, "valueUnsignedInt", 10, 1, 30),
        _number(channel, MOST, "valuePositiveInt", 20, 1, 100),
        subscribers.headers_sealed(site.rest, id, _headers(channel)), "requested", call.asked.now,
        _end(asked, call.asked.now), is_due=True,
    )  # fmt: skip
    if 0 < new.heartbeat < 10:
        raise Malformed("a heartbeat comes every 10 seconds at most", field="channel.extension")
    store.add(tx, new)
    call.asked.tell(tx, [SubscriberDue(id)])
    return Answer(_shown(tx, new), 201, f"/fhir/Subscription/{fhir_id(id)}")


@endpoints.get("/fhir/Subscription/{id}", "subscription", scope="Subscription", kind=FHIR)
def one(call: Call, tx: Transaction) -> Answer:
    """A subscription of this client."""
    return Answer(_shown(tx, _mine(call, tx)))


@endpoints.get("/fhir/Subscription", "subscriptions", scope="Subscription", kind=FHIR)
def every(call: Call, tx: Transaction) -> Answer:
    """All subscriptions of this client, the latest first."""
    found = store.of_client(tx, _client(call).id)
    made: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    if found:
        made["entry"] = [
            {"fullUrl": f"urn:safeweave:Subscription:{fhir_id(each.id)}", "resource": _shown(tx, each),
             "search": {"mode": "match"}} for each in found
        ]  # fmt: skip
    return Answer(made)


@endpoints.delete("/fhir/Subscription/{id}", "unsubscribe", scope="Subscription", kind=FHIR)
def unsubscribe(call: Call, tx: Transaction) -> Answer:
    """Be told nothing any more."""
    found = _mine(call, tx)
    store.turn_off(tx, found.id, "deleted")
    outbox.forget_parked(tx, subscribers.lane(found.id))
    issue = {"severity": "information", "code": "deleted", "diagnostics": fhir_id(found.id)}
    return Answer({"resourceType": "OperationOutcome", "issue": [issue]})


@endpoints.get("/fhir/Subscription/{id}/$status", "subscription_status", scope="Subscription", kind=FHIR)
def state(call: Call, tx: Transaction) -> Answer:
    """How a subscription stands, and up to which number there are events."""
    found = _mine(call, tx)
    now, why = subscribers.state_of(tx, found)
    told = status(_with(found, why), "query-status", now)
    entry = {"fullUrl": f"urn:safeweave:Subscription:{fhir_id(found.id)}", "resource": told,
             "search": {"mode": "match"}}  # fmt: skip
    return Answer({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]})


@endpoints.get(
    "/fhir/Subscription/{id}/$events", "subscription_events", scope="Subscription", kind=FHIR,
    query=(Parameter("eventsSinceNumber", _NUMBER), Parameter("eventsUntilNumber", _NUMBER)),
)  # fmt: skip
def events(call: Call, tx: Transaction) -> Answer:
    """Events of the last 30 days again, for a receiver that missed some; 100 at most at a time."""
    found = _mine(call, tx)
    since, until = _queried(call, "eventsSinceNumber", 1), _queried(call, "eventsUntilNumber", found.last_number)
    registered = clients.registered(tx, [found.client])[found.client]
    told = store.events(tx, found.id, max(since, 1) - 1, until, MOST_EVENTS)
    seen = subscribers.seen_by(tx, found, registered, told, call.asked.site.settings.company, call.asked.now)
    role: Role = registered.role  # type: ignore[assignment]
    if found.payload == "full-resource":
        for each in told:
            if each.thing in seen:
                call.asked.note_view(each.person, role, "subscriptions.keep", each.thing)
    state, why = subscribers.state_of(tx, found)
    return Answer(notification(_with(found, why), "query-event", state, call.asked.now, told, seen))


def _queried(call: Call, name: str, otherwise: int) -> int:
    text = call.asked.query(name)
    if not text:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise Malformed("it is a number", field=name)
    return int(text)


# ---------------------------------------------------------------- what is asked for


def _part(asked: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = asked.get(name, {})
    if not isinstance(found, dict):
        raise Malformed("it is an object", field=name)
    return found


def _text(asked: Mapping[str, Any], name: str) -> str:
    found = asked.get(name, "")
    if not isinstance(found, str):
        raise Malformed("it is a text", field=name)
    return found


def _extended(asked: Mapping[str, Any], url: str, name: str, otherwise: object) -> object:
    """The value of an extension."""
    every = asked.get("extension", [])
    for each in every if isinstance(every, list) else []:
        if isinstance(each, dict) and each.get("url") == url:
            return each.get(name, otherwise)
    return otherwise


def _number(channel: Mapping[str, Any], url: str, name: str, otherwise: int, least: int, most: int) -> int:
    found = _extended(channel, url, name, otherwise)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise Malformed(f"it is a number from {least} to {most}", field=url.rpartition("/")[2])
    return found


def _headers(channel: Mapping[str, Any]) -> list[str]:
    found = channel.get("header", [])
    if not isinstance(found, list) or len(found) > MOST_HEADERS:
        raise Malformed(f"a list of {MOST_HEADERS} at most", field="channel.header")
    if not all(isinstance(each, str) and _HEADER.fullmatch(each) for each in found):
        raise Malformed('each is "Authorization: …" or "X-…: …", in ASCII', field="channel.header")
    return found


def _patient(call: Call, tx: Transaction, asked: Mapping[str, Any], topic: Topic) -> str:
    """The one person it is about; "" for everybody the client may read of."""
    text = str(_extended(_part(asked, "_criteria"), FILTER, "valueString", ""))
    if not text:
        return ""
    kind, _, query = text.partition("?")
    name, _, value = query.partition("=")
    if (kind, name) != (topic.resource, "patient") or not value or "&" in value:
        raise Malformed(f"the filter is {topic.resource}?patient=person-…", field="criteria")
    value = value.rpartition("|")[2].rpartition("/")[2]
    return call.asked.someone(tx, own_id(value) if "_" not in value else value).id


def _end(asked: Mapping[str, Any], now: datetime) -> datetime | None:
    text = _text(asked, "end")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        ends = found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        ends = None
    if ends is None or ends <= now:
        raise Malformed("it is an instant to come, with its zone", field="end")
    return ends
