"""Search over everything a handler may see: people, documents, visits, bills, policies and cases."""

from starlette.responses import Response

from safeweave import people
from safeweave.cases import store as case_store
from safeweave.cases.case import CaseHead
from safeweave.clock import shanghai_day
from safeweave.coverage.store import persons_under
from safeweave.database import Transaction
from safeweave.facts import Fact
from safeweave.ids import CaseId, PersonId
from safeweave.people import Person
from safeweave.people.identity import masked
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.workbench.bench import must_be_examiner

routes = Routes()

MOST = 50  # results
MOST_CHARACTERS = 100
LEAST_CHARACTERS = 2


class Found(Fact, frozen=True):
    """A case, and by what it was found."""

    case: CaseHead
    person: Person
    document: str  # masked
    hospital: str
    by: str


@routes.get("/desk/search")
def search(asked: Asked) -> Response:
    """Cases by a name, a document's number, or the number of a visit, bill, policy or case."""
    must_be_examiner(asked)
    text = asked.query("q").strip()[:MOST_CHARACTERS]
    found: list[Found] = []
    if len(text) >= LEAST_CHARACTERS:
        with asked.reading() as tx:
            found = _found(asked, tx, text)
    return asked.page("workbench/search.html", q=text, found=found, least=LEAST_CHARACTERS, most=MOST)


def _found(asked: Asked, tx: Transaction, text: str) -> list[Found]:
    ways: dict[CaseId, str] = {}
    for case in case_store.cases_named(tx, text, MOST):
        ways.setdefault(case, "number")
    for case in case_store.cases_of_bill(tx, text, MOST):
        ways.setdefault(case, "bill")
    persons: dict[PersonId, str] = dict.fromkeys(people.with_document(tx, text), "document")
    for person in people.named_like(tx, text, MOST):
        persons.setdefault(person, "name")
    for person in persons_under(tx, text):
        persons.setdefault(person, "policy")
    for person, way in persons.items():
        for head in case_store.cases_in(tx, person=person, limit=MOST):
            ways.setdefault(head.id, way)
    heads = case_store.heads(tx, list(ways)[:MOST])
    known = people.people_by_id(tx, {head.person for head in heads.values()})
    places = case_store.hospitals(tx, [head.hospital for head in heads.values()], shanghai_day(asked.now))
    results = []
    for case, head in heads.items():
        person_known = known.get(head.person)
        if person_known is None or not asked.may(tx, "referrals.read", person_known):
            continue
        asked.must(tx, "referrals.read", person_known, case)
        number = masked(person_known.document.number) if person_known.documents else ""
        place = places[head.hospital].name if head.hospital in places else head.sender
        results.append(Found(head, person_known, number, place, ways[case]))
    return sorted(results, key=lambda each: each.case.opened_at, reverse=True)
