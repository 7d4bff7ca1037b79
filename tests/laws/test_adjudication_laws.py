"""What always holds of a determination, whatever the story (FORMAT.md)."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import NO_HISTORY, History
from safeweave.adjudication.reasons import CUT_REASONS, DECISIONS, PAYEES, REFER_CODES
from safeweave.adjudication.steps import decide
from safeweave.adjudication.story_form import told
from safeweave.coverage.product import Product, load_products
from safeweave.coverage.usage import Usage, Used, tidied, usage_with, usage_without
from safeweave.facts import SOURCES, Bill, Claim, Cover, Hospital, Line, OtherPaid, Overlay, Period, Split
from safeweave.money import Fen, share

PRODUCTS = load_products(Path(__file__).parent.parent / "golden/products")
START = date(2025, 1, 1)
LIFTS = ("drug_list", "item_list", "hospital", "waiting_days", "deductible")


@dataclass(frozen=True)
class Situation:
    """A product, an insured, and claims in their order, as the format knows them."""

    product: Product
    cover: Cover
    claims: tuple[Claim, ...]
    overlays: tuple[Overlay, ...]


def days(first: int, last: int) -> st.SearchStrategy[date]:
    return st.integers(first, last).map(lambda number: START + timedelta(number))


fen = st.one_of(st.integers(0, 300), st.integers(0, 3_000_000)).map(Fen)
hospitals = st.builds(
    Hospital,
    id=st.sampled_from(["H33020000001", "H9"]),
    level=st.integers(0, 3),
    public=st.booleans(),
    region=st.sampled_from(["330200", None]),
)


@st.composite
def lines(draw: Any, no: int) -> list[Line]:
    amount = draw(fen)
    split = None
    if draw(st.booleans()):
        parts = [draw(st.integers(0, amount)) for _ in range(3)]
        own, over, first = (part // 3 for part in parts)
        split = Split(Fen(own), Fen(over), Fen(first), Fen(amount - own - over - first))
    line = Line(
        no=no,
        category=draw(st.sampled_from(["01", "03", "05", "06", "09", "10"])),
        catalogue_class=draw(st.sampled_from(["甲", "乙", "丙"])),
        amount=amount,
        code=draw(st.sampled_from([None, "XL01EAA001", "PROTON"])),
        treatment=draw(st.sampled_from([None, "cosmetic"])),
        ward=draw(st.sampled_from(["ordinary", "icu", "vip"])),
        days=draw(st.sampled_from([0, 1, 2])),
        split=split,
    )
    if draw(st.integers(0, 4)) or amount == 0:
        return [line]
    back = Fen(-draw(st.integers(0, amount)))
    if split is not None:
        back = Fen(-draw(st.integers(0, split.within)))
    refund = Line(
        no=no + 100,
        category=line.category,
        catalogue_class=line.catalogue_class,
        amount=back,
        refund_of=no,
        split=None if split is None else Split(Fen(0), Fen(0), Fen(0), back),
    )
    return [line, refund]


@st.composite
def bills(draw: Any, number: int, kind: str, on: date) -> Bill:
    found = [line for no in range(1, draw(st.integers(0, 5)) + 1) for line in draw(lines(no))]
    total = Fen(sum(line.amount for line in found))
    facts: dict[str, Any] = {"social": "none"}
    paid = 0
    if draw(st.booleans()):
        scope = sum(
            line.split.within if line.split else line.amount if line.catalogue_class != "丙" else 0 for line in found
        )
        paid = draw(st.integers(0, max(0, scope)))
        facts = {
            "social": "settled",
            "fund": Fen(paid),
            "other": Fen(0),
            "account": Fen(0),
            "cash": Fen(total - paid),
        }
    others = []
    left = total - paid
    for source in draw(st.lists(st.sampled_from(SOURCES), max_size=2)):
        amount = draw(st.integers(0, max(0, left)))
        left -= amount
        others.append(OtherPaid(source, Fen(amount)))
    return Bill("33060226", str(number), kind, on, total, tuple(found), other_paid=tuple(others), **facts)


@st.composite
def claims(draw: Any, number: int) -> Claim:
    kind = draw(st.sampled_from(["inpatient", "inpatient", "inpatient", "outpatient", "diagnosis", "death"]))
    day = draw(days(-20, 380))
    discharged = day + timedelta(draw(st.integers(0, 20)))
    on = discharged if kind == "inpatient" else day
    facts: dict[str, Any] = {
        "inpatient": {"admitted_on": day, "discharged_on": discharged},
        "outpatient": {"visited_on": day},
        "diagnosis": {"diagnosed_on": day},
        "death": {"died_on": day},
    }[kind]
    if kind in ("inpatient", "outpatient"):
        found = [draw(bills(10 * number + place, kind, on)) for place in range(draw(st.integers(0, 2)))]
        facts |= {"bills": tuple(found), "hospital": draw(hospitals)}
    if draw(st.booleans()):
        facts |= {"accident": True, "accident_on": day - timedelta(draw(st.integers(0, 3)))}
    return Claim(
        id=f"c{number}",
        kind=kind,
        claimed_on=discharged + timedelta(draw(st.integers(0, 30))),
        diagnoses=tuple(
            draw(st.lists(st.sampled_from(["K80.100", "C73", "N84.001", "F32.900", "S61"]), min_size=1, max_size=2))
        ),
        emergency=draw(st.booleans()),
        treatment=draw(st.sampled_from([None, "dialysis"])),
        confirmed=draw(st.booleans()),
        leave_days=draw(st.integers(0, 2)),
        icu_days=draw(st.integers(0, 3)),
        supersedes=draw(st.sampled_from([None, None, f"c{number - 1}"])) if number else None,
        **facts,
    )


@st.composite
def situations(draw: Any) -> Situation:
    first = Period(START, date(2025, 12, 31), draw(st.sampled_from([START, date(2023, 1, 1)])))
    second = Period(date(2026, 1, 1), date(2026, 12, 31), draw(st.sampled_from([first.since, date(2026, 1, 1)])))
    cover = Cover(
        birth=draw(st.sampled_from([date(1985, 6, 1), date(2015, 2, 28)])),
        sex=draw(st.sampled_from(["F", "M"])),
        enrolled=True,
        periods=draw(st.sampled_from([(first,), (first, second)])),
        guardian=draw(st.booleans()),
    )
    overlays = [
        Overlay(f"o{number}", tuple(draw(st.sets(st.sampled_from(LIFTS)))), START, date(2026, 6, 1))
        for number in range(draw(st.integers(0, 2)))
    ]
    product = PRODUCTS[draw(st.sampled_from(sorted(PRODUCTS)))]
    found = tuple(draw(claims(number)) for number in range(draw(st.integers(1, 3))))
    return Situation(product, cover, found, tuple(overlays))


def history_after(situation: Situation) -> tuple[list[tuple[History, Claim, Determination]], History]:
    history = NO_HISTORY
    decided = []
    for claim in situation.claims:
        determination = decide(situation.product, situation.cover, history, claim, situation.overlays)
        decided.append((history, claim, determination))
        history = history.after(claim, determination)
    return decided, history


@given(situations())
@settings(max_examples=150, deadline=None)
def test_every_fen_of_a_line_is_paid_or_cut_for_a_reason(situation):
    for _, _, determination in history_after(situation)[0]:
        for row in determination.lines:
            assert row.amount == row.paid + sum(cut.amount for cut in row.cuts)
            assert row.paid >= 0
            assert all(cut.amount for cut in row.cuts)


@given(situations())
@settings(max_examples=100, deadline=None)
def test_the_payable_is_the_sum_of_the_benefits_and_these_of_their_lines(situation):
    for _, _, determination in history_after(situation)[0]:
        assert determination.payable == sum(row.payable for row in determination.benefits) >= 0
        for benefit in determination.benefits:
            if benefit.days is None and benefit.grade is None:
                rows = [
                    row for row in determination.lines if (row.benefit, row.period) == (benefit.benefit, benefit.period)
                ]
                assert benefit.payable == sum(row.paid for row in rows)


@given(situations())
@settings(max_examples=100, deadline=None)
def test_a_bill_is_never_paid_more_than_it_cost(situation):
    for _, claim, determination in history_after(situation)[0]:
        compensated = {
            bill.key: (bill.fund or 0) + sum(paid.amount for paid in bill.other_paid) for bill in claim.bills
        }
        cost = {bill.key: bill.total for bill in claim.bills}
        for key in {row.bill for row in determination.lines}:
            assert sum(row.paid for row in determination.lines if row.bill == key) <= cost[key]
            assert compensated[key] <= cost[key]


@given(situations())
@settings(max_examples=100, deadline=None)
def test_the_machine_pays_or_asks_and_says_only_what_the_closed_lists_know(situation):
    for _, _, determination in history_after(situation)[0]:
        assert determination.decision in DECISIONS
        assert set(determination.refer) <= set(REFER_CODES)
        assert (determination.decision == "refer") == bool(determination.refer)
        rows = (*determination.lines, *determination.benefits)
        assert {cut.reason for row in rows for cut in row.cuts} <= set(CUT_REASONS)
        assert {row.payee for row in determination.benefits} <= set(PAYEES)
        assert determination.decision != "refuse-proposed" or determination.payable == 0


@given(situations())
@settings(max_examples=100, deadline=None)
def test_only_a_paid_claim_moves_the_usage_and_by_exactly_what_it_uses(situation):
    for history, claim, determination in history_after(situation)[0]:
        after = history.after(claim, determination)
        assert determination.usage == tidied(after.usage)
        if determination.decision != "pay":
            assert after == history
        else:
            base = history.without(claim.supersedes) if claim.supersedes in history.in_force else history
            assert usage_without(after.usage, determination.uses) == tidied(base.usage)


@given(situations())
@settings(max_examples=60, deadline=None)
def test_the_usage_is_what_the_claims_in_force_use(situation):
    _, history = history_after(situation)
    total = Usage()
    for claim in history.in_force.values():
        total = usage_with(total, claim.uses)
    assert history.usage == total


@given(situations(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_in_the_file_never_matters(situation, random):
    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(items, len(items)))

    for history, claim, determination in history_after(situation)[0]:
        bills = [
            msgspec.structs.replace(bill, lines=shuffled(bill.lines), other_paid=shuffled(bill.other_paid))
            for bill in claim.bills
        ]
        other = msgspec.structs.replace(claim, bills=shuffled(tuple(bills)))
        cover = msgspec.structs.replace(situation.cover, periods=shuffled(situation.cover.periods))
        assert decide(situation.product, cover, history, other, shuffled(situation.overlays)) == determination


@given(situations())
@settings(max_examples=80, deadline=None)
def test_relaxations_never_cost_the_insured_money(situation):
    for history, claim, determination in history_after(situation)[0]:
        without = decide(situation.product, situation.cover, history, claim)
        assert determination.payable >= without.payable
        if not determination.overlays:
            assert determination == without


@given(situations())
@settings(max_examples=60, deadline=None)
def test_a_determination_and_its_history_survive_being_stored(situation):
    for history, claim, determination in history_after(situation)[0]:
        stored = msgspec.json.decode(msgspec.json.encode(determination), type=Determination)
        assert stored == determination
        assert told(stored) == told(determination)
        kept = msgspec.json.decode(msgspec.json.encode(history), type=History)
        assert decide(situation.product, situation.cover, kept, claim, situation.overlays) == determination


@given(situations())
@settings(max_examples=60, deadline=None)
def test_a_claim_decided_again_brings_only_duplicates(situation):
    for history, claim, determination in history_after(situation)[0]:
        if determination.decision == "pay" and determination.bills and claim.supersedes is None:
            after = history.after(claim, determination)
            again = msgspec.structs.replace(claim, id="again")
            repeated = decide(situation.product, situation.cover, after, again, situation.overlays)
            assert set(repeated.duplicates) >= {f"{bill.code}-{bill.number}" for bill in determination.bills}
            assert repeated.lines == ()
            assert repeated.decision != "pay" or repeated.payable > 0


@given(situations(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_bill_split_in_two_changes_the_payable_by_at_most_a_fen_for_each_line_and_payer(situation, data):
    _, claim, determination = history_after(situation)[0][0]
    if not claim.bills or not determination.lines:
        return
    bill, *others = claim.bills
    refunds = {line.refund_of for line in bill.lines}
    plain = [line for line in bill.lines if line.refund_of is None and line.no not in refunds]
    if len(plain) != len(bill.lines) or len(plain) < 2 or (bill.fund or 0) == 0 or len(others):
        return
    at = data.draw(st.integers(1, len(plain) - 1))
    ordered = sorted(plain, key=lambda line: line.no)
    weights = [
        line.split.within if line.split else 0 if line.catalogue_class == "丙" else line.amount for line in ordered
    ]
    social = share(bill.fund or 0, weights)
    left = [line.amount - part for line, part in zip(ordered, social, strict=True)]
    shares: list[tuple[Any, list[int]]] = []
    for source in SOURCES:
        amount = sum(paid.amount for paid in bill.other_paid if paid.source == source)
        parts = share(amount, left)
        left = [rest - part for rest, part in zip(left, parts, strict=True)]
        shares.append((source, parts))

    def part_of(number: str, first: int, last: int) -> Bill:
        found = ordered[first:last]
        total = sum(line.amount for line in found)
        fund = sum(social[first:last])
        paid = tuple(OtherPaid(source, Fen(sum(parts[first:last]))) for source, parts in shares)
        return msgspec.structs.replace(
            bill,
            number=number,
            total=Fen(total),
            lines=tuple(found),
            fund=Fen(fund),
            cash=Fen(total - fund),
            other_paid=paid,
        )

    halves = part_of("a", 0, at), part_of("b", at, len(ordered))
    if any(half.fund == 0 for half in halves):
        return
    split = msgspec.structs.replace(claim, bills=halves)
    again = decide(situation.product, situation.cover, NO_HISTORY, split, situation.overlays)
    payers = 1 + sum(any(parts) for _, parts in shares)
    assert abs(again.payable - determination.payable) <= len(ordered) * payers


used = st.builds(
    Used,
    deductible=st.dictionaries(st.sampled_from("ab"), fen),
    limit=st.dictionaries(st.sampled_from("ab"), fen),
    days=st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
    count=st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
)
usages = st.dictionaries(st.sampled_from(["2025-01-01", "2026-01-01", "lifetime"]), used).map(Usage)


@given(usages, usages, usages)
def test_taking_back_an_addition_restores_exactly_what_was_before(before, one, other):
    both = usage_with(usage_with(before, one), other)
    assert usage_without(both, one) == usage_with(before, other)
    assert usage_without(usage_without(both, one), other) == tidied(before)
    assert usage_with(before, one) == usage_with(one, before)
    assert list(both.scopes) == sorted(both.scopes)
