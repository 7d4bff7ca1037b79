"""May this be done? One table (`permissions.toml`) answers for pages and API alike. Pure.

A reader stands to a person in some relations (`Standing`); the table says which relation an action asks of a role.
"""

import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from safeweave.cases.lifecycle import DECIDED, Stage
from safeweave.facts import Fact
from safeweave.ids import PersonId

Role = Literal["insured", "guardian", "agent", "examiner", "senior", "director", "hospital", "commission", "operator"]
Scope = Literal["own", "ward", "collect", "submit", "follow", "told:follow", "sender", "all"]

ROLES: tuple[Role, ...] = get_args(Role)
SCOPES: tuple[Scope, ...] = get_args(Scope)
STAFF: tuple[Role, ...] = ("examiner", "senior", "director", "operator")  # of the insurer


class Standing(Fact, frozen=True):
    """In which role somebody stands to a person, and with which scopes."""

    role: Role
    scopes: frozenset[Scope]


class Seen(Fact, frozen=True):
    """What a permission is asked for: whose thing it is, and which; `told`: the customer has seen it already."""

    person: PersonId
    thing: str = ""
    told: bool = False


@cache
def table() -> Mapping[str, Mapping[Role, Scope]]:
    """Action ("kind.verb") to role to scope. Raises ValueError for a role or scope that does not exist."""
    found: dict[str, Mapping[Role, Scope]] = {}
    text = files(__package__).joinpath("permissions.toml").read_text(encoding="utf-8")
    for kind, verbs in tomllib.loads(text).items():
        for verb, row in verbs.items():
            if not (set(row) <= set(ROLES) and set(row.values()) <= set(SCOPES)):
                raise ValueError(f"permissions.toml: [{kind}.{verb}] names a role or scope that does not exist")
            found[f"{kind}.{verb}"] = row
    return found


def role_that_may(action: str, standings: Collection[Standing], told: bool = False) -> Role | None:
    """The role in which one of these standings allows the action; None if none does, or there is no such action."""
    row = table().get(action, {})
    for standing in standings:
        scope = row.get(standing.role)
        if scope == "told:follow":
            if told and "follow" in standing.scopes:
                return standing.role
        elif scope is not None and scope in standing.scopes:
            return standing.role
    return None


def stage_for(stage: Stage, all_seen: bool) -> Stage:
    """The stage as a reader may know it: whether it was paid or refused is for the customer to see first."""
    return "determined" if stage in DECIDED and not all_seen else stage
