import pytest

from consents.given_consents import grown_up
from people.given_people import NOW, SAMPLE_MALE, particulars
from safeweave import people
from safeweave.database import Database
from stores import place


@pytest.fixture
def database(tmp_path, store):
    database = Database(place(tmp_path / "consents.db"))
    yield database
    database.close()


@pytest.fixture
def tx(database):
    with database.transaction() as tx:
        yield tx


@pytest.fixture
def saved(tx):
    """Two grown-up persons of the register."""
    return [each.person for each in people.save_people(tx, [grown_up(), particulars("测试乙", SAMPLE_MALE)], NOW)]
