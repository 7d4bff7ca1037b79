"""What differs between the chains we know."""

from safeweave.errors import NotFound
from safeweave.ledger.operation import Said


class Profile(Said):
    """How to speak to a kind of chain.

    `confirmations` blocks must stand on top of one before it is final: none where a committed block is (QBFT, PBFT).
    `logs_span` is how many blocks one question for logs covers.
    """

    name: str
    confirmations: int = 0
    block_seconds: int = 1
    gas_price: int = 0
    gas_of_block: int = 30_000_000
    logs_span: int = 1000


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("besu"),
        Profile("fisco-bcos"),
        Profile("anvil"),
        Profile("eth-tester"),
    )
}


def profile(name: str) -> Profile:
    """The profile of this name; raises NotFound."""
    if name not in PROFILES:
        raise NotFound(f"There is no profile of a chain {name!r}; there are: {', '.join(PROFILES)}.")
    return PROFILES[name]
