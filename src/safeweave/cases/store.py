"""Cases, the visits they come from, and the registry of hospitals, as rows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from safeweave import outbox
from safeweave.cases.case import Case, CaseHead
from safeweave.cases.lifecycle import Happening, Stage
from safeweave.cases.stay import Stay, folded, happened
from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.facts import Fact, Hospital
from safeweave.ids import CaseId, PersonId, person_key

_encode = msgspec.json.Encoder().encode
_stay = msgspec.json.Decoder(Stay)


class _Folded(msgspec.Struct, omit_defaults=True, gc=False):
    """What is kept of a stay: it is folded again from the events it was heard from, which never change.

    A case that was heard from no event of the log (version 0.1.0) keeps the whole stay.
    """

    hospital: str = ""
    heard: tuple[int, ...] = ()


_folded = msgspec.json.Decoder(_Folded)

VisitKey = tuple[str, str]  # sender, visit
Name = tuple[str, str, str]  # sender, kind, value: of a bill, a settlement, a visit as the 医保 counts it

_CASE = "c.id, c.person, c.sender, c.visit, c.stage, c.stay, c.opened_at, c.completed_at, c.version"


class VisitRow(Fact):
    """What became of one visit: its person and case, or why there is none."""

    sender: str
    visit: str
    person: PersonId | None = None
    case: CaseHead | None = None
    waiting: str | None = None
    first_told_at: datetime | None = None


class HospitalRow(Fact):
    """One dated entry of the registry of hospitals."""

    code: str
    name: str
    name_en: str
    level: int | None
    public: bool | None
    region: str | None
    from_day: date = date(1900, 1, 1)

    @property
    def facts(self) -> Hospital:
        """What the adjudicator reads of it."""
        return Hospital(self.code, self.level, self.public, self.region)


def _head(row: Row) -> CaseHead:
    id, person, sender, visit, stage, stay, opened, completed, version = row
    kept = _folded.decode(stay)
    head = CaseHead(
        id=id, person=person, sender=sender, visit=visit, stage=stage, opened_at=at_of(opened),
        completed_at=at_of(completed) if completed else None, heard=kept.heard, hospital=kept.hospital, version=version,
    )  # fmt: skip
    return head if kept.heard else _with_stay(head, _stay.decode(stay))


def _with_stay(head: CaseHead, stay: Stay) -> Case:
    return Case(
        id=head.id, person=head.person, sender=head.sender, visit=head.visit, stage=head.stage,
        opened_at=head.opened_at, completed_at=head.completed_at, heard=head.heard, hospital=head.hospital,
        version=head.version, stay=stay,
    )  # fmt: skip


def stay_of(case: CaseHead, log: Iterable[outbox.Logged]) -> Stay:
    """The stay of a case, folded from those events of the log that it has heard."""
    if isinstance(case, Case):
        return case.stay
    heard = set(case.heard)
    return folded(happened(logged.event for logged in log if logged.number in heard))


def visits(tx: Transaction, keys: Sequence[VisitKey]) -> dict[VisitKey, VisitRow]:
    """What is known of these visits, with their cases as they stand in this transaction; one statement."""
    tx.flush(_SAVE_VISIT)
    return _visits(tx, tx.rows(_VISITS, (keys,)))


def visits_and_names(
    tx: Transaction, keys: Sequence[VisitKey], asked: Sequence[Name]
) -> tuple[dict[VisitKey, VisitRow], dict[Name, str]]:
    """What `visits` and `names` give, in one statement."""
    tx.flush(_SAVE_VISIT, _SAVE_NAME, _AWAIT_NAME)
    told, named = list[Row](), dict[Name, str]()
    for row in tx.rows(_VISITS_AND_NAMES, (keys, asked)):
        if row[8] == _A_NAME:
            visit, *name = row[:4]
            named[tuple(name)] = visit
        else:
            told.append(row)
    return _visits(tx, told), named


def _visits(tx: Transaction, rows: Iterable[Row]) -> dict[VisitKey, VisitRow]:
    told: list[Row] = []
    for row in rows:
        if row[5] is None:
            told.append(row)
        elif row[0] not in tx.memo:  # else as it was last saved: it is written when the transaction ends
            tx.memo[row[0]] = _head(row)
    return {
        (sender, visit): VisitRow(sender, visit, person, tx.memo[case] if case else None, waiting, at_of(first))
        for case, person, sender, visit, waiting, _, first, *_ in told
    }


# Visits and cases may lie on different servers (deploy/citus.sql): they come one after the other in the same columns,
# and not joined. What has a stay is a case.
_VISITS = f"""
with asked as materialized (
    select case_id, person, sender, visit, waiting, first_told_at from visit where (sender, visit) in ?
)
select case_id, person, sender, visit, waiting, null, first_told_at, null, cast(null as integer) from asked
union all
select {_CASE} from claim_case c where c.id in (select case_id from asked)
"""
_A_NAME = -1  # in place of a version
_VISITS_AND_NAMES = f"""{_VISITS}
union all
select visit, sender, kind, value, null, null, null, null, {_A_NAME} from visit_alias where (sender, kind, value) in ?
"""


def heads(tx: Transaction, ids: Iterable[CaseId]) -> dict[CaseId, CaseHead]:
    """These cases without their stays; those already read or written in this transaction are not asked for again."""
    wanted = list(dict.fromkeys(ids))
    missing = [case for case in wanted if case not in tx.memo]
    if missing:
        for row in tx.rows(f"select {_CASE} from claim_case c where c.id in ?", (missing,)):
            tx.memo[row[0]] = _head(row)
    return {case: tx.memo[case] for case in wanted if case in tx.memo}


def cases_by_id(tx: Transaction, ids: Iterable[CaseId]) -> dict[CaseId, Case]:
    """These cases with their stays, folded where they are not known to this transaction yet."""
    found = heads(tx, ids)
    bare = [head for head in found.values() if not isinstance(head, Case)]
    if bare:
        logs = outbox.of_subjects(tx, [outbox.visit_subject(head.sender, head.visit) for head in bare])
        for head in bare:
            log = logs[outbox.visit_subject(head.sender, head.visit)]
            tx.memo[head.id] = _with_stay(head, stay_of(head, log))
    return {case: tx.memo[case] for case in found}


def cases_in(tx: Transaction, stages: Sequence[Stage] = (), person: str = "", limit: int = 1000) -> list[CaseHead]:
    """Cases in any of these stages (all: none given), of one person if given, the latest first."""
    where, values = ["1 = 1"], list[object]()
    if stages:
        where.append("c.stage in ?")
        values.append(stages)
    if person:
        where.append("c.person = ?")
        values.append(person)
    sql = f"select {_CASE} from claim_case c where {' and '.join(where)} order by c.opened_at desc, c.id limit ?"
    return [_head(row) for row in tx.rows(sql, [*values, limit])]


def case_of_visit(tx: Transaction, visit: str) -> Case | None:
    """The case of a visit number; None if there is none, or if several hospitals use it."""
    ids = _of_number(tx, CASES_OF_VISIT, visit, 2)
    return cases_by_id(tx, ids)[ids[0]] if len(ids) == 1 else None


def cases_named(tx: Transaction, number: str, most: int) -> list[CaseId]:
    """The cases with this id or of this visit number, at whatever hospital."""
    named = [id for (id,) in tx.rows("select id from claim_case where id = ?", (number,))]
    return [*named, *_of_number(tx, CASES_OF_VISIT, number, most)][:most]


def cases_of_bill(tx: Transaction, number: str, most: int) -> list[CaseId]:
    """The cases in whose visits a bill with this key, or a settlement with this number, was told."""
    return _of_number(tx, CASES_OF_BILL, number, most)


def _of_number(tx: Transaction, sql: str, number: str, most: int) -> list[CaseId]:
    """A number is looked for at each sender, so that the keys of the tables find it."""
    tx.flush(_SAVE_VISIT, _SAVE_NAME)
    senders = [sender for (sender,) in tx.rows(_SENDERS) if sender is not None]
    return [id for (id,) in tx.rows(sql, (senders, number, most))]


# From one sender to the next in the key, and not through all visits.
_SENDERS = """
with recursive known (sender) as (
    select min(sender) from visit
    union all
    select (select min(v.sender) from visit v where v.sender > known.sender) from known where known.sender is not null
)
select sender from known
"""
CASES_OF_VISIT = "select case_id from visit where sender in ? and visit = ? and case_id is not null limit ?"
CASES_OF_BILL = """
select v.case_id from visit_alias a join visit v on v.sender = a.sender and v.visit = a.visit
 where a.sender in ? and a.kind in ('bill', 'settlement') and a.value = ? and v.case_id is not null limit ?
"""


def stages_of(tx: Transaction, sender: str) -> list[tuple[str, str]]:
    """The (visit, stage) of every case a sender's messages opened."""
    return tx.rows("select visit, stage from claim_case where sender = ?", (sender,))


def save_visits(tx: Transaction, rows: Sequence[VisitRow], now: datetime) -> None:
    """Write what became of these visits."""
    tx.queue(
        _SAVE_VISIT,
        [(v.sender, v.visit, v.person, v.case and v.case.id, v.waiting, at_text(v.first_told_at or now)) for v in rows],
        key=lambda row: row[:2],
    )


_SAVE_VISIT = (
    "insert into visit (sender, visit, person, case_id, waiting, first_told_at) values (?, ?, ?, ?, ?, ?)"
    " on conflict (sender, visit) do update set"
    " person = excluded.person, case_id = excluded.case_id, waiting = excluded.waiting"
)


def save_cases(tx: Transaction, cases: Sequence[CaseHead]) -> None:
    """Write these cases as they now are, when the transaction commits.

    Raises Crossed then, and nothing is written, if another transaction has changed one since it was read.
    """
    tx.memo.update({case.id: case for case in cases})
    tx.queue(
        "insert into claim_case (id, shard, person, sender, visit, stage, stay, opened_at, completed_at, version)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id, shard) do update set person = excluded.person,"
        " stage = excluded.stage, stay = excluded.stay, completed_at = excluded.completed_at,"
        " version = excluded.version where claim_case.version = excluded.version - 1",
        [
            (
                c.id,
                person_key(c.id),
                c.person,
                c.sender,
                c.visit,
                c.stage,
                _kept(c),
                at_text(c.opened_at),
                c.completed_at and at_text(c.completed_at),
                c.version + 1,
            )
            for c in cases
        ],
        key=lambda row: row[0],
        every=True,
    )


def _kept(case: CaseHead) -> str:
    if isinstance(case, Case) and not case.heard:
        return _encode(case.stay).decode()
    return _encode(_Folded(case.hospital, case.heard)).decode()


def add_steps(tx: Transaction, steps: Sequence[tuple[CaseId, Happening, Stage | None, str]], now: datetime) -> None:
    """Add to the history: (case, happening, the stage after it, a note). Those of one transaction stand in one row."""
    at = at_text(now)
    tx.queue(
        "insert into case_step (case_id, shard, at, steps) values (?, ?, ?, ?)",
        [
            (case, person_key(case), at, _encode([(happening, stage or "", note)]).decode())
            for case, happening, stage, note in steps
        ],
        key=lambda row: (row[0], row[2]),
        joined=_joined,
    )


def _joined(earlier: Sequence[object], later: Sequence[object]) -> Sequence[object]:
    """One row with the steps of both."""
    return (*earlier[:3], f"{str(earlier[3])[:-1]},{str(later[3])[1:]}")


def history(tx: Transaction, case: CaseId) -> list[tuple[datetime, str, str, str]]:
    """What happened to a case: (at, happening, stage after it, note), oldest first."""
    rows = tx.rows("select at, steps from case_step where case_id = ? order by id", (case,))
    return [
        (at_of(at), happening, stage, note) for at, steps in rows for happening, stage, note in _steps.decode(steps)
    ]


def stages_after(tx: Transaction, cases: Collection[CaseId]) -> dict[CaseId, list[tuple[int, datetime, str]]]:
    """For each case, the numbers of its steps, when they were taken, and the stage after each, in order."""
    found: dict[CaseId, list[tuple[int, datetime, str]]] = {}
    for number, case, at, steps in tx.rows(
        "select id, case_id, at, steps from case_step where case_id in ? order by id", (sorted(set(cases)),)
    ):
        stages = [stage for _, stage, _ in _steps.decode(steps) if stage]
        if stages:
            found.setdefault(case, []).append((number, at_of(at), stages[-1]))
    return found


def last_notes(tx: Transaction, cases: Collection[CaseId], happening: Happening) -> dict[CaseId, tuple[str, ...]]:
    """What was noted when this happened last to each of these cases, split at commas; absent: it never did."""
    found: dict[CaseId, tuple[str, ...]] = {}
    for case, steps in tx.rows(
        "select case_id, steps from case_step where case_id in ? order by id", (sorted(set(cases)),)
    ):
        for what, _, note in _steps.decode(steps):
            if what == happening:
                found[case] = tuple(part for part in note.split(",") if part)
    return found


_steps = msgspec.json.Decoder(tuple[tuple[str, str, str], ...])


def save_names(tx: Transaction, rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Learn which visit a bill or settlement belongs to: (sender, kind, value, visit), of names that led nowhere.

    Of several visits that bring one name the first by its number has it. Raises Crossed when it is written, if another
    transaction has written a row for that name since it was looked for.
    """
    tx.queue(_SAVE_NAME, sorted(set(rows)), key=_name_of, every=True, joined=lambda earlier, later: earlier)


def _name_of(row: Sequence[object]) -> object:
    return row[:3]


_SAVE_NAME = (
    "insert into visit_alias (sender, kind, value, visit) values (?, ?, ?, ?)"
    " on conflict (sender, kind, value) do nothing"
)


def names(tx: Transaction, asked: Sequence[Name]) -> dict[Name, str]:
    """The visits that these names lead to; "" for those that papers wait for, others are absent."""
    if not asked:
        return {}
    tx.flush(_SAVE_NAME, _AWAIT_NAME)
    return {
        (sender, kind, value): visit
        for sender, kind, value, visit in tx.rows(
            "select sender, kind, value, visit from visit_alias where (sender, kind, value) in ?", (asked,)
        )
    }


def aliases(tx: Transaction, asked: Sequence[Name]) -> dict[Name, str]:
    """The visits that these names lead to."""
    return {name: visit for name, visit in names(tx, asked).items() if visit}


def await_names(tx: Transaction, papers: Iterable[tuple[str, str, str, int]]) -> None:
    """Note under which names papers wait: (sender, kind, value, number in the log).

    Raises Crossed when it is written, if one of the names leads to a visit by then.
    """
    rows = sorted(set(papers))
    tx.queue(_AWAIT_NAME, [row[:3] for row in rows], key=_name_of, every=True)
    tx.queue(_ADD_AWAITED, rows)


# What changes nothing of a row still locks it, so that nobody takes it over unseen.
_AWAIT_NAME = (
    "insert into visit_alias (sender, kind, value, visit) values (?, ?, ?, '')"
    " on conflict (sender, kind, value) do update set visit = excluded.visit where visit_alias.visit = ''"
)
_ADD_AWAITED = "insert into awaited_name (sender, kind, value, event) values (?, ?, ?, ?)"


def take_names(tx: Transaction, visits: Mapping[Name, str]) -> list[int]:
    """Let these names, for which papers wait, lead to their visits from now on; the numbers of those papers."""
    if not visits:
        return []
    tx.flush(_AWAIT_NAME, _ADD_AWAITED)
    tx.run_many(
        "update visit_alias set visit = ? where sender = ? and kind = ? and value = ? and visit = ''",
        [(visits[name], *name) for name in sorted(visits)],
    )
    rows = tx.rows(
        "select distinct event from awaited_name where (sender, kind, value) in ? order by event", (sorted(visits),)
    )
    return [number for (number,) in rows]


def strike_awaited(tx: Transaction, papers: Iterable[tuple[str, str, str, int]]) -> None:
    """These papers wait no longer under these names: (sender, kind, value, number in the log)."""
    tx.run_many(
        "delete from awaited_name where sender = ? and kind = ? and value = ? and event = ?", sorted(set(papers))
    )


def waiting_visits(tx: Transaction) -> list[VisitRow]:
    """Visits without a case, with the reason."""
    tx.flush(_SAVE_VISIT)
    return [
        VisitRow(sender, visit, person, None, waiting, at_of(first))
        for sender, visit, person, waiting, first in tx.rows(
            "select sender, visit, person, waiting, first_told_at from visit where waiting is not null"
            " order by first_told_at"
        )
    ]


def save_hospitals(tx: Transaction, hospitals: Iterable[HospitalRow]) -> None:
    """Enter hospitals, or what holds of them from a later day on."""
    tx.run_many(
        "insert into hospital (code, from_day, name, name_en, level, public, region) values (?, ?, ?, ?, ?, ?, ?)"
        " on conflict (code, from_day) do update set name = excluded.name, name_en = excluded.name_en,"
        " level = excluded.level, public = excluded.public, region = excluded.region",
        [(h.code, h.from_day.isoformat(), h.name, h.name_en, h.level, h.public, h.region) for h in hospitals],
    )


def hospitals(tx: Transaction, codes: Iterable[str], on: date) -> dict[str, HospitalRow]:
    """What holds on that day of these hospitals, asked for once in a transaction; those not registered are absent."""
    known: dict[str, list[HospitalRow]] = tx.memo.setdefault("hospitals", {})
    wanted = [code for code in dict.fromkeys(codes) if code]
    missing = [code for code in wanted if code not in known]
    if missing:
        known |= {code: [] for code in missing}
        for row in tx.rows(f"{_HOSPITAL} where code in ? order by from_day", (missing,)):
            known[row[0]].append(_hospital(row))
    held = {code: [row for row in known[code] if row.from_day <= on] for code in wanted}
    return {code: rows[-1] for code, rows in held.items() if rows}


def every_hospital(tx: Transaction) -> list[HospitalRow]:
    """The whole registry, by code and day."""
    return [_hospital(row) for row in tx.rows(f"{_HOSPITAL} order by code, from_day")]


_HOSPITAL = "select code, name, name_en, level, public, region, from_day from hospital"


def _hospital(row: Row) -> HospitalRow:
    code, name, name_en, level, public, region, day = row
    return HospitalRow(
        code, name, name_en, level, None if public is None else bool(public), region, date.fromisoformat(day)
    )


def cases_of_next_persons(tx: Transaction, after: str, limit: int) -> dict[PersonId, list[CaseId]]:
    """The cases of the next persons by id, at most `limit` of them, who come after one; empty if none does."""
    found: dict[PersonId, list[CaseId]] = {}
    for person, case in tx.rows(
        "select person, id from claim_case where person in"
        " (select distinct person from claim_case where person > ? order by person limit ?) order by person, id",
        (after, limit),
    ):
        found.setdefault(person, []).append(case)
    return found
