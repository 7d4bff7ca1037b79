"""One stay or visit as it is now, folded from everything the hospital told about it.

Events are folded in the order in which they happened, whatever order they came in; a late event simply folds again.
Cancels and corrections are events like any other (domain: HL7 v2 A11/A13, 冲红, 2305; FHIR states).
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from itertools import pairwise

from safeweave.clock import shanghai_day
from safeweave.events import (
    AdmissionCancelled,
    AdmissionReported,
    BillIssued,
    BillReversed,
    Charge,
    ChargesPosted,
    Diagnosis,
    DischargeCancelled,
    Event,
    HospitalEvent,
    LeaveBegan,
    LeaveEnded,
    OutpatientVisited,
    PatientDischarged,
    PersonSeen,
    SettlementCancelled,
    SettlementReported,
    VisitUpdated,
)
from safeweave.facts import Bill, Fact, Ward
from safeweave.people.identity import CITIZEN_KINDS, normalised, same_name


class WardSince(Fact):
    """The kind of ward the patient lay in from a day on."""

    first_day: date
    ward: Ward


class Leave(Fact):
    """Days away from the ward, first and last; `last_day` None: not back yet."""

    first_day: date
    last_day: date | None = None


class BillSeen(Fact):
    """A bill as last told, and whether its lines carry what the adjudicator needs."""

    bill: Bill
    itemised: bool
    reversed: bool = False
    issued_at: datetime | None = None


class Stay(Fact):
    """The state of one visit."""

    kind: str = ""  # inpatient, outpatient, "" while only papers have come
    hospital: str = ""
    person: PersonSeen | None = None
    admitted_at: datetime | None = None
    discharged_at: datetime | None = None
    visited_at: datetime | None = None
    cancelled: bool = False
    disposition: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    wards: tuple[WardSince, ...] = ()
    leaves: tuple[Leave, ...] = ()
    emergency: bool = False
    accident_on: date | None = None
    treatment: str = ""
    icu_days: int = 0
    charges: tuple[Charge, ...] = ()
    bills: tuple[BillSeen, ...] = ()
    settlements: tuple[SettlementReported, ...] = ()
    doubts: tuple[str, ...] = ()  # codes for which a person looks first, whatever the rules would pay

    @property
    def died(self) -> bool:
        """Whether the stay ended in death."""
        return self.disposition == "5"

    @property
    def live_bills(self) -> tuple[BillSeen, ...]:
        """The bills that stand: issued, not reversed."""
        return tuple(seen for seen in self.bills if not seen.reversed)

    def settlement_of(self, bill: Bill) -> SettlementReported | None:
        """The 医保 settlement that belongs to a bill: the one that names it, else the only one of a one-bill visit."""
        naming = [s for s in self.settlements if s.bill is not None and str(s.bill) == bill.key]
        if naming:
            return naming[-1]
        unnamed = [s for s in self.settlements if s.bill is None]
        return unnamed[-1] if unnamed and len(self.live_bills) == 1 else None


def happened(told: Iterable[Event]) -> list[HospitalEvent]:
    """What a hospital told, in the order it happened; ties by order of arrival, in which it is given."""
    heard = [(number, event) for number, event in enumerate(told) if isinstance(event, HospitalEvent)]
    heard.sort(key=lambda pair: (pair[1].occurred_at, pair[1].told_at or pair[1].occurred_at, pair[0]))
    return [event for _, event in heard]


def folded(heard: Sequence[HospitalEvent]) -> Stay:
    """The visit as it stands after these events, which are in the order in which they happened."""
    now: dict[str, object] = {}
    person: PersonSeen | None = None
    diagnoses: dict[str, tuple[Diagnosis, ...]] = {}  # by role: final ones outrank working and admitting ones
    wards: list[WardSince] = []
    leaves: dict[date, date | None] = {}  # first day to last day
    charges: dict[str, Charge] = {}
    bills: dict[str, BillSeen] = {}
    reversed_keys: set[str] = set()
    settlements: dict[str, SettlementReported] = {}
    doubts: set[str] = set()
    if _are_several({described for event in heard if (described := getattr(event, "person", None)) is not None}):
        doubts.add("person_doubtful")
    undone = {event.settlement for event in heard if isinstance(event, SettlementCancelled)}

    def diagnosed(found: tuple[Diagnosis, ...], stage: str) -> None:
        if found:
            diagnoses[stage] = found

    def lies_in(ward: Ward, since: datetime) -> None:
        if not wards or wards[-1].ward != ward:
            wards.append(WardSince(shanghai_day(since), ward))

    for event in heard:
        if event.hospital and not _is_institution_code(str(now.get("hospital", ""))):
            now["hospital"] = event.hospital
        match event:
            case AdmissionReported():
                if event.admitted_at == now.get("admitted_at") and event.occurred_at > event.admitted_at:
                    # In progress again after it was finished: the discharge was cancelled (FHIR).
                    now.pop("discharged_at", None)
                    now.pop("disposition", None)
                now |= {"kind": "inpatient", "admitted_at": event.admitted_at, "cancelled": False}
                now["emergency"] = event.emergency or now.get("emergency", False)
                now["accident_on"] = event.accident_on or now.get("accident_on")
                person = merged(person, event.person)
                lies_in(event.ward, event.occurred_at if wards else event.admitted_at)
                diagnosed(event.diagnoses, "A")
            case OutpatientVisited():
                now |= {"kind": "outpatient", "visited_at": event.visited_at, "cancelled": False}
                now |= {"emergency": event.emergency, "treatment": event.treatment}
                now["accident_on"] = event.accident_on or now.get("accident_on")
                person = merged(person, event.person)
                diagnosed(event.diagnoses, "W")
            case VisitUpdated():
                person = merged(person, event.person)
                diagnosed(event.diagnoses, "W" if not any(d.role == "F" for d in event.diagnoses) else "F")
                if event.ward is not None:
                    lies_in(event.ward, event.occurred_at)
            case LeaveBegan():
                leaves.setdefault(shanghai_day(event.occurred_at), None)  # told twice, it is still one leave
            case LeaveEnded():
                begun = next((day for day in reversed(leaves) if leaves[day] is None), None)
                if begun is not None:
                    leaves[begun] = shanghai_day(event.occurred_at)
            case ChargesPosted():
                charges |= {charge.id: charge for charge in event.charges}
            case PatientDischarged():
                now |= {"kind": "inpatient", "discharged_at": event.discharged_at}
                now["disposition"] = event.disposition or now.get("disposition", "")
                if event.admitted_at is not None:
                    now.setdefault("admitted_at", event.admitted_at)
                now["icu_days"] = event.icu_days or now.get("icu_days", 0)
                person = merged(person, event.person)
                diagnosed(event.diagnoses, "F")
            case AdmissionCancelled():
                now["cancelled"] = True
            case DischargeCancelled():
                now.pop("discharged_at", None)
                now.pop("disposition", None)
            case BillIssued():
                person = merged(person, event.person)
                told = bills.get(event.bill.key)
                if told is not None and told.bill.total != event.bill.total:
                    doubts.add("duplicate_bill")  # an issued bill never changes; which of the two is it?
                if told is None or event.itemised or not told.itemised:
                    bills[event.bill.key] = BillSeen(event.bill, event.itemised, issued_at=event.occurred_at)
                if event.bill.state == "reversed":
                    reversed_keys.add(event.bill.key)
                if event.bill.replaces is not None:
                    reversed_keys.add(str(event.bill.replaces))
            case BillReversed():
                reversed_keys.add(str(event.bill))
            case SettlementReported():
                if event.settlement not in undone:
                    settlements[event.settlement] = event
                    now["icu_days"] = event.icu_days or now.get("icu_days", 0)
                    now["disposition"] = event.disposition or now.get("disposition", "")
                    diagnosed(event.diagnoses, "F")
            case _:
                pass

    final = next((diagnoses[stage] for stage in ("F", "W", "A") if stage in diagnoses), ())
    return Stay(
        **now,  # type: ignore[arg-type]
        person=person,
        diagnoses=tuple(sorted(final, key=lambda diagnosis: not diagnosis.main)),
        wards=tuple(wards),
        leaves=tuple(Leave(first_day, last_day) for first_day, last_day in leaves.items()),
        charges=tuple(charges.values()),
        bills=tuple(
            BillSeen(seen.bill, seen.itemised, key in reversed_keys, seen.issued_at) for key, seen in bills.items()
        ),
        settlements=tuple(settlements.values()),
        doubts=tuple(sorted(doubts)),
    )


def _are_several(described: Collection[PersonSeen]) -> bool:
    """Whether these different descriptions, of what should be one patient, cannot all be of one person."""
    names = {person.name for person in described if person.name}
    numbers: dict[str, set[str]] = {}
    for person in described:
        for each in person.identifiers:
            if each.kind in CITIZEN_KINDS and "*" not in each.number:
                numbers.setdefault(each.kind, set()).add(normalised(each.number))
    return (
        len({person.birth for person in described if person.birth}) > 1
        or len({person.sex for person in described if person.sex}) > 1
        or any(len(found) > 1 for found in numbers.values())
        or (len(names) > 1 and any(not same_name(name, other) for name, other in pairwise(sorted(names))))
    )


def _is_institution_code(code: str) -> bool:
    """Whether this is a 医保 institution code (H or P and eleven digits), which outranks other names of a hospital."""
    return len(code) == 12 and code[0] in "HP" and code[1:].isdigit()


def merged(known: PersonSeen | None, seen: PersonSeen | None) -> PersonSeen | None:
    """A person as last described; what a later message leaves out stays known."""
    if known is None or seen is None or known == seen:
        return seen or known
    return PersonSeen(
        tuple(dict.fromkeys((*known.identifiers, *seen.identifiers))),
        seen.name or known.name,
        seen.birth or known.birth,
        seen.sex or known.sex,
    )


def ward_on(stay: Stay, day: date) -> Ward:
    """The kind of ward on that day; a move takes effect on its day (a change of ward ends cover from then only)."""
    return next((since.ward for since in reversed(stay.wards) if since.first_day <= day), "ordinary")


def leave_days(stay: Stay) -> int:
    """Whole days on leave: each night away counts once."""
    left_on = shanghai_day(stay.discharged_at) if stay.discharged_at else None
    ended = [(leave.first_day, leave.last_day or left_on) for leave in stay.leaves]
    return sum(max((last_day - first_day).days, 0) for first_day, last_day in ended if last_day is not None)
