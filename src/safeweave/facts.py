"""What happened and what it cost, as the adjudicator reads it: the vocabulary of stories/FORMAT.md §3.

Every door (FHIR, HL7 v2, e-bill, 医保) ends in these values, and every determination starts from them.
All are frozen; amounts are whole fen; days are Shanghai days. `None` means "not known", never "none".
"""

from datetime import date
from typing import Literal, dataclass_transform

import msgspec

from safeweave.money import Fen

ClaimKind = Literal["inpatient", "outpatient", "diagnosis", "death"]
BillKind = Literal["inpatient", "outpatient"]
Ward = Literal["ordinary", "icu", "vip", "international"]
Source = Literal["other_insurer", "employer", "third_party", "charity"]
Lift = Literal["drug_list", "item_list", "hospital", "waiting_days", "deductible"]
Social = Literal["settled", "none"]
Sex = Literal["F", "M"]

SOURCES: tuple[Source, ...] = ("other_insurer", "employer", "third_party", "charity")


@dataclass_transform(frozen_default=True)  # so that type checkers know every Fact is frozen
class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A frozen value; stored and sent as JSON with its default fields left out.

    No value can hold itself, so the garbage collector is spared looking through them (gc=False).
    """


class Hospital(Fact):
    """What is known of a hospital on the day of the bill; a missing part is not known."""

    id: str | None = None  # 医保定点机构代码, such as H33020000001
    level: int | None = None  # 0 unrated .. 3 tertiary
    public: bool | None = None
    region: str | None = None  # GB/T 2260, six digits


class Split(Fact):
    """Why a line is or is not inside the 医保 scope; the four parts sum to the line's amount."""

    own: Fen  # 全自费
    over: Fen  # 超限价
    first: Fen  # 先行自付
    within: Fen  # 符合政策范围


class Line(Fact):
    """One fee line of a bill."""

    no: int
    category: str  # charge class "01".."14"
    catalogue_class: str  # 甲, 乙 or 丙
    amount: Fen
    code: str | None = None
    treatment: str | None = None
    ward: Ward = "ordinary"
    days: int | None = None
    on: date | None = None
    split: Split | None = None
    social_paid: Fen | None = None
    refund_of: int | None = None
    name: str = ""  # as printed, for people; never decides anything


class OtherPaid(Fact):
    """Compensation for a bill from somebody who is neither 医保 nor this policy."""

    source: Source
    amount: Fen


class BillRef(Fact):
    """A bill's nationwide key: 票据代码 and 票据号码."""

    code: str
    number: str

    def __str__(self) -> str:
        return f"{self.code}-{self.number}"


class Bill(Fact):
    """One fiscal e-bill (医疗收费电子票据) with its 医保 settlement."""

    code: str
    number: str
    kind: BillKind
    on: date
    total: Fen
    lines: tuple[Line, ...]
    social: Social | None = None
    fund: Fen | None = None
    other: Fen | None = None
    account: Fen | None = None
    cash: Fen | None = None
    self_pay: Fen | None = None
    self_cost: Fen | None = None
    state: Literal["issued", "reversed"] = "issued"
    replaces: BillRef | None = None
    other_paid: tuple[OtherPaid, ...] = ()
    accounted: bool = False
    hospital: Hospital | None = None

    @property
    def key(self) -> str:
        """The bill key `code-number`."""
        return f"{self.code}-{self.number}"


class Claim(Fact):
    """Everything one determination reads about one event."""

    id: str
    kind: ClaimKind
    claimed_on: date
    diagnoses: tuple[str, ...] = ()
    hospital: Hospital | None = None
    bills: tuple[Bill, ...] = ()
    admitted_on: date | None = None
    discharged_on: date | None = None
    visited_on: date | None = None
    diagnosed_on: date | None = None
    died_on: date | None = None
    accident: bool = False
    accident_on: date | None = None
    first_found_on: date | None = None
    emergency: bool = False
    treatment: str | None = None
    severity: str | None = None
    confirmed: bool = False
    leave_days: int = 0
    icu_days: int = 0
    supersedes: str | None = None


class Period(Fact):
    """One policy year, both days included; `since` is the first day of unbroken cover."""

    first_day: date
    last_day: date
    since: date


class Cover(Fact):
    """What the adjudicator knows of one insured under one policy."""

    birth: date
    sex: Sex
    enrolled: bool  # in 医保
    periods: tuple[Period, ...]
    guardian: bool = False
    beneficiary: str | None = None
    roster_first_day: date | None = None
    roster_last_day: date | None = None


class Overlay(Fact):
    """A dated relaxation laid over a product, which itself is never edited."""

    id: str
    lifts: tuple[Lift, ...]
    first_day: date
    last_day: date
    products: tuple[str, ...] | None = None
    benefits: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None
    icd: tuple[str, ...] | None = None


class PaidBill(Fact):
    """A bill that was paid before."""

    code: str
    number: str
    total: Fen
