"""Several processes on one embedded store: each writes in its turn, and one that is killed gives its turn back."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safeweave.database import Database

COUNTING = """
import sys
from safeweave.database import Database
database = Database(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with database.transaction() as tx:
        ((seen,),) = tx.rows("select seq from bank_notice_cursor where bank = 'count'")
        tx.run("update bank_notice_cursor set seq = ? where bank = 'count'", (seen + 1,))
"""
HOLDING = """
import sys, time
from safeweave.database import Database
database = Database(sys.argv[1])
slot = database.slot("bank-0")
with database.transaction() as tx:
    tx.run("update bank_notice_cursor set seq = -1")
    print("inside", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(tmp_path) -> Path:
    found = tmp_path / "safeweave.db"
    with Database(found).transaction() as tx:
        tx.run("insert into bank_notice_cursor (bank, seq) values ('count', 0)")
    return found


def counted(database: Database) -> int:
    with database.reading() as tx:
        return tx.rows("select seq from bank_notice_cursor where bank = 'count'")[0][0]


@contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, inside a transaction and with a slot."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"inside\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_no_turn_is_lost_between_processes(path):
    others = [subprocess.Popen([sys.executable, "-c", COUNTING, str(path), "50"]) for _ in range(3)]
    assert [process.wait() for process in others] == [0, 0, 0]
    assert counted(Database(path)) == 150


def test_who_waits_for_another_process_goes_on_when_that_is_killed_and_sees_nothing_of_it(path):
    database, began = Database(path), threading.Event()

    def write() -> None:
        began.set()
        with database.transaction() as tx:
            tx.run("update bank_notice_cursor set seq = seq + 1")

    with holding(path) as other:
        assert counted(database) == 0  # readers wait for nobody
        waiting = threading.Thread(target=write)
        waiting.start()
        began.wait()
        waiting.join(0.2)
        assert waiting.is_alive()
        other.send_signal(signal.SIGKILL)
        waiting.join()
    assert counted(database) == 1


def test_a_slot_is_had_by_one_process_and_comes_free_with_its_end(path):
    database = Database(path)
    with holding(path):
        assert database.slot("bank-0") is None
        assert database.slot("bank-1") is not None
    assert database.slot("bank-0") is not None


def test_a_node_on_the_embedded_store_loads_neither_the_driver_of_postgresql_nor_what_migrates(path):
    loaded = (
        "import sys; from safeweave.database import Database; import safeweave.main, safeweave.node;"
        f"Database({str(path)!r}); print(sorted({{'psycopg', 'alembic', 'sqlalchemy'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
