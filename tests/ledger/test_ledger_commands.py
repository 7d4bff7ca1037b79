"""`safeweave ledger audit` and `safeweave verify`: a log and a proof are checked by whoever has the trust roots."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from fastapi import FastAPI

from ledger.given_ledger import Consortium
from ledger.ledgers import Time, log_signer, served
from safeweave.ledger.bundle import build, write_bundle
from safeweave.ledger.checkpoint import write_roots
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import fresh_id, items_of, operation_id
from safeweave.ledger.serving import ledger_router
from safeweave.main import main
from waiting import PATIENCE


@pytest.fixture
def folder(tmp_path: Path, members: Consortium) -> Path:
    """A log with one paid claim and one attempt to claim the same bill again, its trust roots, and a proof of it."""
    ticket = members.hospital.ticket(members.insurer, (fresh_id(), 1))
    nullifier = ticket.nullifiers[0]
    again = members.hospital.ticket(members.other_insurer, (nullifier, 1))
    paid = [members.insurer.reserves(ticket), members.insurer.settles(*items_of(ticket))]
    with closing(EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time())) as ledger:
        for signed in [*members.beginning(), *paid, members.other_insurer.reserves(again)]:
            ledger.submit([signed])
            assert isinstance(ledger.outcome(operation_id(signed.operation), PATIENCE), Final)
        bundle = build(ledger, [operation_id(signed.operation) for signed in paid])
        (tmp_path / "proof.json").write_bytes(write_bundle(bundle))
        (tmp_path / "roots.json").write_bytes(write_roots(ledger.roots()))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out + err


@pytest.mark.parametrize(("language", "said"), [("en", "tried to reserve a bill"), ("zh", "申请占用已由")])
def test_an_audit_of_a_good_log_lists_who_tried_to_claim_twice(folder, capsys, language, said):
    code, told = run(
        capsys, "--language", language, "ledger", "audit", folder / "log.sqlite", "--roots", folder / "roots.json"
    )
    assert code == 0
    assert said in told


def test_an_audit_can_be_read_by_programs_and_made_over_the_network(folder, capsys, members):
    app, reports = FastAPI(), []
    with closing(EmbeddedLedger(folder / "log.sqlite", log_signer(), Time())) as ledger:
        app.include_router(ledger_router(ledger), prefix="/ledger")
        with served(app) as url:
            for log in (folder / "log.sqlite", f"{url}/ledger"):
                code, told = run(capsys, "ledger", "audit", log, "--roots", folder / "roots.json", "--json")
                assert code == 0
                reports.append(json.loads(told))
    assert reports[0] == reports[1]
    (attempt,) = [finding for finding in reports[0]["noted"] if finding["what"] == "claimed_twice"]
    assert (attempt["by"], attempt["detail"]) == (members.other_insurer.id, members.insurer.id)


def test_a_log_that_was_changed_is_wrong(folder, capsys):
    with closing(sqlite3.connect(folder / "log.sqlite")) as connection:
        changed = connection.execute("update entry set body = cast(replace(body, '1', '2') as blob) where number = 3")
        assert changed.rowcount == 1
        connection.commit()
    code, _ = run(capsys, "ledger", "audit", folder / "log.sqlite", "--roots", folder / "roots.json")
    assert code == 1


def test_a_proof_is_verified_with_no_network_and_no_store(folder):
    """In a process that can open no socket and no database."""
    closed = (
        "import socket, sqlite3, sys\n"
        "def refuse(*given, **more): raise AssertionError('off line means off line')\n"
        "socket.socket.connect = sqlite3.connect = refuse\n"
        "from safeweave.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    asked = ["verify", str(folder / "proof.json"), "--roots", str(folder / "roots.json"), "--json"]
    done = subprocess.run([sys.executable, "-c", closed, *asked], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    proved = json.loads(done.stdout)
    assert proved["verified"]
    assert [operation["kind"] for operation in proved["operations"]] == ["reserve", "settle"]


def changed(folder: Path) -> Iterator[bytes]:
    raw = (folder / "proof.json").read_bytes()
    bundle = msgspec.json.decode(raw)
    bundle["operations"] = bundle["operations"][:1]
    bundle["operations"][0]["receipt"]["time"] += 1
    yield msgspec.json.encode(bundle)
    yield raw.replace(b'"RESERVED"', b'"MINE"')


def test_a_proof_that_was_changed_proves_nothing_and_says_so(folder, capsys):
    for raw in changed(folder):
        (folder / "changed.json").write_bytes(raw)
        code, told = run(capsys, "verify", folder / "changed.json", "--roots", folder / "roots.json")
        assert code == 1
        assert told.strip()


@pytest.mark.parametrize("file", ["proof.json", "roots.json"])
def test_nonsense_is_refused_with_the_file_s_name(folder, capsys, file):
    (folder / file).write_bytes(b"\xff{nonsense")
    code, told = run(capsys, "verify", folder / "proof.json", "--roots", folder / "roots.json")
    assert code == 2
    assert file in told


def test_a_log_that_is_not_there_is_told(folder, capsys):
    code, told = run(capsys, "ledger", "audit", folder / "nowhere", "--roots", folder / "roots.json")
    assert code in (1, 2)
    assert "nowhere" in told
