"""What one can be told of, and which permission and scope reading it asks for."""

from typing import NamedTuple


class Topic(NamedTuple):
    """One kind of happening."""

    name: str
    resource: str  # what the notification points at
    action: str  # of permissions.toml, for whoever reads it
    hospitals: str  # the same for a hospital, of its own patients; "": it may not

    @property
    def canonical(self) -> str:
        """How a subscription names it."""
        return f"urn:safeweave:topic:{self.name}"


_EVERY = (
    Topic("case-status", "Task", "stays.read", "stays.read"),
    Topic("claim-response", "ClaimResponse", "decisions.read", "claims.answered"),
    Topic("explanation", "ExplanationOfBenefit", "decisions.read", ""),
    Topic("consent", "Consent", "consents.read", ""),
)
TOPICS = {topic.name: topic for topic in _EVERY}
BY_CANONICAL = {topic.canonical: topic for topic in _EVERY}
