from collections.abc import Iterator
from pathlib import Path

import pytest

from consortium.given_consortium import City


@pytest.fixture
def city(tmp_path: Path, store: str) -> Iterator[City]:
    found = City(tmp_path)
    yield found
    found.close()
