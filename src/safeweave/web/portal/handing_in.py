"""Handing in papers: what was asked for, or what one thinks we should see; by the insured, a guardian or an agent."""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from safeweave.cases import clocks
from safeweave.cases import store as case_store
from safeweave.cases.case import CaseHead
from safeweave.clock import shanghai_day
from safeweave.database import Transaction
from safeweave.errors import Conflict, NotAllowed, NotFound
from safeweave.ids import CaseId
from safeweave.people import Person
from safeweave.web import agent_acts, live, papers
from safeweave.web.access import STAFF
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.papers import NotTaken
from safeweave.web.portal.around import acts_for, case_and_person, own_ids, shown
from safeweave.words import Language, say

routes = Routes()

MOST_WORDS = 4000
MOST_CASES = 30
HEADERS = {"content-security-policy": "default-src 'none'; sandbox", "content-type": "application/octet-stream"}


class NothingAsked(Conflict):
    """Nothing is asked for at present."""

    def said(self, language: Language) -> str:
        """That, and what can be done instead."""
        return say("portal.papers.not_asked", language)


@routes.get("/people/{person}/papers")
def every(asked: Asked) -> Response:
    """The stays papers can be handed in for, with what was handed in."""
    with asked.reading() as tx:
        person = asked.someone(tx, asked.place("person"))
        hands_in = asked.may(tx, "papers.hand_in", person)
        asked.must(tx, "papers.hand_in" if hands_in else "papers.submit", person)
        return _shown(asked, tx, person)


def _shown(asked: Asked, tx: Transaction, person: Person, status: int = 200, fault: str = "", at: str = "") -> Response:
    heads = [head for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    heads = [head for head in heads if head.stage != "withdrawn"]
    heads.sort(key=lambda head: head.opened_at, reverse=True)
    heads = heads[:MOST_CASES]
    cases = case_store.cases_by_id(tx, [head.id for head in heads])
    places = case_store.hospitals(tx, {case.stay.hospital for case in cases.values()}, shanghai_day(asked.now))
    handed = papers.of_cases(tx, [head.id for head in heads])
    stays: list[dict[str, Any]] = []
    for head in heads:
        stay = cases[head.id].stay
        place = places.get(stay.hospital)
        stays.append({
            "case": head.id,
            "hospital": ((place.name_en if asked.language == "en" else "") or place.name) if place else head.sender,
            "day": shanghai_day(stay.admitted_at or stay.visited_at or head.opened_at),
            "asked": clocks.is_paused(tx, head.id),
            "wanted": wanted(tx, head),
            "files": handed[head.id],
        })  # fmt: skip
    return shown(
        asked, tx, person, "portal/papers.html", "papers", status, stays=stays, fault=fault, fault_at=at,
        words=asked.field("words", MOST_WORDS), most_files=papers.MOST_AT_ONCE,
        most_mb=papers.MOST_BYTES // 1024 // 1024,
    )  # fmt: skip


def wanted(tx: Transaction, head: CaseHead) -> str:
    """What was asked for last, without who asked."""
    notes = [note for _, happening, _, note in case_store.history(tx, head.id) if happening == "supplement_asked"]
    return notes[-1].partition(": ")[2] if notes else ""


@routes.post("/stays/{case}/papers", files=True)
def submit(asked: Asked) -> Response:
    """Answer what we asked for, with words, files or both; the decision clock runs on."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "papers.submit")
        words = asked.field("words", MOST_WORDS)
        try:
            files = papers.checked(asked.files)
            fault = "" if words or files else asked.say("portal.papers.empty")
        except NotTaken as why:
            fault = why.said(asked.language)
        if fault:
            return _shown(asked, tx, person, 400, fault, case.id)
    ready = papers.sealed(asked.site.rest, files)
    with asked.writing(then=_back(asked, case.id, person)) as tx:
        if not clocks.resume(tx, case.id, asked.now):
            raise NothingAsked("nothing is asked for at present")
        papers.add(tx, case.id, person.id, ready, asked.who.id, _name(asked), asked.now)
        head = case_store.heads(tx, [case.id])[case.id]
        named = " ".join([words, *[f"[{each.name}]" for each in files]]).strip()
        case_store.add_steps(
            tx, [(case.id, "supplement_received", head.stage, f"{_by(asked, person)}: {named}")], asked.now
        )
        agent_acts.note(asked, tx, person, "submitted", case.id, named)
        _look_again(asked, tx, case.id, person)
    return asked.go(said="portal.papers.done")


@routes.post("/stays/{case}/files", files=True)
def hand_in(asked: Asked) -> Response:
    """Hand in files nobody asked for; where we asked and one may answer, they answer."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "papers.hand_in")
        try:
            files = papers.checked(asked.files)
            fault = "" if files else asked.say("portal.files.none")
        except NotTaken as why:
            files, fault = [], why.said(asked.language)
        if fault:
            return _shown(asked, tx, person, 400, fault, case.id)
    ready = papers.sealed(asked.site.rest, files)
    with asked.writing(then=_back(asked, case.id, person)) as tx:
        new = papers.add(tx, case.id, person.id, ready, asked.who.id, _name(asked), asked.now)
        if new:
            agent_acts.note(asked, tx, person, "handed_in", case.id, " ".join(f"[{each.name}]" for each in files))
            _look_again(asked, tx, case.id, person)
    return asked.go(said="portal.files.done" if new else "portal.files.twice")


@routes.post("/stays/{case}/files/{file}/remove")
def take_back(asked: Asked) -> Response:
    """Take back what one handed in, until an examiner has seen it."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "papers.hand_in")
        paper = papers.one(tx, asked.place("file"), case.id)
        if paper.added_by != asked.who.id:
            raise NotAllowed("papers.hand_in")
    with asked.writing(then=_back(asked, case.id, person)) as tx:
        papers.take_back(tx, paper, asked.now)
        agent_acts.note(asked, tx, person, "took_back", case.id, f"[{paper.name}]")
        _look_again(asked, tx, case.id, person)
    return asked.go(said="portal.files.removed")


@routes.get("/stays/{case}/files/{file}")
def content(asked: Asked) -> Response:
    """A paper, to be kept and never run: whatever it holds, no browser takes it for a page of ours."""
    with asked.reading() as tx:
        id = CaseId(asked.place("case"))
        head = case_store.heads(tx, [id]).get(id)
        if head is None:
            raise NotFound("there is no such case")
        paper = papers.one(tx, asked.place("file"), id)
        asked.must(tx, "papers.read", asked.someone(tx, head.person), paper.id)
        raw = papers.content(tx, asked.site.rest, paper)
    if asked.who.role in STAFF and paper.seen_at is None:
        with asked.site.database.transaction() as tx:
            papers.one(tx, paper.id, id)  # it may have been taken back meanwhile
            papers.note_seen(tx, paper, asked.now)
    kept_as = f"attachment; filename*=UTF-8''{quote(paper.name, safe='')}"
    return Response(raw, headers={**HEADERS, "content-type": paper.kind, "content-disposition": kept_as})


def _back(asked: Asked, case: CaseId, person: Person) -> str:
    """Where handing in leads: to the papers of that stay."""
    return f"/people/{person.id}/papers#{case}"


def _name(asked: Asked) -> str:
    return asked.person.name if asked.person else asked.who.name


def _by(asked: Asked, person: Person) -> str:
    return f"{_name(asked)} → {person.name}" if acts_for(asked, person) else person.name


def _look_again(asked: Asked, tx: Transaction, case: CaseId, person: Person) -> None:
    """Have open pages of this case, the workbench's too, look again."""
    live.notify(tx, f"case:{case}", person.id, asked.now)
