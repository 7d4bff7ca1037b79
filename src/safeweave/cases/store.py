"""Cases, the visits they come from, and the registry of hospitals, as rows."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import msgspec

from safeweave.cases.case import Case
from safeweave.cases.lifecycle import Happening, Stage
from safeweave.cases.stay import Stay
from safeweave.database import Row, Transaction, at_of, at_text, marks
from safeweave.facts import Fact, Hospital
from safeweave.ids import CaseId, PersonId

_encode = msgspec.json.Encoder().encode
_stay = msgspec.json.Decoder(Stay)

VisitKey = tuple[str, str]  # sender, visit

_CASE = "c.id, c.person, c.sender, c.visit, c.stage, c.stay, c.opened_at, c.completed_at, c.version"


class VisitRow(Fact):
    """What became of one visit: its person and case, or why there is none."""

    sender: str
    visit: str
    person: PersonId | None = None
    case: Case | None = None
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


def _case(row: Row) -> Case:
    case, person, sender, visit, stage, stay, opened, completed, version = row
    return Case(
        case,
        person,
        sender,
        visit,
        stage,
        _stay.decode(stay),
        at_of(opened),
        at_of(completed) if completed else None,
        version,
    )


def visits(tx: Transaction, keys: Sequence[VisitKey]) -> dict[VisitKey, VisitRow]:
    """What is known of these visits, with their cases."""
    found: dict[VisitKey, VisitRow] = {}
    for start in range(0, len(keys), 5000):
        part = keys[start : start + 5000]
        pairs = ", ".join(["(?, ?)"] * len(part))
        for row in tx.rows(
            f"select v.sender, v.visit, v.person, v.waiting, v.first_told_at, {_CASE} from visit v"
            f" left join claim_case c on c.id = v.case_id where (v.sender, v.visit) in (values {pairs})",
            [value for key in part for value in key],
        ):
            sender, visit, person, waiting, first, *case = row
            known: Case | None = tx.memo.get(case[0])  # as it was last saved: it is written when the transaction ends
            if known is None and case[0]:
                known = tx.memo[case[0]] = _case(tuple(case))
            found[sender, visit] = VisitRow(sender, visit, person, known, waiting, at_of(first))
    return found


def cases_by_id(tx: Transaction, ids: Iterable[CaseId]) -> dict[CaseId, Case]:
    """These cases; those already read or written in this transaction are not asked for again."""
    wanted = list(dict.fromkeys(ids))
    found = {case: tx.memo[case] for case in wanted if case in tx.memo}
    missing = [case for case in wanted if case not in found]
    for start in range(0, len(missing), 5000):
        part = missing[start : start + 5000]
        for row in tx.rows(f"select {_CASE} from claim_case c where c.id in ({marks(part)})", part):
            found[row[0]] = tx.memo[row[0]] = _case(row)
    return found


def cases_in(tx: Transaction, stages: Sequence[Stage] = (), person: str = "", limit: int = 1000) -> list[Case]:
    """Cases in any of these stages (all: none given), of one person if given, the latest first."""
    where, values = ["1 = 1"], [*stages]
    if stages:
        where.append(f"c.stage in ({marks(stages)})")
    if person:
        where.append("c.person = ?")
        values.append(person)  # type: ignore[arg-type]
    sql = f"select {_CASE} from claim_case c where {' and '.join(where)} order by c.opened_at desc, c.id limit ?"
    return [_case(row) for row in tx.rows(sql, [*values, limit])]


def case_of_visit(tx: Transaction, visit: str) -> Case | None:
    """The case of a visit number; None if there is none, or if several hospitals use it."""
    rows = tx.rows(f"select {_CASE} from claim_case c where c.visit = ? limit 2", (visit,))
    return _case(rows[0]) if len(rows) == 1 else None


def stages_of(tx: Transaction, sender: str) -> list[tuple[str, str]]:
    """The (visit, stage) of every case a sender's messages opened."""
    return tx.rows("select visit, stage from claim_case where sender = ?", (sender,))


def save_visits(tx: Transaction, rows: Sequence[VisitRow], now: datetime) -> None:
    """Write what became of these visits."""
    tx.run_many(
        "insert into visit (sender, visit, person, case_id, waiting, first_told_at) values (?, ?, ?, ?, ?, ?)"
        " on conflict (sender, visit) do update set"
        " person = excluded.person, case_id = excluded.case_id, waiting = excluded.waiting",
        [(v.sender, v.visit, v.person, v.case and v.case.id, v.waiting, at_text(v.first_told_at or now)) for v in rows],
    )


def save_cases(tx: Transaction, cases: Sequence[Case]) -> None:
    """Write these cases as they now are, when the transaction commits."""
    tx.memo.update({case.id: case for case in cases})
    tx.queue(
        "insert into claim_case (id, person, sender, visit, stage, stay, opened_at, completed_at, version)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set person = excluded.person,"
        " stage = excluded.stage, stay = excluded.stay, completed_at = excluded.completed_at,"
        " version = excluded.version",
        [
            (
                c.id,
                c.person,
                c.sender,
                c.visit,
                c.stage,
                _encode(c.stay).decode(),
                at_text(c.opened_at),
                c.completed_at and at_text(c.completed_at),
                c.version,
            )
            for c in cases
        ],
        key=lambda row: row[0],
    )


def add_steps(tx: Transaction, steps: Sequence[tuple[CaseId, Happening, Stage | None, str]], now: datetime) -> None:
    """Add to the history: (case, happening, the stage after it, a note)."""
    at = at_text(now)
    tx.queue(
        "insert into case_step (case_id, at, happening, stage, note) values (?, ?, ?, ?, ?)",
        [(case, at, happening, stage or "", note) for case, happening, stage, note in steps],
    )


def history(tx: Transaction, case: CaseId) -> list[tuple[datetime, str, str, str]]:
    """What happened to a case: (at, happening, stage after it, note), oldest first."""
    rows = tx.rows("select at, happening, stage, note from case_step where case_id = ? order by id", (case,))
    return [(at_of(at), happening, stage, note) for at, happening, stage, note in rows]


def save_aliases(tx: Transaction, rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Learn which visit a bill or settlement belongs to: (sender, kind, value, visit)."""
    tx.run_many(
        "insert into visit_alias (sender, kind, value, visit) values (?, ?, ?, ?)"
        " on conflict (sender, kind, value) do nothing",
        rows,
    )


def aliases(tx: Transaction, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """The visits that these (sender, kind, value) lead to."""
    if not keys:
        return {}
    triples = ", ".join(["(?, ?, ?)"] * len(keys))
    return {
        (sender, kind, value): visit
        for sender, kind, value, visit in tx.rows(
            f"select sender, kind, value, visit from visit_alias where (sender, kind, value) in (values {triples})",
            [part for key in keys for part in key],
        )
    }


def waiting_visits(tx: Transaction) -> list[VisitRow]:
    """Visits without a case, with the reason."""
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
        for row in tx.rows(f"{_HOSPITAL} where code in ({marks(missing)}) order by from_day", missing):
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
