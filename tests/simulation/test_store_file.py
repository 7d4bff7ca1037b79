"""The worlds of one job live in one file: each begins as if it were the first, and what is touched is told."""

from random import Random

import pytest

from safeweave_simulator.mishaps import Disk, Killed, Mishaps
from safeweave_simulator.simulation import run
from safeweave_simulator.store_file import stored_in
from safeweave_simulator.watching import WHAT, Watch
from safeweave_simulator.world import _place


@pytest.fixture(scope="module")
def fresh() -> bytes:
    return _place(0, 15).store


@pytest.fixture
def store(tmp_path, fresh):
    with stored_in(tmp_path / "here") as store:
        store.folder.mkdir()
        store.begin(fresh)
        yield store


def everything(store):
    tables = [name for (name,) in store.looking.execute("select name from sqlite_master where type = 'table'")]
    return {table: store.looking.execute(f"select rowid, * from {table}").fetchall() for table in tables}


def test_a_world_begins_with_the_same_rows_whatever_was_left_by_the_one_before(store, fresh):
    first = everything(store)
    process = store.opened_by(Mishaps(Random(1), Disk(), Watch()))
    with process.transaction() as tx:
        tx.run("delete from person_name")
        tx.run("update person set phone = '1'")
    process.close()
    assert everything(store) != first
    store.begin(fresh)
    assert everything(store) == first


def change_and_die(process, mishaps):
    with process.transaction() as tx:
        tx.run("delete from person_name")
        mishaps.kill_in(0, "anywhere")
        tx.rows("select * from person")


def test_a_process_that_is_killed_leaves_nothing_uncommitted_to_the_next_one(store):
    first = everything(store)
    mishaps = Mishaps(Random(1), Disk(), Watch())
    process = store.opened_by(mishaps)
    with pytest.raises(Killed):
        change_and_die(process, mishaps)
    process.close()
    mishaps.begin_again()
    with store.opened_by(mishaps).transaction() as tx:
        assert len(tx.rows("select * from person_name")) == len(first["person_name"])


def test_what_a_step_touches_is_told_by_which_laws_read_it(store):
    watch = Watch()
    process = store.opened_by(Mishaps(Random(1), Disk(), watch))
    with process.transaction() as tx:
        tx.run("pragma defer_foreign_keys = on")
        tx.run("insert into clock (case_id, shard, kind, started_at, due_on) values ('case_1', '', 'papers', '', '')")
        tx.run("insert into case_step (case_id, shard, at, steps) values ('case_2', '', '', '[]')")
        tx.run("delete from clock")
        tx.run("delete from case_step")
        assert watch.now == {"case_1", "case_2"}
    assert watch.taken() == {**{what: set() for what in WHAT}, "case": {"case_1"}}
    assert watch.taken() == {what: set() for what in WHAT}
    process.close()


def test_a_seed_is_the_same_world_alone_and_after_others(tmp_path):
    with stored_in(tmp_path / "here") as store:
        store.folder.mkdir()
        after_others = [run(seed, 15, store, with_digest=True).digest for seed in (18, 19, 21)]
    assert after_others == [run(seed, 15, with_digest=True).digest for seed in (18, 19, 21)]
