"""What tests of a whole node share: one sandbox bank for the session, and a fresh house for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from given import House, Time, a_house
from payments.given_payments import RunningBank, running_bank


@pytest.fixture(scope="session")
def one_bank() -> Iterator[RunningBank]:
    with running_bank(Time()) as bank:  # type: ignore[arg-type]
        yield bank


@pytest.fixture
def house(tmp_path: Path, one_bank: RunningBank) -> Iterator[House]:
    found = a_house(tmp_path, one_bank)
    yield found
    found.node.close()
