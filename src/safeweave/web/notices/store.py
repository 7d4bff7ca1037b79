"""Subscriptions, what each is to be told, and how far the store was followed, as rows."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from safeweave import ids
from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.facts import Fact
from safeweave.web.following import Followed
from safeweave.web.live import latest

Payload = Literal["empty", "id-only", "full-resource"]
State = Literal["requested", "active", "off"]

KEPT = timedelta(days=30)  # how long events that were taken are kept, to be asked for again with $events
STEPS, STEPS_AGAIN, CONSENTS = "steps", "steps again", "consents"


class Subscription(Fact, frozen=True):
    """What a client asked to be told, and how far it has been told."""

    id: str
    client: str
    topic: str
    patient: str
    endpoint: str
    payload: Payload
    heartbeat: int  # seconds; 0: none
    timeout: int  # seconds for one call
    most: int  # events in one call
    headers: str  # what the client wants sent along, encrypted
    state: State
    made_at: datetime
    ends_at: datetime | None = None
    last_number: int = 0
    taken: int = 0
    is_due: bool = False  # a call stands in the outbox
    told_at: datetime | None = None
    reason: str = ""


class Happened(Fact, frozen=True):
    """One event of a subscription. `source` is what it was made of, so that it is told once."""

    number: int
    source: str
    thing: str
    person: str
    at: datetime


_COLUMNS = (
    "id, client, topic, patient, endpoint, payload, heartbeat, timeout, most, headers, state, made_at, ends_at,"
    " last_number, taken, is_due, told_at, reason"
)


def _subscription(row: Row) -> Subscription:
    id, client, topic, patient, endpoint, payload, heartbeat, timeout, most, headers, state, made, ends, *rest = row
    last, taken, due, told, reason = rest
    return Subscription(
        id, client, topic, patient, endpoint, payload, heartbeat, timeout, most, headers, state, at_of(made),
        ends and at_of(ends), last, taken, bool(due), told and at_of(told), reason,
    )  # fmt: skip


def new_id() -> str:
    """The id of a new subscription."""
    return ids.fresh("subscription")


def add(tx: Transaction, new: Subscription) -> None:
    """Keep a new subscription. What happens from now on is followed for it."""
    if not tx.row("select 1 from subscription where state <> 'off' limit 1"):
        steps = latest(tx).steps
        note_steps_followed(tx, Followed(steps, steps, steps))
        note_place(tx, CONSENTS, at_text(new.made_at))
    tx.run(
        f"insert into subscription ({_COLUMNS}) values ({', '.join('?' * 18)})",
        (
            new.id, new.client, new.topic, new.patient, new.endpoint, new.payload, new.heartbeat, new.timeout, new.most,
            new.headers, new.state, at_text(new.made_at), new.ends_at and at_text(new.ends_at), new.last_number,
            new.taken, int(new.is_due), None, new.reason,
        ),
    )  # fmt: skip


def open_ones(tx: Transaction) -> list[Subscription]:
    """Everything that is not off."""
    return [_subscription(row) for row in tx.rows(f"select {_COLUMNS} from subscription where state <> 'off'")]


def by_id(tx: Transaction, asked: Collection[str]) -> dict[str, Subscription]:
    """These subscriptions by id."""
    rows = tx.rows(f"select {_COLUMNS} from subscription where id in ?", (sorted(set(asked)),))
    return {row[0]: _subscription(row) for row in rows}


def of_client(tx: Transaction, client: str) -> list[Subscription]:
    """What a client has asked for and not taken back, the latest first."""
    rows = tx.rows(
        f"select {_COLUMNS} from subscription where client = ? and state <> 'off' order by made_at desc, id", (client,)
    )
    return [_subscription(row) for row in rows]


def turn_off(tx: Transaction, id: str, reason: str) -> None:
    """Nothing more is told, and what was to be told is forgotten."""
    tx.run("update subscription set state = 'off', reason = ?, headers = '' where id = ?", (reason, id))
    tx.run("delete from subscription_event where subscription = ?", (id,))


def make_due(tx: Transaction, id: str) -> bool:
    """Note that a call is put in the outbox; False if one stands there."""
    return bool(tx.run("update subscription set is_due = 1 where id = ? and is_due = 0 and state <> 'off'", (id,)))


def note_taken(tx: Transaction, id: str, up_to: int, now: datetime) -> bool:
    """The subscriber has heard everything up to this number; whether there is more. Old events are forgotten."""
    tx.run(
        "update subscription set state = 'active', told_at = ?, taken = case when taken < ? then ? else taken end"
        " where id = ? and state <> 'off'",
        (at_text(now), up_to, up_to, id),
    )
    tx.run(
        "delete from subscription_event where subscription = ? and number <= ? and happened_at < ?",
        (id, up_to, at_text(now - KEPT)),
    )
    return bool(
        tx.run("update subscription set is_due = 0 where id = ? and (taken >= last_number or state = 'off')", (id,))
        == 0
    )


def rests(tx: Transaction, id: str) -> None:
    """No call stands in the outbox, and none was made."""
    tx.run("update subscription set is_due = 0 where id = ?", (id,))


# ---------------------------------------------------------------- events


def add_events(tx: Transaction, subscription: Subscription, new: Sequence[Happened]) -> Subscription:
    """The subscription with those of these that it does not have yet, numbered on."""
    if not new:
        return subscription
    known = {
        source
        for (source,) in tx.rows(
            "select source from subscription_event where subscription = ? and source in ?",
            (subscription.id, sorted({each.source for each in new})),
        )
    }
    number, rows = subscription.last_number, []
    for each in new:
        if each.source not in known:
            known.add(each.source)
            number += 1
            rows.append((subscription.id, number, each.source, each.thing, each.person, at_text(each.at)))
    tx.run_many(
        "insert into subscription_event (subscription, number, source, thing, person, happened_at)"
        " values (?, ?, ?, ?, ?, ?)",
        rows,
    )
    tx.run("update subscription set last_number = ? where id = ?", (number, subscription.id))
    return msgspec.structs.replace(subscription, last_number=number)


def events(tx: Transaction, subscription: str, after: int, up_to: int, limit: int) -> list[Happened]:
    """The events of a subscription with these numbers, in order."""
    return [
        Happened(number, source, thing, person, at_of(at))
        for number, source, thing, person, at in tx.rows(
            "select number, source, thing, person, happened_at from subscription_event"
            " where subscription = ? and number > ? and number <= ? order by number limit ?",
            (subscription, after, up_to, limit),
        )
    ]


# ---------------------------------------------------------------- how far the store was followed


def place(tx: Transaction, what: str) -> str:
    """Up to where these were followed."""
    row = tx.row("select place from subscription_place where what = ?", (what,))
    return str(row[0]) if row else ""


def note_place(tx: Transaction, what: str, place: str) -> None:
    """They were followed up to here."""
    tx.run(_NOTE_PLACE, (what, place))


_NOTE_PLACE = (
    "insert into subscription_place (what, place) values (?, ?) on conflict (what) do update set place = excluded.place"
)


def steps_followed(tx: Transaction) -> Followed:
    """How far the steps of cases were followed."""
    found: dict[str, str] = dict(
        tx.rows("select what, place from subscription_place where what in ?", ([STEPS, STEPS_AGAIN],))
    )
    place = int(found.get(STEPS) or 0)
    sure, again, mark = map(int, (found.get(STEPS_AGAIN) or f"{place} {place} 0").split())
    return Followed(place, sure, again, mark)


def note_steps_followed(tx: Transaction, followed: Followed) -> None:
    """They were followed so far."""
    place, *again = map(str, followed)
    tx.run_many(_NOTE_PLACE, [(STEPS, place), (STEPS_AGAIN, " ".join(again))])
