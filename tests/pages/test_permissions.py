"""Every cell of the permission table, through real pages: each action has a probe here, or this fails.

For each role there is one account, and for each way to stand to a person one person: the page of an action is asked for
by every account about everybody, and answers exactly as the table says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import msgspec
import pytest

from given import CLEAN_STAY, HOSPITAL, House
from pages.given_pages import Browser, account_for, person_named, site_of, staff
from pages.test_portal import CHILD, gives
from people.given_people import SAMPLE_MALE
from safeweave import people
from safeweave.cases import clocks, requests
from safeweave.events import Identifier, PersonSeen
from safeweave.ids import PersonId
from safeweave.people import Guardianship, delegations
from safeweave.people.delegation import SCOPES
from safeweave.web import papers
from safeweave.web.access import ROLES, Role, Scope, Standing, role_that_may, table
from safeweave.web.accounts import Account, session_of
from safeweave.web.asked import Site, csrf_of


@dataclass
class World:
    """A person with a paid stay, and everybody who might look: by role, those who stand to the person and those who
    do not."""

    house: House
    site: Site
    person: PersonId
    case: str
    decision: str
    letter: str
    consent: str
    file: str
    near: dict[tuple[Role, Scope], Account]
    strangers: dict[Role, Account]


def probe(method: str, path: str, **fields: str) -> tuple[str, str, dict[str, str]]:
    return method, path, fields


# How each action is done on a page. A form that is refused for what it says (400, 409) was allowed to be sent.
PROBES: dict[str, tuple[str, str, dict[str, str]]] = {
    "policies.read": probe("GET", "/people/{person}/policies"),
    "stays.read": probe("GET", "/stays/{case}"),
    "decisions.read": probe("GET", "/decisions/{decision}"),
    "decisions.object": probe("POST", "/stays/{case}/ask"),
    "papers.submit": probe("POST", "/stays/{case}/papers", words="出院小结"),
    "papers.hand_in": probe("POST", "/stays/{case}/files"),
    "papers.read": probe("GET", "/stays/{case}/files/{file}"),
    "letters.read": probe("GET", "/letters/{letter}"),
    "messages.read": probe("GET", "/people/{person}/messages"),
    "consents.read": probe("GET", "/people/{person}/consents"),
    "consents.give": probe("POST", "/people/{person}/consents", offer="none"),
    "consents.withdraw": probe("POST", "/people/{person}/consents/{consent}/withdraw"),
    "reads.read": probe("GET", "/people/{person}/reads"),
    "bank_account.read": probe("GET", "/people/{person}/account"),
    "bank_account.change": probe("POST", "/people/{person}/account", name="nobody"),
    "delegations.read": probe("GET", "/people/{person}/agents"),
    "referrals.read": probe("GET", "/desk/cases/{case}"),
    "referrals.decide": probe("POST", "/desk/cases/{case}/decide", verdict="approve", note="看过"),
    "referrals.confirm": probe("POST", "/desk/cases/{case}/confirm", verdict="confirm", act="none"),
    "delegations.change": probe("POST", "/people/{person}/agents", licence="nobody"),
}

NEAR: tuple[tuple[Role, Scope], ...] = (
    ("insured", "own"), ("guardian", "ward"), ("agent", "collect"), ("agent", "submit"), ("agent", "follow"),
    ("examiner", "all"), ("senior", "all"), ("director", "all"), ("operator", "all"), ("commission", "all"),
    ("hospital", "sender"),
)  # fmt: skip


def test_every_action_has_a_probe_and_every_probe_an_action():
    assert set(PROBES) == {action for action in table() if action not in ELSEWHERE}


# Actions that another test walks, cell by cell: action to the file of that test.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        ("figures.read", "health.read", "oversight.read", "inbox.read", "inbox.repair"), "test_operations.py"
    ),
    **dict.fromkeys(("what_if.read", "what_if.run"), "test_operations.py"),
    **dict.fromkeys(("again.read", "again.propose", "again.approve"), "test_operations.py"),
    **dict.fromkeys(("stays.list", "claims.submit", "claims.answered", "coverage.check"), "test_api.py"),
    "subscriptions.keep": "test_subscriptions.py",
}


@pytest.fixture
def world(house: House) -> World:
    site = site_of(house)
    house.insures("P-9", name="测试小乙", document=CHILD)
    house.insures("P-8", name="测试丙", document=SAMPLE_MALE)
    guardian, stranger = person_named(house, "测试甲"), person_named(house, "测试丙")
    child = person_named(house, "测试小乙")
    with site.database.transaction() as tx:
        people.add_guardianships(
            tx, [Guardianship(child, guardian, "出生医学证明 A33", date(2015, 1, 1))], site.clock()
        )
    of_child = PersonSeen((Identifier("resident_id", CHILD),), "测试小乙", date(2015, 1, 1), "M")
    house.hears(*(msgspec.structs.replace(event, person=of_child) if hasattr(event, "person") else event
                  for event in CLEAN_STAY))  # fmt: skip
    case, decided = house.case(), house.decided()[0]
    [(letter,)] = house.rows("select id from letter where determination = ?", decided.id)
    consent = gives(house, child, by=guardian, proof="出生医学证明 A33")
    near: dict[tuple[Role, Scope], Account] = {
        ("insured", "own"): account_for(site, child), ("guardian", "ward"): account_for(site, guardian)
    }  # fmt: skip
    strangers: dict[Role, Account] = {
        "insured": account_for(site, stranger), "guardian": account_for(site, stranger),
        "agent": staff(site, "agent", licence="none"), "hospital": staff(site, "hospital", sender="another"),
    }  # fmt: skip
    for role, scope in NEAR[2:]:
        near[role, scope] = staff(site, role, licence=f"L-{role}-{scope}", sender=HOSPITAL)
        if role == "agent":
            with site.database.transaction() as tx:
                made = delegations.invite(tx, child, near[role, scope].id, [scope], guardian, site.clock())  # type: ignore[list-item]
                delegations.answer(tx, made.id, near[role, scope].id, True, site.clock())
    with site.database.transaction() as tx:
        ready = papers.sealed(site.rest, [papers.Upload("小结.pdf", b"%PDF-1.7")])
        papers.add(tx, case.id, child, ready, near["guardian", "ward"].id, "测试甲", site.clock())
    return World(house, site, child, case.id, decided.id, letter, consent.id, ready[0].id, near, strangers)


def asks(world: World, browser: Browser, action: str) -> int:
    """The status of the action's page, asked for by the account that is signed in."""
    method, path, fields = PROBES[action]
    where = path.format_map(vars(world))
    if method == "GET":
        return browser.client.get(where, follow_redirects=False).status_code
    with world.site.database.reading() as tx:
        session = session_of(tx, browser.client.cookies["sw_session"], world.site.clock())
    token = csrf_of(browser.client.cookies["sw_browser"], session)
    return browser.client.post(where, data={"_csrf": token, **fields}, follow_redirects=False).status_code


ALLOWED = {200, 303, 400, 409}


def walk(world: World, allowed: Callable[[str, Role, Scope | None], bool]) -> list[str]:
    """Every cell in which a page answers otherwise than the table."""
    wrong = []
    everybody: list[tuple[Role, Scope | None, Account]] = [(role, scope, a) for (role, scope), a in world.near.items()]
    everybody += [(role, None, account) for role, account in world.strangers.items()]
    for role, scope, account in everybody:
        browser = Browser(world.site).is_signed_in_as(account)
        for action in PROBES:
            status = asks(world, browser, action)
            expected = ALLOWED if allowed(action, role, scope) else ({403} if scope else {404})
            if expected == {403} and not allowed_anything(role):
                expected = {403, 404}
            if status not in expected:
                wrong.append(f"{action} by {role} ({scope}): {status}, not {sorted(expected)}")
    return wrong


def allowed_anything(role: Role) -> bool:
    return any(role in row for row in table().values())


def test_every_cell_of_the_table_before_the_customer_has_seen_the_decision(world):
    """The agents come first, as nobody of the customer's has looked yet; then everybody else."""
    world.near = dict(sorted(world.near.items(), key=lambda item: item[0][0] != "agent"))

    def allowed(action: str, role: Role, scope: Scope | None) -> bool:
        return scope is not None and table()[action].get(role) == scope

    assert walk(world, allowed) == []


def test_an_agent_who_follows_sees_a_decision_after_the_customer(world):
    Browser(world.site).is_signed_in_as(world.near["guardian", "ward"]).opens(f"/decisions/{world.decision}")
    agent = Browser(world.site).is_signed_in_as(world.near["agent", "follow"])
    other = Browser(world.site).is_signed_in_as(world.near["agent", "collect"])
    assert [asks(world, agent, action) for action in ("decisions.read", "letters.read")] == [200, 200]
    assert [asks(world, other, action) for action in ("decisions.read", "letters.read")] == [403, 403]


def test_nobody_is_let_in_without_signing_in(world):
    browser = Browser(world.site)
    for method, path, _ in PROBES.values():
        where = path.format_map(vars(world))
        if method == "GET":
            answer = browser.client.get(where, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
        else:
            assert browser.client.post(where, data={}, follow_redirects=False).status_code == 403


def test_every_view_of_a_persons_data_leaves_a_row_that_says_who_and_in_which_role(world):
    browser = Browser(world.site).is_signed_in_as(world.near["examiner", "all"])
    reading = [action for action, (method, _, _) in PROBES.items() if method == "GET" and "examiner" in table()[action]]
    for action in reading:
        assert asks(world, browser, action) == 200
    rows = world.house.rows(
        "select action, person, role from page_view where account = ?", world.near["examiner", "all"].id
    )
    assert {row[0] for row in rows} == set(reading)
    assert {row[1:] for row in rows} == {(world.person, "examiner")}


def test_what_is_refused_leaves_no_view_behind(world):
    browser = Browser(world.site).is_signed_in_as(world.near["operator", "all"])
    for action in PROBES:
        asks(world, browser, action)
    assert world.house.rows("select count(*) from page_view") == [(0,)]


def test_the_table_names_only_what_exists_and_a_role_without_a_line_may_nothing():
    assert all(row for row in table().values())
    everything = [Standing(role, frozenset({"own", "ward", "all", "sender", *SCOPES})) for role in ROLES]  # type: ignore[arg-type]
    for action, row in table().items():
        for standing in everything:
            assert (role_that_may(action, [standing], told=True) is not None) == (standing.role in row)
    assert role_that_may("no.such", everything, told=True) is None


def test_a_guardianship_that_is_over_opens_nothing(world):
    with world.site.database.transaction() as tx:
        tx.run("update person_guardian set last_day = '2026-03-01'")
    browser = Browser(world.site).is_signed_in_as(world.near["guardian", "ward"])
    assert {asks(world, browser, action) for action in PROBES} == {404}


def test_asked_for_once_and_answered_for_all(world):
    with world.site.database.transaction() as tx:
        requests.ask(tx, world.case, "person", "", "x", world.site.clock())  # type: ignore[arg-type]
        assert len(requests.open_requests(tx)) == 1
        assert requests.answer(tx, world.case, "李核赔", "已核对", world.site.clock()) == 1  # type: ignore[arg-type]
        assert requests.open_requests(tx) == []
        assert not clocks.is_paused(tx, world.case)  # type: ignore[arg-type]
