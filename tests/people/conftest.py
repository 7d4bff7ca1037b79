import pytest

from safeweave.database import Database
from stores import place


@pytest.fixture
def database(tmp_path, store):
    database = Database(place(tmp_path / "people.db"))
    yield database
    database.close()
