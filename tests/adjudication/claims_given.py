"""Builders for claims and products: the facts that matter stand in the test, the rest comes from here."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import NO_HISTORY, History
from safeweave.adjudication.steps import decide
from safeweave.coverage.product import Product, parse_product
from safeweave.facts import Bill, Claim, Cover, Hospital, Line, OtherPaid, Overlay, PaidBill, Period, Split
from safeweave.money import Fen, fen_of, yuan_text

STAY = '[[benefit]]\nid = "stay"\nkind = "inpatient"\norder = 1\nname = "住院医疗"\n'
VISIT = '[[benefit]]\nid = "visit"\nkind = "outpatient"\norder = 2\nname = "门诊医疗"\n'
ACCIDENT = '[[benefit]]\nid = "accident"\nkind = "accident"\norder = 3\nname = "意外医疗"\n'
ALLOWANCE = '[[benefit]]\nid = "daily"\nkind = "allowance"\norder = 4\nname = "住院津贴"\n'
ILLNESS = '[[benefit]]\nid = "illness"\nkind = "lump_sum"\norder = 5\nname = "重疾"\ntrigger = "diagnosis"\n'
DEATH = '[[benefit]]\nid = "death"\nkind = "lump_sum"\norder = 6\nname = "身故"\ntrigger = "death"\n'

GOOD = Hospital("H33020000001", 3, True, "330200")
CLINIC = Hospital("H33020000099", 1, False, "330200")


def block(kind: str, text: str = "", id: str = "b", start: str = "2020-01-01", clause: str = "") -> str:
    """A block of a product; its clause is its kind unless it says otherwise."""
    return f'[[{kind}]]\nid = "{id}"\nfrom = {start}\nclause = "{clause or kind}"\n{text}\n'


def product(*blocks: str, benefits: str = STAY) -> Product:
    return parse_product('format = 1\nproduct = "p"\nname = "试验"\n' + benefits + "".join(blocks), "p.toml")


def day(text: str) -> date:
    return date.fromisoformat(text)


def yuan(text: str) -> Fen:
    return fen_of(text)


def period(first: str = "2025-01-01", last: str = "2025-12-31", since: str = "2023-01-01") -> Period:
    return Period(day(first), day(last), day(since))


def cover(*periods: Period, **known: Any) -> Cover:
    facts: dict[str, Any] = {"birth": day("1985-06-01"), "sex": "F", "enrolled": False}
    return Cover(periods=periods or (period(),), **{**facts, **known})


def line(no: int, amount: str, category: str = "06", catalogue_class: str = "甲", **known: Any) -> Line:
    return Line(no, category, catalogue_class, yuan(amount), **known)


def split(own: str = "0.00", over: str = "0.00", first: str = "0.00", within: str = "0.00") -> Split:
    return Split(yuan(own), yuan(over), yuan(first), yuan(within))


def bill(*lines: Line, **known: Any) -> Bill:
    total = Fen(sum(found.amount for found in lines))
    facts: dict[str, Any] = {
        "code": "33060226",
        "number": "0000000001",
        "kind": "inpatient",
        "on": day("2025-05-11"),
        "total": total,
        "social": "none",
    }
    return Bill(lines=lines, **{**facts, **known})


def settled_bill(*lines: Line, fund: str, **known: Any) -> Bill:
    rest = yuan_text(sum(found.amount for found in lines) - yuan(fund))
    facts = {"social": "settled", "fund": yuan(fund), "other": Fen(0), "account": Fen(0), "cash": yuan(rest)}
    return bill(*lines, **{**facts, **known})


def paid_by(source: Any, amount: str) -> OtherPaid:
    return OtherPaid(source, yuan(amount))


def stay(*bills: Bill, **known: Any) -> Claim:
    facts: dict[str, Any] = {
        "id": "c1",
        "kind": "inpatient",
        "claimed_on": day("2025-05-20"),
        "admitted_on": day("2025-05-01"),
        "discharged_on": day("2025-05-11"),
        "diagnoses": ("K80.100",),
        "hospital": GOOD,
    }
    return Claim(bills=bills, **{**facts, **known})


def visit(*bills: Bill, **known: Any) -> Claim:
    facts: dict[str, Any] = {
        "id": "c1",
        "kind": "outpatient",
        "claimed_on": day("2025-05-20"),
        "visited_on": day("2025-05-11"),
        "diagnoses": ("K80.100",),
        "hospital": GOOD,
    }
    return Claim(bills=bills, **{**facts, **known})


def diagnosis(**known: Any) -> Claim:
    facts: dict[str, Any] = {
        "id": "c1",
        "kind": "diagnosis",
        "claimed_on": day("2025-06-20"),
        "diagnosed_on": day("2025-05-01"),
        "diagnoses": ("C73",),
        "confirmed": True,
    }
    return Claim(**{**facts, **known})


def decided(
    of: Product,
    claim: Claim,
    insured: Cover | None = None,
    history: History = NO_HISTORY,
    overlays: Sequence[Overlay] = (),
) -> Determination:
    return decide(of, insured or cover(), history, claim, overlays)


def in_order(of: Product, *claims: Claim, insured: Cover | None = None, history: History = NO_HISTORY) -> list[Any]:
    """The determinations of claims decided one after the other."""
    found = []
    for claim in claims:
        determination = decide(of, insured or cover(), history, claim)
        history = history.after(claim, determination)
        found.append(determination)
    return found


def cuts(determination: Determination, no: int = 1, benefit: str = "", period: str = "") -> list[tuple[str, str, str]]:
    """The cuts of the lines with this number as (reason, yuan, clause)."""
    return [
        (cut.reason, yuan_text(cut.amount), cut.clause)
        for row in determination.lines
        if row.no == no and benefit in ("", row.benefit) and period in ("", row.period)
        for cut in row.cuts
    ]


def reasons(determination: Determination, no: int = 1) -> list[str]:
    return [reason for reason, _, _ in cuts(determination, no)]


def paid(determination: Determination) -> list[str]:
    return [yuan_text(row.paid) for row in determination.lines]


def payable(determination: Determination) -> str:
    return yuan_text(determination.payable)


def benefit_cuts(determination: Determination, benefit: str = "") -> list[tuple[str, str, str]]:
    return [
        (cut.reason, yuan_text(cut.amount), cut.clause)
        for row in determination.benefits
        if benefit in ("", row.benefit)
        for cut in row.cuts
    ]


def paid_before(code: str = "33060226", number: str = "0000000001", total: str = "0.00") -> PaidBill:
    return PaidBill(code, number, yuan(total))
