"""Agents who act for a customer: invited, accepted and ended here, always in sight of both."""

from starlette.responses import Response

from safeweave import people
from safeweave.errors import NotAllowed, NotFound
from safeweave.people import delegations
from safeweave.people.delegation import SCOPES
from safeweave.web import accounts, agent_acts, live
from safeweave.web.asked import Asked
from safeweave.web.pages import Routes
from safeweave.web.portal.around import own_ids, shown, whose

routes = Routes()


@routes.get("/people/{person}/agents")
def agents(asked: Asked) -> Response:
    """Who may act for a person, now and in the past."""
    return _agents(asked)


def _agents(asked: Asked, status: int = 200, fault: str = "") -> Response:
    with asked.reading() as tx:
        person = whose(asked, tx, "delegations.read")
        found = delegations.delegations_of(tx, person.id)
        acts = agent_acts.acts_for(tx, own_ids(person))
        names = accounts.accounts(tx, {each.agent for each in found} | {act.account for act in acts})
        return shown(
            asked, tx, person, "portal/agents.html", "agents", status,
            delegations=[(each, each.state_at(asked.now), names.get(each.agent)) for each in found],
            acts=[(act, names.get(act.account)) for act in acts],
            scopes=SCOPES, fault=fault, licence=asked.field("licence"), ticked=asked.ticked("scope") or SCOPES,
        )  # fmt: skip


@routes.post("/people/{person}/agents")
def invite(asked: Asked) -> Response:
    """Invite an agent by the agent's number."""
    with asked.reading() as tx:
        person = whose(asked, tx, "delegations.change")
        agent = accounts.by_licence(tx, asked.field("licence", 60))
    scopes = [scope for scope in SCOPES if scope in asked.ticked("scope")]
    if agent is None or agent.role != "agent":
        return _agents(asked, 400, "portal.agents.unknown")
    if not scopes:
        return _agents(asked, 400, "portal.agents.nothing")
    with asked.writing(then=f"/people/{person.id}/agents") as tx:
        by = asked.person.id if asked.person else person.id
        delegations.invite(tx, person.id, agent.id, scopes, by, asked.now)
        live.notify(tx, f"agent:{agent.id}", person.id, asked.now)
    return asked.go(said="portal.agents.invited")


@routes.post("/people/{person}/agents/{delegation}/end")
def end(asked: Asked) -> Response:
    """Take it back, with one tap and at once."""
    with asked.reading() as tx:
        person = whose(asked, tx, "delegations.change")
        found = delegations.delegation(tx, asked.place("delegation"))
        if found.person not in {person.id, *person.former_ids}:
            raise NotFound("there is no such delegation")
    with asked.writing(then=f"/people/{person.id}/agents") as tx:
        delegations.end(tx, found.id, str(asked.who.person or person.id), asked.now)
        live.notify(tx, f"agent:{found.agent}", person.id, asked.now)
    return asked.go(said="portal.agents.ended")


# ---------------------------------------------------------------- the agent's side


@routes.get("/agent")
def customers(asked: Asked) -> Response:
    """For whom an agent may act, and who has invited the agent."""
    _check_agent(asked)
    with asked.reading() as tx:
        found = delegations.delegations_to(tx, asked.who.id)
        known = people.people_by_id(tx, {each.person for each in found})
        shown_now = [(each, each.state_at(asked.now), known[each.person].name) for each in found]
        waiting = [row for row in shown_now if row[1] == "pending"]
        acting = [row for row in shown_now if row[1] == "accepted"]
        over = [row for row in shown_now if row[1] not in ("pending", "accepted")]
    return asked.page("portal/agent.html", waiting=waiting, acting_for=acting, over=over)


@routes.post("/agent/{delegation}/answer")
def answer(asked: Asked) -> Response:
    """Accept or reject an invitation."""
    _check_agent(asked)
    accepted = asked.field("answer") == "accept"
    with asked.writing(then="/agent") as tx:
        delegations.answer(tx, asked.place("delegation"), asked.who.id, accepted, asked.now)
        person = delegations.delegation(tx, asked.place("delegation")).person
        agent_acts.note(asked, tx, asked.someone(tx, person), "accepted" if accepted else "rejected")
        live.notify(tx, f"agent:{asked.who.id}", person, asked.now)
    return asked.go(said="portal.agent.accepted" if accepted else "portal.agent.rejected")


@routes.post("/agent/{delegation}/end")
def give_up(asked: Asked) -> Response:
    """The agent ends it."""
    _check_agent(asked)
    with asked.writing(then="/agent") as tx:
        found = delegations.delegation(tx, asked.place("delegation"))
        if found.agent != asked.who.id:
            raise NotFound("there is no such delegation")
        delegations.end(tx, found.id, asked.who.id, asked.now)
        agent_acts.note(asked, tx, asked.someone(tx, found.person), "gave_up")
        live.notify(tx, f"agent:{asked.who.id}", found.person, asked.now)
    return asked.go(said="portal.agents.ended")


def _check_agent(asked: Asked) -> None:
    if asked.who.role != "agent":
        raise NotAllowed("agents")
