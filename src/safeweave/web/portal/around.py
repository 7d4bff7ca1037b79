"""What the pages of the portal have in common: whose things they show, and for whom the reader acts.

Whose they are stands in the address, never in the session, so that a page left open in another tab acts for nobody
else.
"""

from typing import Any

from starlette.responses import Response

from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.database import Transaction
from safeweave.errors import NotFound
from safeweave.ids import CaseId, PersonId
from safeweave.people import Person
from safeweave.web.asked import Asked
from safeweave.words import Language, knows, say

# name, the address behind /people/{person}, the action that must be allowed for it to be shown
PLACES = (
    ("home", "", "stays.read"),
    ("policies", "/policies", "policies.read"),
    ("messages", "/messages", "messages.read"),
    ("papers", "/papers", "papers.hand_in"),
    ("papers", "/papers", "papers.submit"),
    ("consents", "/consents", "consents.read"),
    ("account", "/account", "bank_account.read"),
    ("agents", "/agents", "delegations.read"),
    ("reads", "/reads", "reads.read"),
)


def own_ids(person: Person) -> list[PersonId]:
    """All ids a person has had."""
    return sorted({person.id, *person.former_ids})


def whose(asked: Asked, tx: Transaction, action: str, thing: str = "") -> Person:
    """The person of this address, if the action is allowed. Raises NotFound, NotAllowed."""
    person = asked.someone(tx, asked.place("person"))
    asked.must(tx, action, person, thing)
    return person


def case_and_person(asked: Asked, tx: Transaction, action: str) -> tuple[Case, Person]:
    """The case of this address and whose it is, if the action is allowed. Raises NotFound, NotAllowed."""
    id = CaseId(asked.place("case"))
    found = case_store.cases_by_id(tx, [id]).get(id)
    if found is None:
        raise NotFound("there is no such case")
    person = asked.someone(tx, found.person)
    asked.must(tx, action, person, found.id)
    return found, person


def acts_for(asked: Asked, person: Person) -> bool:
    """Whether the reader looks at things of somebody else."""
    return asked.person is None or asked.person.id != person.id


def document_said(kind: str, language: Language) -> str:
    """What was read, in words; the kind itself if it is a newer member's."""
    key = f"portal.reads.of.{kind.replace(': ', '_')}"
    return say(key, language) if knows(key) else kind


def shown(
    asked: Asked, tx: Transaction, person: Person, template: str, current: str, status: int = 200, **values: Any
) -> Response:
    """A page about a person: with the ways to the other pages one may see, and a line that says for whom one acts."""
    may_see = [(name, f"/people/{person.id}{rest}") for name, rest, action in PLACES if asked.may(tx, action, person)]
    return asked.page(
        template,
        status,
        person=person,
        places=list(dict.fromkeys(may_see)),
        current=current,
        acting=acts_for(asked, person),
        document=lambda kind: document_said(kind, asked.language),
        may=lambda action, told=False: asked.may(tx, action, person, told),
        **values,
    )
