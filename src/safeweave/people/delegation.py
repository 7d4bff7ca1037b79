"""What a customer lets an agent (代理人) do: scoped, visible to both, ended by either with one tap. Pure.

An invitation that is not accepted within 21 days is over. An agent may collect, submit and follow; signing, changing
the bank account and seeing a decision before the customer are in no scope.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from safeweave.facts import Fact
from safeweave.ids import PersonId

Scope = Literal["collect", "submit", "follow"]
State = Literal["pending", "accepted", "rejected", "expired", "ended"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
STATES: tuple[State, ...] = get_args(State)
OPEN_FOR = timedelta(days=21)


class Delegation(Fact, frozen=True):
    """What one customer lets one agent do. `ended_by` is the customer's, a guardian's or the agent's id."""

    id: str
    person: PersonId
    agent: str
    scopes: tuple[Scope, ...]
    invited_by: PersonId
    invited_at: datetime
    answered_at: datetime | None = None
    accepted: bool = False
    ended_at: datetime | None = None
    ended_by: str = ""

    def state_at(self, at: datetime) -> State:
        """What it is worth at a moment."""
        if self.ended_at is not None and self.ended_at <= at:
            return "ended"
        if self.answered_at is not None and self.answered_at <= at:
            return "accepted" if self.accepted else "rejected"
        return "expired" if at >= self.invited_at + OPEN_FOR else "pending"

    def allows_at(self, at: datetime) -> tuple[Scope, ...]:
        """What the agent may do at that moment."""
        return self.scopes if self.state_at(at) == "accepted" else ()
