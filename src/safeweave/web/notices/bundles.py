"""What a subscriber is sent: a Bundle that begins with the state of its subscription.

Source: Subscriptions R5 Backport 1.1, R4 profiles: backport-subscription-status-r4 as a Parameters resource.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from safeweave.web.notices.store import Happened, Subscription
from safeweave.web.notices.topics import TOPICS
from safeweave.web.resources import fhir_id, instant, patient

Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

IG = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
_STATUS, _NOTIFIED = f"{IG}/backport-subscription-status-r4", f"{IG}/backport-subscription-notification-r4"
CONTENT, HEARTBEAT = f"{IG}/backport-payload-content", f"{IG}/backport-heartbeat-period"
TIMEOUT, MOST, FILTER = f"{IG}/backport-timeout", f"{IG}/backport-max-count", f"{IG}/backport-filter-criteria"


def status(
    each: Subscription, kind: Kind, state: str, events: Sequence[Happened] = (), seen: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The state of a subscription, with these events; one that is not among `seen` may not be pointed at."""
    topic = TOPICS[each.topic]
    parts: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": f"Subscription/{fhir_id(each.id)}"}},
        {"name": "topic", "valueCanonical": topic.canonical},
        {"name": "status", "valueCode": state},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(each.last_number)},
    ]
    for event in events:
        part: list[dict[str, Any]] = [
            {"name": "event-number", "valueString": str(event.number)},
            {"name": "timestamp", "valueInstant": instant(event.at)},
        ]
        if each.payload != "empty" and event.thing in (seen or {}):
            part.append({"name": "focus", "valueReference": {"reference": f"{topic.resource}/{fhir_id(event.thing)}"}})
        parts.append({"name": "notification-event", "part": part})
    if each.reason:
        parts.append({"name": "error", "valueCodeableConcept": {"text": each.reason}})
    return {"resourceType": "Parameters", "id": fhir_id(each.id), "meta": {"profile": [_STATUS]}, "parameter": parts}


def notification(
    each: Subscription, kind: Kind, state: str, now: datetime, events: Sequence[Happened], seen: Mapping[str, Any]
) -> dict[str, Any]:
    """A notification; `seen` holds what may be read by thing: the resource, or None where only its id is sent."""
    id, topic = fhir_id(each.id), TOPICS[each.topic]
    entries: list[dict[str, Any]] = [{
        "fullUrl": uuid.uuid5(uuid.NAMESPACE_URL, id).urn,
        "resource": status(each, kind, state, events, seen),
        "request": {"method": "GET", "url": f"Subscription/{id}/$status"},
        "response": {"status": "200"},
    }]  # fmt: skip
    things = dict.fromkeys(event.thing for event in events if each.payload != "empty" and event.thing in seen)
    for thing in things:
        resource = seen[thing]
        entries.append({
            "fullUrl": f"urn:safeweave:{topic.resource}:{fhir_id(thing)}",
            **({"resource": resource} if resource is not None else {}),
            "request": {"method": "GET", "url": f"{topic.resource}/{fhir_id(thing)}"},
            "response": {"status": "200"},
        })  # fmt: skip
    return {
        "resourceType": "Bundle", "type": "history", "meta": {"profile": [_NOTIFIED]},
        "timestamp": instant(now), "entry": entries,
    }  # fmt: skip


def resource(each: Subscription, state: str) -> dict[str, Any]:
    """The subscription itself. The headers that go with each call are kept encrypted and never shown again."""
    channel: dict[str, Any] = {
        "extension": [
            {"url": TIMEOUT, "valueUnsignedInt": each.timeout}, {"url": MOST, "valuePositiveInt": each.most},
            *([{"url": HEARTBEAT, "valueUnsignedInt": each.heartbeat}] if each.heartbeat else []),
        ],
        "type": "rest-hook", "endpoint": each.endpoint, "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": CONTENT, "valueCode": each.payload}]},
    }  # fmt: skip
    topic = TOPICS[each.topic]
    made: dict[str, Any] = {
        "resourceType": "Subscription", "id": fhir_id(each.id), "meta": {"profile": [f"{IG}/backport-subscription"]},
        "status": state, "reason": "told to a registered client", "criteria": topic.canonical, "channel": channel,
    }  # fmt: skip
    if each.patient:
        asked = f"{topic.resource}?patient={patient(each.patient)['identifier']['value']}"
        made["_criteria"] = {"extension": [{"url": FILTER, "valueString": asked}]}
    if each.ends_at is not None:
        made["end"] = instant(each.ends_at)
    if each.reason:
        made["error"] = each.reason
    return made
