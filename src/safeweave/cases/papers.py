"""Papers that name no visit, and how they find theirs.

A bill, a settlement or what takes one back may name no visit: it belongs to the visit of which a name of it was told. A
paper that leads nowhere when it is looked at is set aside. It gets a subject of its own in the log and waits under each
of its names (`awaited_name`) until a visit brings one of them. So a batch reads the papers that it places and no
others, however many wait.

A visit in which a paper was placed is heard by itself afterwards: it need not be held for that, and what goes wrong
with its case stops no other paper.

None is missed, however papers and visits cross. A name has one row in `visit_alias`: the visit it leads to, or "" while
papers wait for it. Whoever tells of a visit writes that row for each of its names, whoever sets a paper aside for each
of the paper's, and both only where they have read before that nobody did. Two who do so at once meet in the row: the
later waits until the earlier has committed, cannot write what it meant to, and is `Crossed`: done again, it reads what
the other left. Where a visit reads "" it takes the row over first and asks afterwards who waits: whoever had begun to
wait has committed by then and is found, and nobody can begin any more. A paper that two visits find at once is moved
only from the subject under which it was read, so the second is crossed too.

What still lies under "sender/" was not looked at yet. Its own `VisitTold`, which names no visit either, is to be
followed, by whoever holds that key. A visit that is told meanwhile need not wait for it: by the time the paper is
looked at, the names of the visit lead there, or the two cross. What earlier versions left there has no `VisitTold` any
more, so every batch of a sender looks there.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from safeweave import outbox
from safeweave.cases import store
from safeweave.cases.store import Name, VisitKey, VisitRow
from safeweave.database import Transaction
from safeweave.events import (
    BillIssued,
    BillReversed,
    Event,
    HospitalEvent,
    SettlementCancelled,
    SettlementReported,
    VisitTold,
)
from safeweave.outbox import Logged, paper_subject, visit_subject
from safeweave.worker import PUT_OFF, Later

Logs = dict[VisitKey, list[Logged]]


def names_of(event: HospitalEvent) -> list[tuple[str, str]]:
    """The (kind, value) names under which papers of one visit can be found."""
    match event:
        case BillIssued():
            return [("bill", event.bill.key)]
        case BillReversed():
            return [("bill", str(event.bill))]
        case SettlementReported():
            names = [("settlement", event.settlement)]
            if event.bill:
                names.append(("bill", str(event.bill)))
            if event.medical_visit:
                names.append(("medical_visit", event.medical_visit))
            return names
        case SettlementCancelled():
            return [("settlement", event.settlement)]
    return []


def new_names(key: VisitKey, log: Sequence[Logged], known: Collection[Name]) -> list[tuple[str, str, str, str]]:
    """The names of what was told of a visit that are not known, each with the visit."""
    return [(*name, key[1]) for logged in log for name in _names(key[0], logged) if name not in known]


def _names(sender: str, logged: Logged) -> list[Name]:
    event = logged.event
    return [(sender, *name) for name in names_of(event)] if isinstance(event, HospitalEvent) else []


class _Paper(NamedTuple):
    """A paper that names no visit, and the subject under which it lies."""

    sender: str
    logged: Logged
    subject: str

    @property
    def names(self) -> list[Name]:
        return _names(self.sender, self.logged)

    @property
    def awaited(self) -> list[tuple[str, str, str, int]]:
        return [(*name, self.logged.number) for name in self.names]


class Told(NamedTuple):
    """Everything told of some visits, with what is known of them."""

    logs: Logs
    rows: dict[VisitKey, VisitRow]
    names: Collection[Name]  # those of them that led to a visit already
    again: list[Event | Later]  # visits that a paper was placed in, to be heard by themselves; papers to be looked at


def told_of(tx: Transaction, keys: Sequence[VisitKey], now: datetime) -> Told:
    """What was told of these visits, with the papers naming no visit that turn out to belong to them.

    Papers that belong to another visit are placed there, and it is heard by itself: what goes wrong with it concerns
    nobody else. What leads nowhere is set aside.
    """
    logs, waiting, busy = _unplaced(tx, keys)
    brought = {name: key[1] for key, log in logs.items() for logged in log for name in _names(key[0], logged)}
    rows, known = store.visits_and_names(tx, list(logs), sorted({*brought, *_names_of(waiting)}))
    asked, changed = {*brought, *_names_of(waiting)}, dict[VisitKey, None]()
    while True:
        if unasked := {*brought, *_names_of(waiting)} - asked:
            asked |= unasked
            known |= store.names(tx, sorted(unasked))
        awaited = {name: visit for name, visit in brought.items() if known.get(name) == ""}
        waiting += _set_aside_for(tx, awaited)
        known |= awaited
        placed, waiting = _placed(waiting, {name: visit for name, visit in known.items() if visit} | brought)
        if not placed:
            break
        outbox.move(tx, [(paper.logged.number, paper.subject, visit_subject(*key)) for paper, key in placed])
        looked_at = [paper for paper, _ in placed if paper.subject == paper_subject(paper.logged.number)]
        store.strike_awaited(tx, [row for paper in looked_at for row in paper.awaited])
        for paper, key in placed:
            changed[key] = None
            for name in paper.names:
                brought.setdefault(name, key[1])
    outbox.move(tx, [(paper.logged.number, paper.subject, paper_subject(paper.logged.number)) for paper in waiting])
    store.await_names(tx, [row for paper in waiting for row in paper.awaited])
    if here := changed.keys() & logs.keys():
        logs |= _logs(tx, here)
    elsewhere = [Later(VisitTold(*key), now) for key in changed if key not in logs]
    later = [Later(VisitTold(sender, ""), now + PUT_OFF) for sender in sorted(busy)]
    return Told(logs, rows, known.keys(), [*elsewhere, *later])


def _names_of(papers: Sequence[_Paper]) -> list[Name]:
    return [name for paper in papers for name in paper.names]


def _logs(tx: Transaction, keys: Collection[VisitKey]) -> Logs:
    wanted = {visit_subject(*key): key for key in keys}
    return {wanted[subject]: log for subject, log in outbox.of_subjects(tx, list(wanted)).items()}


def _unplaced(tx: Transaction, keys: Sequence[VisitKey]) -> tuple[Logs, list[_Paper], set[str]]:
    """What was told of these visits; the papers of their senders that nobody has looked at; whose are to be put off."""
    waits = dict.fromkeys((sender, "") for sender, _ in keys)
    logs = _logs(tx, [*keys, *waits])
    new = {key: log for key in waits if (log := logs.pop(key))}
    held = tx.hold({visit_subject(*key) for key in new}) if new else set()
    mine = [key for key in new if visit_subject(*key) in held]
    if not set(mine) <= set(keys):  # held only now: somebody may have placed some since they were read
        new |= _logs(tx, mine)
    return (
        logs,
        [
            _Paper(key[0], logged, visit_subject(*key))
            for key in mine
            for logged in new[key]
            if isinstance(logged.event, HospitalEvent)
        ],
        {key[0] for key in new if key in keys and key not in mine},
    )


def _set_aside_for(tx: Transaction, visits: Mapping[Name, str]) -> list[_Paper]:
    """The papers that wait for these names, which lead to their visits from now on."""
    subjects = [paper_subject(number) for number in store.take_names(tx, visits)]
    return [
        _Paper(logged.event.sender, logged, subject)
        for subject, log in (outbox.of_subjects(tx, subjects) if subjects else {}).items()
        for logged in log
        if isinstance(logged.event, HospitalEvent)
    ]


def _placed(waiting: Sequence[_Paper], leads: Mapping[Name, str]) -> tuple[list[tuple[_Paper, VisitKey]], list[_Paper]]:
    """The papers that lead to a visit, with it; and the others."""
    placed: list[tuple[_Paper, VisitKey]] = []
    leads, left, before = dict(leads), list(waiting), -1
    while len(left) != before:  # a settlement that its bill leads to leads its own cancellation
        before, again, left = len(left), left, []
        for paper in again:
            visit = next((leads[name] for name in paper.names if name in leads), None)
            if visit is None:
                left.append(paper)
                continue
            placed.append((paper, (paper.sender, visit)))
            for name in paper.names:
                leads.setdefault(name, visit)
    return placed, left
