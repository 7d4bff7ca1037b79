"""The demo's consortium, before it runs: who is one tap away, who insures whom, and what each hospital was allowed."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from safeweave.clock import later, now
from safeweave.commands.demo_members import Consortium
from safeweave.database import at_text
from safeweave.settings import Settings

TODAY = date(2026, 11, 26)


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    home: Path = tmp_path_factory.mktemp("demo")
    asked = ["--hospitals", "1", "--people", "40", "--stays", "10", "--today", TODAY.isoformat()]
    command = [sys.executable, "-m", "safeweave_simulator", *asked, "--write", str(home / "city")]
    subprocess.run(command, check=True)
    made = Consortium(Settings(home=home), home / "city", TODAY, "en")
    made.make()
    return made


def test_the_heroine_a_parent_and_the_staff_are_one_tap_away_and_are_cast_once(consortium):
    consortium.make()
    database = consortium.insurer.database()
    with database.reading() as tx:
        cast = tx.rows("select role, story, person is not null from account where story <> '' order by story")
    database.close()
    assert [(role, story.removeprefix("demo.story."), bool(known)) for role, story, known in cast] == [
        ("director", "director", False), ("examiner", "examiner", False), ("person", "guardian", True),
        ("person", "heroine", True), ("senior", "senior", False),
    ]  # fmt: skip


def test_each_person_has_allowed_the_hospital_its_own_insurer_and_the_heroine_not_yet_her_second(consortium):
    first, second = (consortium.policies_of(insurer) for insurer in consortium.insurers)
    assert second[0]["insureds"][0]["person"] == first[0]["insureds"][0]["person"]
    (hospital,) = consortium.hospitals
    database = hospital.database()
    with database.reading() as tx:
        given = tx.rows("select document from consent_grant")
    database.close()
    to_second = [document for (document,) in given if consortium.other_insurer.member in document]
    assert 0 < len(to_second) < len(second)
    assert len(given) > len(to_second)


def test_a_delivery_that_was_put_off_for_a_minute_is_waited_for_and_one_for_an_hour_is_not(consortium):
    for office in (*consortium.hospitals, *consortium.insurers):
        database = office.database()
        with database.transaction() as tx:
            tx.run("delete from task")  # consents on their way to the ledger
        database.close()
    assert not consortium.is_busy(90)
    (hospital,) = consortium.hospitals
    for seconds, is_busy in ((3600, False), (60, True)):
        database = hospital.database()
        with database.transaction() as tx:
            tx.run("delete from outgoing")
            tx.run(
                "insert into outgoing (id, recipient, exchange, sequence, consent, kind, state, size, content,"
                " queued_at, due_at) values ('a', 'b', 'c', 1, 'd', 'message', 'sealed', 1, 'e', ?, ?)",
                (at_text(now()), at_text(later(seconds=seconds))),
            )
        database.close()
        assert consortium.is_busy(90) is is_busy
