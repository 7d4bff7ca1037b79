"""How the exchange with other members stands: what waits for whom and why, what was refused, what is anchored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from safeweave import outbox
from safeweave.consortium import locking, store
from safeweave.consortium.locking import Opened
from safeweave.consortium.sending import lane_of
from safeweave.consortium.store import Incoming, Outgoing, RefusedEnvelope
from safeweave.consortium.why import Why
from safeweave.database import Transaction
from safeweave.words import Language

SHOWN = 20  # of what was refused or stopped


class Waiting(msgspec.Struct, frozen=True):
    """What waits for one member; `why` is of the one that waits longest, `next_at` when the next try is due."""

    member: str
    name: str
    waiting: int
    refused: int
    oldest_at: datetime
    tries: int
    next_at: datetime | None
    failures: int
    why: Why | None


class Anchors(msgspec.Struct, frozen=True):
    """How far the hashes are: `waiting` in no batch yet, `under_way` handed in and not final."""

    waiting: int
    waiting_since: datetime | None
    under_way: int
    tries: int
    why: Why | None
    final: dict[str, int]
    last_height: int | None
    last_at: datetime | None


class ExchangeStatus(msgspec.Struct, frozen=True):
    """Everything that `safeweave exchange status` shows."""

    waiting: tuple[Waiting, ...]
    refused: tuple[Outgoing, ...]
    stopped: tuple[Outgoing, ...]
    sent: dict[str, int]
    taken: dict[str, int]
    held: tuple[Incoming, ...]
    turned_away: tuple[RefusedEnvelope, ...]
    locked: tuple[Opened, ...]
    opened: dict[str, int]
    anchors: Anchors
    names: dict[str, str]

    def as_json(self, language: Language) -> dict[str, Any]:
        """The same for machines, each reason with its code and its sentence."""
        anchors = self.anchors
        return {
            "waiting": [
                {
                    "member": one.member, "name": one.name, "waiting": one.waiting, "refused": one.refused,
                    "oldest_at": one.oldest_at, "tries": one.tries, "next_at": one.next_at, "failures": one.failures,
                    **_reason(one.why, language),
                }
                for one in self.waiting
            ],
            "refused": [_delivery(one, language) for one in self.refused],
            "stopped": [_delivery(one, language) for one in self.stopped],
            "sent": self.sent,
            "taken": self.taken,
            "held": [
                {"sender": one.header.sender, "exchange": one.header.exchange, "sequence": one.header.sequence,
                 "arrived_at": one.arrived_at}
                for one in self.held
            ],
            "turned_away": [
                {"sender": one.sender, "exchange": one.exchange, "sequence": one.sequence, "envelope": one.envelope,
                 "times": one.times, "refused_at": one.refused_at, **_reason(one.why, language)}
                for one in self.turned_away
            ],
            "locked": [
                {"document": one.id, "sender": one.sender, "kind": one.kind, "visit": one.visit, "person": one.person,
                 "opened_at": one.opened_at, "due_at": one.due_at,
                 **({"code": one.why.reason, "why": one.why.said(language)} if one.why else {})}
                for one in self.locked
            ],
            "opened": self.opened,
            "anchors": {
                "waiting": anchors.waiting, "waiting_since": anchors.waiting_since, "under_way": anchors.under_way,
                "tries": anchors.tries, "final": anchors.final, "last_height": anchors.last_height,
                "last_at": anchors.last_at, **_reason(anchors.why, language),
            },
        }  # fmt: skip


def status(tx: Transaction) -> ExchangeStatus:
    """How it stands in this store."""
    unfinished = store.unfinished(tx)
    names = {member: contact.name for member, contact in store.contacts(tx).items()}
    circuits = outbox.circuits(tx)
    by_member: dict[str, list[Outgoing]] = {}
    for one in unfinished:
        by_member.setdefault(one.recipient, []).append(one)
    waiting = tuple(
        _waiting(member, found, names, circuits.get(lane_of(member), outbox.Circuit()))
        for member, found in by_member.items()
    )
    return ExchangeStatus(
        waiting,
        tuple([one for one in unfinished if one.state == "refused"][:SHOWN]),
        tuple(store.stopped(tx, SHOWN)),
        store.states(tx),
        store.count_taken(tx),
        tuple(store.all_held(tx)[:SHOWN]),
        tuple(store.refused(tx, SHOWN)),
        tuple(locking.locked(tx, SHOWN)),
        locking.counts(tx),
        _anchors(tx),
        names,
    )


def _waiting(member: str, found: Sequence[Outgoing], names: dict[str, str], circuit: outbox.Circuit) -> Waiting:
    tried = [one for one in found if one.why]
    first = min(tried or found, key=lambda one: one.queued_at)
    due = [one.due_at for one in found if one.state != "refused"]
    next_at = min(due) if due else None
    if next_at and circuit.open_until:
        next_at = max(next_at, circuit.open_until)
    return Waiting(
        member,
        names.get(member, ""),
        len(due),
        len(found) - len(due),
        min(one.queued_at for one in found),
        max(one.tries for one in found),
        next_at,
        circuit.failures,
        first.why,
    )


def _anchors(tx: Transaction) -> Anchors:
    waiting, since = store.leaves_waiting(tx)
    open_batch, last = store.open_batch(tx), store.last_final(tx)
    return Anchors(
        waiting,
        since,
        open_batch.count if open_batch else 0,
        open_batch.tries if open_batch else 0,
        open_batch.why if open_batch else None,
        store.leaves_on_the_ledger(tx),
        last.height if last else None,
        datetime.fromtimestamp(last.time, UTC) if last and last.time is not None else None,
    )


def _reason(why: Why | None, language: Language) -> dict[str, str]:
    return {"code": why.code, "why": why.said(language)} if why else {"code": "", "why": ""}


def _delivery(one: Outgoing, language: Language) -> dict[str, object]:
    return {
        "id": one.id, "recipient": one.recipient, "exchange": one.exchange, "sequence": one.sequence,
        "kind": one.kind, "queued_at": one.queued_at, "tries": one.tries, **_reason(one.why, language),
    }  # fmt: skip
