import pytest

from safeweave.database import Database


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "people.db")
    yield database
    database.close()
