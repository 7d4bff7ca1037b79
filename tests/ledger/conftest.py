"""Every ledger in turn, founded and with its members."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.chain.engines import CHAINS
from ledger.given_ledger import Consortium
from ledger.ledgers import ENGINES, Running

ENGINES |= CHAINS


@pytest.fixture
def members() -> Consortium:
    return Consortium()


@pytest.fixture(params=ENGINES)
def running(request: pytest.FixtureRequest, tmp_path: Path, members: Consortium) -> Iterator[Running]:
    """Each test that asks for it runs on every ledger there is."""
    with ENGINES[request.param](tmp_path, members) as found:
        yield found
