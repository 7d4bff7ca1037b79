"""Keeps cases true to what hospitals tell and to what was decided and paid."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec

from safeweave import coverage, people
from safeweave.cases import clocks, papers, store
from safeweave.cases.case import Case, CaseHead, happenings, moved
from safeweave.cases.claim import waits_for
from safeweave.cases.lifecycle import AWAITING_BILL, DECIDED, Happening, Stage, stage_after
from safeweave.cases.papers import names_of
from safeweave.cases.stay import Stay, folded, happened
from safeweave.clock import shanghai_day
from safeweave.coverage import InsuredPolicy, Payee
from safeweave.database import Transaction
from safeweave.events import (
    CaseConfirmed,
    CaseMoved,
    CaseOpened,
    CaseReady,
    CaseReferred,
    CaseSettled,
    ClaimChosen,
    ClockDue,
    ConsentEnded,
    ConsentRenewed,
    DeterminationMade,
    Event,
    HospitalEvent,
    NothingClaimed,
    PayoutConfirmed,
    PayoutReturned,
    PersonSeen,
    PersonsMerged,
    VisitTold,
)
from safeweave.ids import CaseId, PersonId, PolicyId, bill_key, derived, hour, person_key
from safeweave.outbox import Logged
from safeweave.worker import PUT_OFF, Later


class Heard(NamedTuple):
    """One visit, brought together from everything told of it: whose it is, or why nobody knows (`waiting`)."""

    key: store.VisitKey
    row: store.VisitRow | None
    person: PersonId | None
    waiting: str | None
    stay: Stay
    log: Sequence[Logged]
    names: Sequence[tuple[str, str, str, str]]
    """Names under which its papers find it from now on: (sender, kind, value, visit). Nobody knew them before."""


def listen(told: Sequence[VisitTold], tx: Transaction, now: datetime) -> tuple[list[Heard], list[Event | Later]]:
    """What is to be known of these visits, and of those that papers naming no visit turn out to belong to.

    With it, what is to be looked at again: a visit whose person somebody else holds is put off. Nothing is written of
    the visits themselves; they are held by whoever runs this.
    """
    keys = list(dict.fromkeys((event.sender, event.visit) for event in told))
    logs, known, names, out = papers.told_of(tx, keys, now)
    keys = [key for key in logs if not _is_heard(known.get(key), logs[key])]
    stays = {key: folded(happened([logged.event for logged in logs[key]])) for key in keys}
    persons, put_off = _persons(tx, known, stays, now)
    out += [Later(VisitTold(*key), now + PUT_OFF) for key in put_off]
    return [
        Heard(key, known.get(key), *persons[key], stays[key], logs[key], papers.new_names(key, logs[key], names))
        for key in keys
        if key in persons
    ], out


def hear(told: Sequence[VisitTold], tx: Transaction, now: datetime) -> list[Event | Later]:
    """Bring the cases of these visits up to date with everything their hospitals have told.

    The visits are held by whoever runs this. One whose person somebody else holds is put off, and nothing is written.
    """
    found_visits, out = listen(told, tx, now)
    policies = insured_policies(tx, {each.person for each in found_visits if each.person}, now)

    visits, steps, begun = [], [], set[CaseId]()
    cases = list[Case]()
    aliases = list[tuple[str, str, str, str]]()
    for each in found_visits:
        key, row, person, waiting, stay, log, names = each
        case: CaseHead | None = row.case if row else None
        aliases += names
        if case is None and person and not _is_covered(policies.get(person, ()), stay, now):
            waiting = "policy_unknown"
        if case is None and waiting is None and not (stay.kind or stay.live_bills):
            waiting = "admission_unknown"
        if waiting is None:
            assert person is not None
            before = store.stay_of(case, log) if case else None
            if before is None or before != stay:
                after, found = _updated(case, before, key, person, stay, log)
                cases.append(after)
                if case is None:
                    tx.fresh.add(after.id)
                steps += [(after.id, happening, stage, "") for happening, stage in found]
                out += _tell(case, before, after, [happening for happening, _ in found])
                if after.stage in _WAITS_FOR_PAPERS and any(happening in _BEGINS_TO_WAIT for happening, _ in found):
                    begun.add(after.id)
                case = after
        if row is None or (row.person, row.case and row.case.id, row.waiting) != (person, case and case.id, waiting):
            first_told_at = row.first_told_at if row else now
            visits.append(store.VisitRow(key[0], key[1], person, case, waiting, first_told_at))

    clocks.restart(tx, [(case.id, "papers") for case in cases if case.id in begun], now)
    clocks.stop(tx, [(case.id, kind) for case in cases for kind in _STOPS.get(case.stage, ())], now)
    dead = {case_id for case_id, happening, _, _ in steps if happening == "patient_died"}
    for died in cases:
        if died.id in dead:
            _report_death(tx, died, now)
    store.save_names(tx, aliases)
    store.save_visits(tx, visits, now)
    store.save_cases(tx, cases)
    store.add_steps(tx, steps, now)
    return out


def remember(heard: Sequence[Heard], tx: Transaction, now: datetime) -> None:
    """Keep whose these visits are and by what names their papers find them, without making cases of them."""
    store.save_names(tx, [name for each in heard for name in each.names])
    store.save_visits(
        tx,
        [
            store.VisitRow(*each.key, each.person, None, each.waiting, each.row.first_told_at if each.row else now)
            for each in heard
        ],
        now,
    )


def _is_heard(row: store.VisitRow | None, log: Sequence[Logged]) -> bool:
    """Whether the case of this visit holds all that was told of it."""
    return row is not None and row.case is not None and row.case.heard == tuple([logged.number for logged in log])


def _is_covered(policies: Sequence[InsuredPolicy], stay: Stay, now: datetime) -> bool:
    days = [day for day in (_first_day(stay, now), stay.accident_on) if day]
    return any(policy.holds_on(days) for policy in policies)


def insured_policies(
    tx: Transaction, persons: Collection[PersonId], now: datetime
) -> dict[PersonId, list[InsuredPolicy]]:
    """The policies of these persons as they stand today, asked for once in a transaction."""
    missing = [person for person in persons if ("policies", person) not in tx.memo]
    if missing:
        known = people.known_people(tx, missing)
        for person, found in coverage.policies_of(tx, missing, shanghai_day(now), known).items():
            tx.memo["policies", person] = found
    return {person: tx.memo["policies", person] for person in persons}


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


def _persons(
    tx: Transaction, known: dict[store.VisitKey, store.VisitRow], stays: dict[store.VisitKey, Stay], now: datetime
) -> tuple[dict[store.VisitKey, tuple[PersonId | None, str | None]], list[store.VisitKey]]:
    """For each visit the insured person it is about, or why there is none; and the visits whose person others hold."""
    answers: dict[store.VisitKey, tuple[PersonId | None, str | None]] = {}
    named: list[tuple[store.VisitKey, PersonSeen]] = []
    for key, stay in stays.items():
        row = known.get(key)
        if row is not None and row.person:
            answers[key] = (row.person, None)
        elif stay.person is not None:
            named.append((key, _in_own_records(stay.person, key[0])))
        else:
            answers[key] = (None, "admission_unknown")
    found = people.find_people(tx, [person for _, person in named]) if named else []
    for (key, _), who in zip(named, found, strict=True):
        waiting = None if who.person else "person_doubtful" if who.doubtful else "person_unknown"
        answers[key] = (who.person, waiting)
    present = people.known_people(tx, {person for person, _ in answers.values() if person})
    bills = {bill_key(seen.bill.key) for key in answers for seen in stays[key].live_bills}  # soon to be decided on
    held = tx.hold(bills | {person_key(id) for person, known_as in present.items() for id in (person, known_as.id)})
    put_off = [
        key
        for key, (person, _) in answers.items()
        if person and not held.issuperset((person_key(person), person_key(present[person].id)))
    ]
    for key in put_off:
        del answers[key]
    people.remember_medical_record(tx, [
        (identifier.issuer, identifier.number, known_as)
        for key, person in named if key in answers and (known_as := answers[key][0])
        for identifier in person.identifiers if identifier.kind == "mr"
    ], now)  # fmt: skip
    return answers, put_off


def whose(tx: Transaction, sender: str, told: Sequence[HospitalEvent]) -> list[tuple[str, frozenset[PersonId]]]:
    """For each of these, which need not have been heard, its visit and the persons it may be about.

    The visit is "" and there is nobody if it is not known: by what the event says, by what the others of these say of
    the same visit, or by what was heard of it before.
    """
    seen = [(n, person) for n, event in enumerate(told) if (person := _person_named(event)) is not None]
    found = people.find_people(tx, [_in_own_records(person, sender) for _, person in seen]) if seen else []
    named = {n: who.person for (n, _), who in zip(seen, found, strict=True) if who.person}
    here = {name: event.visit for event in told if event.visit for name in names_of(event)}
    asked = {(sender, *name) for event in told if not event.visit for name in names_of(event) if name not in here}
    leads = {name[1:]: visit for name, visit in store.aliases(tx, sorted(asked)).items()} | here
    visits = [event.visit or next((leads[name] for name in names_of(event) if name in leads), "") for event in told]
    of_visit: dict[str, set[PersonId]] = {}
    keys = sorted({(sender, visit) for visit in visits if visit})
    for key, row in store.visits(tx, keys).items() if keys else ():
        if row.person:
            of_visit.setdefault(key[1], set()).add(row.person)
    for n, who_is_named in named.items():
        if visits[n]:
            of_visit.setdefault(visits[n], set()).add(who_is_named)
    return [
        (visit, frozenset(of_visit.get(visit, set()) | ({named[n]} if n in named else set())))
        for n, visit in enumerate(visits)
    ]


def _person_named(event: HospitalEvent) -> PersonSeen | None:
    return event.survivor if isinstance(event, PersonsMerged) else getattr(event, "person", None)


def _in_own_records(person: PersonSeen, sender: str) -> PersonSeen:
    """The person with medical-record numbers that name no issuer taken as the sender's own."""
    if all(each.issuer or each.kind != "mr" for each in person.identifiers):
        return person
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
    case: CaseHead | None, before: Stay | None, key: store.VisitKey, person: PersonId, stay: Stay, log: Sequence[Logged]
) -> tuple[Case, list[tuple[Happening, Stage | None]]]:
    """The case with this stay, and what has happened to it."""
    found = moved(case.stage if case else None, happenings(before, stay))
    heard_at = max([logged.told_at for logged in log])
    completed = case.completed_at if case else None
    if any(happening == "bill_verified" for happening, _ in found):
        completed = heard_at
    return Case(
        id=case.id if case else CaseId(derived("case", *key, of=person, hour=hour(heard_at))),
        person=case.person if case else person,
        sender=key[0],
        visit=key[1],
        stage=next((stage for _, stage in reversed(found) if stage), case.stage if case else "reported"),
        stay=stay,
        opened_at=case.opened_at if case else heard_at,
        completed_at=completed,
        heard=tuple([logged.number for logged in log]),
        hospital=stay.hospital,
        version=case.version if case else 0,
    ), found


def _tell(case: CaseHead | None, before: Stay | None, after: Case, found: Sequence[Happening]) -> list[Event]:
    told: list[Event] = []
    if case is None:
        told.append(CaseOpened(after.id))
    elif case.stage != after.stage and after.stage in ("reopened", "withdrawn"):
        told.append(CaseMoved(after.id, case.stage, after.stage))
    if "bill_verified" in found and after.stage == "verified":
        told.append(CaseReady(after.id))
    elif before is None:
        pass
    elif "admission_cancelled" in found:
        told.append(CaseReady(after.id))  # what was paid or waits for a person is to be taken back
    elif after.stage in DECIDED and set(after.stay.doubts) - set(before.doubts):
        told.append(CaseReferred(after.id, after.stay.doubts))  # decided already: a person looks again
    elif before.cancelled and len(after.stay.live_bills) > len(before.live_bills):
        told.append(CaseReferred(after.id, ("bill_for_cancelled_stay",)))
    return told


# ---------------------------------------------------------------- what was decided and paid


def note_determinations(
    made: Sequence[DeterminationMade],
    tx: Transaction,
    now: datetime,
    waiting_in: Callable[[Transaction, Collection[CaseId]], Collection[CaseId]] = lambda tx, cases: (),
) -> list[Event]:
    """Move each case on by what was decided for all its policies, and start the clocks that follow.

    `waiting_in` says of which cases a determination waits for a person: what is heard late, after more was decided,
    takes no case off a person's desk.
    """
    late = {event.case for event in made if event.determination not in tx.fresh}
    waiting = waiting_in(tx, late) if late else ()
    by_case: dict[CaseId, list[DeterminationMade]] = {}
    for event in made:
        by_case.setdefault(event.case, []).append(event)
    happenings_of: dict[CaseId, Happening] = {}
    for case, decided in by_case.items():
        open_for_a_person = [event for event in decided if event.decision in ("refer", "refuse-proposed")]
        if open_for_a_person or case in waiting:
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


def refer_without_papers(
    due: Sequence[ClockDue],
    tx: Transaction,
    now: datetime,
    paid_in: Callable[[Transaction, Collection[CaseId]], Collection[CaseId]] = lambda tx, cases: (),
) -> list[Event]:
    """Put a stay before a person whose bill or settlement has not come in time, or was taken back for good.

    What was paid for it before, by `paid_in`, is decided anew without the papers, so that a person sees what is to
    come back, also while another of its policies waits for a person.
    """
    late = [event.case for event in due if event.clock == "papers" and event.percent == 100]
    clocks.stop(tx, [(case, "papers") for case in late], now)
    found = [case for case in store.cases_by_id(tx, late).values() if case.stage in _WAITS_FOR_PAPERS]
    waiting = [case for case in found if case.stage != "reopened"]
    paid = paid_in(tx, [case.id for case in waiting]) if waiting else ()
    decided_anew = [CaseReady(case.id) for case in found if case.stage == "reopened" or case.id in paid]
    missing = {case.id: "bill_missing" if waits_for(case.stay) == "bill" else "settlement_missing" for case in waiting}
    return [*decided_anew, *(CaseReferred(case, (reason,)) for case, reason in missing.items())]


def _report_death(tx: Transaction, case: Case, now: datetime) -> None:
    """From now on nobody writes to the person, and only the estate is paid."""
    if case.stay.discharged_at:
        people.report_death(tx, case.person, shanghai_day(case.stay.discharged_at), now)


def refer_case(events: Sequence[CaseReferred], tx: Transaction, now: datetime) -> list[Event]:
    """Put cases before a person that no determination could be made for."""
    reasons = {event.case: ",".join(event.reasons) for event in events}
    _move(tx, dict.fromkeys(reasons, "case_referred"), now, reasons)
    clocks.start(tx, [(event.case, "decision") for event in events], now)
    return []


def confirm_cases(events: Sequence[CaseConfirmed], tx: Transaction, now: datetime) -> list[Event]:
    """Move on referred cases that a person leaves as they were decided."""
    words = {event.case: f"{event.by}: {event.note}" for event in events}
    _move(tx, dict.fromkeys(words, "case_confirmed"), now, words)
    clocks.stop(tx, [(case, kind) for case in words for kind in ("decision", "advance")], now)
    return []


def note_consents(events: Sequence[ConsentEnded | ConsentRenewed], tx: Transaction, now: datetime) -> list[Event]:
    """Note in the history of each case that the consent it lives on has ended, or another one took its place."""
    for event in events:
        happening: Happening = "consent_ended" if isinstance(event, ConsentEnded) else "consent_renewed"
        _move(tx, {event.case: happening}, now, {event.case: event.consent})
    return []


def end_chosen(chosen: Sequence[ClaimChosen], tx: Transaction, now: datetime) -> list[Event]:
    """End cases whose consent has ended as the person chose: no claim, or one that the person makes with own papers."""
    for event in chosen:
        happening: Happening = "claim_withdrawn" if event.choice == "withdraw" else "claim_applied_for"
        _move(tx, {event.case: happening}, now, {event.case: event.by})
    clocks.stop(tx, [(event.case, kind) for event in chosen for kind in _STOPS["withdrawn"]], now)
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
    cases = store.heads(tx, happening_of)
    changed, steps = [], []
    for case_id, happening in happening_of.items():
        case = cases[case_id]
        stage = stage_after(case.stage, happening)
        assert stage is not None
        steps.append((case_id, happening, stage, (notes or {}).get(case_id, "")))
        if stage != case.stage:
            changed.append(msgspec.structs.replace(case, stage=stage))
    store.save_cases(tx, changed)
    store.add_steps(tx, steps, now)
