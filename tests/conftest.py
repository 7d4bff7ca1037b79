"""What tests of a whole node share: one sandbox bank for the session, and a fresh house for each test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from given import House, Time, a_house
from payments.given_payments import RunningBank, running_bank
from stores import engines, in_memory, on, share

if folder := in_memory():  # where every temporary file then lies, so that no commit of a test waits for a disk
    tempfile.tempdir = os.environ.setdefault("TMPDIR", folder)

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # nothing that takes long fails for that alone


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


# Of the files that take longest the longest first: a worker runs whole files, in this order, so that what a file sets
# up is set up once, and nobody works on alone in the end.
FIRST = (
    "test_crashes.py", "test_bench.py", "test_main_stories_in_a_browser.py", "test_seeded_weeks.py",
    "test_subscriptions.py", "test_same_answers.py", "test_migrations.py", "test_roles.py", "test_killed_members.py",
    "test_filling.py", "test_portal_in_a_browser.py", "test_api_of_staff.py", "test_bad_input.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of `FIRST`, and then as they were found."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
