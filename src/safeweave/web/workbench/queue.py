"""What waits for a person, the most urgent first: why, how much, until when, and for whom."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Waiting
from safeweave.cases import store as case_store
from safeweave.cases.clocks import DAYS
from safeweave.clock import shanghai_day
from safeweave.database import Row, Transaction, at_of
from safeweave.facts import Fact
from safeweave.ids import CaseId, PersonId
from safeweave.web.workbench.authority import skills_for
from safeweave.words import Language

MOST = 400  # looked at in one go; more wait behind them
ON_A_PAGE = 40


class Item(Fact, frozen=True):
    """One case on the desk."""

    case: CaseId
    person: PersonId
    sender: str
    visit: str
    hospital: str
    opened_at: datetime
    reasons: tuple[str, ...]
    amount: int | None  # what the rules would pay; None: nothing computed
    due_on: date | None
    days_left: int | None
    paused: bool  # something was asked of the insured, and the clock stands
    proposed: bool  # a second person is to confirm
    skills: tuple[str, ...]

    @property
    def urgency(self) -> str:
        """How near the last day is: "over", "near" or ""."""
        if self.paused or self.days_left is None:
            return ""
        return "over" if self.days_left < 0 else "near" if self.days_left <= DAYS["decision"] // 5 else ""


_WAITING = """
select c.id, c.person, c.sender, c.visit, c.opened_at, k.due_on, k.paused_at, a.id
  from claim_case c
  left join clock k on k.case_id = c.id and k.kind = 'decision' and k.stopped_at is null
  left join desk_act a on a.case_id = c.id and a.state = 'open'
 where c.stage = 'referred'
   and not exists (select 1 from desk_act d where d.case_id = c.id and d.state = 'done' and d.version = c.version)
 order by k.paused_at is not null, coalesce(k.due_on, '9999'), c.opened_at, c.id limit ?
"""


class Filter(Fact, frozen=True):
    """What of the desk is wanted: what asks for a skill, has a reason, or is proposed; nothing named: all of it."""

    skill: str = ""
    reason: str = ""
    proposed: bool = False


def waiting(tx: Transaction, now: datetime, language: Language, wanted: Filter) -> list[Item]:
    """The desk, the most urgent first, at most `MOST` of it and of that what is wanted."""
    return page(tx, now, language, wanted, 0, MOST)[0]


def page(
    tx: Transaction, now: datetime, language: Language, wanted: Filter, number: int, size: int
) -> tuple[list[Item], int, int]:
    """A page of the desk, as `waiting` would show it: what is on it, which it is, and how many are wanted in all.

    Beyond the last page it is the last one. Only what is shown is read, unless the filter asks for reasons.
    """
    rows = [row for row in tx.rows(_WAITING, (MOST,)) if row[-1] is not None or not wanted.proposed]
    if wanted.skill or wanted.reason:
        items = [item for item in _items(tx, now, language, rows) if _is_wanted(item, wanted)]
        number = _within(number, size, len(items))
        return items[number * size : (number + 1) * size], number, len(items)
    number = _within(number, size, len(rows))
    return _items(tx, now, language, rows[number * size : (number + 1) * size]), number, len(rows)


def behind(
    tx: Transaction, now: datetime, language: Language, wanted: Filter, place: Sequence[str] | None, size: int
) -> tuple[list[Item], tuple[str, ...] | None]:
    """What is wanted of the desk behind a place, at most `size` of it, and the place of the last if more follow.

    A place holds whatever leaves the desk meanwhile; None is the beginning.
    """
    rows = [row for row in tx.rows(_WAITING, (MOST,)) if row[-1] is not None or not wanted.proposed]
    rows = sorted((row for row in rows if place is None or _place(row) > tuple(place)), key=_place)
    if not (wanted.skill or wanted.reason):
        rows = rows[: size + 1]
    items = [item for item in _items(tx, now, language, rows) if _is_wanted(item, wanted)]
    places = {row[0]: _place(row) for row in rows}
    return items[:size], places[items[size - 1].case] if len(items) > size else None


def _place(row: Row) -> tuple[str, ...]:
    """Where a row stands in the order of the desk."""
    id, _, _, _, opened, due, paused, _ = row
    return (str(int(paused is not None)), due or "9999", opened, id)


def _is_wanted(item: Item, wanted: Filter) -> bool:
    return (not wanted.skill or wanted.skill in item.skills) and (
        not wanted.reason or wanted.reason in item.reasons
    )  # fmt: skip


def _within(number: int, size: int, count: int) -> int:
    return min(number, max((count - 1) // size, 0))


def _items(tx: Transaction, now: datetime, language: Language, rows: Sequence[Row]) -> list[Item]:
    today = shanghai_day(now)
    ids = [row[0] for row in rows]
    found = determinations.waiting_of(tx, ids)
    noted = referral_notes(tx, [id for id in ids if id not in found])
    at = {id: head.hospital for id, head in case_store.heads(tx, ids).items()}
    hospitals = _hospitals(tx, list(at.values()), today, language)
    items = []
    for id, person, sender, visit, opened, due, paused, act in rows:
        due_on = date.fromisoformat(due) if due else None
        reasons = reasons_of(found.get(id, ()), noted.get(id, ()))
        items.append(Item(
            id, person, sender, visit, hospitals.get(at.get(id, ""), sender), at_of(opened), reasons,
            amount_of(found.get(id, ())), due_on, (due_on - today).days if due_on else None, paused is not None,
            act is not None, skills_for(reasons),
        ))  # fmt: skip
    return items


def reasons_of(found: Sequence[Waiting], noted: Sequence[str]) -> tuple[str, ...]:
    """Why a person looks: what the determinations that wait say, or else what the referral said."""
    codes = [code for each in found for code in each.reasons]
    return tuple(dict.fromkeys(codes or noted))


def amount_of(found: Sequence[Waiting]) -> int | None:
    """What the rules would pay; None if they could compute nothing."""
    computed = [each.payable for each in found if each.computed]
    return sum(computed) if computed else None


def referral_notes(tx: Transaction, cases: Collection[CaseId]) -> Mapping[CaseId, tuple[str, ...]]:
    """The reasons with which these cases were last referred without a determination."""
    return {case: notes for case, notes in case_store.last_notes(tx, cases, "case_referred").items() if notes}


def _hospitals(tx: Transaction, codes: Sequence[str], on: date, language: Language) -> Mapping[str, str]:
    return {
        code: (row.name_en if language == "en" else "") or row.name
        for code, row in case_store.hospitals(tx, codes, on).items()
    }
