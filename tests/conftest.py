"""What tests of a whole node share: one sandbox bank for the session, and a fresh house for each test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from given import House, Time, a_house
from payments.given_payments import RunningBank, running_bank
from stores import engines, in_memory, on, share

if folder := in_memory():  # where every temporary file then lies, so that no commit of a test waits for a disk
    tempfile.tempdir = os.environ.setdefault("TMPDIR", folder)


@pytest.fixture(scope="session")
def one_bank() -> Iterator[RunningBank]:
    with running_bank(Time()) as bank:  # type: ignore[arg-type]
        yield bank


@pytest.fixture(scope="session", autouse=True)
def one_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    share(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture(params=engines())
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine that this test's stores are on: every test that asks for it runs on both."""
    with on(request.param):
        yield request.param


@pytest.fixture
def house(tmp_path: Path, store: str, one_bank: RunningBank) -> Iterator[House]:
    found = a_house(tmp_path, one_bank)
    yield found
    found.node.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that nobody works on alone in the end."""
    items.sort(key=lambda item: "simulation" not in item.path.parts)
