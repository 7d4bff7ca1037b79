"""What many determinations read, in columns: claims, their bills and lines, cover, and usage to begin with.

The tables lose nothing that decides: `claims_at` gives the plain engine its values back. Names, as printed on bills or
of beneficiaries, never decide and are left out. Rows of a person stand together in the order of decision, and so do the
rows of one turn: what several policies decided together for one case. Bills of a claim and lines of a bill stand in
canonical order. What others paid for a bill leaves out what this person's other policies paid: that is decided here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.runs import places_in, starts_of
from safeweave.coverage.usage import TABLES, Usage
from safeweave.facts import Bill, BillRef, Claim, Cover, Hospital, Line, OtherPaid, Overlay, Period, Split

Days = npt.NDArray[np.int32]  # day numbers (`date.toordinal`); 0 where a day is not known
Codes = npt.NDArray[np.int32]  # places in a list of texts; -1 where there is none
Tables = Mapping[str, pa.Table]

_EPOCH = date(1970, 1, 1).toordinal()
_TEXT = pa.dictionary(pa.int32(), pa.string())
_NUMBER, _DAY, _FLAG = pa.int64(), pa.date32(), pa.bool_()

_HOSPITAL = [("hospital_known", _FLAG), ("hospital", _TEXT), ("level", _NUMBER), ("public", _FLAG), ("region", _TEXT)]
_CLAIM_DAYS = ("claimed_on", "admitted_on", "discharged_on", "visited_on", "diagnosed_on", "died_on", "accident_on",
               "first_found_on")  # fmt: skip
_FUNDS = ("fund", "other", "account", "cash", "self_pay", "self_cost")
_PARTS = ("own", "over", "first", "within")

SCHEMAS: dict[str, pa.Schema] = {
    "claims": pa.schema(
        [
            *[(name, pa.string()) for name in ("determination", "case", "policy", "person", "supersedes")],
            # numbers within the part: of persons, of chains (a person under a policy), of turns
            *[(name, pa.int32()) for name in ("person_no", "chain_no", "turn_no")],
            ("decided_at", pa.timestamp("us", "UTC")),
            *[(name, _TEXT) for name in ("product", "product_digest", "engine", "verdict", "holds")],
            *[(name, _TEXT) for name in ("kind", "diagnosis", "treatment", "severity")],
            ("other_diagnoses", pa.list_(pa.string())),
            *_HOSPITAL,
            *[(name, _DAY) for name in _CLAIM_DAYS],
            *[(name, _FLAG) for name in ("accident", "emergency", "confirmed")],
            *[(name, _NUMBER) for name in ("leave_days", "icu_days")],
            *[(name, _DAY) for name in ("birth", "roster_first_day", "roster_last_day")],
            ("sex", _TEXT),
            *[(name, _FLAG) for name in ("enrolled", "guardian", "beneficiary")],
            *[(name, _TEXT) for name in ("periods", "overlays")],
            ("bills", _NUMBER),  # how many
        ]
    ),
    "bills": pa.schema(
        [
            *[(name, pa.string()) for name in ("code", "number", "replaces_code", "replaces_number")],
            ("kind", _TEXT),
            ("on", _DAY),
            ("total", _NUMBER),
            ("social", _TEXT),
            *[(name, _NUMBER) for name in _FUNDS],
            ("state", _TEXT),
            ("accounted", _FLAG),
            *_HOSPITAL,
            *[(name, _NUMBER) for name in ("others", "lines")],  # how many
        ]
    ),
    "lines": pa.schema(
        [
            ("no", _NUMBER),
            *[(name, _TEXT) for name in ("category", "class", "code", "treatment", "ward")],
            ("amount", _NUMBER),
            ("days", _NUMBER),
            ("on", _DAY),
            *[(name, _NUMBER) for name in (*_PARTS, "social_paid", "refund_of")],
        ]
    ),
    "others": pa.schema([("source", _TEXT), ("amount", _NUMBER)]),
    "openings": pa.schema(  # what a chain had used before its first row here
        [("claim", _NUMBER), ("table", _TEXT), ("scope", _TEXT), ("id", _TEXT), ("amount", _NUMBER)]
    ),
}

Verdict = Literal["", "pay", "refuse", "adjusted", "restored"]
"""What a person said in place of the rules: to pay what they yield, or nothing, or the amounts of the person's own, or
those of an earlier determination; "" if nobody said anything."""


class Given(NamedTuple):
    """One determination's facts.

    `turn` tells apart what was decided together for one case; `opening` counts for the first of a chain only.
    """

    determination: str
    case: str
    policy: str
    person: str
    turn: object
    decided_at: datetime
    product: str
    product_digest: str
    engine: str
    verdict: Verdict
    holds: tuple[str, ...]
    claim: Claim
    cover: Cover
    overlays: tuple[Overlay, ...] = ()
    opening: Usage = Usage()


_canonical = attrgetter("on", "code", "number")
_by_no = attrgetter("no")
_encode = msgspec.json.Encoder(order="deterministic").encode
_overlays = msgspec.json.Decoder(tuple[Overlay, ...])


def tables_of(rows: Iterable[Given]) -> dict[str, pa.Table]:
    """These facts as tables of `SCHEMAS`. A number beyond int64 raises OverflowError."""
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in SCHEMAS}
    persons: dict[str, int] = {}
    chains: dict[tuple[str, str], int] = {}
    turns: dict[tuple[str, object], int] = {}
    for place, row in enumerate(rows):
        chain = row.policy, row.person
        if chain not in chains:
            found["openings"] += [(place, *entry) for entry in entries_of(row.opening)]
        numbers = (
            persons.setdefault(row.person, len(persons)),
            chains.setdefault(chain, len(chains)),
            turns.setdefault((row.person, row.turn), len(turns)),
        )
        found["claims"].append(_claim_row(row, numbers))
        for bill in sorted(row.claim.bills, key=_canonical):
            found["bills"].append(_bill_row(bill))
            found["lines"] += [_line_row(line) for line in sorted(bill.lines, key=_by_no)]
            found["others"] += [(paid.source, paid.amount) for paid in bill.other_paid]
    return {name: _table(SCHEMAS[name], rows) for name, rows in found.items()}


def entries_of(usage: Usage) -> list[tuple[str, str, str, int]]:
    """The (table, scope, id, amount) of a usage, without zeros."""
    return [
        (table, scope, id, amount)
        for scope, used in usage.rows()
        for table in TABLES
        for id, amount in getattr(used, table).items()
    ]


def _table(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        if pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def _hospital_row(hospital: Hospital | None) -> tuple[Any, ...]:
    if hospital is None:
        return False, None, None, None, None
    return True, hospital.id, hospital.level, hospital.public, hospital.region


def _claim_row(row: Given, numbers: tuple[int, int, int]) -> tuple[Any, ...]:
    claim, cover = row.claim, row.cover
    return (
        row.determination, row.case, row.policy, row.person, claim.supersedes, *numbers, row.decided_at, row.product,
        row.product_digest, row.engine, row.verdict, ",".join(row.holds), claim.kind,
        claim.diagnoses[0] if claim.diagnoses else None, claim.treatment, claim.severity, claim.diagnoses[1:],
        *_hospital_row(claim.hospital), *[getattr(claim, name) for name in _CLAIM_DAYS], claim.accident,
        claim.emergency, claim.confirmed, claim.leave_days, claim.icu_days, cover.birth, cover.roster_first_day,
        cover.roster_last_day, cover.sex, cover.enrolled, cover.guardian, bool(cover.beneficiary),
        _periods_text(cover.periods), _encode(row.overlays).decode() if row.overlays else "", len(claim.bills),
    )  # fmt: skip


def _bill_row(bill: Bill) -> tuple[Any, ...]:
    replaces = bill.replaces
    return (
        bill.code, bill.number, replaces.code if replaces else None, replaces.number if replaces else None, bill.kind,
        bill.on, bill.total, bill.social, *[getattr(bill, name) for name in _FUNDS], bill.state, bill.accounted,
        *_hospital_row(bill.hospital), len(bill.other_paid), len(bill.lines),
    )  # fmt: skip


def _line_row(line: Line) -> tuple[Any, ...]:
    split = line.split
    parts = (split.own, split.over, split.first, split.within) if split is not None else (None, None, None, None)
    return (
        line.no, line.category, line.catalogue_class, line.code, line.treatment, line.ward, line.amount, line.days,
        line.on, *parts, line.social_paid, line.refund_of,
    )  # fmt: skip


def _periods_text(periods: Sequence[Period]) -> str:
    return ";".join(f"{p.first_day.isoformat()} {p.last_day.isoformat()} {p.since.isoformat()}" for p in periods)


def _periods_of(text: str) -> tuple[Period, ...]:
    return tuple(Period(*map(date.fromisoformat, part.split())) for part in text.split(";")) if text else ()


# ---------------------------------------------------------------- columns as arrays


def whole_of(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; nothing is copied if it is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class Words:
    """A column of texts: the different ones, and for each row its place among them (-1: none)."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        whole = whole_of(column)
        self.texts: list[str] = whole.dictionary.to_pylist()
        self.at: Codes = _filled(whole.indices, np.int32(-1))

    def mapped(self, numbers: Mapping[str, int], otherwise: int) -> npt.NDArray[np.int8]:
        """For each row a small number by its text; `otherwise` for other texts and for none."""
        table = np.array([*(numbers.get(text, otherwise) for text in self.texts), otherwise], np.int8)
        return table[self.at]

    def that(self, wanted: Iterable[str]) -> Bools:
        """For each different text, and last for none, whether it is one of these."""
        known = frozenset(wanted)
        return np.array([*(text in known for text in self.texts), False], np.bool_)


class Numbers:
    """A column of whole numbers: the values, 0 where there is none, and where there is one (None: everywhere)."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        whole = whole_of(column)
        self.values: Ints = _filled(whole, np.int64(0))
        self.given: Bools | None = None
        if whole.null_count == len(whole) > 0:
            self.given = np.broadcast_to(np.False_, len(whole))
        elif whole.null_count:
            self.given = whole.is_valid().to_numpy(zero_copy_only=False)


def _filled(column: pa.Array, nothing: np.integer[Any]) -> npt.NDArray[Any]:
    """The numbers of a column, with another number where there is none. A column of nothing takes no room."""
    if column.null_count == len(column):
        return np.broadcast_to(nothing, len(column))
    values: npt.NDArray[Any] = column.fill_null(nothing.item()).to_numpy() if column.null_count else column.to_numpy()
    return values


def _days(column: pa.ChunkedArray) -> Days:
    whole = whole_of(column)
    if whole.null_count == len(whole):
        return np.broadcast_to(np.int32(0), len(whole))
    return _filled(whole.view(pa.int32()), np.int32(-_EPOCH)) + np.int32(_EPOCH)


def _flags(column: pa.ChunkedArray) -> Bools:
    found: Bools = whole_of(column).fill_null(False).to_numpy(zero_copy_only=False)
    return found


class Hospitals:
    """What is known of the hospital of each row of a table."""

    def __init__(self, table: pa.Table) -> None:
        self.known = _flags(table["hospital_known"])
        self.ids = Words(table["hospital"])
        level, public = table["level"], table["public"]
        self.level = Numbers(level).values
        self.public = _flags(public)
        complete = self.ids.at >= 0
        if level.null_count:
            complete &= whole_of(level).is_valid().to_numpy(zero_copy_only=False)
        if public.null_count:
            complete &= whole_of(public).is_valid().to_numpy(zero_copy_only=False)
        self.complete: Bools = complete  # enough to decide by


class Periods:
    """The policy years of different covers, one row a cover, by first day; days are 0 where a cover has no more."""

    def __init__(self, texts: Sequence[str]) -> None:
        covers = [sorted(_periods_of(text), key=attrgetter("first_day")) for text in texts]
        self.most = max([1, *map(len, covers)])
        shape = (len(covers), self.most)
        self.first_day, self.last_day, self.since = (np.zeros(shape, np.int32) for _ in range(3))
        for cover, periods in enumerate(covers):
            for place, period in enumerate(periods):
                self.first_day[cover, place] = period.first_day.toordinal()
                self.last_day[cover, place] = period.last_day.toordinal()
                self.since[cover, place] = period.since.toordinal()

    def holding(self, days: Days, covers: Codes) -> Codes:
        """The place of the policy year of a cover that holds a day; -1 if none does."""
        found = np.full(np.broadcast(days, covers).shape, -1, np.int32)
        for place in reversed(range(self.most)):
            last_day = self.last_day[covers, place]
            found[(self.first_day[covers, place] <= days) & (days <= last_day) & (last_day > 0)] = place
        return found


class Facts:
    """The tables of many determinations, and their columns as arrays."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        claims, bills, lines = tables["claims"], tables["bills"], tables["lines"]
        self.count: int = claims.num_rows
        self.bill_starts = starts_of(Numbers(claims["bills"]).values)
        self.line_starts_of_bill = starts_of(Numbers(bills["lines"]).values)
        self.line_starts = self.line_starts_of_bill[self.bill_starts]
        self.other_starts = starts_of(Numbers(bills["others"]).values)
        # claims
        self.kind = Words(claims["kind"])
        self.product, self.product_digest = Words(claims["product"]), Words(claims["product_digest"])
        self.verdict, self.holds = Words(claims["verdict"]), Words(claims["holds"])
        self.diagnosis = Words(claims["diagnosis"])
        self.treatment, self.severity = Words(claims["treatment"]), Words(claims["severity"])
        self.hospital = Hospitals(claims)
        self.region = Words(claims["region"])
        self.claimed_on, self.admitted_on, self.discharged_on, self.visited_on = (
            _days(claims[name]) for name in _CLAIM_DAYS[:4]
        )
        self.diagnosed_on, self.died_on, self.accident_on, self.first_found_on = (
            _days(claims[name]) for name in _CLAIM_DAYS[4:]
        )
        self.accident, self.emergency = _flags(claims["accident"]), _flags(claims["emergency"])
        self.confirmed = _flags(claims["confirmed"])
        self.leave_days, self.icu_days = Numbers(claims["leave_days"]).values, Numbers(claims["icu_days"]).values
        self.roster_first_day, self.roster_last_day = (
            _days(claims[name]) for name in ("roster_first_day", "roster_last_day")
        )
        self.sex = Words(claims["sex"])
        self.enrolled, self.guardian = _flags(claims["enrolled"]), _flags(claims["guardian"])
        self.beneficiary = _flags(claims["beneficiary"])
        self.cover = Words(claims["periods"])
        self.periods = Periods(self.cover.texts)
        self.overlay = Words(claims["overlays"])
        self.overlays = [_overlays.decode(text) if text else () for text in self.overlay.texts]
        # bills and lines: `Bills` and `Charges` read most of it
        self.bill_on, self.total = _days(bills["on"]), Numbers(bills["total"]).values
        self.funds = [Numbers(bills[name]) for name in _FUNDS]
        self.fund, self.other, self.account, self.cash, self.self_pay, self.self_cost = self.funds
        self.accounted = _flags(bills["accounted"])
        self.bill_hospital = Hospitals(bills)
        self.no, self.amount = Numbers(lines["no"]).values, Numbers(lines["amount"]).values
        self.days, self.on = Numbers(lines["days"]), _days(lines["on"])
        self.parts = [Numbers(lines[name]) for name in _PARTS]
        self.own, self.over, self.first, self.within = self.parts
        self.social_paid, self.refund_of = Numbers(lines["social_paid"]), Numbers(lines["refund_of"])
        self.other_amount = Numbers(tables["others"]["amount"]).values
        self._words: dict[tuple[str, str], Words] = {}

    def words(self, table: str, column: str) -> Words:
        """A column of texts that not every product looks at."""
        found = self._words.get((table, column))
        if found is None:
            found = self._words[table, column] = Words(self.tables[table][column])
        return found

    @property
    def category(self) -> Words:
        """The charge categories of the lines."""
        return self.words("lines", "category")

    @property
    def catalogue_class(self) -> Words:
        """The catalogue classes of the lines."""
        return self.words("lines", "class")

    @property
    def code(self) -> Words:
        """What was charged on the lines."""
        return self.words("lines", "code")

    @property
    def line_treatment(self) -> Words:
        """The treatments the lines belong to."""
        return self.words("lines", "treatment")

    @property
    def ward(self) -> Words:
        """The wards of the lines."""
        return self.words("lines", "ward")

    def numbers(self, column: str) -> Codes:
        """The numbers of persons, chains or turns."""
        found: Codes = whole_of(self.tables["claims"][column]).to_numpy()
        return found

    @cached_property
    def person(self) -> Codes:
        """For each claim the number of its person; numbers never fall."""
        return self.numbers("person_no")

    @cached_property
    def chain(self) -> Codes:
        """For each claim the number of its chain: one person under one policy."""
        return self.numbers("chain_no")

    @cached_property
    def turn(self) -> Codes:
        """For each claim the number of its turn: what several policies decided together for one case."""
        return self.numbers("turn_no")

    @cached_property
    def birth(self) -> Days:
        """The birthdays of the insured."""
        return _days(self.tables["claims"]["birth"])

    @cached_property
    def secondary(self) -> tuple[Codes, Words]:
        """The claim of each secondary diagnosis, and the diagnoses."""
        column = whole_of(self.tables["claims"]["other_diagnoses"])
        counts = np.diff(column.offsets.to_numpy())
        codes = pa.chunked_array([column.flatten().dictionary_encode()])
        return np.repeat(np.arange(self.count, dtype=np.int32), counts), Words(codes)

    def bills_of(self, claims: Ints) -> Ints:
        """The places of the bills of claims."""
        return _runs(self.bill_starts, claims)

    # ------------------------------------------------------------ back to values

    def claims_at(self, places: Ints) -> dict[int, tuple[Claim, Cover, str]]:
        """The claims of some rows as the plain engine reads them, with their covers and cases.

        Who a beneficiary is, is not said.
        """
        bills = _parts(self.tables["bills"], self.bill_starts, places)
        bills_at = _runs(self.bill_starts, places)
        lines = _parts(self.tables["lines"], self.line_starts_of_bill, bills_at)
        others = _parts(self.tables["others"], self.other_starts, bills_at)
        found = {}
        for place, row in zip(places.tolist(), self.tables["claims"].take(places).to_pylist(), strict=True):
            number = range(int(self.bill_starts[place + 1] - self.bill_starts[place]))
            own = tuple(_bill_of(bill, next(lines), next(others)) for _, bill in zip(number, next(bills), strict=True))
            found[place] = _claim_of(row, own), _cover_of(row), row["case"]
        return found


def _runs(starts: Ints, places: Ints) -> Ints:
    return places_in(starts[places], starts[places + 1] - starts[places])


def _parts(table: pa.Table, starts: Ints, places: Ints) -> Iterator[list[dict[str, Any]]]:
    """For each of some rows its parts."""
    rows = table.take(_runs(starts, places)).to_pylist()
    end = 0
    for count in (starts[places + 1] - starts[places]).tolist():
        yield rows[end : end + count]
        end += count


def _claim_of(row: Mapping[str, Any], bills: tuple[Bill, ...]) -> Claim:
    return Claim(
        id=row["determination"],
        kind=row["kind"],
        diagnoses=() if row["diagnosis"] is None else (row["diagnosis"], *row["other_diagnoses"]),
        hospital=_hospital_of(row),
        bills=bills,
        **{name: row[name] for name in (*_CLAIM_DAYS, "accident", "emergency", "confirmed", "leave_days", "icu_days")},
        **{name: row[name] for name in ("treatment", "severity", "supersedes")},
    )


def _cover_of(row: Mapping[str, Any]) -> Cover:
    return Cover(
        **{name: row[name] for name in ("birth", "sex", "enrolled", "guardian", "roster_first_day", "roster_last_day")},
        periods=_periods_of(row["periods"]),
        beneficiary="beneficiary" if row["beneficiary"] else None,
    )


def _bill_of(row: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Bill:
    replaces = row["replaces_code"], row["replaces_number"]
    return Bill(
        **{
            name: row[name]
            for name in ("code", "number", "kind", "on", "total", "social", *_FUNDS, "state", "accounted")
        },
        lines=tuple(map(_line_of, lines)),
        replaces=BillRef(*replaces) if replaces[0] is not None else None,
        other_paid=tuple(OtherPaid(other["source"], other["amount"]) for other in others),
        hospital=_hospital_of(row),
    )


def _hospital_of(row: Mapping[str, Any]) -> Hospital | None:
    return Hospital(row["hospital"], row["level"], row["public"], row["region"]) if row["hospital_known"] else None


def _line_of(row: Mapping[str, Any]) -> Line:
    return Line(
        no=row["no"],
        category=row["category"],
        catalogue_class=row["class"],
        split=Split(*(row[name] for name in _PARTS)) if row["own"] is not None else None,
        **{
            name: row[name]
            for name in ("amount", "code", "treatment", "ward", "days", "on", "social_paid", "refund_of")
        },
    )
