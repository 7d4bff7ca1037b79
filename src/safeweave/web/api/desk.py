"""The examiner's desk in JSON: what waits, one case, deciding it, and the second person. The rules are the page's.

Amounts are whole fen, instants UTC. A line is named by its `field`, as the case told it.
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta

from safeweave.cases import store as case_store
from safeweave.database import Transaction
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.money import Fen
from safeweave.people import Person
from safeweave.people.identity import masked
from safeweave.web.api.call import PAGED, Answer, Call, Endpoints, Holding, Parameter, cursor_of
from safeweave.web.workbench import deciding, queue, store
from safeweave.web.workbench.authority import every_skill, limits
from safeweave.web.workbench.bench import MOST_WORDS, case_and_person, must_be_examiner, wanted_of
from safeweave.web.workbench.deciding import Outcome, Said
from safeweave.web.workbench.queue import Item
from safeweave.web.workbench.seen import Moment, ReasonShown, Seen, WaitingShown, seen
from safeweave.web.workbench.store import Act, Verdict

endpoints = Endpoints()

MOST_LINES = 2000
MOST_FEN = 10**12 - 1  # ten digits of yuan, as the page takes
Words = Annotated[str, Meta(max_length=MOST_WORDS)]


# ---------------------------------------------------------------- what waits


class Referral(Fact, frozen=True):
    """A case that waits for a person: why, how much the rules would pay (null: they computed nothing), until when."""

    case: str
    visit: str
    hospital: str
    opened_at: datetime
    reasons: tuple[str, ...]
    skills: tuple[str, ...]
    payable: Fen | None
    due_on: date | None
    days_left: int | None
    paused: bool
    proposed: bool


class Referrals(Fact, frozen=True):
    """A page of what waits, the most urgent first; `next` is the cursor of the next page, "" after the last."""

    items: tuple[Referral, ...]
    next: str


FILTERS = (
    Parameter("skill", {"type": "string", "enum": list(every_skill())}),
    Parameter("reason", {"type": "string"}),
    Parameter("proposed", {"type": "string", "enum": ["1"]}),
)


@endpoints.get("/api/desk", "desk", Referrals, query=(*PAGED, *FILTERS))
def desk(call: Call, tx: Transaction) -> Answer:
    """What waits, the most urgent first; it names nobody, so nothing is noted as looked at."""
    asked = call.asked
    must_be_examiner(asked)
    wanted = wanted_of(asked)
    if wanted.skill and wanted.skill not in every_skill():
        raise Malformed(f"skill is one of {', '.join(every_skill())}", field="skill")
    items, place = queue.behind(tx, asked.now, asked.language, wanted, call.cursor, call.limit)
    return Answer(Referrals(tuple(map(_referral, items)), cursor_of(place) if place else ""))


def _referral(item: Item) -> Referral:
    return Referral(
        item.case, item.visit, item.hospital, item.opened_at, item.reasons, item.skills,
        None if item.amount is None else Fen(item.amount), item.due_on, item.days_left, item.paused, item.proposed,
    )  # fmt: skip


# ---------------------------------------------------------------- one case


class ChangedLine(Fact, frozen=True):
    """What is to be paid for a line instead; `line` is its `field`."""

    line: str
    paid: Annotated[int, Meta(ge=0, le=MOST_FEN)]


class ActShown(Fact, frozen=True):
    """A decision that was proposed or done; `amount` is what authority it asks for."""

    id: str
    verdict: Verdict
    note: str
    clause: str
    amount: Fen
    changes: tuple[ChangedLine, ...]
    by: str
    at: datetime
    answered_by: str
    answered_at: datetime | None


class ClockShown(Fact, frozen=True):
    """A clock of the law that runs, or stands while something is waited for."""

    clock: str
    due_on: date
    paused: bool


class AskedFor(Fact, frozen=True):
    """What the insured was asked for, and by whom."""

    at: datetime
    words: str


class RequestShown(Fact, frozen=True):
    """What the insured asked, with its answer once there is one."""

    kind: str
    words: str
    asked_at: datetime
    answered_at: datetime | None
    answer: str


class Authority(Fact, frozen=True):
    """What whoever calls may do about this case, and up to which amount alone; null: without a limit."""

    decides: bool
    confirms: bool
    pay: Fen | None
    adjust: Fen | None
    refuse: Fen | None


class CaseAtDesk(Fact, frozen=True):
    """What is to be decided about a case. `version` changes with whatever a decision depends on."""

    case: str
    version: str
    stage: str
    sender: str
    visit: str
    opened_at: datetime
    person: str
    name: str
    document: str  # masked
    reasons: tuple[ReasonShown, ...]
    waiting: tuple[WaitingShown, ...]
    clauses: tuple[str, ...]
    decidable: bool
    can_approve: bool
    can_ask: bool
    proposal: ActShown | None
    decided: ActShown | None
    asked_for: tuple[AskedFor, ...]
    requests: tuple[RequestShown, ...]
    clocks: tuple[ClockShown, ...]
    authority: Authority
    history: tuple[Moment, ...]


@endpoints.get("/api/desk/{case}", "case_at_desk", CaseAtDesk)
def one(call: Call, tx: Transaction) -> Answer:
    """One case: what waits line by line, why, what was proposed or decided, and what whoever calls may do."""
    asked = call.asked
    case, person = case_and_person(asked, tx, "referrals.read")
    found = seen(asked, tx, case, person)
    steps = case_store.history(tx, case.id)
    return Answer(CaseAtDesk(
        case=case.id, version=found.version, stage=case.stage, sender=case.sender, visit=case.visit,
        opened_at=case.opened_at, person=person.id, name=person.name,
        document=masked(person.document.number) if person.documents else "",
        reasons=found.reasons, waiting=found.shown, clauses=found.clauses, decidable=found.decidable,
        can_approve=found.can_approve, can_ask=found.can_ask, proposal=_act(found.proposal),
        decided=_act(found.decided),
        asked_for=tuple(AskedFor(at, words) for at, what, _, words in steps if what == "supplement_asked"),
        requests=tuple(
            RequestShown(each.kind, each.words, each.asked_at, each.answered_at, each.answer) for each in found.requests
        ),
        clocks=tuple(ClockShown(row.kind, row.due_on, row.paused_at is not None) for row in found.clocks),
        authority=_authority(call, tx, person, found), history=found.history,
    ))  # fmt: skip


def _act(act: Act | None) -> ActShown | None:
    if act is None:
        return None
    changes = tuple(ChangedLine(name, paid) for name, paid in deciding.changed_lines(act).items())
    return ActShown(
        act.id, act.verdict, act.note, act.clause, Fen(act.amount), changes, act.by_name, act.at, act.answered_name,
        act.answered_at,
    )  # fmt: skip


def _authority(call: Call, tx: Transaction, person: Person, found: Seen) -> Authority:
    asked = call.asked
    most = {kind: None if fen is None else Fen(fen) for kind, fen in limits()[asked.who.role].items()}
    own = found.proposal is not None and found.proposal.by == asked.who.id
    confirms = found.proposal is not None and not own and asked.may(tx, "referrals.confirm", person)
    decides = found.decidable and asked.may(tx, "referrals.decide", person)
    return Authority(decides, confirms, most["pay"], most["adjust"], most["refuse"])


# ---------------------------------------------------------------- deciding


class Deciding(Fact, frozen=True):
    """What an examiner says of the case with this `version`: approve, adjust by these `changes` under a `clause`,
    refuse, ask for what is `wanted`, or that it was supplied."""

    verdict: Literal["approve", "adjust", "refuse", "ask", "supplied"]
    version: Annotated[str, Meta(max_length=100)]
    note: Words = ""
    clause: Annotated[str, Meta(max_length=60)] = ""
    wanted: Words = ""
    changes: Annotated[tuple[ChangedLine, ...], Meta(max_length=MOST_LINES)] = ()


class Did(Fact, frozen=True):
    """What became of it; `proposal` is what a second person is to confirm, "" if nothing is."""

    case: str
    outcome: Outcome
    proposal: str


def _held_for(action: str) -> Holding:
    """What deciding about the case of the address must hold, for whoever may."""

    def keys(call: Call, tx: Transaction) -> Collection[str]:
        case, _ = case_and_person(call.asked, tx, action)
        return deciding.to_hold(call.asked, tx, case)

    return keys


@endpoints.post("/api/desk/{case}/decision", "decide", Did, takes=Deciding, holding=_held_for("referrals.decide"))
def decide(call: Call, tx: Transaction) -> Answer:
    """Decide a case; above one's authority it is proposed to a second person."""
    case, person = case_and_person(call.asked, tx, "referrals.decide")
    told = call.body(Deciding)
    said = Said(
        told.verdict, told.version, told.note.strip(), told.clause.strip(), told.wanted.strip(),
        {each.line: Fen(each.paid) for each in told.changes},
    )  # fmt: skip
    outcome = deciding.decide(call.asked, tx, case, person, said)
    act = store.open_act(tx, case.id)
    return Answer(Did(case.id, outcome, act.id if act else ""))


class Confirming(Fact, frozen=True):
    """The second person's word about a proposal: it is done, or given back with `words`."""

    proposal: Annotated[str, Meta(max_length=60)]
    verdict: Literal["confirm", "return"]
    words: Words = ""


class Confirmed(Fact, frozen=True):
    """What became of a proposal."""

    case: str
    outcome: Literal["done", "returned"]


@endpoints.post(
    "/api/desk/{case}/confirmation", "confirm", Confirmed, takes=Confirming, holding=_held_for("referrals.confirm")
)
def confirm(call: Call, tx: Transaction) -> Answer:
    """Confirm what somebody else proposed, or give it back."""
    case, person = case_and_person(call.asked, tx, "referrals.confirm")
    told = call.body(Confirming)
    confirms = told.verdict == "confirm"
    deciding.confirm(call.asked, tx, case, person, told.proposal, confirms, told.words.strip())
    return Answer(Confirmed(case.id, "done" if confirms else "returned"))
