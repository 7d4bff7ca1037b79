"""Determinations in columns: a row for each claim, benefit, line, cut and use, with reasons and clauses.

The same form holds what the columns decide, what the plain engine decides and what is stored, so that they can be
compared to the last fen. Rows of a table follow the rows of the table above it: `counts` say how many each has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from safeweave.adjudication.determination import BenefitResult, Cut, Determination, LineResult, StayDays
from safeweave.adjudication.reasons import CUT_REASONS, DECISIONS, PAYEES, PERSON_REASONS, CutReason, PersonReason
from safeweave.bulk.amounts import Bools, Ints
from safeweave.bulk.batch import Batch
from safeweave.bulk.facts import entries_of
from safeweave.bulk.occurrences import PAYEE, REFER_BIT
from safeweave.bulk.runs import places_in, starts_of
from safeweave.bulk.sheets import BenefitSheet, LineSheet
from safeweave.bulk.tally import YEAR, Use
from safeweave.coverage.product import Benefit
from safeweave.coverage.usage import LIFETIME, TABLES, Usage, usage_of
from safeweave.money import Fen

Columns = dict[str, npt.NDArray[Any]]

REASONS: tuple[CutReason | PersonReason, ...] = (*CUT_REASONS, *PERSON_REASONS)  # of the rules, and of persons
REASON: dict[str, int] = {reason: place for place, reason in enumerate(REASONS)}
DECISION = {decision: place for place, decision in enumerate(DECISIONS)}
TABLE = {table: place for place, table in enumerate(TABLES)}
FINAL = (*DECISIONS, "refuse")
PAY, REFER, REFUSE_PROPOSED, REFUSE = range(len(FINAL))
NONE = -1  # in place of a text, a number of days or an adjustment that is not there


class Texts:
    """Texts by number, given out as they come."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        for text in texts:
            self.number(text)

    def number(self, text: str) -> int:
        """The number of a text; the next one if it is new."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


# The columns of each table and their types. `*_text` columns hold numbers of `Texts`.
CLAIMS: dict[str, type] = {
    "decision": np.int8,
    "payable": np.int64,
    "refer": np.int64,  # bits by REFER_CODES
    "adjusts": np.bool_,
    "adjustment": np.int64,
    "duplicates_text": np.int32,  # bill keys, comma between
    "overlays_text": np.int32,  # ids, comma between
    "final": np.int8,  # what was decided in the end, a person's word included: places in FINAL
    "released": np.int64,  # the payable with that: 0 of what a person refused
    "replaced": np.bool_,  # by a later determination
}
BENEFITS: dict[str, type] = {
    "claim": np.int32,
    "order": np.int32,
    "period": np.int32,  # first day of the policy year, 0: none
    "benefit_text": np.int32,
    "payable": np.int64,
    "payee": np.int8,
    "days": np.int64,  # NONE: not an allowance
    "grade_text": np.int32,  # NONE: not a lump sum
    "lines": np.int32,  # how many
    "cuts": np.int32,  # how many of its own
}
LINES: dict[str, type] = {"bill": np.int32, "no": np.int64, "amount": np.int64, "paid": np.int64, "cuts": np.int32}
CUTS: dict[str, type] = {"reason": np.int8, "amount": np.int64, "clause_text": np.int32}
USES: dict[str, type] = {
    "claim": np.int32,
    "table": np.int8,
    "scope": np.int32,  # first day of a policy year, 0: lifetime
    "id_text": np.int32,
    "amount": np.int64,
}
STAYS: dict[str, type] = {"claim": np.int32, "benefit_text": np.int32, "skipped": np.int64, "paid": np.int64}
TABLES_OF: dict[str, dict[str, type]] = {
    "benefits": BENEFITS,
    "benefit_cuts": CUTS,
    "lines": LINES,
    "line_cuts": CUTS,
    "uses": USES,
    "stays": STAYS,
}


class Results:
    """The determinations of `count` claims. `claims` has one row each; a claim that was stopped has no other rows."""

    def __init__(self, claims: Columns, tables: Mapping[str, Columns], texts: Texts) -> None:
        self.claims, self.tables, self.texts = claims, dict(tables), texts

    @property
    def count(self) -> int:
        """How many claims there are."""
        return len(self.claims["decision"])

    # ------------------------------------------------------------ one claim as a value

    def determination(self, place: int, claim: str, bills: Sequence[str]) -> Determination:
        """The determination of one claim, without the usage after it and the bills it makes paid.

        `bills` are the claim's bill keys in canonical order.
        """
        one, text = self.claims, self.texts.texts
        benefits, lines = self.tables["benefits"], self.tables["lines"]
        own = _rows_of(benefits["claim"], place)
        starts, line_cuts = self._starts
        found_benefits, found_lines = [], []
        for row in own:
            benefit, period = text[benefits["benefit_text"][row]], _day_text(int(benefits["period"][row]))
            days, grade = int(benefits["days"][row]), int(benefits["grade_text"][row])
            found_benefits.append(
                BenefitResult(
                    benefit, period, Fen(int(benefits["payable"][row])), PAYEES[benefits["payee"][row]],
                    None if days == NONE else days, None if grade == NONE else text[grade],
                    self._cuts("benefit_cuts", *starts[1][row : row + 2]),
                )
            )  # fmt: skip
            for line in range(*starts[0][row : row + 2]):
                found_lines.append(
                    LineResult(
                        benefit, period, bills[lines["bill"][line]], int(lines["no"][line]),
                        Fen(int(lines["amount"][line])), Fen(int(lines["paid"][line])),
                        self._cuts("line_cuts", *line_cuts[line : line + 2]),
                    )
                )  # fmt: skip
        stays = self.tables["stays"]
        return Determination(
            claim, DECISIONS[one["decision"][place]], Fen(int(one["payable"][place])),
            codes_of(int(one["refer"][place])), _listed(text, one["duplicates_text"][place]),
            _listed(text, one["overlays_text"][place]), tuple(found_benefits), tuple(found_lines), Usage(),
            Fen(int(one["adjustment"][place])) if one["adjusts"][place] else None, self.uses_of(place), (),
            tuple(
                StayDays(text[stays["benefit_text"][row]], int(stays["skipped"][row]), int(stays["paid"][row]))
                for row in _rows_of(stays["claim"], place)
            ),
        )  # fmt: skip

    @cached_property
    def _starts(self) -> tuple[tuple[Ints, Ints], Ints]:
        """Where lines and cuts of each benefit row begin, and the cuts of each line row."""
        benefits, lines = self.tables["benefits"], self.tables["lines"]
        return (starts_of(benefits["lines"]), starts_of(benefits["cuts"])), starts_of(lines["cuts"])

    def _cuts(self, table: str, start: int, end: int) -> tuple[Cut, ...]:
        cuts, text = self.tables[table], self.texts.texts
        return tuple(
            Cut(REASONS[cuts["reason"][at]], Fen(int(cuts["amount"][at])), text[cuts["clause_text"][at]])
            for at in range(start, end)
        )

    def in_force(self) -> Bools:
        """Which claims are paid and not replaced."""
        found: Bools = (self.claims["final"] == PAY) & ~self.claims["replaced"]
        return found

    def cut_by_reason(self, asked: Bools) -> Ints:
        """What was cut of the claims that are asked about, in fen by reason."""
        found = np.zeros(len(REASONS), np.int64)
        for name in ("benefit_cuts", "line_cuts"):
            cuts, counts = self.tables[name], asked[_claims_of(self, name)]
            np.add.at(found, cuts["reason"][counts], cuts["amount"][counts])
        return found

    def line_rows(self, asked: Bools) -> "LineRows":
        """The lines of the claims that are asked about, with their cuts."""
        lines, benefits = self.tables["lines"], self.tables["benefits"]
        claim, benefit = _claims_of(self, "lines"), np.repeat(benefits["benefit_text"], benefits["lines"])
        at = np.flatnonzero(asked[claim])
        _, starts = self._starts
        cuts_at = places_in(starts[at], lines["cuts"][at])
        return LineRows(
            claim[at],
            benefit[at],
            {name: values[at] for name, values in lines.items()},
            starts_of(lines["cuts"][at]),
            {name: values[cuts_at] for name, values in self.tables["line_cuts"].items()},
        )

    def uses_of(self, place: int) -> Usage:
        """What one claim adds to the usage if it is paid."""
        uses, text = self.tables["uses"], self.texts.texts
        return usage_of(
            (TABLES[uses["table"][row]], _scope_text(int(uses["scope"][row])), text[uses["id_text"][row]],
             int(uses["amount"][row]))
            for row in _rows_of(uses["claim"], place)
        )  # fmt: skip


class LineRows(NamedTuple):
    """Some lines: their claims and benefits, and where the cuts of each begin (one more at the end)."""

    claim: npt.NDArray[np.int32]
    benefit_text: npt.NDArray[np.int32]
    lines: Columns
    cut_starts: Ints
    cuts: Columns


def _rows_of(claims: npt.NDArray[Any], place: int) -> range:
    """The rows of one claim in a table that is sorted by claim."""
    start, end = np.searchsorted(claims, [place, place + 1]).tolist()
    return range(start, end)


def codes_of(bits: int) -> tuple[str, ...]:
    """The refer codes of bits, sorted."""
    return tuple(sorted(code for code, bit in REFER_BIT.items() if bits & bit))


def bits_of(codes: Iterable[str]) -> int:
    """The bits of refer codes; other codes that hold a claim back have none."""
    return sum(REFER_BIT[code] for code in set(codes) if code in REFER_BIT)


def _listed(texts: Sequence[str], number: int) -> tuple[str, ...]:
    return tuple(texts[number].split(",")) if number != NONE and texts[number] else ()


def _day_text(day: int) -> str:
    return date.fromordinal(day).isoformat() if day else ""


def _scope_text(day: int) -> str:
    return _day_text(day) or LIFETIME


def _day_of(text: str) -> int:
    return date.fromisoformat(text).toordinal() if text and text != LIFETIME else 0


# ---------------------------------------------------------------- making rows


class Rows:
    """Results as they are made, batch by batch and claim by claim."""

    def __init__(self, count: int) -> None:
        self.texts = Texts()
        self.claims: Columns = {name: np.zeros(count, kind) for name, kind in CLAIMS.items()}
        self.claims["duplicates_text"][:] = NONE
        self.claims["overlays_text"][:] = NONE
        self._blocks: dict[str, list[Columns]] = {name: [] for name in TABLES_OF}
        self._single: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES_OF}

    def finish(self) -> Results:
        """The results, rows by claim, benefit and policy year."""
        for name, rows in self._single.items():
            if rows:
                columns = list(zip(*rows, strict=True))
                kinds = TABLES_OF[name].items()
                block: Columns = {
                    column: np.array(values, kind) for (column, kind), values in zip(kinds, columns, strict=True)
                }
                self._blocks[name].append(block)
        tables: dict[str, Columns] = {
            name: {
                column: np.concatenate([np.zeros(0, kind), *(block[column] for block in blocks)], dtype=kind)
                for column, kind in TABLES_OF[name].items()
            }
            for name, blocks in self._blocks.items()
        }
        return Results(self.claims, in_order(tables), self.texts)

    # ------------------------------------------------------------ a batch

    def add_sheet(self, sheet: BenefitSheet, order: int, batch: Batch, payee: npt.NDArray[Any], kept: Bools) -> None:
        """The rows of one benefit for the claims of a batch that are kept."""
        (some,) = np.nonzero(kept[sheet.claims])
        if not len(some):
            return
        claims, years = sheet.claims[some], sheet.years[some]
        rows = batch.who[claims]
        counts = np.zeros(len(some), np.int32)
        if sheet.lines is not None:
            counts = self._add_lines(sheet.lines, some)
        first_day = batch.facts.periods.first_day[batch.covers[claims], years]
        grade = np.full(len(some), NONE, np.int32)
        if sheet.grade is not None:
            numbers = np.array([*(self.texts.number(text) for text in sheet.grades), self.texts.number("")], np.int32)
            grade = numbers[sheet.grade[some]]
        self._blocks["benefits"].append(
            {
                "claim": rows,
                "order": np.full(len(some), order, np.int32),
                "period": np.where(years >= 0, first_day, 0),
                "benefit_text": np.full(len(some), self.texts.number(sheet.benefit.id), np.int32),
                "payable": sheet.payable[some],
                "payee": payee[rows],
                "days": np.full(len(some), NONE, np.int64) if sheet.days is None else sheet.days[some],
                "grade_text": grade,
                "lines": counts,
                "cuts": self._add_benefit_cuts(sheet, some),
            }
        )

    def _add_benefit_cuts(self, sheet: BenefitSheet, some: Ints) -> npt.NDArray[Any]:
        if not sheet.cuts:
            return np.zeros(len(some), np.int32)
        shown = np.stack([found[some] for _, _, _, found in sheet.cuts], axis=1)
        amounts = np.stack([parts[some] for _, _, parts, _ in sheet.cuts], axis=1)
        at = np.flatnonzero(shown)
        self._add_cuts("benefit_cuts", [cut[:2] for cut in sheet.cuts], amounts, at)
        counts: npt.NDArray[Any] = shown.sum(axis=1, dtype=np.int32)
        return counts

    def _add_lines(self, sheet: LineSheet, some: Ints) -> npt.NDArray[Any]:
        """The line rows of some claims, claim by claim; how many each has."""
        charges = sheet.charges
        every = len(some) == len(sheet.claims)
        shown = (
            None if sheet.shown is None else np.ascontiguousarray((sheet.shown if every else sheet.shown[:, some]).T)
        )

        def by_claim(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
            turned = (matrix if every else matrix[:, some]).T
            return turned.ravel() if shown is None else turned[shown]

        no = charges.on_line(charges.bills.facts.no)
        bill = charges.bill_of if charges.bill_of is not None else np.zeros(no.shape, np.int32)
        counts = np.zeros(no.shape, np.int32)
        for _, _, parts in sheet.cuts:
            counts += parts != 0
        self._blocks["lines"].append(
            {
                "bill": by_claim(bill),
                "no": by_claim(no),
                "amount": by_claim(sheet.amounts),
                "paid": by_claim(sheet.paid),
                "cuts": by_claim(counts),
            }
        )
        if sheet.cuts:
            amounts = np.empty((len(some), charges.lines, len(sheet.cuts)), np.int64)
            for place, (_, _, parts) in enumerate(sheet.cuts):
                amounts[:, :, place] = (parts if every else parts[:, some]).T
            self._add_cuts("line_cuts", [cut[:2] for cut in sheet.cuts], amounts, np.flatnonzero(amounts))
        return np.full(len(some), charges.lines, np.int32) if shown is None else shown.sum(axis=1, dtype=np.int32)

    def _add_cuts(self, table: str, kinds: Sequence[tuple[CutReason, str]], amounts: Ints, at: Ints) -> None:
        """Cuts at some places of the amounts, whose last axis is the kind of cut."""
        kind = at % len(kinds)
        reasons = np.array([REASON[reason] for reason, _ in kinds], np.int8)
        clauses = np.array([self.texts.number(clause) for _, clause in kinds], np.int32)
        self._blocks[table].append(
            {"reason": reasons[kind], "amount": amounts.ravel()[at], "clause_text": clauses[kind]}
        )

    def add_uses(self, uses: Iterable[Use], batch: Batch) -> None:
        """What claims of a batch use."""
        periods = batch.facts.periods
        for use in uses:
            (table, id), count = use.key, len(use.claims)
            scope = np.zeros(count, np.int32)
            if use.basis == YEAR:
                scope = periods.first_day[batch.covers[use.claims], use.places]
            self._blocks["uses"].append(
                {
                    "claim": batch.who[use.claims],
                    "table": np.full(count, TABLE[table], np.int8),
                    "scope": scope,
                    "id_text": np.full(count, self.texts.number(id), np.int32),
                    "amount": use.amounts,
                }
            )

    def add_stays(self, benefit: Benefit, claims: Ints, skipped: Ints, paid: Ints) -> None:
        """The days of stays under an allowance."""
        text = np.full(len(claims), self.texts.number(benefit.id), np.int32)
        self._blocks["stays"].append({"claim": claims, "benefit_text": text, "skipped": skipped, "paid": paid})

    # ------------------------------------------------------------ a claim

    def add(self, place: int, made: Determination, order: Mapping[str, int], bills: Sequence[str]) -> None:
        """A determination; `order` is that of the benefits in the product, `bills` the claim's bill keys."""
        number, single = self.texts.number, self._single
        for name, value in (
            ("decision", DECISION[made.decision]),
            ("payable", made.payable),
            ("refer", bits_of(made.refer)),
            ("adjusts", made.adjustment is not None),
            ("adjustment", made.adjustment or 0),
            ("duplicates_text", number(",".join(made.duplicates)) if made.duplicates else NONE),
            ("overlays_text", number(",".join(made.overlays)) if made.overlays else NONE),
        ):
            self.claims[name][place] = value
        at: dict[str, int] = {}
        for bill, key in enumerate(bills):
            at.setdefault(key, bill)
        lines: dict[tuple[str, str], list[LineResult]] = {}
        for line in made.lines:
            lines.setdefault((line.benefit, line.period), []).append(line)
        for row in made.benefits:
            own = lines.get((row.benefit, row.period), ())
            grade = NONE if row.grade is None else number(row.grade)
            single["benefits"].append(
                (
                    place, order[row.benefit], _day_of(row.period), number(row.benefit), row.payable, PAYEE[row.payee],
                    NONE if row.days is None else row.days, grade, len(own), len(row.cuts),
                )
            )  # fmt: skip
            single["benefit_cuts"] += self._cut_rows(row.cuts)
            for line in own:
                single["lines"].append((at[line.bill], line.no, line.amount, line.paid, len(line.cuts)))
                single["line_cuts"] += self._cut_rows(line.cuts)
        for table, scope, id, amount in entries_of(made.uses):
            single["uses"].append((place, TABLE[table], _day_of(scope), number(id), amount))
        for stay in made.stays:
            single["stays"].append((place, number(stay.benefit), stay.skipped, stay.paid))

    def _cut_rows(self, cuts: Iterable[Cut]) -> Iterator[tuple[int, int, int]]:
        return ((REASON[cut.reason], cut.amount, self.texts.number(cut.clause)) for cut in cuts)


# ---------------------------------------------------------------- order and comparison


def in_order(tables: Mapping[str, Columns]) -> dict[str, Columns]:
    """The same rows by claim; those of a claim by benefit, then policy year."""
    ordered = dict(tables)
    benefits = tables["benefits"]
    key = (benefits["claim"].astype(np.int64) << 32) | (benefits["order"].astype(np.int64) << 22) | benefits["period"]
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        lines_at = places_in(starts_of(benefits["lines"])[order], benefits["lines"][order])
        line_counts = tables["lines"]["cuts"]
        line_cuts_at = places_in(starts_of(line_counts)[lines_at], line_counts[lines_at])
        cuts_at = places_in(starts_of(benefits["cuts"])[order], benefits["cuts"][order])
        for name, at in (
            ("benefits", order), ("lines", lines_at), ("line_cuts", line_cuts_at), ("benefit_cuts", cuts_at),
        ):  # fmt: skip
            ordered[name] = {column: values[at] for column, values in tables[name].items()}
    for name in ("uses", "stays"):
        claim = tables[name]["claim"]
        if (claim[1:] < claim[:-1]).any():
            at = np.argsort(claim, kind="stable")
            ordered[name] = {column: values[at] for column, values in tables[name].items()}
    return ordered


def differing(ones: Results, others: Results) -> Bools:
    """For each claim whether anything of its determination differs."""
    numbers = np.array([*(ones.texts.number(text) for text in others.texts.texts), NONE], np.int32)

    def same_words(columns: Columns) -> Columns:
        return {name: numbers[values] if name.endswith("_text") else values for name, values in columns.items()}

    differ = np.zeros(ones.count, np.bool_)
    for name, values in same_words(others.claims).items():
        differ |= ones.claims[name] != values
    for name in TABLES_OF:
        mine, theirs = _sorted(name, ones.tables[name]), _sorted(name, same_words(others.tables[name]))
        mine.pop("order", None)  # a place among the benefits, which may be others
        differ |= _rows_differ(mine, theirs, _claims_of(ones, name), _claims_of(others, name), ones.count)
    return differ


def _sorted(name: str, columns: Columns) -> Columns:
    if name != "uses":
        return dict(columns)
    order = np.lexsort((columns["id_text"], columns["scope"], columns["table"], columns["claim"]))
    return {column: values[order] for column, values in columns.items()}


def _claims_of(results: Results, name: str) -> npt.NDArray[Any]:
    """The claim of each row of a table."""
    tables = results.tables
    if name in ("benefits", "uses", "stays"):
        return tables[name]["claim"]
    of_benefits = tables["benefits"]["claim"]
    if name == "benefit_cuts":
        return np.repeat(of_benefits, tables["benefits"]["cuts"])
    of_lines = np.repeat(of_benefits, tables["benefits"]["lines"])
    return of_lines if name == "lines" else np.repeat(of_lines, tables["lines"]["cuts"])


def _rows_differ(
    mine: Columns, theirs: Columns, claims: npt.NDArray[Any], other: npt.NDArray[Any], count: int
) -> Bools:
    differ: Bools = np.bincount(claims, minlength=count) != np.bincount(other, minlength=count)
    here, there = ~differ[claims], ~differ[other]
    unequal = np.zeros(int(here.sum()), np.bool_)
    for column, values in mine.items():
        unequal |= values[here] != theirs[column][there]
    differ[claims[here][unequal]] = True
    return differ
