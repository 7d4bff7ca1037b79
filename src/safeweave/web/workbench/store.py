"""What examiners have written and not sent yet, and what they proposed and decided, as rows."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from safeweave import ids
from safeweave.adjudication.determination import Adjustment
from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.facts import Fact
from safeweave.ids import CaseId, PolicyId
from safeweave.web.asked import Stale

Verdict = Literal["approve", "adjust", "refuse"]
State = Literal["open", "done", "returned"]

_encode = msgspec.json.Encoder(order="deterministic").encode
_adjustments = msgspec.json.Decoder(dict[str, Adjustment])
_fields = msgspec.json.Decoder(dict[str, str])


class Draft(Fact, frozen=True):
    """What one examiner has typed about a case; `version` counts how often it was saved."""

    account: str
    version: int
    fields: dict[str, str]
    saved_at: datetime


def draft(tx: Transaction, case: CaseId, account: str) -> Draft | None:
    """What this account has typed about a case."""
    row = tx.row(
        "select account, version, fields, saved_at from desk_draft where case_id = ? and account = ?", (case, account)
    )
    return None if row is None else _draft(row)


def others_at_work(tx: Transaction, case: CaseId, account: str, since: datetime) -> list[Draft]:
    """What other accounts have typed about a case since then, the latest first."""
    rows = tx.rows(
        "select account, version, fields, saved_at from desk_draft where case_id = ? and account <> ? and saved_at >= ?"
        " order by saved_at desc",
        (case, account, at_text(since)),
    )
    return [_draft(row) for row in rows]


def _draft(row: Row) -> Draft:
    account, version, fields, saved = row
    return Draft(account, version, _fields.decode(fields), at_of(saved))


def save_draft(
    tx: Transaction, case: CaseId, account: str, fields: Mapping[str, str], seen: int | None, now: datetime
) -> int:
    """Keep what was typed; the version it has now. Raises Stale if it was saved elsewhere since version `seen`.

    Without `seen` it takes the place of whatever is there.
    """
    before = draft(tx, case, account)
    version = before.version if before else 0
    if seen is not None and seen != version:
        raise Stale()
    tx.run(
        "insert into desk_draft (case_id, account, version, fields, saved_at) values (?, ?, ?, ?, ?)"
        " on conflict (case_id, account) do update set version = excluded.version, fields = excluded.fields,"
        " saved_at = excluded.saved_at",
        (case, account, version + 1, _encode(dict(fields)).decode(), at_text(now)),
    )
    return version + 1


def drop_drafts(tx: Transaction, case: CaseId, account: str) -> None:
    """What this account has typed about a case is done with."""
    tx.run("delete from desk_draft where case_id = ? and account = ?", (case, account))


class Act(Fact, frozen=True):
    """A decision of a person: proposed, and then done or returned. One within one's authority is done at once."""

    id: str
    case: CaseId
    version: int  # of the case when it was decided or proposed
    verdict: Verdict
    note: str
    clause: str
    amount: int  # what authority is asked for
    adjust: dict[str, Adjustment]  # by policy
    by: str  # an account
    by_name: str
    at: datetime
    state: State
    answered_by: str = ""
    answered_name: str = ""
    answered_at: datetime | None = None
    answer: str = ""

    @property
    def adjustments(self) -> dict[PolicyId, Adjustment]:
        """The changes by the policy they concern."""
        return {PolicyId(policy): adjustment for policy, adjustment in self.adjust.items()}


_ACT = (
    "id, case_id, version, verdict, note, clause, amount, adjust, by_account, by_name, acted_at, state, answered_by,"
    " answered_name, answered_at, answer"
)


def add_act(tx: Transaction, act: Act) -> None:
    """Note a decision or a proposal. A case has one open proposal at most; the store holds that."""
    tx.run(
        f"insert into desk_act ({_ACT}) values ({', '.join('?' * 16)})",
        (
            act.id, act.case, act.version, act.verdict, act.note, act.clause, act.amount, _encode(act.adjust).decode(),
            act.by, act.by_name, at_text(act.at), act.state, act.answered_by, act.answered_name,
            act.answered_at and at_text(act.answered_at), act.answer,
        ),
    )  # fmt: skip


def answer_act(tx: Transaction, act: str, state: State, by: str, name: str, words: str, now: datetime) -> bool:
    """Answer an open proposal; False if somebody was quicker."""
    return bool(
        tx.run(
            "update desk_act set state = ?, answered_by = ?, answered_name = ?, answered_at = ?, answer = ?"
            " where id = ? and state = 'open'",
            (state, by, name, at_text(now), words, act),
        )
    )


def acts_of(tx: Transaction, cases: Collection[CaseId]) -> list[Act]:
    """Every decision and proposal about these cases, oldest first."""
    rows = tx.rows(f"select {_ACT} from desk_act where case_id in ? order by acted_at, id", (sorted(set(cases)),))
    return [_act(row) for row in rows]


def open_act(tx: Transaction, case: CaseId) -> Act | None:
    """What is proposed for a case and waits for a second person."""
    row = tx.row(f"select {_ACT} from desk_act where case_id = ? and state = 'open'", (case,))
    return None if row is None else _act(row)


def new_id() -> str:
    """The id of a new decision."""
    return ids.fresh("act")


def _act(row: Row) -> Act:
    id, case, version, verdict, note, clause, amount, adjust, by, name, at, state, *answered = row
    answered_by, answered_name, answered_at, answer = answered
    return Act(
        id, case, version, verdict, note, clause, amount, _adjustments.decode(adjust), by, name, at_of(at), state,
        answered_by, answered_name, answered_at and at_of(answered_at), answer,
    )  # fmt: skip
