"""May this client read that? Asked when something happens, and again when it is told."""

from datetime import datetime

from safeweave import people
from safeweave.cases import store as case_store
from safeweave.database import Transaction
from safeweave.ids import CaseId, PersonId
from safeweave.people import Person
from safeweave.web import accounts, audit
from safeweave.web.access import Role, Scope, Standing, role_that_may
from safeweave.web.api import clients
from safeweave.web.api.clients import Registered
from safeweave.web.notices.topics import Topic


def role_that_reads(
    tx: Transaction, client: Registered, topic: Topic, person: Person, thing: str, sender: str, now: datetime
) -> Role | None:
    """The role in which this client may read it; None if it may not. `sender` is the hospital of the case, if any."""
    if not clients.allows(client.scopes, topic.resource, False):
        return None
    account = accounts.accounts(tx, [client.account]).get(client.account)
    if account is None:
        return None
    if account.role == "hospital":
        own = Standing("hospital", frozenset[Scope]({"sender"}))
        return role_that_may(topic.hospitals, (own,)) if sender and sender == account.sender else None
    standings = accounts.standings(tx, account, person, now)
    return role_that_may(topic.action, standings, told=thing in audit.told_of(tx, [thing]))


def person_of(tx: Transaction, person: str) -> Person | None:
    """The person of the register, read once in a transaction."""
    return people.known_people(tx, [PersonId(person)]).get(PersonId(person))


def sender_of(tx: Transaction, case: str) -> str:
    """The hospital of a case."""
    head = case_store.heads(tx, [CaseId(case)]).get(CaseId(case))
    return head.sender if head else ""
