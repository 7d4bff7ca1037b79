"""PostgreSQL killed, restarted, full and replaced under a running process: told as such, and worked with again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from safeweave.database import Database, StoreUnavailable
from safeweave.errors import Conflict
from safeweave.main import main
from safeweave_simulator.postgresql import Server
from waiting import PATIENCE

SECRET = "Geheim-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server.temporary()
    try:
        found.start()
        found.run("create database work template template0")
        yield found
    finally:
        found.remove()


@pytest.fixture
def database(server) -> Iterator[Database]:
    found = Database(server.url("work"))
    yield found
    found.close()
    server.run("delete from outsider", "work")


def note(database: Database, lane: str, beside: bool = True) -> None:
    with database.transaction(beside=beside) as tx:
        tx.run("insert into outsider (lane, failures, open_until, error, since) values (?, 1, '', '', '')", (lane,))


def noted(database: Database) -> list[str]:
    with database.reading() as tx:
        return [lane for (lane,) in tx.rows("select lane from outsider order by lane")]


def test_what_was_committed_outlives_a_kill_and_what_was_not_is_gone(server, database):
    note(database, "a")

    def killed_within() -> None:
        with database.transaction() as tx:
            tx.run("delete from outsider")
            server.kill()
            tx.run("delete from task")

    with pytest.raises(StoreUnavailable):
        killed_within()
    with pytest.raises(StoreUnavailable):
        noted(database)
    server.start()
    note(database, "b")
    assert noted(database) == ["a", "b"]


def test_connections_broken_by_a_restart_are_replaced_without_a_word(server, database):
    ready = threading.Barrier(5)

    def use() -> None:
        with database.reading():
            ready.wait()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()
    server.restart()
    note(database, "a")
    assert noted(database) == ["a"]


def test_a_slot_is_lost_with_its_connection_and_is_had_again(server, database):
    slot = database.slot("bank")
    assert slot is not None
    server.restart()
    assert not slot.still_held()
    again = database.slot("bank")
    assert again is not None
    slot.release()
    assert again.still_held()
    again.release()


def test_who_listens_is_told_that_something_may_have_been_missed(server, database):
    heard: list[str] = []
    began, missed, word = threading.Event(), threading.Event(), threading.Event()

    def wake(told: str) -> None:
        heard.append(told)
        if told == "word":
            word.set()
        elif told == "*":
            (missed if began.is_set() else began).set()

    database.listen(wake)
    assert began.wait(PATIENCE)
    server.restart()
    assert missed.wait(PATIENCE)
    with database.transaction() as tx:
        tx.notify("word")
    assert word.wait(PATIENCE)
    assert heard == ["*", "*", "word"]


def test_a_server_that_takes_no_more_connections_is_unavailable_for_now(server):
    server.run("create role clerk login password 'x' connection limit 1")
    server.run("grant all on schema public to clerk", "work")
    server.run("grant all on all tables in schema public to clerk", "work")
    address = server.url("work").replace("postgres:", "clerk:", 1).replace(server.password, "x")
    with psycopg.connect(address), pytest.raises(StoreUnavailable, match="too many connections"):
        Database(address)
    server.run("alter role clerk connection limit 10")
    Database(address).close()


def test_a_statement_that_takes_too_long_is_given_up_and_the_connection_stays_good(database):
    def too_slow() -> None:
        with database.transaction() as tx:
            tx.run("set local statement_timeout = 50")
            tx.rows("select pg_sleep(10)")

    with pytest.raises(StoreUnavailable):
        too_slow()
    assert noted(database) == []


def test_a_replica_that_is_promoted_has_all_that_was_acknowledged(server, database, tmp_path):
    replica = server.replica(server.folder.with_name(f"{server.folder.name}-replica"))
    try:
        both = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port},127.0.0.1:{replica.port}/work"
        moving = Database(f"{both}?target_session_attrs=read-write")
        for number in range(20):
            note(moving, f"{number:02}")
        server.kill()
        with pytest.raises(StoreUnavailable):
            note(moving, "lost")
        replica.promote()
        assert noted(moving) == [f"{number:02}" for number in range(20)]
        note(moving, "after")
        moving.close()
    finally:
        replica.remove()
        server.settings["synchronous_standby_names"] = ""
        server.start()


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://clerk:{SECRET}@127.0.0.1:1/work",
        f"postgresql://clerk:{SECRET}@127.0.0.1:port/work",
        f"postgresql://clerk:{SECRET}@/work?host=/nowhere/at/all",
        f"postgresql://clerk:{SECRET}@127.0.0.1:1/work?nonsense=1",
    ],
)
def test_no_password_is_ever_said(address, tmp_path, monkeypatch, capsys, caplog):
    with pytest.raises((StoreUnavailable, Conflict)) as refused:
        Database(address)
    assert SECRET not in "".join(_told(refused.value))
    monkeypatch.setenv("SAFEWEAVE_DATABASE", address)
    assert main(["--home", str(tmp_path), "--language", "en", "case", "list"]) == 1
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert SECRET not in said.err + said.out + caplog.text


def test_a_wrong_password_is_not_said(server):
    with pytest.raises(StoreUnavailable) as refused:
        Database(server.url("work").replace(server.password, SECRET))
    assert SECRET not in "".join(_told(refused.value))


def _told(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_what_a_row_holds_is_not_said_of_a_row_that_is_refused(database):
    def twice() -> None:
        with database.transaction() as tx:
            tx.run(
                "insert into journal_entry (booking, no, account, fen, ref, shard, booked_at)"
                " values (?, 1, ?, 0, '', '', '2026-03-06T07:21:05.120000Z')",
                ("张三的住院", "张三"),
            )

    with pytest.raises(psycopg.IntegrityError) as refused:
        twice()
    assert "张三" not in "".join(_told(refused.value))


def test_the_folder_of_a_server_is_taken_away_with_it(tmp_path: Path):
    server = Server.temporary({"fsync": "off"}).start()
    assert server.folder.is_dir()
    server.remove()
    assert not server.folder.exists()
