"""Keeps cases true to what hospitals tell and to what was decided and paid."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

import msgspec

from safeweave import coverage, outbox, people
from safeweave.cases import clocks, store
from safeweave.cases.case import Case, happenings, moved
from safeweave.cases.claim import waits_for
from safeweave.cases.lifecycle import AWAITING_BILL, DECIDED, Happening, Stage, stage_after
from safeweave.cases.stay import Stay, folded, happened
from safeweave.clock import shanghai_day
from safeweave.coverage import InsuredPolicy, Payee
from safeweave.database import Transaction
from safeweave.events import (
    BillIssued,
    BillReversed,
    CaseConfirmed,
    CaseMoved,
    CaseOpened,
    CaseReady,
    CaseReferred,
    CaseSettled,
    ClockDue,
    DeterminationMade,
    Event,
    HospitalEvent,
    NothingClaimed,
    PayoutConfirmed,
    PayoutReturned,
    PersonSeen,
    PersonsMerged,
    SettlementCancelled,
    SettlementReported,
    VisitTold,
)
from safeweave.ids import CaseId, PersonId, PolicyId, derived
from safeweave.outbox import Logged
from safeweave.people import Found, Person

AliasKey = tuple[str, str, str]  # sender, kind, value


def aliases_of(event: HospitalEvent) -> list[tuple[str, str]]:
    """The (kind, value) names under which papers of one visit can be found."""
    match event:
        case BillIssued():
            return [("bill", event.bill.key)]
        case BillReversed():
            return [("bill", str(event.bill))]
        case SettlementReported():
            names = [("settlement", event.settlement)]
            if event.bill:
                names.append(("bill", str(event.bill)))
            if event.medical_visit:
                names.append(("medical_visit", event.medical_visit))
            return names
        case SettlementCancelled():
            return [("settlement", event.settlement)]
    return []


def hear(told: Sequence[VisitTold], tx: Transaction, now: datetime) -> list[Event]:
    """Bring the cases of these visits up to date with everything their hospitals have told."""
    keys = list(dict.fromkeys((event.sender, event.visit) for event in told))
    logs = _logs(tx, keys)
    keys = [key for key in logs if key[1]]
    stays = {key: folded(happened(logged.event for logged in logs[key])) for key in keys}
    known = store.visits(tx, keys)
    persons = _persons(tx, known, stays, now)
    policies = insured_policies(tx, {person for person, _ in persons.values() if person}, now)

    visits, cases, steps, out, begun = [], [], [], list[Event](), set[CaseId]()
    for key in keys:
        row, stay = known.get(key), stays[key]
        person, waiting = persons[key]
        case = row.case if row else None
        days = [day for day in (_first_day(stay, now), stay.accident_on) if day]
        if case is None and person and not any(policy.holds_on(days) for policy in policies.get(person, ())):
            waiting = "policy_unknown"
        if case is None and waiting is None and not (stay.kind or stay.live_bills):
            waiting = "admission_unknown"
        if waiting is None:
            assert person is not None
            before = case
            case, found = _updated(case, key, person, stay, max(logged.told_at for logged in logs[key]))
            if case is not before:
                cases.append(case)
            steps += [(case.id, happening, stage, "") for happening, stage in found]
            out += _tell(before, case, [happening for happening, _ in found])
            if case.stage in _WAITS_FOR_PAPERS and any(happening in _BEGINS_TO_WAIT for happening, _ in found):
                begun.add(case.id)
        first_told_at = row.first_told_at if row else now
        after = store.VisitRow(key[0], key[1], person, case, waiting if case is None else None, first_told_at)
        if row is None or (row.person, row.case and row.case.id, row.waiting) != (
            person,
            case and case.id,
            after.waiting,
        ):
            visits.append(after)

    clocks.restart(tx, [(case.id, "papers") for case in cases if case.id in begun], now)
    clocks.stop(tx, [(case.id, kind) for case in cases for kind in _STOPS.get(case.stage, ())], now)
    dead = {case_id for case_id, happening, _, _ in steps if happening == "patient_died"}
    for died in (each for each in cases if each.id in dead):
        _report_death(tx, died, now)
    store.save_aliases(tx, {
        (key[0], kind, value, key[1]) for key in keys for logged in logs[key]
        if isinstance(logged.event, HospitalEvent) for kind, value in aliases_of(logged.event)
    })  # fmt: skip
    store.save_visits(tx, visits, now)
    store.save_cases(tx, cases)
    store.add_steps(tx, steps, now)
    return out


def insured_policies(
    tx: Transaction, persons: Collection[PersonId], now: datetime
) -> dict[PersonId, list[InsuredPolicy]]:
    """The policies of these persons as they stand today, asked for once in a transaction."""
    missing = [person for person in persons if ("policies", person) not in tx.memo]
    if missing:
        persons = insured_persons(tx, missing)
        for person, found in coverage.policies_of(tx, missing, shanghai_day(now), persons).items():
            tx.memo["policies", person] = found
    return {person: tx.memo["policies", person] for person in persons}


def insured_persons(tx: Transaction, ids: Collection[PersonId]) -> dict[PersonId, Person]:
    """These persons, asked for once in a transaction; unknown ids are left out."""
    missing = [person for person in ids if ("person", person) not in tx.memo]
    if missing:
        tx.memo |= {("person", person): found for person, found in people.people_by_id(tx, missing).items()}
    return {person: tx.memo["person", person] for person in ids if ("person", person) in tx.memo}


PayeeKey = tuple[PolicyId, PersonId, str]  # whose policy, who, and as what


def payees(tx: Transaction, keys: Sequence[PayeeKey]) -> dict[PayeeKey, Payee]:
    """The payee on file for each (policy, insured person, role); policies read in this transaction say it already."""
    found: dict[PayeeKey, Payee] = {}
    unread: list[PayeeKey] = []
    for policy, person, role in keys:
        read = [each for each in tx.memo.get(("policies", person), ()) if each.policy == policy]
        if not read:
            unread.append((policy, person, role))
        payee = next((payee for each in read for payee in each.payees if payee.role == role), None)
        if payee is not None:
            found[policy, person, role] = payee
    return found | coverage.payees(tx, unread)


def _logs(tx: Transaction, keys: Sequence[store.VisitKey]) -> dict[store.VisitKey, list[Logged]]:
    """Everything told of these visits, and of those that papers naming no visit turn out to belong to."""
    senders = list(dict.fromkeys(sender for sender, _ in keys))
    wanted = {outbox.visit_subject(*key): key for key in keys} | {
        outbox.visit_subject(sender, ""): (sender, "") for sender in senders
    }
    logs = {wanted[subject]: log for subject, log in outbox.of_subjects(tx, list(wanted)).items()}
    unplaced = [
        (sender, logged.number, logged.event)
        for sender in senders
        for logged in logs.pop((sender, ""), [])
        if isinstance(logged.event, HospitalEvent)
    ]
    if not unplaced:
        return logs
    here = {
        (key[0], kind, value): key[1]
        for key, log in logs.items() for logged in log if isinstance(logged.event, HospitalEvent)
        for kind, value in aliases_of(logged.event)
    }  # fmt: skip
    asked = {(sender, kind, value) for sender, _, event in unplaced for kind, value in aliases_of(event)}
    leads = store.aliases(tx, sorted(asked - set(here))) | here
    placed: dict[store.VisitKey, list[int]] = {}
    left, before = unplaced, -1
    while len(left) != before:  # a settlement that its bill leads to leads its own cancellation
        before, waiting = len(left), left
        left = []
        for sender, number, event in waiting:
            names = [(sender, kind, value) for kind, value in aliases_of(event)]
            visit = next((leads[name] for name in names if name in leads), None)
            if visit is None:
                left.append((sender, number, event))
                continue
            placed.setdefault((sender, visit), []).append(number)
            leads |= {name: leads.get(name, visit) for name in names}
    for key, numbers in placed.items():
        outbox.move(tx, numbers, outbox.visit_subject(*key))
    if placed:
        moved_to = {outbox.visit_subject(*key): key for key in placed}
        logs |= {moved_to[subject]: log for subject, log in outbox.of_subjects(tx, list(moved_to)).items()}
    return logs


def _persons(
    tx: Transaction, known: dict[store.VisitKey, store.VisitRow], stays: dict[store.VisitKey, Stay], now: datetime
) -> dict[store.VisitKey, tuple[PersonId | None, str | None]]:
    """For each visit the insured person it is about, or why there is none."""
    sought = [key for key in stays if not (key in known and known[key].person)]
    seen = [(key, stays[key].person) for key in sought]
    named = [(key, person) for key, person in seen if person is not None]
    found: dict[store.VisitKey, Found] = dict(
        zip(
            (key for key, _ in named),
            people.find_people(tx, [_in_own_records(person, key[0]) for key, person in named]),
            strict=True,
        )
        if named
        else ()
    )
    answers: dict[store.VisitKey, tuple[PersonId | None, str | None]] = {}
    for key in stays:
        if key not in sought:
            answers[key] = (known[key].person, None)
        elif key not in found:
            answers[key] = (None, "admission_unknown")
        elif found[key].person is None:
            answers[key] = (None, "person_doubtful" if found[key].doubtful else "person_unknown")
        else:
            answers[key] = (found[key].person, None)
    people.remember_medical_record(tx, [
        (identifier.issuer or key[0], identifier.number, known_as)
        for key, person in named if (known_as := found[key].person)
        for identifier in person.identifiers if identifier.kind == "mr"
    ], now)  # fmt: skip
    return answers


def _in_own_records(person: PersonSeen, sender: str) -> PersonSeen:
    """The person with medical-record numbers that name no issuer taken as the sender's own."""
    return msgspec.structs.replace(
        person,
        identifiers=tuple(
            msgspec.structs.replace(each, issuer=sender) if each.kind == "mr" and not each.issuer else each
            for each in person.identifiers
        ),
    )


def link_records(merged: Sequence[PersonsMerged], tx: Transaction, now: datetime) -> list[Event]:
    """Learn that a hospital's retired number is the survivor's (A40), and look again at what waited for it.

    Only the hospital's own records are linked: two insured persons are made one by a person, never by a message.
    """
    found = people.find_people(tx, [_in_own_records(event.survivor, event.sender) for event in merged])
    people.remember_medical_record(tx, [
        (identifier.issuer or event.sender, identifier.number, survivor)
        for event, who in zip(merged, found, strict=True) if (survivor := who.person)
        for identifier in event.retired.identifiers if identifier.kind == "mr"
    ], now)  # fmt: skip
    known = {event.sender for event, who in zip(merged, found, strict=True) if who.person}
    return [VisitTold(visit.sender, visit.visit) for visit in store.waiting_visits(tx) if visit.sender in known]


def _first_day(stay: Stay, now: datetime) -> date:
    begun_at = stay.admitted_at or stay.visited_at or stay.discharged_at
    return shanghai_day(begun_at or (stay.bills[0].issued_at if stay.bills else None) or now)


def _updated(
    case: Case | None, key: store.VisitKey, person: PersonId, stay: Stay, heard_at: datetime
) -> tuple[Case, list[tuple[Happening, Stage | None]]]:
    before = case.stay if case else None
    if before == stay and case is not None:
        return case, []
    found = moved(case.stage if case else None, happenings(before, stay))
    stage = next((stage for _, stage in reversed(found) if stage), case.stage if case else "reported")
    completed = (
        heard_at
        if any(happening == "bill_verified" for happening, _ in found)
        else (case.completed_at if case else None)
    )
    if case is None:
        case_id = CaseId(derived("case", *key))
        return Case(case_id, person, *key, stage, stay, heard_at, completed), found
    return (
        msgspec.structs.replace(case, stage=stage, stay=stay, completed_at=completed, version=case.version + 1),
        found,
    )


def _tell(before: Case | None, case: Case, found: Sequence[Happening]) -> list[Event]:
    told: list[Event] = []
    if before is None:
        told.append(CaseOpened(case.id))
    elif before.stage != case.stage and case.stage in ("reopened", "withdrawn"):
        told.append(CaseMoved(case.id, before.stage, case.stage))
    if "bill_verified" in found and case.stage == "verified":
        told.append(CaseReady(case.id))
    elif before is not None and "admission_cancelled" in found:
        told.append(CaseReady(case.id))  # what was paid or waits for a person is to be taken back
    elif before is not None and case.stage in DECIDED and set(case.stay.doubts) - set(before.stay.doubts):
        told.append(CaseReferred(case.id, case.stay.doubts))  # decided already: a person looks again
    elif before is not None and before.stay.cancelled and len(case.stay.live_bills) > len(before.stay.live_bills):
        told.append(CaseReferred(case.id, ("bill_for_cancelled_stay",)))
    return told


# ---------------------------------------------------------------- what was decided and paid


def note_determinations(made: Sequence[DeterminationMade], tx: Transaction, now: datetime) -> list[Event]:
    """Move each case on by what was decided for all its policies, and start the clocks that follow."""
    by_case: dict[CaseId, list[DeterminationMade]] = {}
    for event in made:
        by_case.setdefault(event.case, []).append(event)
    happenings_of: dict[CaseId, Happening] = {}
    for case, decided in by_case.items():
        open_for_a_person = [event for event in decided if event.decision in ("refer", "refuse-proposed")]
        if open_for_a_person:
            happenings_of[case] = "case_referred"
        elif all(event.decision == "refuse" for event in decided):
            happenings_of[case] = "case_refused"
        else:
            happenings_of[case] = "case_determined"
    _move(tx, happenings_of, now)
    started: list[tuple[CaseId, clocks.ClockKind]] = []
    for case, happening in happenings_of.items():
        if happening == "case_referred":
            started += [(case, "decision"), (case, "advance")]
        elif happening == "case_refused":
            started.append((case, "refusal_notice"))
        if any(amount_to_pay(event) > 0 for event in by_case[case]):
            started.append((case, "payment"))
    answered = [case for case, happening in happenings_of.items() if happening != "case_referred"]
    clocks.stop(tx, [(case, kind) for case in answered for kind in _UNTIL_DECIDED], now)
    clocks.start(tx, started, now)
    return []


def amount_to_pay(made: DeterminationMade) -> int:
    """What a determination moves to the payee, in fen; below zero if money is to come back."""
    if made.decision != "pay":
        return 0
    return made.payable if made.adjustment is None else made.adjustment


def note_refusals_told(tx: Transaction, cases: Sequence[CaseId], now: datetime) -> None:
    """The insured has the refusal in writing: its three days are over."""
    clocks.stop(tx, [(case, "refusal_notice") for case in cases], now)


def close_unclaimed(events: Sequence[NothingClaimed], tx: Transaction, now: datetime) -> list[Event]:
    """Close cases under which nothing is claimed."""
    _move(tx, {event.case: "nothing_claimed" for event in events}, now)
    clocks.stop(tx, [(event.case, kind) for event in events for kind in _UNTIL_DECIDED], now)
    return []


_UNTIL_DECIDED: tuple[clocks.ClockKind, ...] = ("decision", "advance")
_STOPS: dict[Stage, tuple[clocks.ClockKind, ...]] = {
    "verified": ("papers",),
    "admitted": ("papers",),
    "withdrawn": ("papers", *_UNTIL_DECIDED),
}
_WAITS_FOR_PAPERS: tuple[Stage, ...] = (*AWAITING_BILL, "reopened")
_BEGINS_TO_WAIT: tuple[Happening, ...] = (
    "patient_discharged", "patient_transferred", "patient_died", "bill_reversed", "settlement_cancelled", "bill_added",
)  # fmt: skip


def refer_without_papers(due: Sequence[ClockDue], tx: Transaction, now: datetime) -> list[Event]:
    """Put a stay before a person whose bill or settlement has not come in time, or was taken back for good.

    What was paid for it before is decided anew without the papers, so that a person sees what is to come back.
    """
    late = [event.case for event in due if event.clock == "papers" and event.percent == 100]
    clocks.stop(tx, [(case, "papers") for case in late], now)
    found = [case for case in store.cases_by_id(tx, late).values() if case.stage in _WAITS_FOR_PAPERS]
    return [
        CaseReady(case.id)
        if case.stage == "reopened"
        else CaseReferred(case.id, ("bill_missing" if waits_for(case.stay) == "bill" else "settlement_missing",))
        for case in found
    ]


def _report_death(tx: Transaction, case: Case, now: datetime) -> None:
    """From now on nobody writes to the person, and only the estate is paid."""
    if case.stay.discharged_at:
        people.report_death(tx, case.person, shanghai_day(case.stay.discharged_at), now)
        tx.memo.pop(("person", case.person), None)


def refer_case(events: Sequence[CaseReferred], tx: Transaction, now: datetime) -> list[Event]:
    """Put cases before a person that no determination could be made for."""
    _move(tx, {event.case: "case_referred" for event in events}, now)
    clocks.start(tx, [(event.case, "decision") for event in events], now)
    return []


def confirm_cases(events: Sequence[CaseConfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """Close referred cases that a person leaves as they were decided."""
    words = {event.case: f"{event.by}: {event.note}" for event in events}
    _move(tx, dict.fromkeys(words, "case_confirmed"), now, words)
    clocks.stop(tx, [(case, kind) for case in words for kind in ("decision", "advance")], now)
    return []


def note_payouts(confirmed: Sequence[PayoutConfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """A payout arrived: its case is paid."""
    _move(tx, dict.fromkeys((event.case for event in confirmed), "payout_confirmed"), now)
    return []


def close_cases(settled: Sequence[CaseSettled], tx: Transaction, now: datetime) -> list[Event]:
    """Close the cases whose money has all arrived, unless a person still looks at a part of them."""
    cases = list(dict.fromkeys(event.case for event in settled))
    clocks.stop(tx, [(case, "payment") for case in cases], now)
    _move(tx, dict.fromkeys(cases, "everything_settled"), now)
    return []


def note_returns(returned: Sequence[PayoutReturned], tx: Transaction, now: datetime) -> list[Event]:
    """A payment came back: it is open again, the decision is not."""
    cases = list(dict.fromkeys(event.case for event in returned))
    _move(tx, dict.fromkeys(cases, "payout_returned"), now)
    clocks.start(tx, [(case, "payment") for case in cases], now)
    return []


def _move(
    tx: Transaction, happening_of: Mapping[CaseId, Happening], now: datetime, notes: Mapping[CaseId, str] | None = None
) -> None:
    if not happening_of:
        return
    cases = store.cases_by_id(tx, happening_of)
    changed, steps = [], []
    for case_id, happening in happening_of.items():
        case = cases[case_id]
        stage = stage_after(case.stage, happening)
        assert stage is not None
        steps.append((case_id, happening, stage, (notes or {}).get(case_id, "")))
        if stage != case.stage:
            changed.append(msgspec.structs.replace(case, stage=stage, version=case.version + 1))
    store.save_cases(tx, changed)
    store.add_steps(tx, steps, now)
