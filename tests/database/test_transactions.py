"""What stores may rely on, on either engine: lists as one value, many rows at once, numbers, locks, and undoing."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from safeweave.database import Database, Transaction, sqlite
from safeweave.errors import Crossed, StoreUnavailable
from stores import create, looks_up, place
from waiting import PATIENCE, until

HARD_TEXTS = [
    "",
    "plain",
    "tab\tnew\nline\r",
    'quote " and \\ slash',
    "{brace, comma}",
    "NULL",
    "\\N",
    "\\.",
    "李𬱖",
    "it's ?",
]


@pytest.fixture
def database(tmp_path, store) -> Iterator[Database]:
    found = Database(place(tmp_path / "own.db"))
    with found.transaction() as tx:
        create(tx, "create table thing (id integer primary key, name text not null, size integer, body blob)")
        create(tx, "create table pair (a text not null, b text not null, n integer, primary key (a, b))")
    yield found
    found.close()


@pytest.fixture
def tx(database) -> Iterator[Transaction]:
    with database.transaction() as found:
        yield found


def pairs(tx: Transaction) -> list[tuple[str, str, int]]:
    return tx.rows("select a, b, n from pair order by a, b")


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize("count", [0, 1, 3, 40_000])
def test_a_list_is_one_value_however_long(tx, count):
    tx.run_many("insert into thing (id, name) values (?, ?)", [(i, f"n{i}") for i in range(5)])
    asked = [f"n{i}" for i in range(count)]
    assert len(tx.rows("select id from thing where name in ?", (asked,))) == min(count, 5)
    assert len(tx.rows("select id from thing where id in ?", (list(range(count)),))) == min(count, 5)
    assert len(tx.rows("select id from thing where name not in ?", (asked,))) == 5 - min(count, 5)


@pytest.mark.parametrize("count", [0, 1, 2, 20_000])
def test_a_list_of_tuples_is_one_value_too(tx, count):
    tx.run_many("insert into pair (a, b, n) values (?, ?, ?)", [("x", "1", 1), ("x", "2", 2), ("y", "1", 3)])
    asked = [("x", str(i + 1)) for i in range(count)]
    assert len(tx.rows("select n from pair where (a, b) in ?", (asked,))) == min(count, 2)
    asked_by_number = [("x", i + 1) for i in range(1, count)]
    assert len(tx.rows("select n from pair where (a, n) in ?", (asked_by_number,))) == (count > 1)
    assert len(tx.rows("select n from pair where (a, b) not in ?", (asked,))) == 3 - min(count, 2)


def test_lists_and_single_values_stand_in_one_statement(tx):
    tx.run_many("insert into pair (a, b, n) values (?, ?, ?)", [("x", "1", 1), ("x", "2", 2), ("y", "1", 3)])
    sql = "select n from pair where n > ? and a in ? and (a, b) in ? and b in ? and n < ? order by n"
    assert tx.rows(sql, (0, ["x", "y"], [("x", "2"), ("y", "1")], ["1", "2"], 3)) == [(2,)]


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_text_is_found_again_by_lists(tx, text):
    tx.run("insert into pair (a, b) values (?, ?)", (text, text))
    assert tx.rows("select a from pair where a in ?", ([text],)) == [(text,)]
    assert tx.rows("select b from pair where (a, b) in ?", ([(text, text)],)) == [(text,)]


def test_lists_go_through_indexes(tx):
    assert looks_up(tx, "thing", "select * from thing where id in ?", ([1, 2],))
    assert looks_up(tx, "pair", "select * from pair where (a, b) in ?", ([("x", "y")],))


# ---------------------------------------------------------------- many rows


@pytest.mark.parametrize("count", [1, 2, 10, 500])
def test_many_rows_are_written_as_they_are(tx, count):
    rows = [(i, HARD_TEXTS[i % len(HARD_TEXTS)], None if i % 3 else i, b"\x00\xff\\" if i % 2 else None)
            for i in range(count)]  # fmt: skip
    assert tx.run_many("insert into thing (id, name, size, body) values (?, ?, ?, ?)", rows) == count
    assert tx.rows("select id, name, size, body from thing order by id") == rows


@pytest.mark.parametrize("count", [1, 2, 500])
def test_what_the_statement_says_for_all_rows_is_in_each(tx, count):
    tx.run_many("insert into thing (id, name, size) values (?, 'all', 7)", [(i,) for i in range(count)])
    assert tx.rows("select name, size, count(*) from thing group by name, size") == [("all", 7, count)]


@pytest.mark.parametrize("count", [1, 2, 500])
def test_rows_that_number_themselves_are_numbered(tx, count):
    tx.run_many("insert into thing (name) values (?)", [("n",)] * count)
    assert [i for (i,) in tx.rows("select id from thing order by id")] == list(range(1, count + 1))


@pytest.mark.parametrize("count", [1, 2, 500])
def test_how_many_were_new_is_told_when_some_are_there(tx, count):
    sql = "insert into pair (a, b, n) values (?, ?, ?) on conflict (a, b) do nothing"
    assert tx.run_many(sql, [("x", str(i), i) for i in range(count)]) == count
    assert tx.run_many(sql, [("x", str(i), -1) for i in range(count + 1)]) == 1
    assert tx.run_many(sql, [("y", "1", 1)] * count) == 1


def test_a_row_given_twice_ends_as_it_was_given_last(tx):
    sql = "insert into pair (a, b, n) values (?, ?, ?) on conflict (a, b) do update set n = excluded.n"
    tx.run_many(sql, [("x", "1", 1), ("x", "1", 2), ("y", "1", 3), ("x", "1", 4)])
    assert pairs(tx) == [("x", "1", 4), ("y", "1", 3)]


def test_a_row_added_to_twice_has_both(tx):
    tx.run_many("insert into pair (a, b, n) values (?, ?, 0)", [("x", "1"), ("y", "1")])
    more = [(5, "x"), (1, "y"), (7, "x"), (2, "nobody")]
    assert tx.run_many("update pair set n = n + ? where a = ?", more) == 3
    assert pairs(tx) == [("x", "1", 12), ("y", "1", 1)]


def test_what_was_changed_counts_but_not_what_no_longer_fits(tx):
    tx.run_many("insert into pair (a, b, n) values (?, ?, ?)", [("x", "1", 1), ("y", "1", None), ("z", "1", 3)])
    changed = [("2", "x"), ("2", "y"), ("2", "z"), ("3", "x")]
    assert tx.run_many("update pair set b = ?, n = null where a = ? and n is not null", changed) == 2
    assert tx.run_many("delete from pair where a = ? and b = ?", [("x", "2"), ("x", "2"), ("q", "1")]) == 1
    assert pairs(tx) == [("y", "1", None), ("z", "2", None)]


def test_a_value_that_is_computed_for_each_row_sees_the_rows_before(tx):
    tx.run_many(
        "insert into pair (a, b, n) values (?, ?, (select coalesce(max(n), 0) + 1 from pair))",
        [("x", "1"), ("x", "2"), ("x", "3")],
    )
    assert [n for _, _, n in pairs(tx)] == [1, 2, 3]


@pytest.mark.parametrize("count", [1, 2, 500])
def test_what_was_new_is_given_back(database, tx, count):
    sql = "insert into pair (a, b, n) values (?, ?, ?) on conflict (a, b) do nothing returning b"
    assert tx.rows_many(sql, []) == []
    assert len(tx.rows_many(sql, [("x", str(i), i) for i in range(count)])) == count
    before = database.statements
    assert tx.rows_many(sql, [("x", str(i), i) for i in range(count + 1)]) == [(str(count),)]
    assert database.statements - before == 1
    assert tx.rows_many(sql, [(text, text, None) for text in HARD_TEXTS]) != []
    assert {a for a, _, _ in pairs(tx)} == {"x", *HARD_TEXTS}


def test_numbers_and_truths_come_back_as_whole_numbers(tx):
    tx.run("insert into pair (a, b, n) values ('x', '1', ?)", (True,))
    tx.run("insert into pair (a, b, n) values ('x', '2', ?)", (9_000_000_000_000_000,))
    ((total, count),) = tx.rows("select sum(n), count(*) from pair")
    assert (total, type(total), count) == (9_000_000_000_000_001, int, 2)


def test_texts_are_ordered_by_their_characters(tx):
    tx.run_many("insert into pair (a, b) values (?, '')", [("b",), ("B",), ("_",), ("é",), ("a",), ("Z",)])
    assert [a for a, _, _ in pairs(tx)] == ["B", "Z", "_", "a", "b", "é"]


def test_parts_of_json_and_the_bytes_of_a_text_can_be_asked_for(tx):
    tx.run("insert into pair (a, b) values ('x', ?)", ('{"of": {"who": "李"}, "codes": ["a","b"]}',))
    assert tx.rows("select json_extract(b, '$.of.who'), json_extract(b, '$.codes') from pair") == [("李", '["a","b"]')]
    assert tx.rows("select cast(a as blob), cast(n as blob) from pair") == [(b"x", None)]


# ---------------------------------------------------------------- numbers


def test_fresh_numbers_are_in_a_row_and_never_given_twice(database):
    with database.transaction() as tx:
        first = tx.numbers("thing", 3)
        second = tx.numbers("thing", 1)
        assert second == first + 3
        tx.run_many("insert into thing (id, name) values (?, 'n')", [(first + i,) for i in range(4)])
    with database.transaction() as tx:
        assert tx.numbers("thing", 1) > second


def test_numbers_asked_for_with_something_else_are_the_next_ones(database):
    with database.transaction() as tx:
        tx.run("insert into thing (id, name) values (?, 'n')", (tx.numbers("thing", 1),))
    with database.transaction() as tx:
        ((first, names),) = tx.rows(f"select {tx.numbering('thing')}, (select count(*) from thing)", (2,))
        assert names == 1
        tx.reserve("thing", 2, first)
        before = database.statements
        given = tx.numbers("thing", 1)
        assert given > 1
        assert tx.numbers("thing", 1) == given + 1
        assert database.statements == before
        assert tx.numbers("thing", 1) > given + 1


# ---------------------------------------------------------------- undoing, and transactions beside one another


def test_what_failed_is_undone_whole(database):
    def fails() -> None:
        with database.transaction() as tx:
            tx.run("insert into pair (a, b) values ('x', '1')")
            tx.queue("insert into pair (a, b) values (?, ?)", [("y", "1")])
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - ours
        fails()
    with database.reading() as tx:
        assert pairs(tx) == []


def test_of_what_is_queued_under_one_key_the_last_is_written(database):
    with database.transaction() as tx:
        for n in (1, 2, 3):
            tx.queue("insert into pair (a, b, n) values (?, ?, ?)", [("x", "1", n)], key=lambda row: row[0])
        assert pairs(tx) == []
    with database.reading() as tx:
        assert pairs(tx) == [("x", "1", 3)]


def test_a_view_stays_as_it_was_while_others_write(database):
    def write() -> None:
        with database.transaction() as tx:
            tx.run("insert into pair (a, b) values ('x', '1')")

    with database.reading() as seen:
        assert pairs(seen) == []
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert pairs(seen) == []
    with database.reading() as seen:
        assert len(pairs(seen)) == 1


def test_of_what_one_holds_others_get_nothing_until_it_ends(database):
    others: list[set[str]] = []

    def try_beside() -> None:
        with database.transaction(beside=True) as tx:
            others.append(tx.hold({"a", "b", "c"}))

    with database.transaction(beside=True) as tx:
        assert tx.hold({"a"}) == {"a"}
        assert tx.hold({"a", "b"}) == {"a", "b"}
        thread = threading.Thread(target=try_beside)
        thread.start()
        thread.join()
        assert others == [{"c"}]
    try_beside()
    assert others[-1] == {"a", "b", "c"}


def test_who_waits_for_a_key_goes_on_when_its_holder_ends(database):
    order: list[str] = []
    began = threading.Event()

    def wait() -> None:
        began.set()
        with database.transaction(beside=True) as tx:
            tx.wait_for({"b", "a"})
            order.append("waited")

    with database.transaction(beside=True) as tx:
        tx.wait_for({"a"})
        thread = threading.Thread(target=wait)
        thread.start()
        began.wait()
        thread.join(0.2)
        order.append("held")
    thread.join()
    assert order == ["held", "waited"]


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_in_between_rows_stay_in_memory_for_who_decides_and_may_go_to_a_file_for_who_reads_the_whole_store(database):
    memory, kept = 2, list[int]()

    def only_reads() -> None:
        with database.reading() as tx:
            kept.append(tx.rows("pragma temp_store")[0][0])

    with database.transaction(beside=True) as tx:
        assert tx.rows("pragma temp_store") == [(memory,)]
    reader = threading.Thread(target=only_reads)
    reader.start()
    reader.join()
    assert kept != [memory]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # the other engine numbers as it commits
def test_who_writes_lies_below_all_that_begin_later_until_it_ends(database):
    def marks() -> tuple[int, int]:
        with database.transaction(beside=True) as other:
            return other.under_way()

    with database.transaction(beside=True) as writing:
        writing.run("insert into pair values ('a', 'b', 1)")
        lowest, mark = marks()
        assert lowest < mark
        with database.transaction(beside=True) as later:
            later.run("insert into pair values ('c', 'd', 1)")
        assert marks()[0] < mark
    until(lambda: marks()[0] >= mark)  # whoever else writes to another database of this server is waited for too


def test_who_is_alone_waits_for_all_others_and_they_for_it(database):
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def alone() -> None:
        with database.transaction() as tx:
            assert tx.alone
            order.append("alone")
            inside.set()
            leave.wait()

    def beside() -> None:
        with database.transaction(beside=True):
            order.append("beside")

    with database.transaction(beside=True):
        first = threading.Thread(target=alone)
        first.start()
        assert not inside.wait(0.2)
        order.append("first")
    inside.wait()
    second = threading.Thread(target=beside)
    second.start()
    second.join(0.2)
    order.append("still alone")
    leave.set()
    first.join()
    second.join()
    assert order == ["first", "alone", "still alone", "beside"]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_two_who_write_the_same_row_at_once_are_told_that_they_crossed(database):
    written, both = threading.Event(), threading.Event()
    outcomes: list[object] = []

    def second() -> None:
        written.wait()
        try:
            with database.transaction(beside=True) as tx:
                both.set()
                tx.run("insert into pair (a, b) values ('x', '1')")
        except Crossed as crossed:
            outcomes.append(crossed)

    thread = threading.Thread(target=second)
    thread.start()
    with database.transaction(beside=True) as tx:
        tx.run("insert into pair (a, b) values ('x', '1')")
        written.set()
        both.wait()
    thread.join()
    assert len(outcomes) == 1
    assert "'x'" not in str(outcomes[0])
    assert "(x" not in str(outcomes[0])
    with database.transaction(beside=True) as tx:  # the connection is as good as before
        assert len(pairs(tx)) == 1


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_two_who_wait_for_one_another_are_told_that_they_crossed(database):
    meet = threading.Barrier(2)
    outcomes: list[str] = []

    def take(first: str, second: str) -> None:
        try:
            with database.transaction(beside=True) as tx:
                tx.wait_for({first})
                meet.wait()
                tx.wait_for({second})
            outcomes.append("done")
        except Crossed:
            outcomes.append("crossed")

    threads = [threading.Thread(target=take, args=keys) for keys in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["crossed", "done"]


# ---------------------------------------------------------------- between processes


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)  # the other engine looks after its own log
def test_after_a_sync_that_failed_nothing_is_sure_before_all_is_in_the_file_itself(database, tmp_path, monkeypatch):
    """The system tells of what it could not write once: the next sync succeeds, and the rows may still be lost."""
    fails = [OSError(errno.EIO, "Input/output error")]
    sync = sqlite._sync

    def failing(log: int) -> None:
        if fails:
            raise fails.pop()
        sync(log)

    monkeypatch.setattr(sqlite, "_sync", failing)
    monkeypatch.setattr(sqlite, "_READERS_LEAVE_SECONDS", 0.05)

    def in_the_file() -> list[tuple[str]]:
        alone = tmp_path / "alone.db"
        shutil.copyfile(database.path, alone)
        with closing(sqlite3.connect(alone)) as looking:
            return looking.execute("select a from pair").fetchall()

    def told(name: str) -> None:
        with database.transaction(beside=True) as tx:
            tx.run("insert into pair values (?, '', 1)", (name,))

    with closing(sqlite3.connect(database.path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from pair").fetchall()
        with pytest.raises(StoreUnavailable, match="Input/output"):
            told("first")
        for again in (database.settle, lambda: told("second")):
            with pytest.raises(StoreUnavailable, match="others use it"):
                again()
    fails.append(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StoreUnavailable, match="No space"):
        database.settle()
    database.settle()
    assert in_the_file() == [("first",), ("second",)]
    told("third")
    assert os.path.getsize(f"{database.path}-wal") > 0  # and all is as it was: the log is synced, and no more


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_each_thread_has_opened_the_log_that_it_syncs_and_so_is_told_itself(database, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(sqlite, "_sync", synced.append)
    database.settle()
    thread = threading.Thread(target=database.settle)
    thread.start()
    thread.join()
    database.settle()
    assert (synced[0] == synced[2], synced[0] == synced[1]) == (True, False)


def test_a_slot_is_had_by_one_and_free_when_let_go(database, tmp_path):
    with ExitStack() as opened:
        other = Database(place(tmp_path / "own.db"))
        opened.callback(other.close)
        slot = database.slot("bank-1")
        assert slot is not None
        assert slot.still_held()
        assert (database.slot("bank-1"), other.slot("bank-1")) == (None, None)
        elsewhere = other.slot("bank-2")
        assert elsewhere is not None
        slot.release()
        assert not slot.still_held()
        again = other.slot("bank-1")
        assert again is not None
        slot.release()  # what somebody else has now is not let go
        assert again.still_held()
        assert database.slot("bank-1") is None
    until(lambda: database.slot("bank-1"))  # a server notices a moment later that somebody has gone


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_who_listens_hears_each_word_of_a_commit_once_and_nothing_of_what_was_undone(database):
    heard: list[str] = []
    listening, last = threading.Event(), threading.Event()

    def wake(word: str) -> None:
        heard.append(word)
        (listening if word == "*" else last if word == "last" else threading.Event()).set()

    def undone() -> None:
        with database.transaction() as tx:
            tx.notify("undone")
            raise ValueError

    database.listen(wake)
    assert listening.wait(PATIENCE)
    with pytest.raises(ValueError):  # noqa: PT011 - ours
        undone()
    with database.transaction(beside=True) as tx:
        for word in ("bank", "", "bank"):
            tx.notify(word)
    with database.transaction() as tx:
        tx.notify("last")
    assert last.wait(PATIENCE)
    assert heard == ["*", "bank", "", "last"]
