"""Where a person begins: stays, what waits for an answer, whom one may act for; policies, messages, who looked."""

from datetime import datetime

from starlette.responses import Response

from safeweave import consents, coverage, people
from safeweave.adjudication import store as determinations
from safeweave.cases import store as case_store
from safeweave.clock import shanghai_day
from safeweave.coverage.store import usage_of
from safeweave.database import Transaction
from safeweave.facts import Fact
from safeweave.ids import CaseId
from safeweave.people import Person
from safeweave.telling.message import Message
from safeweave.telling.store import messages_of_cases
from safeweave.web import accounts, agent_acts, audit
from safeweave.web.access import stage_for
from safeweave.web.agent_acts import AgentAct
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.portal.around import own_ids, shown, whose
from safeweave.web.portal.plain import in_words

routes = Routes()


class StayShown(Fact, frozen=True):
    """One stay in a list."""

    case: CaseId
    stage: str
    hospital: str
    day: object
    payable: int | None


def stays_of(asked: Asked, tx: Transaction, person: Person) -> list[StayShown]:
    """The stays of a person, the latest first; what each pays where the reader may see the decision."""
    heads = [head for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
    heads.sort(key=lambda head: head.opened_at, reverse=True)
    cases = case_store.cases_by_id(tx, [head.id for head in heads])
    hospitals = case_store.hospitals(tx, {case.stay.hospital for case in cases.values()}, shanghai_day(asked.now))
    paid: dict[CaseId, int] = {}
    decided = determinations.of_cases(tx, list(cases))
    told = audit.told_of(tx, [each.id for each in decided])
    unseen = {each.case for each in decided if not asked.may(tx, "decisions.read", person, each.id in told)}
    replaced = {each.supersedes for each in decided}
    for each in decided:
        if each.decision == "pay" and each.id not in replaced and each.case not in unseen:
            paid[each.case] = paid.get(each.case, 0) + each.payable
    found = []
    for head in heads:
        stay = cases[head.id].stay
        place = hospitals.get(stay.hospital)
        name = ((place.name_en if asked.language == "en" else "") or place.name) if place else head.sender
        began = stay.admitted_at or stay.visited_at or head.opened_at
        found.append(
            StayShown(
                head.id, stage_for(head.stage, head.id not in unseen), name, shanghai_day(began), paid.get(head.id)
            )
        )
    return found


@routes.get("/people/{person}")
def home(asked: Asked) -> Response:
    """The stays, what waits for an answer, and whom one may act for."""
    with asked.reading() as tx:
        person = whose(asked, tx, "stays.read")
        wards = (
            people.wards_of(tx, person.id, shanghai_day(asked.now)) if asked.may(tx, "consents.give", person) else []
        )
        askings = consents.askings_of(tx, person.id) if asked.may(tx, "consents.give", person) else []
        given = consents.consents_of(tx, [person.id]).get(person.id, [])
        answered = {kept.consent.follows for kept in given} | {None}
        waiting = [
            asking
            for asking in askings
            if (asking.needed.nearest not in answered)
            or (asking.needed.nearest is None and not any(kept.consent.given_at >= asking.asked_at for kept in given))
        ]
        return shown(
            asked, tx, person, "portal/home.html", "home",
            stays=stays_of(asked, tx, person), wards=wards, waiting=len(waiting),
        )  # fmt: skip


@routes.get("/people/{person}/policies")
def policies(asked: Asked) -> Response:
    """What was promised, in plain words, with what the year has used."""
    today = shanghai_day(asked.now)
    with asked.reading() as tx:
        person = whose(asked, tx, "policies.read")
        held = coverage.policies_of(tx, [person.id], today)[person.id]
        used = usage_of(tx, [(policy.policy, policy.person) for policy in held])
        found = []
        for policy in held:
            product = asked.site.adjudicator.products.get(policy.product)
            years = policy.cover.periods
            year = next((each for each in years if each.first_day <= today <= each.last_day), None)
            latest = year or (years[-1] if years else None)
            benefits = []
            if product is not None and latest is not None:
                usage = used[policy.policy, policy.person]
                benefits = in_words(product, latest.first_day, usage, asked.language)
            name = policy.product
            if product is not None:
                name = (product.name_en if asked.language == "en" else "") or product.name
            found.append(
                {"number": policy.number, "name": name, "year": latest, "holds": year is not None, "benefits": benefits}
            )
        return shown(asked, tx, person, "portal/policies.html", "policies", policies=found)


@routes.get("/people/{person}/messages")
def messages(asked: Asked) -> Response:
    """Everything that was told about the stays, the latest first; each text once, whatever ways it went."""
    with asked.reading() as tx:
        person = whose(asked, tx, "messages.read")
        cases = [head.id for id in own_ids(person) for head in case_store.cases_in(tx, person=id)]
        rank = {"email": 0, "sms": 1, "wechat": 2}
        written = [each for each in messages_of_cases(tx, cases) if each.occasion != "agent_acted"]  # the act says more
        told = sorted(written, key=lambda each: rank.get(each.channel, 3))
        once = {each.change: each for each in reversed(told)}
        acts = agent_acts.acts_for(tx, own_ids(person))
        names = accounts.accounts(tx, {act.account for act in acts})
        latest: list[tuple[datetime, Message | None, AgentAct | None]] = [
            *[(each.told_at, each, None) for each in once.values()], *[(act.at, None, act) for act in acts],
        ]  # fmt: skip
        latest.sort(key=lambda each: each[0], reverse=True)
        return shown(asked, tx, person, "portal/messages.html", "messages", messages=latest, names=names)


@routes.get("/people/{person}/reads")
def reads(asked: Asked) -> Response:
    """Who looked at what: members of the consortium at the record, people of ours and agents at these pages."""
    with asked.reading() as tx:
        person = whose(asked, tx, "reads.read")
        ids = own_ids(person)
        views = [view for view in audit.views_of(tx, ids) if view.role != "insured"]
        names = {id: _named(tx, account) for id, account in
                 accounts.accounts(tx, {view.account for view in views}).items()}  # fmt: skip
        members = dict(tx.rows("select member, name from member_contact")) | {
            party.member: party.name
            for kept in consents.consents_of(tx, [person.id]).get(person.id, [])
            for party in (kept.consent.giver, kept.consent.recipient)
            if party is not None
        }
        record = [(each, members.get(each.member, each.member)) for each in
                  reversed(consents.reads_of(tx, person.id))]  # fmt: skip
        return shown(asked, tx, person, "portal/reads.html", "reads", views=views, names=names, record=record)


def _named(tx: Transaction, account: accounts.Account) -> str:
    if account.person is None:
        return account.name
    known = people.people_by_id(tx, [account.person])
    return known[account.person].name if account.person in known else account.name
