"""Three roles as real processes, made and run by the command line: the commission, a hospital and an insurer."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from consents.given_consents import consent
from exchange.formats.given_messages import EXAMPLES
from ledger.given_ledger import DAY
from people.given_people import particulars
from safeweave import consents, people
from safeweave.consents import Consent, Party
from safeweave.consents.consent import DATA_KINDS
from safeweave.consortium import homes, store, taking
from safeweave.consortium.homes import Home
from safeweave.database import Database
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.ids import PersonId
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import GrantConsent, fresh_id, sign
from safeweave.main import main
from safeweave.ports import free_port
from waiting import PATIENCE, until


@dataclass
class Office:
    """The home of one member, and its process."""

    folder: Path
    port: int = field(default_factory=free_port)
    running: subprocess.Popen[str] | None = None

    @property
    def role(self) -> str:
        return self.folder.name.split("-")[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def home(self) -> Home:
        return Home(self.folder)

    def says(self, *words: str) -> int:
        return main(["--home", str(self.folder), "--language", "en", self.role, *words])

    def made(self, *more: str) -> None:
        assert self.says("init", "--name", self.folder.name, "--url", self.url, *more) == 0

    def start(self) -> None:
        serve = ["--home", str(self.folder), "--language", "en", self.role, "serve"]
        doors = {"SAFEWEAVE_HTTP_PORT": str(free_port()), "SAFEWEAVE_MLLP_PORT": str(free_port())}
        self.running = subprocess.Popen(
            [sys.executable, "-m", "safeweave.main", *serve], stdout=subprocess.PIPE, text=True, env=os.environ | doors
        )
        assert self.running.stdout is not None
        assert self.url in self.running.stdout.readline()

    def stop(self, kill: bool = False) -> None:
        if self.running is not None:
            self.running.kill() if kill else self.running.terminate()
            self.running.wait(PATIENCE)
            assert self.running.stdout is not None
            self.running.stdout.close()
            self.running = None

    def database(self) -> Database:
        return Database(self.folder / "safeweave.db")


def allowed_by(person: PersonId, insurer: str) -> Consent:
    """What a person lets an insurer process, records and all, from now on."""
    now = datetime.now(UTC)
    return consent(
        person, act="process", giver=None, recipient=Party(insurer, "示例人寿", "400-000-0001"), given_by=person,
        kinds=DATA_KINDS, begins_at=now, given_at=now, ends_at=now + timedelta(days=1),
    )  # fmt: skip


@pytest.fixture
def offices(tmp_path: Path) -> Iterator[dict[str, Office]]:
    found = {name: Office(tmp_path / name) for name in ("commission", "hospital", "insurer")}
    yield found
    for office in found.values():
        office.stop(kill=True)


def test_a_consortium_is_made_by_commands_and_a_hospitals_message_is_heard_by_the_insurer(offices, capsys):
    commission, hospital, insurer = offices.values()
    commission.made()
    commission.start()
    for office in (hospital, insurer):
        office.made()
        said = capsys.readouterr().out
        assert homes.read_application(office.folder / "application.json").fingerprint in said
        assert office.says("join", "--ledger", commission.url, "--roots", str(commission.folder / "roots.json")) == 0
        assert commission.says("admit", str(office.folder / "application.json")) == 0
        assert "it stands on the ledger" in capsys.readouterr().out
    database = insurer.database()
    with database.transaction() as tx:
        senders.save(tx, [(Sender(id=hospital.home.member().member, hospital="H33020000001"), None)])
        (saved,) = people.save_people(tx, [particulars()], datetime.now(UTC))
        assert saved.person is not None
        allowed = allowed_by(saved.person, insurer.home.member().member)
        consents.give(tx, [allowed], datetime.now(UTC))
    database.close()
    hospital.start()
    insurer.start()

    ledger, ring, now = homes.open_ledger(hospital.home), hospital.home.ring(), int(datetime.now(UTC).timestamp())
    entry, to = fresh_id(), insurer.home.member().member
    grant = GrantConsent(ring.member, fresh_id(), entry, fresh_id(), to, fresh_id(), now - DAY, now + DAY)
    (id,) = ledger.submit([sign(grant, "std-1", ring.at(0).signing_key())])
    assert isinstance(ledger.outcome(id, PATIENCE), Final)
    ledger.close()

    message = EXAMPLES["a01"].replace("\n", "\r").encode()
    database, arrived = hospital.database(), insurer.database()
    try:
        with database.transaction() as tx:
            ids = [
                store.queue(tx, to, "stay 1", entry, kind, io.BytesIO(content), datetime.now(UTC))
                for kind, content in ((taking.MESSAGE, message), ("record", b"a discharge record"))
            ]

        def received() -> bool:
            with database.reading() as tx:
                return all(store.outgoing(tx, id).state == "received" for id in ids)

        until(received)
        with arrived.reading() as tx:
            assert tx.rows("select sender, status from inbound_message") == [(ring.member, "taken")]
            kept = taking.kept_under(ring.member, "stay 1", 2)
            assert b"".join(store.pieces(tx, kept)) == b"a discharge record"

        def heard() -> bool:
            with arrived.reading() as tx:
                return bool(
                    tx.rows("select 1 from event where kind = 'AdmissionReported' or kind = 'OutpatientVisited'")
                )

        until(heard)
    finally:
        database.close()
        arrived.close()

    assert hospital.says("rotate", "--heights", "1") == 0
    assert commission.says("admit", str(hospital.folder / "application.json")) == 0
    database, again = hospital.database(), []
    try:
        with database.transaction() as tx:
            again.append(store.queue(tx, to, "stay 1", entry, "record", io.BytesIO(b"new keys"), datetime.now(UTC)))
        ids += again
        until(received)
        with database.reading() as tx:
            cover = store.outgoing(tx, again[0]).cover
        assert cover.header.signing_key == hospital.home.ring().public()[-1].signing_id
        assert cover.header.signing_key != ring.public()[-1].signing_id
    finally:
        database.close()

    assert commission.says("suspend", ring.member, "--reason", "breach") == 0
    for office in (hospital, insurer, commission):
        office.stop()


def test_a_home_is_made_once_and_runs_in_its_own_role(offices, capsys):
    hospital = offices["hospital"]
    hospital.made()
    keys = hospital.home.keys.read_bytes()
    capsys.readouterr()
    assert hospital.says("init", "--name", "again", "--url", hospital.url) == 1
    assert "not made anew" in capsys.readouterr().err
    assert hospital.home.keys.read_bytes() == keys
    assert main(["--home", str(hospital.folder), "--language", "en", "insurer", "serve"]) in (1, 2)
    assert main(["--home", str(hospital.folder), "--language", "en", "hospital", "serve"]) == 1
    assert "has joined no ledger yet" in capsys.readouterr().err
    assert [oct(file.stat().st_mode & 0o777) for file in hospital.folder.glob("*.json")] == ["0o600"] * 3


def test_witnesses_make_a_founding_final_once_they_are_up(tmp_path, capsys):
    witnesses = [Office(tmp_path / f"hospital-{n}") for n in range(2)]
    commission = Office(tmp_path / "commission")
    asks = []
    for office in witnesses:
        office.made("--witness")
        asks.append(f"{office.url}/witness={office.home.signer('witness').key}")
    commission.made(*[word for ask in asks for word in ("--ask", ask)], "--quorum", "2")
    try:
        for office in witnesses:
            assert (
                office.says("join", "--ledger", commission.url, "--roots", str(commission.folder / "roots.json")) == 0
            )
        ledger = homes.open_ledger(commission.home)
        with pytest.raises(Exception, match="not yet cosigned"):
            ledger.head()
        ledger.close()
        for office in [commission, *witnesses]:
            office.start()
        ledger = homes.open_ledger(witnesses[0].home)

        def founded() -> bool:
            return httpx.get(f"{commission.url}/ledger/head", trust_env=False, timeout=PATIENCE).status_code == 200

        until(founded)
        assert ledger.head().height == 1
        ledger.close()
    finally:
        for office in [commission, *witnesses]:
            office.stop(kill=True)


# ---------------------------------------------------------------- a commission of several offices


class Commission:
    """Three offices, two of which must agree; the first keeps the ledger."""

    def __init__(self, folder: Path) -> None:
        self.first, *others = [Office(folder / f"commission-{n}") for n in (1, 2, 3)]
        self.others = others
        self.hospital = Office(folder / "hospital")
        self.folder = folder
        applications = []
        for each in others:
            assert each.says("office", "--name", each.folder.name, "--url", each.url) == 0
            applications += ["--office", str(each.folder / "application.json")]
        self.first.made(*applications)
        self.first.start()
        for each in others:
            assert each.says("join", "--ledger", self.first.url, "--roots", str(self.first.folder / "roots.json")) == 0
        self.hospital.made()

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def approves(self, office: Office, prepared: str) -> str:
        approval = self.file(f"{office.folder.name}.approval")
        assert office.says("approve", prepared, "--to", approval) == 0
        return approval


@pytest.fixture
def commission(tmp_path: Path) -> Iterator[Commission]:
    found = Commission(tmp_path)
    yield found
    found.first.stop()


def test_a_member_is_admitted_and_suspended_by_two_of_three_offices(commission, capsys):
    first, (second, third) = commission.first, commission.others
    applied = str(commission.hospital.folder / "application.json")
    fingerprint = homes.read_application(Path(applied)).fingerprint
    assert first.says("admit", applied) == 1
    assert "--prepare FILE" in capsys.readouterr().out

    admission = commission.file("admission.json")
    assert first.says("admit", applied, "--prepare", admission) == 0
    capsys.readouterr()
    approval = commission.approves(second, admission)
    assert fingerprint in capsys.readouterr().out
    assert first.says("send", admission, approval) == 0
    assert "it stands on the ledger" in capsys.readouterr().out

    assert third.says("admit", applied, "--prepare", admission) == 1
    assert commission.first.url in capsys.readouterr().err

    suspension, member = commission.file("suspension.json"), commission.hospital.home.member().member
    assert third.says("suspend", member, "--reason", "breach", "--prepare", suspension) == 0
    approval = commission.approves(first, suspension)
    assert member in capsys.readouterr().out
    assert third.says("send", suspension, approval) == 0
    with closing(homes.open_ledger(second.home)) as ledger:
        known = ledger.member(member)
        assert known is not None
        assert known.is_suspended_at(ledger.head().height)


def test_an_office_changes_its_keys_once_another_agrees(commission, capsys):
    second = commission.others[0]
    assert second.says("rotate", "--heights", "1") == 0
    admission = commission.file("keys.json")
    applied = str(second.folder / "application.json")
    assert commission.first.says("admit", applied, "--prepare", admission) == 0
    approval = commission.approves(commission.others[1], admission)
    assert commission.first.says("send", admission, approval) == 0


def test_what_was_changed_on_its_way_is_not_approved_and_approvals_of_something_else_do_not_count(commission, capsys):
    first, (second, third) = commission.first, commission.others
    applied = str(commission.hospital.folder / "application.json")
    admission, other = Path(commission.file("admission.json")), commission.file("other.json")
    for file in (str(admission), other):
        assert first.says("admit", applied, "--prepare", file) == 0
    of_another = commission.approves(second, other)
    assert first.says("send", str(admission), of_another) == 1
    assert "1 of 2 agree" in capsys.readouterr().out

    assert second.says("send", str(admission), of_another) == 1
    assert "it has to send it" in capsys.readouterr().err

    prepared = json.loads(admission.read_bytes())
    prepared["application"]["name"], prepared["application"]["url"] = "somebody else", "http://elsewhere.example"
    admission.write_text(json.dumps(prepared))
    assert third.says("approve", str(admission), "--to", commission.file("no.json")) == 2
    assert "prepare it anew" in capsys.readouterr().err
    assert not Path(commission.file("no.json")).exists()


def test_a_hospital_is_no_office_of_the_commission(tmp_path, capsys):
    hospital, alone = Office(tmp_path / "hospital"), Office(tmp_path / "commission")
    hospital.made()
    application = str(hospital.folder / "application.json")
    assert alone.says("init", "--name", "alone", "--url", alone.url, "--office", application) == 2
    assert "hospital is a hospital and no office of the commission" in capsys.readouterr().err
    assert not alone.folder.exists()


def test_no_more_offices_can_be_needed_than_there_are(tmp_path, capsys):
    alone = Office(tmp_path / "commission")
    assert alone.says("init", "--name", "alone", "--url", alone.url, "--needed", "2") == 2
    assert "there are 1 of the commission" in capsys.readouterr().err
    assert not alone.folder.exists()
