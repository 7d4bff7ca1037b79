"""`safeweave feed`: hospital data from files, through the same flow as everything else, and twice changes nothing."""

import io
import json
import os
import random
import shutil
import tarfile
from datetime import date
from pathlib import Path

import pytest

from people.given_people import SAMPLE_FEMALE
from safeweave import outbox
from safeweave.commands import feed as feeding
from safeweave.commands.feed import Tally, feed_paths
from safeweave.errors import NotFound
from safeweave.events import CaseReady, Identifier, PersonSeen
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


def packed(archive: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(archive, mode) as new:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return archive


def repair_list(node) -> list[tuple[str, str]]:
    """The (place, what) of each entry of the repair list."""
    with node.database.reading() as tx:
        return [(e.fault.field, e.fault.what) for e in inbound.inbox(tx) if e.fault]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_an_archive_that_breaks_off_is_said_and_what_stands_before_is_taken(tmp_path, node, kind):
    noise = random.Random(1).randbytes(300_000)  # does not pack, so that cutting the file cuts here
    members = {"first.json": SAMPLE.read_bytes(), "x": noise}
    archive = packed(tmp_path / f"bundles.{kind}", members, kind.replace("tar", "w").replace(".", ":"))
    archive.write_bytes(archive.read_bytes()[:-200_000])
    other = tmp_path / "z.json"
    other.write_bytes(b'{"no": "message"}')
    tally = feed_paths(node, [archive, other], None)
    assert (tally.messages, tally.refused, tally.breaks, tally.crashed, tally.eobs_agree) == (3, 2, 1, 0, 5)
    assert "breaks off" in dict(repair_list(node))[f"bundles.{kind}, after member 1"]


def test_a_packed_archive_with_a_damaged_middle_is_said(tmp_path, node):
    noise = random.Random(1).randbytes(2_000_000)
    members = {"first.json": SAMPLE.read_bytes(), "x": noise, "last.json": SAMPLE.read_bytes()}
    for kind, says in (("gz", "breaks off"), ("xz", "breaks off"), ("bz2", "breaks off")):
        archive = packed(tmp_path / f"bundles.tar.{kind}", members, f"w:{kind}")
        raw = bytearray(archive.read_bytes())
        raw[1_500_000:1_500_400] = bytes(400)
        archive.write_bytes(raw)
        tally = feed_paths(node, [archive], None)
        assert (tally.breaks, tally.crashed) == (1, 0)
        assert [what for place, what in repair_list(node) if f".{kind}," in place and says in what]


def test_an_archive_cut_between_two_members_is_a_break(tmp_path, node):
    archive = packed(tmp_path / "bundles.tar", {"first.json": SAMPLE.read_bytes(), "second.json": b"{}"})
    whole = archive.read_bytes()
    second = whole.index(b"second.json")
    for length in (second, second + 300):
        archive.write_bytes(whole[:length])
        tally = feed_paths(node, [archive], None)
        assert (tally.messages, tally.breaks, tally.eobs_agree) == (2, 1, 5)


def test_members_behind_a_damaged_one_are_taken_and_the_damage_is_located(tmp_path, node):
    small = b'{"no": "message"}'
    members = {"a": small, "b": small + b" ", "c": small + b"  ", "d": SAMPLE.read_bytes()}
    archive = packed(tmp_path / "bundles.tar", members)
    raw = bytearray(archive.read_bytes())
    raw[2048 : 2048 + 512] = b"#" * 512  # the header of c
    archive.write_bytes(raw)
    tally = feed_paths(node, [archive], None)
    assert (tally.messages, tally.refused, tally.breaks, tally.eobs_agree) == (4, 3, 1, 5)
    assert "bundles.tar, after member 2" in dict(repair_list(node))
    again = feed_paths(node, [archive], None)
    assert (again.refused, again.breaks, len(repair_list(node))) == (3, 1, 3)


@pytest.mark.parametrize("content", [b"", b"not an archive at all", b"#" * 5000])
def test_a_file_that_is_only_called_an_archive_is_a_break(tmp_path, node, content):
    archive = tmp_path / "bundles.tar.xz"
    archive.write_bytes(content)
    tally = feed_paths(node, [archive, SAMPLE], None)
    assert (tally.breaks, tally.refused, tally.eobs_agree) == (1, 1, 5)
    assert [place for place, _ in repair_list(node)] == ["bundles.tar.xz, after member 0"]


def test_archives_one_after_the_other_in_one_file_are_whole(tmp_path, node):
    first, second = (packed(tmp_path / f"{name}.tar", {name: SAMPLE.read_bytes()}) for name in "ab")
    both = tmp_path / "both.tar"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    tally = feed_paths(node, [both], None)
    assert (tally.messages, tally.breaks, tally.refused) == (2, 0, 0)


def test_a_break_ends_with_the_numbers_and_exit_code_1(tmp_path, capsys):
    archive = packed(tmp_path / "bundles.tar", {"first.json": SAMPLE.read_bytes(), "second.json": SAMPLE.read_bytes()})
    archive.write_bytes(archive.read_bytes()[: SAMPLE.stat().st_size + 5000])
    assert main(["--home", str(tmp_path / "home"), "feed", str(archive), "--json"]) == 1
    tally = json.loads(capsys.readouterr().out)
    assert (tally["messages"], tally["refused"], tally["breaks"], tally["eobs_agree"]) == (2, 1, 1, 5)


def test_work_that_is_parked_counts_as_crashed(node, monkeypatch):
    def fails(*_: object) -> None:
        raise RuntimeError("the adjudicator is broken")

    monkeypatch.setattr(node.worker, "follows", {**node.worker.follows, CaseReady: (fails,)})
    first = feed_paths(node, [SAMPLE], None)
    assert first.crashed > 0
    assert (first.refused, first.eobs_agree) == (0, 0)
    with node.database.reading() as tx:
        assert len(outbox.parked(tx)) == first.crashed
    assert feed_paths(node, [SAMPLE], None).crashed == 0  # what was parked before is not of this feed


def test_a_stay_that_goes_on_is_counted_when_it_opened_a_case(tmp_path, node):
    going_on = json.loads(SAMPLE.read_bytes())
    for entry in going_on["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Encounter" and resource["class"]["code"] == "IMP":
            resource["status"] = "in-progress"
            del resource["period"]["end"]
    file = tmp_path / "going_on.json"
    file.write_text(json.dumps(going_on))
    tally = feed_paths(node, [file], None)
    assert (tally.stays_opened, tally.stays_closed) == (1, 0)


def seen(*identifiers: Identifier, name: str = "测试甲", birth: date | None = None) -> PersonSeen:
    return PersonSeen(identifiers, name, birth)


RESIDENT = Identifier("resident_id", SAMPLE_FEMALE, "CN-MPS")


@pytest.mark.parametrize(
    ("told", "patients"),
    [
        ([("h", "v", seen(Identifier("mr", "7", "H"), RESIDENT)), ("h", "v", seen(Identifier("mr", "7")))], 1),
        ([("h", "v", seen(RESIDENT)), ("g", "w", seen(RESIDENT))], 1),  # in two hospitals
        ([("h", "v", seen(Identifier("mr", "7"))), ("g", "w", seen(Identifier("mr", "7")))], 2),
        (
            [
                ("h", "v", seen(RESIDENT)),
                ("h", "w", seen(Identifier("mr", "7"))),
                ("h", "v", seen(Identifier("mr", "7"))),
            ],
            1,
        ),
        ([("h", "v", seen()), ("h", "w", seen())], 2),  # a name alone joins nothing
        ([("h", "", seen()), ("h", "", seen())], 1),
    ],
)
def test_a_patient_is_counted_once_by_whatever_number_or_visit_is_told(node, told, patients):
    desk = feeding._Desk(node)
    for sender, visit, person in told:
        desk._meet(feeding._marks(sender, visit, person))
    assert desk.tally().patients == patients


def test_explanations_of_benefit_are_named_where_there_are_some(tmp_path, capsys):
    home = ("--home", str(tmp_path / "home"), "--language", "en")
    assert main([*home, "feed", str(SAMPLE)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "1 patients, 1 stays became cases, 1 closed; 5 of 5 explanations of benefit agree"
    )
    main([*home, "feed", str(DATA / "ADT-A01-02.hl7")])
    assert "explanations" not in capsys.readouterr().out


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
        "events_new", "breaks",
    }  # fmt: skip


@pytest.mark.skipif(not WHOLE, reason="SAFEWEAVE_SYNTHEA names the whole data set")
def test_the_whole_data_set_is_reproduced(node):
    tally = feed_paths(node, [Path(WHOLE)], None)
    assert (tally.eobs_agree, tally.refused, tally.crashed) == (tally.eobs, 0, 0)
    assert tally.stays_opened == tally.stays_closed
