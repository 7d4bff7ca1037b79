"""What happened since the last look, from what is committed anyway: no claim waits for those who want to be told.

This is a timer; of all workers over a store one looks. On a shared store a transaction may commit after others that
took higher numbers, so what was looked at is looked at again (`following.py`); an event is known by what it was made of
and counts once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from safeweave import consents
from safeweave.cases import store as case_store
from safeweave.consents import ConsentId
from safeweave.database import Transaction, at_of, at_text
from safeweave.events import Event, SubscriberDue
from safeweave.ids import CaseId
from safeweave.web.api import clients
from safeweave.web.notices import store
from safeweave.web.notices.reading import person_of, role_that_reads
from safeweave.web.notices.store import CONSENTS, KEPT, Happened, Subscription
from safeweave.web.notices.topics import TOPICS

MOST_STEPS = 1000  # at one look
LATE_STEPS = 200  # numbers that are looked at again at every look, as most of what is late is late by little
LATE = timedelta(minutes=1)  # the same for what has a time and no number


class Heard(NamedTuple):
    """Something that happened."""

    topic: str
    source: str
    thing: str
    person: str
    sender: str
    at: datetime


def hear(tx: Transaction, now: datetime) -> list[Event]:
    """Number what happened for everybody who asked, and have those called who are to hear something."""
    asked = store.open_ones(tx)
    if not asked:
        return []
    registered = clients.registered(tx, {each.client for each in asked})
    heard = [*_of_cases(tx, now), *_of_consents(tx, now)]
    due: list[Event] = []
    for each in asked:
        client = registered.get(each.client)
        over = _over(each, now) if client is not None else "the client is closed"
        if client is None or over:
            store.turn_off(tx, each.id, over)
            continue
        mine = [one for one in heard if _concerns(tx, each, one) and role_that_reads(
            tx, client, TOPICS[each.topic], person_of(tx, one.person), one.thing, one.sender, now)]  # type: ignore[arg-type]  # fmt: skip
        found = store.add_events(
            tx, each, [Happened(0, one.source, one.thing, one.person, one.at) for one in mine]
        )  # fmt: skip
        if _wants_a_call(found, now) and store.make_due(tx, each.id):
            due.append(SubscriberDue(each.id))
    return due


def _over(each: Subscription, now: datetime) -> str:
    if each.ends_at is not None and each.ends_at <= now:
        return "it has ended"
    if each.taken < each.last_number and (each.told_at or each.made_at) + KEPT <= now:
        return f"nobody took anything for {KEPT.days} days"
    return ""


def _wants_a_call(each: Subscription, now: datetime) -> bool:
    is_silent = (
        each.told_at is not None and each.heartbeat > 0 and each.told_at + timedelta(seconds=each.heartbeat) <= now
    )
    return each.state == "requested" or each.taken < each.last_number or is_silent


def _concerns(tx: Transaction, each: Subscription, heard: Heard) -> bool:
    """Whether this is of its topic and person, and happened since it was asked for."""
    if heard.topic != each.topic or heard.at < each.made_at:
        return False
    person = person_of(tx, heard.person)
    return person is not None and (not each.patient or each.patient in {person.id, *person.former_ids})


def _of_cases(tx: Transaction, now: datetime) -> list[Heard]:
    """Cases that reached another stage, and what was decided about them."""
    noted = store.steps_followed(tx)
    before = noted.asked(tx)
    again, sure = [], before.sure
    if before.is_due_again:
        again = tx.rows(f"{_STEPS} where s.id > ? and s.id <= ? {_FIRST}", (before.sure, before.again, MOST_STEPS))
        sure = again[-1][0] if len(again) == MOST_STEPS else before.again
    rows = tx.rows(f"{_STEPS} where s.id > ? {_FIRST}", (before.place - LATE_STEPS, MOST_STEPS + LATE_STEPS))
    rows = [row for row in rows if row[0] > before.place or at_of(row[2]) + LATE >= now]
    followed = before.after(tx, max(before.place, rows[-1][0] if rows else 0), sure)
    if followed != noted:
        store.note_steps_followed(tx, followed)
    rows = sorted({*rows, *again})
    if not rows:
        return []
    numbers = {row[0] for row in rows}
    whose = {case: (person, sender) for _, case, _, person, sender in rows}
    heard = [
        Heard("case-status", f"step:{number}", case, *whose[case], at)
        for case, steps in case_store.stages_after(tx, [CaseId(case) for case in whose]).items()
        for (_, _, before), (number, at, stage) in pairwise([(0, now, ""), *steps])
        if number in numbers and stage != before
    ]
    since = at_text(min(at_of(row[2]) for row in rows) - LATE)
    for id, case, made in tx.rows(
        "select id, case_id, made_at from determination where case_id in ? and made_at >= ? order by made_at, id",
        (sorted(whose), since),
    ):
        heard += [Heard(topic, id, id, *whose[case], at_of(made)) for topic in ("claim-response", "explanation")]
    return sorted(heard, key=lambda each: each.at)


_STEPS = (
    "select s.id, s.case_id, s.at, c.person, c.sender from case_step s"
    " join claim_case c on c.id = s.case_id and c.shard = s.shard"
)
_FIRST = "order by s.id limit ?"


def _of_consents(tx: Transaction, now: datetime) -> Sequence[Heard]:
    """Consents that were given or taken back; that one ends by itself stands in it from the beginning."""
    since = at_text(at_of(store.place(tx, CONSENTS) or at_text(now)) - LATE)
    rows = tx.rows(
        "select 'given', id, noted_at from consent_grant where noted_at >= ?"
        " union all select 'revoked', consent, noted_at from consent_revocation where noted_at >= ? order by 3",
        (since, since),
    )
    if not rows:
        return []
    store.note_place(tx, CONSENTS, str(rows[-1][2]))
    known = consents.consents_by_id(tx, [ConsentId(id) for _, id, _ in rows])
    return [
        Heard("consent", f"{what}:{id}:{at}", id, known[ConsentId(id)].consent.person, "", at_of(at))
        for what, id, at in rows
    ]
