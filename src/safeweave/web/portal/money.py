"""The bank account that benefits are paid to, changed only by its owner and only to an account in the right name."""

from starlette.responses import Response

from safeweave import coverage, people
from safeweave.clock import shanghai_day
from safeweave.coverage import InsuredPolicy, Payee
from safeweave.coverage.store import add_payees
from safeweave.database import Transaction
from safeweave.people import Person
from safeweave.people.identity import Unusable, check, name_key
from safeweave.people.person import OF_AGE, age_on
from safeweave.web import live
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.portal.around import shown, whose

routes = Routes()


@routes.get("/people/{person}/account")
def account(asked: Asked) -> Response:
    """Where benefits are paid to."""
    with asked.reading() as tx:
        person = whose(asked, tx, "bank_account.read")
        return _shown(asked, tx, person)


@routes.post("/people/{person}/account")
def change(asked: Asked) -> Response:
    """Have benefits of all policies paid to another account from now on; what waits for one is then paid."""
    with asked.reading() as tx:
        person = whose(asked, tx, "bank_account.change")
        owner, role = _owner(asked, tx, person)
        held = coverage.policies_of(tx, [person.id], shanghai_day(asked.now))[person.id]
        faults: dict[str, str] = {}
        numbers: dict[str, str] = {}
        for name in ("bank_account", "bank_code"):
            text = asked.field(name, 60)
            if name == "bank_code" and not text:
                numbers[name] = ""
                continue
            if not text:
                faults[name] = asked.say("portal.account.empty")
                continue
            try:
                numbers[name] = check(name, text).number
            except Unusable as fault:
                faults[name] = fault.said(asked.language)
        typed = asked.field("name", 120)
        if name_key(typed) not in {name_key(held_name.name) for held_name in owner.names}:
            faults["name"] = asked.say("portal.account.name_differs", name=owner.name)
        if faults:
            return _shown(asked, tx, person, 400, faults, asked.field("name", 120))
    with asked.writing(then=f"/people/{person.id}/account") as tx:
        payee = Payee(role, owner.name, numbers["bank_account"], numbers["bank_code"])
        add_payees(tx, [(policy.policy, policy.person, payee) for policy in held], asked.now)
        live.notify(tx, f"account:{person.id}", person.id, asked.now)
    return asked.go(said="portal.account.changed")


def _owner(asked: Asked, tx: Transaction, person: Person) -> tuple[Person, str]:
    """In whose name the account must be: the insured's, or while a minor the guardian's who acts (FORMAT.md §5.11)."""
    day = shanghai_day(asked.now)
    if person.birth is None or age_on(person.birth, day) >= OF_AGE:
        return person, "insured"
    guardian = person.guardian_on(day)
    known = people.people_by_id(tx, [guardian]) if guardian else {}
    return (known[guardian], "guardian") if guardian in known else (person, "insured")


def _shown(
    asked: Asked,
    tx: Transaction,
    person: Person,
    status: int = 200,
    faults: dict[str, str] | None = None,
    name: str = "",
) -> Response:
    owner, role = _owner(asked, tx, person)
    held = coverage.policies_of(tx, [person.id], shanghai_day(asked.now))[person.id]
    accounts = [(policy, policy.payee(role)) for policy in held]
    return shown(
        asked, tx, person, "portal/account.html", "account", status,
        accounts=[(_name(asked, policy), payee) for policy, payee in accounts], owner=owner, faults=faults or {},
        name=name or owner.name, typed_account=asked.field("bank_account"), typed_code=asked.field("bank_code"),
    )  # fmt: skip


def _name(asked: Asked, policy: InsuredPolicy) -> str:
    product = asked.site.adjudicator.products.get(policy.product)
    name = ((product.name_en if asked.language == "en" else "") or product.name) if product else policy.product
    return f"{name} · {policy.number}"
