"""The screen of an examiner: the queue, and beside it the evidence and the decision of one case."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.clock import shanghai_day
from safeweave.database import Transaction
from safeweave.errors import NotAllowed, NotFound
from safeweave.ids import CaseId
from safeweave.money import yuan_shown, yuan_text
from safeweave.people import Person
from safeweave.people.identity import masked
from safeweave.web import papers
from safeweave.web.access import Standing, role_that_may
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.workbench import queue, store
from safeweave.web.workbench.authority import every_skill, limits
from safeweave.web.workbench.queue import Filter
from safeweave.web.workbench.seen import Seen, at_work, line_name, seen

routes = Routes()

MOST_WORDS = 4000


def must_be_examiner(asked: Asked) -> None:
    """Go on only if whoever asks clears referrals. Raises NotAllowed."""
    role = asked.who.role
    known = [Standing(role, frozenset({"all"}))] if role in limits() else []  # type: ignore[arg-type]
    if role_that_may("referrals.read", known) is None:
        raise NotAllowed("referrals.read")


def case_and_person(asked: Asked, tx: Transaction, action: str) -> tuple[Case, Person]:
    """The case of this address and whose it is, if the action is allowed. Raises NotFound, NotAllowed."""
    id = CaseId(asked.place("case"))
    found = case_store.cases_by_id(tx, [id]).get(id)
    if found is None:
        raise NotFound("there is no such case")
    person = asked.someone(tx, found.person)
    asked.must(tx, action, person, found.id)
    return found, person


@routes.get("/desk")
def desk(asked: Asked) -> Response:
    """What waits, the most urgent first. Nobody's name stands here: it is seen, and noted, once a case is opened."""
    must_be_examiner(asked)
    with asked.reading() as tx:
        return asked.page("workbench/queue.html", **_queue(asked, tx, asked.query("now")))


@routes.get("/desk/keys")
def keys(asked: Asked) -> Response:
    """What each key does."""
    must_be_examiner(asked)
    return asked.page("workbench/keys.html")


@routes.get("/desk/cases/{case}")
def case(asked: Asked) -> Response:
    """Everything about one case on one screen."""
    with asked.reading() as tx:
        found, person = case_and_person(asked, tx, "referrals.read")
        return shown(asked, tx, found, person)


def shown(
    asked: Asked, tx: Transaction, case: Case, person: Person, status: int = 200, fault: str = "",
    typed: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """The screen of a case; `typed` takes the place of what was kept of it."""
    found = seen(asked, tx, case, person)
    kept = store.draft(tx, case.id, asked.who.id)
    values = dict(typed) if typed is not None else dict(kept.fields) if kept else {}
    hospital = case_store.hospitals(tx, [case.stay.hospital], shanghai_day(asked.now)).get(case.stay.hospital)
    seen_before = asked.query("seen")
    return asked.page(
        "workbench/case.html", status,
        **_queue(asked, tx, case.id),
        seen=found, case=case, person=person, document=masked(person.document.number) if person.documents else "",
        hospital=((hospital.name_en if asked.language == "en" else "") or hospital.name) if hospital else case.sender,
        kept=kept, values=values, fault=fault, others=at_work(asked, tx, case),
        files=papers.of_cases(tx, [case.id])[case.id] if asked.may(tx, "papers.read", person) else [],
        line_name=lambda line: line_name(line, line.no, asked.language),
        may_decide=asked.may(tx, "referrals.decide", person),
        may_confirm=_may_confirm(asked, tx, found, person),
        changed=bool(seen_before) and seen_before != found.version,
        most=MOST_WORDS, paid_text=yuan_text, yuan_shown=yuan_shown,
    )  # fmt: skip


def _may_confirm(asked: Asked, tx: Transaction, found: Seen, person: Person) -> bool:
    act = found.proposal
    return act is not None and act.by != asked.who.id and asked.may(tx, "referrals.confirm", person)


def _queue(asked: Asked, tx: Transaction, now_open: str) -> dict[str, Any]:
    """The queue as it is filtered in the address, and which of its cases is open beside it."""
    wanted = wanted_of(asked)
    text = asked.query("page")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    items, page, total = queue.page(tx, asked.now, asked.language, wanted, number, queue.ON_A_PAGE)
    filtered = {"skill": wanted.skill, "reason": wanted.reason, **({"proposed": "1"} if wanted.proposed else {})}
    return {
        "now_open": now_open,
        "filter": urlencode(filtered),
        "items": items,
        "total": total,
        "at_most": queue.MOST,
        "page": page,
        "last_page": max((total - 1) // queue.ON_A_PAGE, 0),
        "skill": wanted.skill if wanted.skill in every_skill() else "",
        "reason_wanted": wanted.reason,
        "proposed_only": wanted.proposed,
        "skills": every_skill(),
    }


def wanted_of(asked: Asked) -> Filter:
    """What of the queue the address asks for."""
    return Filter(asked.query("skill"), asked.query("reason"), asked.query("proposed") == "1")
