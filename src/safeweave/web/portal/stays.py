"""One stay from admission to money, its decisions line by line, letters, and asking for a person."""

from datetime import datetime
from typing import NamedTuple

from starlette.responses import Response

from safeweave import telling
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Decided
from safeweave.cases import clocks, requests
from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.cases.claim import interim_total
from safeweave.cases.lifecycle import DECIDED
from safeweave.clock import shanghai_day
from safeweave.database import Transaction
from safeweave.errors import NotFound
from safeweave.ids import CaseId, DeterminationId, LetterId
from safeweave.payments import store as payouts
from safeweave.payments.payout import Payout
from safeweave.people import Person
from safeweave.telling import store as letters
from safeweave.telling.letter import letter as in_words
from safeweave.telling.letters import letter_id, printed
from safeweave.web import audit, live
from safeweave.web.access import stage_for
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.portal.around import case_and_person, shown

routes = Routes()

MOST_WORDS = 4000
_UNTOLD = frozenset({"charges_posted"})  # steps that come many times and say nothing by themselves
# What tells a decision: an agent sees it once the customer has.
_DECIDING = frozenset({
    "case_determined", "case_refused", "case_confirmed", "payout_confirmed", "payout_returned", "everything_settled",
    "nothing_claimed",
})  # fmt: skip
_AHEAD = ("discharge", "bill", "decision", "money")


class Moment(NamedTuple):
    """Something that happened, or a payout as it stands now."""

    at: datetime
    happening: str
    stage: str = ""
    note: str = ""
    payout: Payout | None = None


@routes.get("/stays/{case}")
def stay(asked: Asked) -> Response:
    """The stay as a time line that follows what happens, with decisions and money."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "stays.read")
        return _shown(asked, tx, case, person)


def _shown(asked: Asked, tx: Transaction, case: Case, person: Person) -> Response:
    place = case_store.hospitals(tx, [case.stay.hospital], shanghai_day(asked.now)).get(case.stay.hospital)
    name = ((place.name_en if asked.language == "en" else "") or place.name) if place else case.sender
    decisions = determinations.of_cases(tx, [case.id])
    told = audit.told_of(tx, [each.id for each in decisions])
    seen = [each for each in decisions if asked.may(tx, "decisions.read", person, each.id in told)]
    money = payouts.payouts_of(tx, [case.id]) if len(seen) == len(decisions) else []
    untold = _UNTOLD if len(seen) == len(decisions) else _UNTOLD | _DECIDING
    if money:
        untold |= {"payout_confirmed"}  # each payout says it itself
    steps = [Moment(*step) for step in case_store.history(tx, case.id) if step[1] not in untold]
    steps += [
        Moment(each.settled_at or each.ordered_at, "payout", payout=each) for each in money if each.replaced_by is None
    ]
    steps.sort(key=lambda moment: moment.at)
    return shown(
        asked, tx, person, "portal/stay.html", "home",
        case=case, stage=stage_for(case.stage, len(seen) == len(decisions)), hospital=name, steps=steps,
        decisions=seen, hidden_decisions=len(decisions) - len(seen),
        ahead=_ahead(case, bool(decisions)),
        interim=interim_total(case.stay) if case.stay.charges and not case.stay.live_bills else None,
        requests=requests.of(tx, [case.id]), asks_papers=clocks.is_paused(tx, case.id),
        current_decision=seen[-1] if seen else None, can_ask=case.stage not in ("withdrawn", "referred"),
    )  # fmt: skip


def _ahead(case: Case, decided: bool) -> tuple[str, ...]:
    """What is still to come, as far as anybody can say."""
    if case.stage in ("closed", "refused", "withdrawn", "referred"):
        return ()
    done = 0
    if case.stay.discharged_at:
        done = 1
    if case.stage in ("verified", *DECIDED):
        done = 2
    if decided:
        done = 3
    return () if case.stage == "paid" else _AHEAD[done:]


# ---------------------------------------------------------------- decisions


@routes.get("/decisions/{determination}")
def decision(asked: Asked) -> Response:
    """A decision line by line: why this much and not more, with the clause."""
    with asked.reading() as tx:
        decided, person = _decided(asked, tx, "decisions.read")
        row = letters.letter(tx, letter_id(decided.id))
        if row is None:
            raise NotFound("there is no letter about it yet")
        facts = telling.letter_facts(tx, row.facts)
        return shown(
            asked, tx, person, "portal/decision.html", "home",
            letter=in_words(facts, asked.language), decided=decided, letter_id=row.facts.id,
        )  # fmt: skip


@routes.get("/decisions/{determination}/object")
def write_objection(asked: Asked) -> Response:
    """Where one says what is wrong with a decision, if one likes to."""
    with asked.reading() as tx:
        decided, person = _decided(asked, tx, "decisions.object")
        return shown(asked, tx, person, "portal/object.html", "home", decided=decided, most=MOST_WORDS)


@routes.post("/decisions/{determination}/object")
def object_to(asked: Asked) -> Response:
    """Put a decision before a person again."""
    with asked.reading() as tx:
        decided, person = _decided(asked, tx, "decisions.object")
    words = asked.field("words", MOST_WORDS)
    with asked.writing(then=f"/stays/{decided.case}") as tx:
        told = requests.ask(tx, decided.case, "objection", words, _by(asked), asked.now)
        asked.tell(tx, told)
        live.notify(tx, f"case:{decided.case}", person.id, asked.now)
    return asked.go(said="portal.objected")


@routes.post("/stays/{case}/ask")
def ask_for_a_person(asked: Asked) -> Response:
    """Have a person look, in one tap; nothing needs to be said."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "decisions.object")
    words = asked.field("words", MOST_WORDS)
    with asked.writing(then=f"/stays/{case.id}") as tx:
        asked.tell(tx, requests.ask(tx, case.id, "person", words, _by(asked), asked.now))
        live.notify(tx, f"case:{case.id}", person.id, asked.now)
    return asked.go(said="portal.person_asked")


def _by(asked: Asked) -> str:
    return str(asked.who.person or asked.who.id)


def _decided(asked: Asked, tx: Transaction, action: str) -> tuple[Decided, Person]:
    id = DeterminationId(asked.place("determination"))
    found = determinations.by_id(tx, [id]).get(id)
    if found is None:
        raise NotFound("there is no such decision")
    person = asked.someone(tx, found.person)
    asked.must(tx, action, person, found.id, told=found.id in audit.told_of(tx, [found.id]))
    return found, person


# ---------------------------------------------------------------- letters


@routes.get("/letters/{letter}")
def letter(asked: Asked) -> Response:
    """A letter as PDF, in the reader's language."""
    with asked.reading() as tx:
        row = letters.letter(tx, LetterId(asked.place("letter")))
        if row is None:
            raise NotFound("there is no such letter")
        case = case_store.heads(tx, [CaseId(row.facts.case)])[row.facts.case]
        person = asked.someone(tx, case.person)
        thing = row.facts.determination or row.facts.id
        asked.must(tx, "letters.read", person, thing, told=thing in audit.told_of(tx, [thing]))
        facts = telling.letter_facts(tx, row.facts)
    content = printed(in_words(facts, asked.language))
    headers = {"content-disposition": f'inline; filename="{row.facts.id}.pdf"'}
    return Response(bytes(content), media_type="application/pdf", headers=headers)
