"""What a product promises: its benefits, and dated blocks of terms with their clauses (FORMAT.md §2).

A product is read once from TOML and never edited. Terms in force are compiled once for each stretch of days on
which no block changes: `product.terms_on(day)` gives every benefit its terms of that day.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from safeweave.coverage import form
from safeweave.coverage.form import Fault, Key, Table, optional, required
from safeweave.errors import Malformed
from safeweave.facts import SOURCES, Hospital, Line
from safeweave.money import Fen, Rate

BenefitKind = Literal["inpatient", "outpatient", "accident", "allowance", "lump_sum", "overflow"]
Basis = Literal["claim", "year", "lifetime"]
LimitReason = Literal["category_limit", "claim_limit", "year_limit", "lifetime_limit"]
Situation = Literal["settled", "enrolled_not_used", "not_enrolled"]

CLASSES = ("甲", "乙", "丙")  # of the 医保 catalogue
BY_BILL: frozenset[BenefitKind] = frozenset({"inpatient", "outpatient", "accident"})


class Terms(msgspec.Struct, frozen=True):
    """A frozen part of a product."""


class Benefit(Terms, frozen=True, kw_only=True):
    """One promise of the product."""

    id: str
    kind: BenefitKind
    order: int
    name: str
    name_en: str = ""
    treatments: frozenset[str] = frozenset()  # outpatient: the claim's treatment must be one of these, if any
    accident_only: bool = False  # allowance
    trigger: str = ""  # lump sum: the claim kind that opens it
    after: str = ""  # overflow: the benefit whose limits it flows over
    icd: tuple[str, ...] = ()  # overflow


class Block(Terms, frozen=True, kw_only=True):
    """A dated piece of terms. `benefits` is None where it applies to all."""

    id: str
    from_day: date
    clause: str
    benefits: frozenset[str] | None = None
    ended: bool = False

    def applies_to(self, benefit: str) -> bool:
        """Whether the block says anything about a benefit."""
        return self.benefits is None or benefit in self.benefits


class Authority(Block, frozen=True, kw_only=True):
    """The largest payable a machine may release."""

    amount: Fen


class Window(Block, frozen=True, kw_only=True):
    """`cover`: which days and which policy year a bill line belongs to."""

    tail_days: int = 0
    pre_days: int = 0
    post_days: int = 0
    stay_year: Literal["admission", "line_date"] = "admission"
    accident_days: int | None = None
    cover_days: int | None = None


class SpecialWaiting(Terms, frozen=True, kw_only=True):
    """A waiting period of its own for some illnesses."""

    days: int
    icd: tuple[str, ...]


class Waiting(Block, frozen=True, kw_only=True):
    """How long after the first day of unbroken cover illnesses are not covered yet."""

    general_days: int
    special: tuple[SpecialWaiting, ...] = ()
    doubt_days: int = 0

    def days_for(self, diagnosis: str) -> int:
        """The waiting days of an illness: the first special ones that match it, else the general ones."""
        for special in self.special:
            if diagnosis.startswith(special.icd):
                return special.days
        return self.general_days


class HospitalRule(Block, frozen=True, kw_only=True):
    """Which hospitals and wards are covered, and which hospitals are in the network."""

    min_level: int = 0
    public_only: bool = False
    ordinary_ward_only: bool = False
    network: frozenset[str] | None = None
    network_only: bool = False
    emergency_exempt: bool = False

    def has_in_network(self, hospital: Hospital) -> bool:
        """Whether the hospital is in the network; all are, where no network is named."""
        return self.network is None or hospital.id in self.network

    def covers(self, hospital: Hospital) -> bool:
        """Whether the hospital is covered, emergencies and relaxations apart. What is not known is not covered."""
        return (
            (hospital.level or 0) >= self.min_level
            and (bool(hospital.public) or not self.public_only)
            and (not self.network_only or self.has_in_network(hospital))
        )


class Exclusion(Block, frozen=True, kw_only=True):
    """Illnesses and treatments that are not covered."""

    icd: tuple[str, ...] = ()
    treatments: frozenset[str] = frozenset()
    unless_accident: bool = False


class ServiceList(Block, frozen=True, kw_only=True):
    """`drug_list` or `item_list`: what of some charge categories is covered."""

    categories: frozenset[str]
    classes: frozenset[str]
    codes: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()

    def allows(self, line: Line) -> bool:
        """Whether a line of one of the categories is covered; a barred code is stronger than any permission."""
        return line.code not in self.barred and (line.catalogue_class in self.classes or line.code in self.codes)


class Scope(Block, frozen=True, kw_only=True):
    """Which parts outside the 医保 scope are covered: 全自费, 超限价, 先行自付."""

    own: bool = True
    over: bool = True
    first: bool = True


class BedCap(Block, frozen=True, kw_only=True):
    """What a bed day counts with at most."""

    amount: Fen


class Deductible(Block, frozen=True, kw_only=True):
    """What the insured bears first."""

    amount: Fen
    basis: Literal["year", "claim"]
    offset_by: frozenset[str] = frozenset()
    step: Literal["before_ratio", "after_ratio"] = "before_ratio"


class RatioRow(Terms, frozen=True, kw_only=True):
    """One rate and its conditions; a condition that is None holds for all."""

    rate: Rate
    situation: frozenset[str] | None = None
    classes: frozenset[str] | None = None
    network: bool | None = None


class Ratio(Block, frozen=True, kw_only=True):
    """The share that is paid of what is left after compensation and deductible."""

    zero_settlement: Literal["not_used", "settled"] = "not_used"
    rows: tuple[RatioRow, ...]
    _known: dict[tuple[str, bool], dict[str, Rate]] = msgspec.field(default_factory=dict)

    def rates(self, situation: Situation, in_network: bool) -> dict[str, Rate]:
        """The rate of each catalogue class: that of the first row that matches."""
        known = self._known.get((situation, in_network))
        if known is None:
            known = {name: self._first_match(situation, name, in_network) for name in CLASSES}
            self._known[situation, in_network] = known
        return known

    def _first_match(self, situation: str, catalogue_class: str, in_network: bool) -> Rate:
        return next(
            row.rate
            for row in self.rows
            if (row.situation is None or situation in row.situation)
            and (row.classes is None or catalogue_class in row.classes)
            and (row.network is None or row.network is in_network)
        )


class Limit(Block, frozen=True, kw_only=True):
    """The most that is paid, of all lines or of those in some charge categories."""

    amount: Fen
    basis: Basis
    categories: frozenset[str] = frozenset()

    @property
    def reason(self) -> LimitReason:
        """The reason of the cuts this limit makes."""
        return "category_limit" if self.categories else _LIMIT_REASONS[self.basis]

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Limits work in this order (§5.7)."""
        return not self.categories, BASES.index(self.basis), self.id


BASES: tuple[Basis, ...] = ("claim", "year", "lifetime")
_LIMIT_REASONS: dict[Basis, LimitReason] = {
    "claim": "claim_limit",
    "year": "year_limit",
    "lifetime": "lifetime_limit",
}


class Allowance(Block, frozen=True, kw_only=True):
    """A fixed amount for each day in hospital."""

    daily: Fen
    skip_days: int = 0
    max_days_stay: int | None = None
    max_days_year: int | None = None
    icu_times: int = 1
    merge_days: int | None = None


class Grade(Terms, frozen=True, kw_only=True):
    """One row of a lump sum: the illnesses of a grade, and its share of the sum."""

    grade: str
    icd: tuple[str, ...]
    rate: Rate
    severity: str | None = None
    times: int = 1


class LumpSum(Block, frozen=True, kw_only=True):
    """A fixed sum for a listed illness or for death."""

    amount: Fen
    survival_days: int = 0
    rows: tuple[Grade, ...]

    def grade_of(self, diagnosis: str, severity: str | None) -> Grade | None:
        """The first row that matches, or None."""
        for row in self.rows:
            if diagnosis.startswith(row.icd) and row.severity in (None, severity):
                return row
        return None


class SexRule(Block, frozen=True, kw_only=True):
    """Illnesses that only one sex can have."""

    female_icd: tuple[str, ...]
    male_icd: tuple[str, ...]


_NO_BLOCK_DAY = date.min
NO_WINDOW = Window(id="", from_day=_NO_BLOCK_DAY, clause="")


class BenefitTerms(Terms, frozen=True, kw_only=True):
    """Everything in force for one benefit on one day; what is None has no block, so the rule does not exist."""

    window: Window = NO_WINDOW
    waiting: Waiting | None = None
    hospital: HospitalRule | None = None
    illnesses: tuple[Exclusion, ...] = ()  # exclusions with icd, by id
    treatments: dict[str, str] = msgspec.field(default_factory=dict)  # what is excluded, with the clause
    treatments_after_accident: dict[str, str] = msgspec.field(default_factory=dict)
    drug_list: ServiceList | None = None
    item_list: ServiceList | None = None
    scope: Scope | None = None
    bed_cap: BedCap | None = None
    deductible: Deductible | None = None
    ratio: Ratio | None = None
    limits: tuple[Limit, ...] = ()  # in the order in which they work
    allowance: Allowance | None = None
    lump_sum: LumpSum | None = None


TermsInForce = dict[str, BenefitTerms]


class Product:
    """One version of a product: its benefits and all its dated blocks."""

    def __init__(
        self,
        *,
        id: str,
        name: str,
        name_en: str,
        benefits: Sequence[Benefit],
        blocks: dict[str, tuple[Block, ...]],
        digest: str,
    ) -> None:
        self.id = id
        self.name = name
        self.name_en = name_en
        self.benefits = tuple(sorted(benefits, key=lambda benefit: benefit.order))
        self.digest = digest
        self.sequence = _sequence(self.benefits)
        self.has_early_overflow = self.sequence != self.benefits
        self._blocks = blocks
        self._changes = sorted({block.from_day for found in blocks.values() for block in found})
        self._compiled: dict[int, TermsInForce] = {}
        self._claim_rules: dict[int, tuple[list[Authority], list[SexRule]]] = {}

    def benefit(self, id: str) -> Benefit:
        """The benefit with this id. Raises KeyError if the product has none."""
        for benefit in self.benefits:
            if benefit.id == id:
                return benefit
        raise KeyError(f'product "{self.id}" has no benefit "{id}"')

    def terms_on(self, day: date) -> TermsInForce:
        """The terms of each benefit in force on a day; for a policy year, ask for its first day."""
        stretch = bisect_right(self._changes, day)
        compiled = self._compiled.get(stretch)
        if compiled is None:
            compiled = self._compiled[stretch] = {
                benefit.id: self._terms_of(benefit.id, day) for benefit in self.benefits
            }
        return compiled

    def authorities_on(self, day: date) -> Sequence[Authority]:
        """The authorities in force on a day, by id."""
        return self._whole_claim_rules_on(day)[0]

    def sex_rules_on(self, day: date) -> Sequence[SexRule]:
        """The sex rules in force on a day, by id."""
        return self._whole_claim_rules_on(day)[1]

    def _whole_claim_rules_on(self, day: date) -> tuple[list[Authority], list[SexRule]]:
        stretch = bisect_right(self._changes, day)
        rules = self._claim_rules.get(stretch)
        if rules is None:
            rules = self._claim_rules[stretch] = (
                _of_kind(Authority, in_force(self._blocks.get("authority", ()), day)),
                _of_kind(SexRule, in_force(self._blocks.get("sex_rule", ()), day)),
            )
        return rules

    @property
    def clauses(self) -> frozenset[str]:
        """Every clause that a block of the product names."""
        return frozenset(block.clause for blocks in self._blocks.values() for block in blocks) - {""}

    def blocks_of(self, kind: str) -> tuple[Block, ...]:
        """All blocks of a kind, as they stand in the file."""
        return self._blocks.get(kind, ())

    def _terms_of(self, benefit: str, day: date) -> BenefitTerms:
        found: dict[str, Any] = {}
        for kind in _COMPILED:
            applying = [block for block in in_force(self._blocks.get(kind, ()), day) if block.applies_to(benefit)]
            if kind == "exclusion":
                exclusions = _of_kind(Exclusion, applying)
                found["illnesses"] = tuple(block for block in exclusions if block.icd)
                found["treatments"] = _clauses_of(exclusions)
                found["treatments_after_accident"] = _clauses_of(
                    block for block in exclusions if not block.unless_accident
                )
            elif kind == "limit":
                found["limits"] = tuple(sorted(_of_kind(Limit, applying), key=lambda limit: limit.rank))
            elif applying:
                found[_COMPILED[kind]] = applying[0]
        return BenefitTerms(**found)


# How the kinds of blocks are called in BenefitTerms.
_COMPILED = {
    "cover": "window",
    "waiting": "waiting",
    "hospital": "hospital",
    "exclusion": "",
    "drug_list": "drug_list",
    "item_list": "item_list",
    "scope": "scope",
    "bed_cap": "bed_cap",
    "deductible": "deductible",
    "ratio": "ratio",
    "limit": "",
    "allowance": "allowance",
    "lump_sum": "lump_sum",
}

_SEVERAL_AT_ONCE = {"exclusion", "limit", "sex_rule"}  # all other kinds have one block for a benefit

B = TypeVar("B", bound=Block)


def _of_kind(kind: type[B], blocks: Iterable[Block]) -> list[B]:
    return [block for block in blocks if isinstance(block, kind)]


def in_force(blocks: Iterable[Block], day: date) -> list[Block]:
    """The blocks of one kind in force on a day, by id: of each id the latest that has begun, unless it is ended."""
    latest: dict[str, Block] = {}
    for block in blocks:
        if block.from_day <= day and (block.id not in latest or latest[block.id].from_day < block.from_day):
            latest[block.id] = block
    return [latest[id] for id in sorted(latest) if not latest[id].ended]


def _clauses_of(exclusions: Iterable[Exclusion]) -> dict[str, str]:
    """The clause that excludes each treatment: that of the first exclusion by id."""
    clauses: dict[str, str] = {}
    for exclusion in exclusions:
        for treatment in exclusion.treatments:
            clauses.setdefault(treatment, exclusion.clause)
    return clauses


def _sequence(benefits: Sequence[Benefit]) -> tuple[Benefit, ...]:
    """The benefits in the order of computation: by `order`, an overflow right after what flows over (§5.7)."""
    sequence: list[Benefit] = []

    def add(benefit: Benefit) -> None:
        sequence.append(benefit)
        for other in benefits:
            if other.kind == "overflow" and other.after == benefit.id:
                add(other)

    for benefit in benefits:
        if benefit.kind != "overflow":
            add(benefit)
    return tuple(sequence)


# --- reading ---

_texts = form.listed(form.text)


def _set(value: object) -> frozenset[str]:
    return frozenset(_texts(value))


def _benefit(kind: str, **keys: Key) -> Table[Benefit]:
    common = {
        "id": required(form.text, "id"),
        "kind": required(form.one_of(kind), "kind"),
        "order": required(form.integer, "order"),
        "name": required(form.text, "name"),
        "name_en": optional(form.text, "name_en"),
    }
    return Table(Benefit, common | keys)


_BENEFITS = {
    "inpatient": _benefit("inpatient"),
    "outpatient": _benefit("outpatient", treatments=optional(_set, "treatments")),
    "accident": _benefit("accident"),
    "allowance": _benefit("allowance", accident_only=optional(form.boolean, "accident_only")),
    "lump_sum": _benefit("lump_sum", trigger=required(form.one_of("diagnosis", "death"), "trigger")),
    "overflow": _benefit("overflow", after=required(form.text, "after"), icd=required(_texts, "icd")),
}
_benefit_kind = form.one_of(*_BENEFITS)


def _read_benefit(value: object) -> Benefit:
    if type(value) is not dict or "kind" not in value:
        return _BENEFITS["inpatient"](value)  # says that the kind is missing, or that this is no table
    try:
        kind = _benefit_kind(value["kind"])
    except Fault as fault:
        raise fault.inside("kind") from None
    return _BENEFITS[kind](value)


def _block(make: Callable[..., Block], **keys: Key) -> Callable[[object], Block]:
    common = {
        "id": required(form.text, "id"),
        "from": required(form.day, "from_day"),
        "clause": required(form.text, "clause"),
        "benefits": optional(_set, "benefits"),
        "ended": optional(form.boolean, "ended"),
    }
    running = Table(make, common | keys)
    ended = Table(Block, common)

    def read(value: object) -> Block:
        says_only_that_it_ends = type(value) is dict and value.get("ended") is True and not value.keys() & keys.keys()
        return ended(value) if says_only_that_it_ends else running(value)

    return read


def _rows(read: Callable[[object], tuple[RatioRow, ...]]) -> Callable[[object], tuple[RatioRow, ...]]:
    def read_rows(value: object) -> tuple[RatioRow, ...]:
        rows = read(value)
        last = rows[-1] if rows else None
        if last is None or last != RatioRow(rate=last.rate):
            place: form.Path = (len(rows) - 1,) if rows else ()
            raise Fault('the last row says what holds for all others; write only its "rate"', place)
        return rows

    return read_rows


_yuan = required(form.money_not_below_zero, "amount")
_flag = form.boolean
_ratio_row = Table(
    RatioRow,
    {
        "situation": optional(form.listed(form.one_of("settled", "enrolled_not_used", "not_enrolled")), "situation"),
        "class": optional(_set, "classes"),
        "network": optional(_flag, "network"),
        "rate": required(form.rate, "rate"),
    },
)
_grade = Table(
    Grade,
    {
        "grade": required(form.text, "grade"),
        "icd": required(_texts, "icd"),
        "severity": optional(form.text, "severity"),
        "rate": required(form.rate, "rate"),
        "times": optional(form.count, "times"),
    },
)
_special = Table(SpecialWaiting, {"days": required(form.count, "days"), "icd": required(_texts, "icd")})
_service_list = _block(
    ServiceList,
    categories=required(_set, "categories"),
    classes=required(_set, "classes"),
    codes=optional(_set, "codes"),
    barred=optional(_set, "barred"),
)

_BLOCKS: dict[str, Callable[[object], Block]] = {
    "authority": _block(Authority, yuan=_yuan),
    "cover": _block(
        Window,
        tail_days=optional(form.count, "tail_days"),
        pre_days=optional(form.count, "pre_days"),
        post_days=optional(form.count, "post_days"),
        stay_year=optional(form.one_of("admission", "line_date"), "stay_year"),
        accident_days=optional(form.count, "accident_days"),
        cover_days=optional(form.count, "cover_days"),
    ),
    "waiting": _block(
        Waiting,
        general_days=required(form.count, "general_days"),
        special=optional(form.listed(_special), "special"),
        doubt_days=optional(form.count, "doubt_days"),
    ),
    "hospital": _block(
        HospitalRule,
        min_level=optional(form.count, "min_level"),
        public_only=optional(_flag, "public_only"),
        ordinary_ward_only=optional(_flag, "ordinary_ward_only"),
        network=optional(_set, "network"),
        network_only=optional(_flag, "network_only"),
        emergency_exempt=optional(_flag, "emergency_exempt"),
    ),
    "exclusion": _block(
        Exclusion,
        icd=optional(_texts, "icd"),
        treatments=optional(_set, "treatments"),
        unless_accident=optional(_flag, "unless_accident"),
    ),
    "drug_list": _service_list,
    "item_list": _service_list,
    "scope": _block(Scope, own=optional(_flag, "own"), over=optional(_flag, "over"), first=optional(_flag, "first")),
    "bed_cap": _block(BedCap, yuan=_yuan),
    "deductible": _block(
        Deductible,
        yuan=_yuan,
        basis=required(form.one_of("year", "claim"), "basis"),
        offset_by=optional(form.listed(form.one_of("social", *SOURCES, "earlier_benefit")), "offset_by"),
        step=optional(form.one_of("before_ratio", "after_ratio"), "step"),
    ),
    "ratio": _block(
        Ratio,
        zero_settlement=optional(form.one_of("not_used", "settled"), "zero_settlement"),
        rows=required(_rows(form.listed(_ratio_row)), "rows"),
    ),
    "limit": _block(
        Limit,
        yuan=_yuan,
        basis=required(form.one_of(*BASES), "basis"),
        categories=optional(_set, "categories"),
    ),
    "allowance": _block(
        Allowance,
        daily_yuan=required(form.money_not_below_zero, "daily"),
        skip_days=optional(form.count, "skip_days"),
        max_days_stay=optional(form.count, "max_days_stay"),
        max_days_year=optional(form.count, "max_days_year"),
        icu_times=optional(form.count, "icu_times"),
        merge_days=optional(form.count, "merge_days"),
    ),
    "lump_sum": _block(
        LumpSum,
        yuan=_yuan,
        survival_days=optional(form.count, "survival_days"),
        rows=required(form.listed(_grade), "rows"),
    ),
    "sex_rule": _block(SexRule, female_icd=required(_texts, "female_icd"), male_icd=required(_texts, "male_icd")),
}

BLOCK_KINDS: tuple[str, ...] = tuple(_BLOCKS)


def _made(**found: Any) -> dict[str, Any]:
    return found


_PRODUCT = Table(
    _made,
    {
        "format": required(form.format_one, "format"),
        "product": required(form.text, "id"),
        "name": required(form.text, "name"),
        "name_en": optional(form.text, "name_en"),
        "benefit": required(form.listed(_read_benefit), "benefits"),
    }
    | {kind: optional(form.listed(read), kind) for kind, read in _BLOCKS.items()},
)


@lru_cache(64)
def parse_product(text: str, file: str) -> Product:
    """The product a TOML text states; the same for the same text. Raises Malformed with file, line and field."""
    document = form.toml_document(text, file)
    try:
        return _product_of(document)
    except Fault as fault:
        raise form.located(fault, text, file) from None


def load_products(folder: str | Path) -> dict[str, Product]:
    """The products of a folder's `*.toml`, by id. Raises Malformed at the first fault."""
    products, faults = readable_products(folder)
    if faults:
        raise faults[0]
    return products


def readable_products(folder: str | Path) -> tuple[dict[str, Product], list[Malformed]]:
    """The products of a folder that can be read, by id, and the faults of all others."""
    folder = Path(folder)
    if not folder.is_dir():
        return {}, [Malformed("there is no such folder of products", file=str(folder))]
    products: dict[str, Product] = {}
    faults: list[Malformed] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            text = form.utf8(path.read_bytes(), str(path))
            product = parse_product(text, str(path))
            if product.id in products:
                twice = Fault(f'product "{product.id}" is in another file of this folder too', ("product",))
                raise form.located(twice, text, str(path))
            products[product.id] = product
        except Malformed as fault:
            faults.append(fault)
        except OSError as error:
            faults.append(Malformed(f"cannot be read: {error.strerror}", file=str(path)))
    return products, faults


def _product_of(document: dict[str, Any]) -> Product:
    found = _PRODUCT(document)
    benefits: tuple[Benefit, ...] = found["benefits"]
    blocks: dict[str, tuple[Block, ...]] = {kind: found[kind] for kind in _BLOCKS if kind in found}
    _check_benefits(benefits)
    for kind, dated in blocks.items():
        _check_blocks(kind, dated, [benefit.id for benefit in benefits])
    canonical = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return Product(
        id=found["id"],
        name=found["name"],
        name_en=found.get("name_en", ""),
        benefits=benefits,
        blocks=blocks,
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _check_benefits(benefits: Sequence[Benefit]) -> None:
    """Raises Fault if two benefits share an id or an order, or an overflow has nothing to flow from."""
    kinds = {benefit.id: benefit for benefit in benefits}
    ids: set[str] = set()
    orders: set[int] = set()
    for index, benefit in enumerate(benefits):
        if benefit.id in ids:
            raise Fault(f'benefit "{benefit.id}" is stated twice', ("benefit", index, "id"))
        if benefit.order in orders:
            raise Fault(f"order {benefit.order} is taken by another benefit", ("benefit", index, "order"))
        ids.add(benefit.id)
        orders.add(benefit.order)
        seen = {benefit.id}
        source = benefit
        while source.kind == "overflow":
            following = kinds.get(source.after)
            if following is None or following.id in seen:
                known = ", ".join(f'"{id}"' for id in kinds if id != benefit.id)
                raise Fault(
                    f'"{benefit.after}" is no benefit whose limits could flow over; write one of {known or "others"}',
                    ("benefit", index, "after"),
                )
            source = following
            seen.add(source.id)


def _check_blocks(kind: str, blocks: Sequence[Block], benefits: Sequence[str]) -> None:
    """Raises Fault if a block names an unknown benefit, or two blocks would be in force for one benefit."""
    dated: set[tuple[str, date]] = set()
    for index, block in enumerate(blocks):
        for unknown in sorted((block.benefits or frozenset()) - set(benefits)):
            known = ", ".join(f'"{id}"' for id in benefits)
            raise Fault(f'there is no benefit "{unknown}"; write some of {known}', (kind, index, "benefits"))
        if (block.id, block.from_day) in dated:
            raise Fault(f'"{block.id}" has another block from {block.from_day}; give it a later day', (kind, index))
        dated.add((block.id, block.from_day))
    if kind in _SEVERAL_AT_ONCE:
        return
    for day in sorted({block.from_day for block in blocks}):
        running = in_force(blocks, day)
        for benefit in benefits:
            applying = [block for block in running if block.applies_to(benefit)]
            if len(applying) > 1:
                first, second = applying[:2]
                raise Fault(
                    f'"{first.id}" and "{second.id}" are both in force for benefit "{benefit}" on {day}; '
                    "end one of them or name its benefits",
                    (kind, blocks.index(max(applying, key=lambda block: block.from_day))),
                )
