"""`safeweave feed`: hospital data from files, through the same flow as everything else, and twice changes nothing."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from safeweave.commands import feed as feeding
from safeweave.commands.feed import Tally, feed_paths
from safeweave.errors import Malformed, NotFound
from safeweave.exchange import inbound
from safeweave.main import main
from safeweave.node import open_node
from safeweave.settings import Settings

DATA = Path(__file__).parents[1] / "exchange" / "data"
SAMPLE = DATA / "synthea_cut.json"
WHOLE = os.environ.get("SAFEWEAVE_SYNTHEA", "")


@pytest.fixture
def node(tmp_path):
    found = open_node(Settings(home=tmp_path / "home"))
    yield found
    found.close()


def test_every_stay_opens_and_closes_and_every_eob_of_the_data_is_reproduced(node):
    tally = feed_paths(node, [SAMPLE], None)
    assert tally == Tally(
        patients=1, stays_opened=1, stays_closed=1, eobs=5, eobs_agree=5, messages=1, refused=0, crashed=0,
        events_new=tally.events_new,
    )  # fmt: skip
    assert tally.events_new > 5


def test_feeding_it_again_changes_nothing(node):
    def everything():
        with node.database.reading() as tx:
            tables = ("event", "claim_case", "determination", "payout", "usage_addition", "journal_entry")
            known = {name for (name,) in tx.rows("select name from sqlite_master where type = 'table'")}
            return [tx.rows(f"select count(*) from {table}") for table in tables if table in known]

    first = feed_paths(node, [SAMPLE], None)
    before = everything()
    again = feed_paths(node, [SAMPLE], None)
    assert (again.events_new, again.eobs_agree, again.stays_closed) == (0, 5, 1)
    assert everything() == before
    assert first.events_new > 0


def test_a_folder_an_archive_and_a_file_say_the_same(tmp_path):
    folder = tmp_path / "bundles" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(SAMPLE, folder)
    archive = tmp_path / "bundles.tar.xz"
    with tarfile.open(archive, "w:xz") as packed:
        packed.add(tmp_path / "bundles", "bundles")
    tallies = []
    for number, path in enumerate((SAMPLE, tmp_path / "bundles", archive)):
        node = open_node(Settings(home=tmp_path / f"home{number}"))
        tallies.append(feed_paths(node, [path], None))
        node.close()
    assert tallies[0] == tallies[1] == tallies[2]


def test_an_archive_that_breaks_off_is_said_and_what_stands_before_is_taken(tmp_path, node):
    archive = tmp_path / "bundles.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(SAMPLE, "first.json")
        packed.add(SAMPLE, "second.json")
    archive.write_bytes(archive.read_bytes()[: SAMPLE.stat().st_size + 5000])
    with pytest.raises(Malformed, match="breaks off"):
        feed_paths(node, [archive], None)
    with node.database.reading() as tx:
        assert tx.rows("select count(*) from inbound_message where status = 'taken'") == [(1,)]


def test_nothing_to_read_is_said_clearly(tmp_path, node, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="empty"):
        feed_paths(node, [tmp_path / "empty"], None)
    assert main(["--home", str(tmp_path / "home"), "feed", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_sender_nobody_registered_is_said(node):
    with pytest.raises(NotFound, match="stranger"):
        feed_paths(node, [SAMPLE], "stranger")


def test_a_reader_that_fails_is_counted_and_its_message_kept_and_the_feed_goes_on(tmp_path, node, monkeypatch):
    broken = tmp_path / "a-broken.json"
    broken.write_text('{"resourceType": "Bundle"}')
    real = inbound.open_message

    def fails(raw, *more):
        if raw == broken.read_bytes():
            raise RecursionError("our own fault")
        return real(raw, *more)

    monkeypatch.setattr(feeding.inbound, "open_message", fails)
    shutil.copy(SAMPLE, tmp_path / "b.json")
    tally = feed_paths(node, [broken, tmp_path / "b.json"], None)
    assert (tally.crashed, tally.refused, tally.messages, tally.eobs_agree) == (1, 1, 2, 5)
    with node.database.reading() as tx:
        (entry,) = inbound.inbox(tx)
        assert inbound.original(tx, entry.number)[1] == broken.read_bytes()


def test_a_file_too_large_is_refused_and_the_feed_goes_on(tmp_path):
    node = open_node(Settings(home=tmp_path / "home", max_message_bytes=100_000))
    large = tmp_path / "a.json"
    large.write_bytes(b"{" + b" " * 200_000)
    shutil.copy(SAMPLE, tmp_path / "b.json")
    tally = feed_paths(node, [large, tmp_path / "b.json"], None)
    assert (tally.refused, tally.crashed, tally.eobs_agree) == (1, 0, 5)
    node.close()


def test_messages_of_every_format_are_taken_or_refused_with_a_place(node):
    tally = feed_paths(node, [DATA], None)
    assert tally.crashed == 0
    assert tally.messages == len([path for path in DATA.iterdir() if path.suffix != ".md"])
    with node.database.reading() as tx:
        for entry in inbound.inbox(tx):
            assert entry.fault is not None
            assert entry.fault.line or entry.fault.field


def test_a_sender_stays_registered_when_the_first_attempt_was_rolled_back(node, monkeypatch):
    failures = [RuntimeError("disk")]
    real = node.adjudicator.determine

    def fails_once(*more):
        if failures:
            raise failures.pop()
        return real(*more)

    from safeweave.events import CaseReady

    monkeypatch.setattr(node.worker, "follows", {**node.worker.follows, CaseReady: (fails_once,)})
    tally = feed_paths(node, [SAMPLE], None)
    assert tally.eobs_agree == 5
    with node.database.reading() as tx:
        assert tx.rows("select id from sender") == [("synthea",)]


def test_the_command_ends_with_one_object(tmp_path, capsys):
    assert main(["--home", str(tmp_path / "home"), "feed", str(SAMPLE), "--json"]) == 0
    tally = json.loads(capsys.readouterr().out)
    assert set(tally) == {
        "patients", "stays_opened", "stays_closed", "eobs", "eobs_agree", "messages", "refused", "crashed",
        "events_new",
    }  # fmt: skip


@pytest.mark.skipif(not WHOLE, reason="SAFEWEAVE_SYNTHEA names the whole data set")
def test_the_whole_data_set_is_reproduced(node):
    tally = feed_paths(node, [Path(WHOLE)], None)
    assert (tally.eobs_agree, tally.refused, tally.crashed) == (tally.eobs, 0, 0)
    assert tally.stays_opened == tally.stays_closed
