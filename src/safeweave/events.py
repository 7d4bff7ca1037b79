"""Every fact one package tells another, in the order of the story.

An event says what happened, subject first. All are frozen and stored as JSON with their kind; none is ever changed.
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from safeweave.facts import Bill, BillRef, Fact, Line, Sex, Ward
from safeweave.ids import CaseId, DeterminationId, MessageId, PayoutId, PersonId, PolicyId
from safeweave.money import Fen

# ---------------------------------------------------------------- what a hospital can say


class Identifier(Fact):
    """One number under which somebody knows a person.

    `kind`: an identity document of `people.identity` ("resident_id", "passport", ...), or "mr" for the hospital's own
    medical-record number (`issuer` says whose), or "policy" for a policy number quoted by the hospital, or "other".
    """

    kind: str
    number: str
    issuer: str = ""


class PersonSeen(Fact):
    """A person as a hospital describes them."""

    identifiers: tuple[Identifier, ...] = ()
    name: str = ""
    birth: date | None = None
    sex: Sex | None = None


class Diagnosis(Fact):
    """A coded diagnosis; `role` is as DG1-6 says: A admitting, W working, F final; `main` marks the principal one."""

    code: str
    name: str = ""
    role: Literal["A", "W", "F", ""] = ""
    main: bool = False
    system: str = ""


class Charge(Fact):
    """One charge posted during a stay, before there is a bill; a credit is negative and may name what it reverses."""

    id: str
    on: date
    amount: Fen
    code: str = ""
    name: str = ""
    category: str = ""
    reverses: str = ""


class Event(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """Something that happened; like every value, nothing the garbage collector need look through."""


class HospitalEvent(Event, frozen=True, kw_only=True):
    """Something a hospital told.

    `visit` is the hospital's own number of the stay or visit (住院号/门诊号, PV1-19); "" if the message names none,
    then `bill` must lead to it. `occurred_at` is when it happened there, not when it was sent (EVN-6 before EVN-2
    before MSH-7). `sender` is filled in on receipt; `hospital` is the institution code if the message names another.
    """

    occurred_at: datetime
    told_at: datetime | None = None  # when the hospital recorded it; filled in on receipt from the message
    visit: str = ""
    sender: str = ""
    hospital: str = ""


class AdmissionReported(HospitalEvent, frozen=True, kw_only=True):
    """A stay has begun (A01, Encounter in-progress)."""

    person: PersonSeen
    admitted_at: datetime
    diagnoses: tuple[Diagnosis, ...] = ()
    ward: Ward = "ordinary"
    emergency: bool = False
    accident_on: date | None = None


class OutpatientVisited(HospitalEvent, frozen=True, kw_only=True):
    """An outpatient or emergency visit took place (A04, Encounter AMB or EMER)."""

    person: PersonSeen
    visited_at: datetime
    diagnoses: tuple[Diagnosis, ...] = ()
    treatment: str = ""
    emergency: bool = False
    accident_on: date | None = None


class VisitUpdated(HospitalEvent, frozen=True, kw_only=True):
    """Details of a visit or its person were completed or corrected (A08, A31, A02)."""

    person: PersonSeen | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    ward: Ward | None = None


class LeaveBegan(HospitalEvent, frozen=True, kw_only=True):
    """The patient left on leave of absence (A21)."""


class LeaveEnded(HospitalEvent, frozen=True, kw_only=True):
    """The patient came back from leave (A22)."""


class ChargesPosted(HospitalEvent, frozen=True, kw_only=True):
    """Charges or credits were posted during the stay (DFT^P03, ChargeItem)."""

    charges: tuple[Charge, ...]


class PatientDischarged(HospitalEvent, frozen=True, kw_only=True):
    """The stay has ended (A03, Encounter finished).

    `disposition` is the 医保 `dscg_way`: 1 home, 2 transferred to a hospital, 3 to a community clinic, 4 against
    advice, 5 died, 9 other; "" unknown.
    """

    discharged_at: datetime
    diagnoses: tuple[Diagnosis, ...] = ()
    disposition: Literal["1", "2", "3", "4", "5", "9", ""] = ""
    icu_days: int = 0
    # Some feeds tell of a stay only when it is over; then the discharge also says who and since when.
    person: PersonSeen | None = None
    admitted_at: datetime | None = None


class AdmissionCancelled(HospitalEvent, frozen=True, kw_only=True):
    """The admission never was (A11, 2404, Encounter cancelled or entered-in-error)."""


class DischargeCancelled(HospitalEvent, frozen=True, kw_only=True):
    """The patient is still here (A13, 2405, Encounter back to in-progress)."""


class BillIssued(HospitalEvent, frozen=True, kw_only=True):
    """A fiscal e-bill was issued.

    `bill.lines` hold the line list when the message has one with catalogue classes; else one line per charge class with
    `catalogue_class` "" ("summary" lines, `itemised` False) until the 医保 settlement brings the list.
    """

    bill: Bill
    itemised: bool
    person: PersonSeen | None = None
    first_day: date | None = None  # InHospitalDate
    last_day: date | None = None  # OutHospitalDate


class BillReversed(HospitalEvent, frozen=True, kw_only=True):
    """A bill was reversed by a red bill (冲红)."""

    bill: BillRef
    red_bill: BillRef | None = None


class SettlementReported(HospitalEvent, frozen=True, kw_only=True):
    """医保 settled a visit (2304, 2207, 4101A): who paid what, and the split of every fee line."""

    settlement: str  # setl_id
    bill: BillRef | None = None
    medical_visit: str = ""  # mdtrt_id
    total: Fen
    fund: Fen  # hifp_pay
    other: Fen  # the rest of fund_pay_sumamt
    account: Fen
    cash: Fen
    self_pay: Fen | None = None
    self_cost: Fen | None = None
    lines: tuple[Line, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    icu_days: int = 0
    disposition: Literal["1", "2", "3", "4", "5", "9", ""] = ""


class SettlementCancelled(HospitalEvent, frozen=True, kw_only=True):
    """A 医保 settlement was undone (2305, 2208, 2601); its id is never used again."""

    settlement: str


class PersonsMerged(HospitalEvent, frozen=True, kw_only=True):
    """The hospital found that two of its numbers are one person (A40)."""

    survivor: PersonSeen
    retired: PersonSeen


class MessageNoted(HospitalEvent, frozen=True, kw_only=True):
    """A well-formed message of a kind that moves no case; kept, counted and shown, nothing more."""

    what: str


# ---------------------------------------------------------------- what follows inside


class VisitTold(Event, frozen=True):
    """Hospital events of one visit were stored; the case that holds it is to be brought up to date."""

    sender: str
    visit: str


class CaseOpened(Event, frozen=True):
    """A visit of an insured person became a case."""

    case: CaseId


class CaseMoved(Event, frozen=True):
    """A case reached another stage of `cases.lifecycle`."""

    case: CaseId
    stage_before: str
    stage: str


class CaseReady(Event, frozen=True):
    """Everything a determination needs is here (or will not come); decide now."""

    case: CaseId


class CaseCleared(Event, frozen=True):
    """It may be decided: its bills are held for us on the ledger, or need not be; `reasons` say why a person looks."""

    case: CaseId
    reasons: tuple[str, ...] = ()


class TicketsAwaited(Event, frozen=True):
    """A hospital's tickets for bills of this case have come, or have been awaited long enough."""

    case: CaseId


class BillsPut(Event, frozen=True):
    """An operation on bills of this case is to be put on the ledger."""

    case: CaseId
    operation: str


class BillsAnswered(Event, frozen=True):
    """What the ledger made of it: a result for each item (`issuer/nullifier/part`), or why it was `refused`."""

    case: CaseId
    operation: str
    results: dict[str, str] = {}
    number: int = -1
    height: int = -1
    time: int = 0
    refused: str = ""


class ConsentGiven(Event, frozen=True):
    """A person has allowed something; it is to stand on the ledger."""

    consent: str
    person: PersonId


class ConsentRevoked(Event, frozen=True):
    """A person has taken a consent back; that is to stand on the ledger."""

    consent: str
    person: PersonId


class ConsentEntered(Event, frozen=True):
    """A consent, or that it was taken back, stands on the ledger, where all members see it."""

    consent: str
    person: PersonId
    revoked: bool = False


class ConsentEnded(Event, frozen=True):
    """The consent that an open claim lives on has ended: nothing new is fetched, what is undecided is locked."""

    case: CaseId
    consent: str
    ending: Literal["expired", "revoked", "lapsed", "retake"]


class ConsentRenewed(Event, frozen=True):
    """Another consent has taken the place of the one that had ended; the claim goes on."""

    case: CaseId
    consent: str


class ClaimChosen(Event, frozen=True):
    """What the person chose for an open claim whose consent has ended: to withdraw it, or to apply with own papers."""

    case: CaseId
    choice: Literal["withdraw", "apply"]
    by: str


class DocumentDue(Event, frozen=True):
    """It is time to ask again whether a locked document may be used."""

    document: str


class BillsReversed(Event, frozen=True):
    """A hospital has reversed bills for which it had given tickets; `nullifiers` are their numbers on the ledger."""

    sender: str
    visit: str
    nullifiers: tuple[str, ...]


class DeterminationMade(Event, frozen=True):
    """One policy's determination of a case. `payable` is released only when `decision` is "pay"."""

    case: CaseId
    determination: DeterminationId
    policy: PolicyId
    person: PersonId
    decision: Literal["pay", "refer", "refuse-proposed", "refuse"]
    payable: Fen
    payee: str  # insured, guardian, estate, beneficiary
    supersedes: DeterminationId | None = None
    adjustment: Fen | None = None  # what moves when it supersedes another
    bank: str = "main"  # which adapter pays: see payments.bank
    again: bool = False  # whether it takes the place of an earlier determination, paid or waiting for a person


class AgainAsked(Event, frozen=True):
    """Somebody asked for paid decisions to be made again: what would change is looked at, from the next cases on."""

    run: str


class AgainApproved(Event, frozen=True):
    """Another person approved that they are made again; the next of its cases, behind a number, are due."""

    run: str
    after: int = 0


class CaseDueAgain(Event, frozen=True):
    """A case of such a run is to be decided again."""

    case: CaseId
    run: str


class UndoApproved(Event, frozen=True):
    """Another person approved that such a run is undone; the next of its cases, behind a number, are due."""

    run: str
    after: int = 0


class CaseDueToUndo(Event, frozen=True):
    """All that such a run decided for the person of this case is to be put back."""

    case: CaseId
    run: str


class NothingClaimed(Event, frozen=True):
    """No benefit of any policy is concerned by what happened: no claim is made, and nobody need refuse one."""

    case: CaseId


class CaseConfirmed(Event, frozen=True):
    """A person looked at a referred case and leaves it as it was decided."""

    case: CaseId
    by: str
    note: str


class CaseReferred(Event, frozen=True):
    """A person looks first; `reasons` are reason codes."""

    case: CaseId
    reasons: tuple[str, ...]


class PayoutOrdered(Event, frozen=True):
    """A payment instruction with its one key stands in the outbox; the time from bill to here is what we measure."""

    payout: PayoutId
    case: CaseId
    amount: Fen
    bank: str = "main"  # which adapter pays


class RecoveryOpened(Event, frozen=True):
    """More was paid than is due; `amount` is to come back."""

    case: CaseId
    determination: DeterminationId
    amount: Fen


class PayoutConfirmed(Event, frozen=True):
    """The bank has booked a payout."""

    payout: PayoutId
    case: CaseId
    amount: Fen
    paid_at: datetime


class CaseSettled(Event, frozen=True):
    """No payout of the case is open any more."""

    case: CaseId


class PayoutRefused(Event, frozen=True):
    """The bank will not pay (wrong name, closed account); a person corrects the account and sends it again."""

    payout: PayoutId
    case: CaseId
    reason: str


class PayoutReturned(Event, frozen=True):
    """Paid, then sent back by the payee's bank; the payment is open again, the decision is not."""

    payout: PayoutId
    case: CaseId
    amount: Fen
    reason: str


class PayoutUnconfirmed(Event, frozen=True):
    """The bank gave no answer; we ask before we pay again."""

    payout: PayoutId
    case: CaseId
    bank: str = "main"


class ClockDue(Event, frozen=True):
    """A statutory or internal clock of a case has reached one of its marks (percent 50, 80 or 100)."""

    case: CaseId
    clock: str
    percent: int


class MessageTold(Event, frozen=True):
    """A message to a person stands in the outbox of its channel."""

    message: MessageId
    channel: str


class MessageDelivered(Event, frozen=True):
    """A channel took a message and gave a receipt."""

    message: MessageId
    channel: str
    receipt: str


class MessageUndeliverable(Event, frozen=True):
    """A channel can never deliver a message (no such address, not wanted); `fault` says why."""

    message: MessageId
    channel: str
    fault: str


class SubscriberDue(Event, frozen=True):
    """A subscriber of ours is to be called: it has not heard of everything, or nothing for long."""

    subscription: str


class SubscriberTold(Event, frozen=True):
    """A subscriber took what it was told: `kind` of notification, and the number `up_to` which it has heard."""

    subscription: str
    kind: str
    up_to: int
