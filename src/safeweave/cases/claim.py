"""From a stay as heard to the claim that files itself, and what it still waits for."""

from collections.abc import Mapping
from datetime import date, timedelta

import msgspec

from safeweave.cases.stay import BillSeen, Stay, leave_days, ward_on
from safeweave.clock import shanghai_day
from safeweave.facts import Bill, Claim, Hospital, Line
from safeweave.money import ZERO


def waits_for(stay: Stay) -> str:
    """What a determination of this stay still needs: "discharge", "bill", "settlement", or "" if nothing."""
    if stay.cancelled:
        return "discharge"
    if stay.kind == "inpatient" and stay.discharged_at is None:
        return "discharge"
    live_bills = stay.live_bills
    if not live_bills:
        return "bill"
    if not all(seen.itemised or is_complete(stay, seen) for seen in live_bills):
        return "settlement"
    return "" if stay.kind else "discharge"


def is_complete(stay: Stay, seen: BillSeen) -> bool:
    """Whether a bill has its lines with their catalogue classes, its own or those of its settlement."""
    settlement = stay.settlement_of(seen.bill)
    return seen.itemised or bool(settlement and settlement.lines)


def claim_of(stay: Stay, claim_id: str, claimed_on: date, hospitals: Mapping[str, Hospital]) -> Claim:
    """The claim this stay makes, with everything known and nothing assumed.

    Incomplete bills go in as they are: the adjudicator refers what it cannot read.
    """
    if stay.cancelled:
        return Claim(id=claim_id, kind="outpatient", claimed_on=claimed_on)  # nothing happened, nothing is claimed
    inpatient = stay.kind == "inpatient"
    return Claim(
        id=claim_id,
        kind="inpatient" if inpatient else "outpatient",
        claimed_on=claimed_on,
        diagnoses=tuple(dict.fromkeys(diagnosis.code for diagnosis in stay.diagnoses if diagnosis.code)),
        hospital=hospitals.get(stay.hospital, Hospital(id=stay.hospital or None)),
        bills=tuple(settled_bill(stay, seen) for seen in stay.live_bills),
        admitted_on=shanghai_day(stay.admitted_at) if inpatient and stay.admitted_at else None,
        discharged_on=shanghai_day(stay.discharged_at) if inpatient and stay.discharged_at else None,
        visited_on=shanghai_day(stay.visited_at) if not inpatient and stay.visited_at else None,
        died_on=shanghai_day(stay.discharged_at) if stay.died and stay.discharged_at else None,
        accident=stay.accident_on is not None,
        accident_on=stay.accident_on,
        emergency=stay.emergency,
        treatment=stay.treatment or None,
        leave_days=leave_days(stay),
        icu_days=stay.icu_days or days_in_icu(stay),
    )


def settled_bill(stay: Stay, seen: BillSeen) -> Bill:
    """The bill with the lines and amounts of its 医保 settlement, and the ward each line was incurred in.

    Where bill and settlement disagree on what was paid, the bill is passed on without a split, so that a person looks.
    """
    bill, settlement = seen.bill, stay.settlement_of(seen.bill)
    if settlement is not None:
        agree = bill.social is None or (bill.fund, bill.other) == (settlement.fund, settlement.other)
        bill = msgspec.structs.replace(
            bill,
            lines=settlement.lines or bill.lines,
            social="settled" if agree else None,
            fund=settlement.fund,
            other=settlement.other,
            account=settlement.account if bill.account is None else bill.account,
            cash=settlement.cash if bill.cash is None else bill.cash,
            self_pay=settlement.self_pay if bill.self_pay is None else bill.self_pay,
            self_cost=settlement.self_cost if bill.self_cost is None else bill.self_cost,
        )
    if stay.kind == "inpatient" and any(since.ward != "ordinary" for since in stay.wards):
        bill = msgspec.structs.replace(bill, lines=tuple(_in_ward(stay, line) for line in bill.lines))
    return bill


def _in_ward(stay: Stay, line: Line) -> Line:
    day = line.on or (shanghai_day(stay.admitted_at) if stay.admitted_at else None)
    if line.ward != "ordinary" or day is None:
        return line
    return msgspec.structs.replace(line, ward=ward_on(stay, day))


def days_in_icu(stay: Stay) -> int:
    """Days whose ward was intensive care, by the moves that were told."""
    if not (stay.admitted_at and stay.discharged_at) or all(since.ward != "icu" for since in stay.wards):
        return 0
    first, last = shanghai_day(stay.admitted_at), shanghai_day(stay.discharged_at)
    days = (first + timedelta(days=n) for n in range((last - first).days))
    return sum(ward_on(stay, day) == "icu" for day in days)


def interim_total(stay: Stay) -> int:
    """What the charges posted so far come to, in fen; credits count against them."""
    return sum((charge.amount for charge in stay.charges), ZERO)
