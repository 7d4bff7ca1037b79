"""What agents did for their customers: each act is told to the customer, and stands where the agents are listed."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from safeweave import ids
from safeweave.cases import store as case_store
from safeweave.database import Transaction, at_of, at_text
from safeweave.facts import Fact
from safeweave.ids import CaseId, PersonId
from safeweave.people import Person
from safeweave.web.asked import Asked

Act = Literal["accepted", "rejected", "gave_up", "submitted", "handed_in", "took_back"]


class AgentAct(Fact, frozen=True):
    """Something an agent did."""

    id: str
    person: PersonId
    account: str
    act: Act
    case: str
    note: str
    at: datetime


def note(asked: Asked, tx: Transaction, person: Person, act: Act, case: str = "", words: str = "") -> None:
    """If it is an agent who does this, note it and tell the customer. Of an act without a case the pages tell."""
    if asked.who.role != "agent":
        return
    id = ids.fresh("did")
    tx.run(
        "insert into agent_act (id, person, account, act, case_id, note, acted_at) values (?, ?, ?, ?, ?, ?, ?)",
        (id, person.id, asked.who.id, act, case, words[:500], at_text(asked.now)),
    )
    if case:
        head = case_store.heads(tx, [CaseId(case)])[CaseId(case)]
        asked.site.post.tell_of_agent(tx, head, id, asked.who.name, act, asked.now)


def acts_for(tx: Transaction, persons: Collection[PersonId], limit: int = 200) -> list[AgentAct]:
    """What agents did for a person, by all ids it has had, the latest first."""
    return [
        AgentAct(id, person, account, act, case, words, at_of(at))
        for id, person, account, act, case, words, at in tx.rows(
            "select id, person, account, act, case_id, note, acted_at from agent_act where person in ?"
            " order by acted_at desc, id limit ?",
            (sorted(persons), limit),
        )
    ]
