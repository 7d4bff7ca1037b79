import pytest

from safeweave.database import Database


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "coverage.db")
    yield database
    database.close()
