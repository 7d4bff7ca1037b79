"""Delegations kept, as functions over a transaction. An answer and an end are each written once."""

from collections.abc import Collection, Sequence
from datetime import datetime

from safeweave import ids
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Conflict, NotFound
from safeweave.ids import PersonId
from safeweave.people.delegation import SCOPES, Delegation, Scope
from safeweave.people.store import people_by_id

_COLUMNS = "id, person, agent, scopes, invited_by, invited_at, answered_at, accepted, ended_at, ended_by"


def invite(
    tx: Transaction, person: PersonId, agent: str, scopes: Collection[Scope], by: PersonId, now: datetime
) -> Delegation:
    """Offer an agent to act for a person.

    Raises Conflict if nothing is offered, or one that is open or accepted stands between the two already.
    """
    offered = tuple(scope for scope in SCOPES if scope in scopes)
    if not offered:
        raise Conflict("a delegation lets the agent do something; choose what")
    if any(d.agent == agent and d.state_at(now) in ("pending", "accepted") for d in delegations_of(tx, person)):
        raise Conflict("this agent is invited or acts already; end that first")
    made = Delegation(ids.derived("delegation", agent, now, of=person), person, agent, offered, by, now)
    tx.run(
        "insert into delegation (id, person, agent, scopes, invited_by, invited_at) values (?, ?, ?, ?, ?, ?)",
        (made.id, person, agent, ",".join(offered), by, at_text(now)),
    )
    return made


def answer(tx: Transaction, id: str, agent: str, accepted: bool, now: datetime) -> None:
    """The agent's yes or no. Raises NotFound if nobody invited this agent so, Conflict if it is over or answered."""
    found = _one(tx, id)
    if found.agent != agent:
        raise NotFound(f"there is no delegation {id}")
    if found.state_at(now) != "pending":
        raise Conflict("this invitation was answered, taken back, or has expired")
    tx.run(
        "update delegation set answered_at = ?, accepted = ? where id = ? and answered_at is null",
        (at_text(now), int(accepted), id),
    )


def end(tx: Transaction, id: str, by: str, now: datetime) -> None:
    """Either side ends it, whatever its state; ending twice changes nothing. Raises NotFound."""
    _one(tx, id)
    tx.run("update delegation set ended_at = ?, ended_by = ? where id = ? and ended_at is null", (at_text(now), by, id))


def delegation(tx: Transaction, id: str) -> Delegation:
    """The delegation with this id. Raises NotFound."""
    return _one(tx, id)


def delegations_of(tx: Transaction, person: PersonId) -> list[Delegation]:
    """All that a person has ever offered, the latest first."""
    known = people_by_id(tx, [person])
    own = sorted({id for each in known.values() for id in (each.id, *each.former_ids)})
    return _of(tx, "person in ?", own)


def delegations_to(tx: Transaction, agent: str) -> list[Delegation]:
    """All that an agent was ever offered, the latest first."""
    return _of(tx, "agent in ?", [agent])


def scopes_for(tx: Transaction, agent: str, person: PersonId, now: datetime) -> frozenset[Scope]:
    """What this agent may do for this person now."""
    return frozenset(s for each in delegations_of(tx, person) if each.agent == agent for s in each.allows_at(now))


def _one(tx: Transaction, id: str) -> Delegation:
    found = _of(tx, "id in ?", [id])
    if not found:
        raise NotFound(f"there is no delegation {id}")
    return found[0]


def _of(tx: Transaction, where: str, asked: Sequence[str]) -> list[Delegation]:
    return [
        Delegation(
            id, person, agent, tuple(scopes.split(",")), by, at_of(invited), answered and at_of(answered),
            bool(accepted), ended and at_of(ended), ended_by,
        )
        for id, person, agent, scopes, by, invited, answered, accepted, ended, ended_by in tx.rows(
            f"select {_COLUMNS} from delegation where {where} order by invited_at desc, id", (asked,)
        )
    ]  # fmt: skip
