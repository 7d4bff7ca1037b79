"""`safeweave exchange status` says what waits for whom and why, in both languages."""

import json
import os
from typing import get_args

import pytest

from consortium.given_consortium import City, serving
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.receiving import Limits
from safeweave.consortium.why import Code
from safeweave.main import main
from safeweave.words import catalogue
from stores import on_postgresql, place


@pytest.fixture
def ask(city: City, monkeypatch, capsys):
    def asked(site, *words: str, language: str = "en") -> tuple[int, str]:
        folder = site.folder
        if not (folder / "safeweave.db").exists():
            if on_postgresql():
                monkeypatch.setenv("SAFEWEAVE_DATABASE", str(place(folder / "node.db")))
            else:
                os.symlink(folder / "node.db", folder / "safeweave.db")
                for tail in ("-wal", "-shm"):
                    os.symlink(folder / f"node.db{tail}", folder / f"safeweave.db{tail}")
        done = main(["--home", str(folder), "--language", language, "exchange", *words])
        return done, capsys.readouterr().out

    return asked


def test_nothing_waits_in_a_fresh_store(city, ask):
    done, said = ask(city.hospital, "status")
    assert done == 0
    assert "Nothing." in said
    assert "0 received by others" in said


def test_what_waits_is_told_with_its_age_its_tries_and_the_reason_in_words(city, ask):
    consent = city.consent()
    for n in range(3):
        city.hospital.put(city.insurer, consent, f"{n}")
    city.hospital.works(rounds=4, seconds=3600)
    _, said = ask(city.hospital, "status")
    assert "insurer" in said
    assert "does not answer" in said
    _, gesagt = ask(city.hospital, "status", language="zh")
    assert "对方没有应答" in gesagt
    _, told = ask(city.hospital, "status", "--json")
    (waiting,) = json.loads(told)["waiting"]
    assert (waiting["name"], waiting["waiting"], waiting["tries"], waiting["code"]) == ("insurer", 3, 4, "silent")


def test_receipts_and_anchors_are_counted(city, ask):
    city.hospital.put(city.insurer, city.consent(), "a record")
    with serving(city.insurer):
        city.hospital.works()
    _, told = ask(city.hospital, "status", "--json")
    assert json.loads(told)["anchors"]["waiting"] == 2
    city.time.passes(3)
    Anchoring(city.hospital.database, city.ledger, lambda: city.hospital.person.ring, city.time).work()
    _, told = ask(city.hospital, "status", "--json")
    found = json.loads(told)
    assert found["sent"] == {"received": 1}
    assert found["anchors"]["final"] == {"envelope": 1, "receipt": 1}
    _, said = ask(city.hospital, "status")
    assert "2 on the ledger" in said


def test_a_refused_delivery_is_shown_and_tried_again_when_asked(city, ask, monkeypatch):
    monkeypatch.setattr("safeweave.clock.now", city.time)
    city.insurer.limits = Limits(envelope_bytes=1000)
    city.insurer.open()
    id = city.hospital.put(city.insurer, city.consent(), "x" * 2000)
    with serving(city.insurer):
        city.hospital.works()
    done, said = ask(city.hospital, "status")
    assert done == 1
    assert "larger than 1000 bytes" in said
    assert id in said
    city.insurer.limits = Limits()
    city.insurer.open()
    assert ask(city.hospital, "again", "--delivery", "outgoing_other")[0] == 1
    assert ask(city.hospital, "again", "--delivery", id) == (0, "1 deliveries are due now\n")
    with serving(city.insurer):
        city.hospital.works()
    assert city.hospital.state(id) == ("received", "")


def test_a_delivery_that_its_consent_does_not_outlive_is_told(city, ask):
    consent = city.consent()
    city.hospital.put(city.insurer, consent, "never sent")
    city.revoke(consent)
    city.hospital.works()
    _, said = ask(city.hospital, "status")
    assert "was revoked" in said


def test_every_reason_has_its_sentence_in_both_languages():
    for code in get_args(Code):
        assert set(catalogue()[f"consortium.why.{code}"]) == {"zh", "en"}
