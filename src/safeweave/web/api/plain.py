"""The API in JSON: the same things as on the pages, for programs. Amounts are whole fen, instants UTC."""

from datetime import datetime

from safeweave import coverage
from safeweave.adjudication import store as determinations
from safeweave.adjudication.determination import BenefitResult, LineResult
from safeweave.adjudication.store import Decided
from safeweave.cases import clocks, requests
from safeweave.cases import store as case_store
from safeweave.cases.case import CaseHead
from safeweave.cases.lifecycle import STAGES
from safeweave.clock import shanghai_day
from safeweave.consents import ConsentId, Revocation, consents_by_id, revoke, state_at
from safeweave.database import Transaction, at_text
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits
from safeweave.facts import Fact, Period
from safeweave.ids import CaseId, DeterminationId
from safeweave.money import Fen
from safeweave.payments import store as payouts
from safeweave.people import Person
from safeweave.telling.store import messages_of_cases
from safeweave.web import agent_acts, audit, live
from safeweave.web.access import stage_for
from safeweave.web.api.call import PAGED, Answer, Call, Endpoints, Parameter, cursor_of
from safeweave.web.operations.figures import SPANS, Figures, figures
from safeweave.web.portal.around import own_ids

endpoints = Endpoints()

MOST_WORDS = 4000


# ---------------------------------------------------------------- who calls


class Caller(Fact, frozen=True):
    """Who calls: an account and its role, the person if it is one of the register, the scopes of a client."""

    account: str
    role: str
    name: str
    person: str | None
    scopes: tuple[str, ...]


@endpoints.get("/api/me", "me", Caller)
def me(call: Call, tx: Transaction) -> Answer:
    """Who calls."""
    who = call.asked.who
    name = call.asked.person.name if call.asked.person else who.name
    scopes = call.client.scopes if call.client else ()
    return Answer(Caller(who.id, who.role, name, who.person, scopes))


# ---------------------------------------------------------------- figures


@endpoints.get("/api/figures", "figures", Figures, query=(Parameter("days", {"type": "integer", "enum": list(SPANS)}),))
def service(call: Call, tx: Transaction) -> Answer:
    """The figures of the operations room over a span of days."""
    call.asked.must_ours("figures.read")
    text = call.asked.query("days") or "30"
    span = next((days for days in SPANS if str(days) == text), None)
    if span is None:
        raise Malformed(f"days is one of {', '.join(map(str, SPANS))}", field="days")
    return Answer(figures(tx, call.asked.now, span))


# ---------------------------------------------------------------- a person's things


class Stay(Fact, frozen=True):
    """A stay and where its claim stands."""

    id: str
    person: str
    hospital: str
    visit: str
    stage: str
    opened_at: datetime
    completed_at: datetime | None


class Stays(Fact, frozen=True):
    """A page of stays, the latest first; `next` is the cursor of the next page, "" after the last."""

    items: tuple[Stay, ...]
    next: str


class Step(Fact, frozen=True):
    """Something that happened to a stay."""

    at: datetime
    happening: str
    stage: str


class Payout(Fact, frozen=True):
    """Money ordered for a stay."""

    id: str
    fen: Fen
    state: str
    ordered_at: datetime
    settled_at: datetime | None


class Decision(Fact, frozen=True):
    """A determination with a reason and a clause for every fen that is not paid."""

    id: str
    stay: str
    policy: str
    product: str
    decision: str
    decided_by: str
    payable: Fen
    made_at: datetime
    supersedes: str | None
    referred_for: tuple[str, ...]
    benefits: tuple[BenefitResult, ...]
    lines: tuple[LineResult, ...]


class WholeStay(Fact, frozen=True):
    """A stay with what happened, what was decided (as far as the caller may see it) and the money."""

    stay: Stay
    steps: tuple[Step, ...]
    decisions: tuple[Decision, ...]
    payouts: tuple[Payout, ...]


class Policy(Fact, frozen=True):
    """A policy a person is insured under, with its years."""

    number: str
    product: str
    in_force: bool
    years: tuple[Period, ...]


class Policies(Fact, frozen=True):
    """All policies of a person."""

    items: tuple[Policy, ...]


class Told(Fact, frozen=True):
    """A message a person was sent."""

    id: str
    stay: str
    channel: str
    language: str
    told_at: datetime
    subject: str
    text: str


class Messages(Fact, frozen=True):
    """A page of messages, the latest first."""

    items: tuple[Told, ...]
    next: str


def _person(call: Call, tx: Transaction, action: str) -> Person:
    person = call.asked.someone(tx, call.asked.place("person"))
    call.must(tx, action, person)
    return person


def _head(call: Call, tx: Transaction, action: str) -> tuple[CaseHead, Person]:
    id = CaseId(call.asked.place("stay"))
    head = case_store.heads(tx, [id]).get(id)
    if head is None:
        raise NotFound("there is no such stay")
    person = call.asked.someone(tx, head.person)
    call.must(tx, action, person, head.id)
    return head, person


def _seen(call: Call, tx: Transaction, person: Person, case: CaseId) -> tuple[list[Decided], bool]:
    """The decisions of a case the caller may see, and whether that is all of them."""
    every = determinations.of_cases(tx, [case])
    told = audit.told_of(tx, [each.id for each in every])
    seen = [each for each in every if call.asked.may(tx, "decisions.read", person, each.id in told)]
    return seen, len(seen) == len(every)


def _stay(head: CaseHead, all_seen: bool) -> Stay:
    return Stay(
        head.id, head.person, head.hospital or head.sender, head.visit, stage_for(head.stage, all_seen),
        head.opened_at, head.completed_at,
    )  # fmt: skip


def _decision(decided: Decided) -> Decision:
    result = decided.result
    return Decision(
        decided.id, decided.case, decided.policy, decided.product, decided.decision, decided.decided_by,
        decided.payable, decided.made_at, decided.supersedes, result.refer, result.benefits, result.lines,
    )  # fmt: skip


@endpoints.get("/api/people/{person}/stays", "stays", Stays, query=PAGED)
def stays(call: Call, tx: Transaction) -> Answer:
    """The stays of a person."""
    person = _person(call, tx, "stays.read")
    heads = [head for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    heads.sort(key=lambda each: (each.opened_at, each.id), reverse=True)
    if call.asked.who.role == "hospital":
        heads = [head for head in heads if head.sender == call.asked.who.sender]
    shown, following = call.page(heads, lambda head: (head.id,))
    return Answer(Stays(tuple(_stay(head, _seen(call, tx, person, head.id)[1]) for head in shown), following))


@endpoints.get("/api/people/{person}/policies", "policies", Policies)
def policies(call: Call, tx: Transaction) -> Answer:
    """The policies a person is insured under."""
    person, today = _person(call, tx, "policies.read"), shanghai_day(call.asked.now)
    held = coverage.policies_of(tx, [person.id], today)[person.id]
    return Answer(
        Policies(tuple(Policy(each.number, each.product, each.holds_on([today]), each.cover.periods) for each in held))
    )


@endpoints.get("/api/people/{person}/messages", "messages", Messages, query=PAGED)
def messages(call: Call, tx: Transaction) -> Answer:
    """What a person was told."""
    person = _person(call, tx, "messages.read")
    cases = [head.id for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    told = sorted(messages_of_cases(tx, cases), key=lambda each: (each.told_at, each.id), reverse=True)
    shown, following = call.page(told, lambda each: (each.id,))
    return Answer(
        Messages(
            tuple(
                Told(each.id, each.case, each.channel, each.language, each.told_at, each.wording.subject,
                     each.wording.body)
                for each in shown
            ),
            following,
        )
    )  # fmt: skip


@endpoints.get("/api/stays/{stay}", "stay", WholeStay)
def stay(call: Call, tx: Transaction) -> Answer:
    """One stay with what happened, decisions and money."""
    head, person = _head(call, tx, "stays.read")
    if call.asked.who.role == "hospital" and head.sender != call.asked.who.sender:
        raise NotFound("there is no such stay")
    seen, all_seen = _seen(call, tx, person, head.id)
    steps = case_store.history(tx, head.id) if all_seen else []
    money = payouts.payouts_of(tx, [head.id]) if all_seen else []
    return Answer(
        WholeStay(
            _stay(head, all_seen),
            tuple(Step(at, happening, stage) for at, happening, stage, _ in steps),
            tuple(_decision(each) for each in seen),
            tuple(Payout(each.id, each.amount, each.state, each.ordered_at, each.settled_at) for each in money),
        )
    )


@endpoints.get("/api/decisions/{decision}", "decision", Decision)
def decision(call: Call, tx: Transaction) -> Answer:
    """One determination line by line."""
    id = DeterminationId(call.asked.place("decision"))
    found = determinations.by_id(tx, [id]).get(id)
    if found is None:
        raise NotFound("there is no such decision")
    person = call.asked.someone(tx, found.person)
    call.must(tx, "decisions.read", person, found.id, told=found.id in audit.told_of(tx, [found.id]))
    return Answer(_decision(found))


# ---------------------------------------------------------------- asking and handing in


class Words(Fact, frozen=True):
    """What somebody says; nothing need be said."""

    words: str = ""


class Asked(Fact, frozen=True):
    """What is asked about a stay at present."""

    open: int


def _words(call: Call) -> str:
    words = call.body(Words).words.strip()
    if len(words) > MOST_WORDS:
        raise Malformed(f"at most {MOST_WORDS} characters are taken", field="words")
    return words


@endpoints.post("/api/stays/{stay}/requests", "ask", Asked, takes=Words, status=201)
def ask(call: Call, tx: Transaction) -> Answer:
    """Have a person look at a stay."""
    head, person = _head(call, tx, "decisions.object")
    asked = call.asked
    asked.tell(tx, requests.ask(tx, head.id, "person", _words(call), str(asked.who.person or asked.who.id), asked.now))
    live.notify(tx, f"case:{head.id}", person.id, asked.now)
    still = [each for each in requests.of(tx, [head.id]) if each.answered_at is None]
    return Answer(Asked(len(still)), 201, f"/api/stays/{head.id}")


@endpoints.post("/api/stays/{stay}/papers", "papers", Asked, takes=Words, status=201)
def papers(call: Call, tx: Transaction) -> Answer:
    """Say what was handed in after it was asked for."""
    head, person = _head(call, tx, "papers.submit")
    words = _words(call)
    if not words:
        raise Malformed("say what was handed in", field="words")
    if not clocks.resume(tx, head.id, call.asked.now):
        raise Conflict("nothing is asked for at present")
    by = call.asked.person.name if call.asked.person else call.asked.who.name
    case_store.add_steps(tx, [(head.id, "supplement_received", head.stage, f"{by}: {words}")], call.asked.now)
    agent_acts.note(call.asked, tx, person, "submitted", head.id, words)
    return Answer(Asked(0), 201, f"/api/stays/{head.id}")


class ConsentState(Fact, frozen=True):
    """What a consent is worth now."""

    id: str
    state: str


@endpoints.post("/api/consents/{consent}/withdrawal", "withdraw", ConsentState)
def withdraw(call: Call, tx: Transaction) -> Answer:
    """Take a consent back, from this moment on."""
    id, asked = ConsentId(call.asked.place("consent")), call.asked
    kept = consents_by_id(tx, [id]).get(id)
    if kept is None:
        raise NotFound("there is no such consent")
    person = asked.someone(tx, kept.consent.person)
    call.must(tx, "consents.withdraw", person, id)
    revoke(tx, [Revocation(id, asked.now, asked.person.id if asked.person else person.id, "screen")], asked.now)
    live.notify(tx, f"consents:{person.id}", person.id, asked.now)
    now = consents_by_id(tx, [id])[id]
    return Answer(ConsentState(id, state_at(now, person, asked.now)))


# ---------------------------------------------------------------- all stays, and the repair list


@endpoints.get(
    "/api/stays", "every_stay", Stays, query=(*PAGED, Parameter("stage", {"type": "string", "enum": list(STAGES)}))
)
def every_stay(call: Call, tx: Transaction) -> Answer:
    """The stays of everybody, the latest first, for the insurer's own people."""
    call.asked.must_ours("stays.list", "stays")
    stage = call.asked.query("stage")
    if stage and stage not in STAGES:
        raise Malformed(f"stage is one of {', '.join(STAGES)}", field="stage")
    after = call.cursor
    where, values = "1 = 1", list[object]()
    if stage:
        where, values = "stage = ?", [stage]
    if after is not None:
        if len(after) != 2:
            raise Malformed("the cursor is none that was given here; begin anew without it", field="cursor")
        where, values = f"{where} and (opened_at < ? or (opened_at = ? and id < ?))", [*values, after[0], *after]
    ids = [CaseId(id) for (id,) in tx.rows(
        f"select id from claim_case where {where} order by opened_at desc, id desc limit ?",
        [*values, call.limit + 1])]  # fmt: skip
    heads = case_store.heads(tx, ids)
    shown = [heads[id] for id in ids[: call.limit]]
    following = cursor_of((at_text(shown[-1].opened_at), shown[-1].id)) if len(ids) > len(shown) else ""
    return Answer(Stays(tuple(_stay(head, True) for head in shown), following))


class Unread(Fact, frozen=True):
    """A message that waits for repair."""

    number: int
    sender: str
    format: str
    status: str
    received_at: datetime
    what: str
    place: str


class Inbox(Fact, frozen=True):
    """A page of messages that wait for repair, the latest first."""

    items: tuple[Unread, ...]
    next: str


class Mended(Fact, frozen=True):
    """How a message is to be taken: from which sender, and with which text in its place ("": as it came)."""

    sender: str
    text: str = ""


class Taken(Fact, frozen=True):
    """What became of a message."""

    number: int
    status: str
    what: str


@endpoints.get("/api/inbox", "inbox", Inbox, query=PAGED)
def inbox(call: Call, tx: Transaction) -> Answer:
    """Messages that wait for repair."""
    call.asked.must_ours("inbox.read", "inbox")
    shown, following = call.page(inbound.inbox(tx), lambda each: (str(each.number),))
    return Answer(
        Inbox(
            tuple(
                Unread(
                    each.number, each.sender, each.format, each.status, each.received_at,
                    each.fault.what if each.fault else "", each.fault.field if each.fault else "",
                )
                for each in shown
            ),
            following,
        )
    )  # fmt: skip


@endpoints.post("/api/inbox/{number}", "mend", Taken, takes=Mended)
def mend(call: Call, tx: Transaction) -> Answer:
    """Take a kept message again, as it came or mended."""
    call.asked.must_ours("inbox.repair", f"message:{call.asked.place('number')[:40]}")
    text, asked = call.asked.place("number"), call.body(Mended)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound("there is no such message")
    _, raw = inbound.original(tx, int(text))
    sender = senders.every(tx).get(asked.sender)
    if sender is None:
        raise Malformed("it names no registered sender", field="sender")
    limits = Limits(max_bytes=call.asked.site.settings.max_message_bytes)
    mended = asked.text.encode("utf-8", "surrogatepass") if asked.text else raw
    receipt, told = inbound.repair(tx, int(text), mended, sender, limits, call.asked.now)
    call.asked.tell(tx, told)
    live.notify(tx, "inbox", "", call.asked.now)
    return Answer(Taken(int(text), receipt.status, receipt.fault.what if receipt.fault else ""))
