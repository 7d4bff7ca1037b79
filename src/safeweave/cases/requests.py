"""What people ask about their case: that a person looks (个人信息保护法 24), or that a decision is looked at again.

Asked once and open until somebody answers. A case whose papers are complete is put before a person at once; one that
still waits for its papers is looked at when they come, and the request stands beside it.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from safeweave import ids
from safeweave.cases import store
from safeweave.cases.lifecycle import DECIDED
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import NotFound
from safeweave.events import CaseReferred, Event
from safeweave.facts import Fact
from safeweave.ids import CaseId

Kind = Literal["person", "objection"]
_REASONS: dict[Kind, str] = {"person": "person_asked", "objection": "objection"}


class CaseRequest(Fact, frozen=True):
    """One thing a person asked, with its answer once there is one."""

    id: str
    case: CaseId
    kind: Kind
    words: str
    asked_by: str
    asked_at: datetime
    answered_at: datetime | None = None
    answered_by: str = ""
    answer: str = ""


def ask(tx: Transaction, case: CaseId, kind: Kind, words: str, by: str, now: datetime) -> list[Event]:
    """Keep what was asked, and put the case before a person where that can be done now.

    Nothing happens if the same is open already and nothing new is said. Raises NotFound for an unknown case.
    """
    found = store.heads(tx, [case]).get(case)
    if found is None:
        raise NotFound(f"there is no case {case}")
    if any(each.kind == kind and each.answered_at is None and words in ("", each.words) for each in of(tx, [case])):
        return []
    tx.run(
        "insert into case_request (id, case_id, kind, words, asked_by, asked_at) values (?, ?, ?, ?, ?, ?)"
        " on conflict (id) do nothing",
        (ids.derived("request", kind, words, now, of=case), case, kind, words, by, at_text(now)),
    )
    return [CaseReferred(case, (_REASONS[kind],))] if found.stage in DECIDED else []


def answer(tx: Transaction, case: CaseId, by: str, words: str, now: datetime) -> int:
    """Answer everything that is open of a case; how many that were."""
    return tx.run(
        "update case_request set answered_at = ?, answered_by = ?, answer = ?"
        " where case_id = ? and answered_at is null",
        (at_text(now), by, words, case),
    )


def of(tx: Transaction, cases: Collection[CaseId]) -> list[CaseRequest]:
    """Everything asked about these cases, oldest first."""
    return [
        CaseRequest(id, case, kind, words, by, at_of(at), answered and at_of(answered), answered_by, said)
        for id, case, kind, words, by, at, answered, answered_by, said in tx.rows(
            "select id, case_id, kind, words, asked_by, asked_at, answered_at, answered_by, answer from case_request"
            " where case_id in ? order by asked_at, id",
            (sorted(set(cases)),),
        )
    ]


def open_requests(tx: Transaction, limit: int = 1000) -> list[CaseRequest]:
    """What waits for an answer, oldest first."""
    waiting = tx.rows(
        "select case_id from case_request where answered_at is null order by asked_at, id limit ?", (limit,)
    )
    return [each for each in of(tx, [case for (case,) in waiting]) if each.answered_at is None]
