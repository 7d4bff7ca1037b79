"""The consortium of the demo: the commission with the ledger, every hospital, and two insurers, each a process.

The first insurer lives in the demo's own home, so that every command shows its cases; the others in `consortium/`
beside it. What was made stays: an interrupted demo goes on with the same members, keys, ledger and consents.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any, Literal

import httpx

from safeweave import clock, consents, people
from safeweave.asking import trusting
from safeweave.cases import store as cases_store
from safeweave.clock import SHANGHAI, seconds_running
from safeweave.commands.consent import import_file
from safeweave.commands.hospitals import read_hospitals
from safeweave.commands.leashed import leashed
from safeweave.consents import Kept, Party, consent_of, fhir, texts
from safeweave.consents.consent import GIVES_ITSELF
from safeweave.consortium import homes, membership
from safeweave.consortium.homes import Home
from safeweave.coverage.commands import policies_import
from safeweave.database import Database, at_text
from safeweave.errors import Unavailable
from safeweave.events import Identifier, PersonSeen
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.ids import PersonId
from safeweave.ledger.checkpoint import read_roots
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import Role
from safeweave.people import age_on
from safeweave.ports import free_port
from safeweave.settings import Settings
from safeweave.web import accounts
from safeweave.words import Language, say

OTHER_INSURERS_SHARE = 8  # every so many persons are insured there, and one with both
CONSENT_DAYS_BEFORE, CONSENT_DAYS_AFTER = 60, 365
STARTS_WITHIN_SECONDS = 60.0
_CONTACT = "400-000-0000"
_KINDS: tuple[consents.DataKind, ...] = ("identity", "admission", "diagnosis", "bill", "settlement")
_STAFF: tuple[Literal["examiner", "senior", "director"], ...] = ("examiner", "senior", "director")
_RESIDENT = "urn:oid:2.16.156.10011.1.3"
_TYPES = {"passport": "PPN", "foreign_permanent_resident": "PRC"}


@dataclass(frozen=True)
class Office:
    """One member: its home, how its process is set up, and for a hospital its institution code."""

    role: Role
    settings: Settings
    name: str
    hospital: str = ""

    @property
    def home(self) -> Home:
        """The files of the member."""
        return Home(self.settings.home)

    @property
    def member(self) -> str:
        """Its id on the ledger."""
        return self.home.member().member

    @property
    def doors(self) -> str:
        """Where the systems of a hospital knock."""
        return f"http://{self.settings.host}:{self.settings.http_port}"

    @property
    def party(self) -> Party:
        """The member as a person is told of it."""
        return Party(self.member, self.name, _CONTACT)

    def database(self) -> Database:
        """Its store, beside the process that works on it."""
        return Database(self.settings.store)


class Consortium:
    """The members of one demo. `settings` are the first insurer's."""

    def __init__(self, settings: Settings, city: Path, today: date, language: Language) -> None:
        self.settings, self.city, self.today, self.language = settings, city, today, language
        self.folder = settings.home / "consortium"
        self.hospital_rows = list(read_hospitals(city / "hospitals.jsonl"))
        self.commission = self._office("commission", "commission", say("demo.members.commission", language))
        self.hospitals = [
            self._office(
                "hospital", f"hospital-{n}", row.name if language == "zh" else row.name_en or row.name, row.code
            )
            for n, row in enumerate(self.hospital_rows, 1)
        ]
        company = settings.company if language == "zh" else settings.company_en
        self.insurer = Office("insurer", settings, company)
        self.other_insurer = self._office("insurer", "insurer-2", say("demo.members.other_insurer", language))

    def _office(self, role: Role, folder: str, name: str, hospital: str = "") -> Office:
        own = replace(
            self.settings, home=self.folder / folder, http_port=free_port(), mllp_port=free_port(), company=name
        )
        return Office(role, own, name, hospital)

    @property
    def insurers(self) -> list[Office]:
        """Both insurers, the first one first."""
        return [self.insurer, self.other_insurer]

    @property
    def offices(self) -> list[Office]:
        """Every member, the commission first."""
        return [self.commission, *self.hospitals, *self.insurers]

    # ------------------------------------------------------------ making

    def make(self) -> None:
        """Found the ledger, admit every member, and register whom each has to know; what was made is left alone."""
        if not (self.folder / "made").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in ("member.json", "keys.json", "roots.json", "application.json", "seen.note"):
                (self.settings.home / name).unlink(missing_ok=True)
            self._found()
            (self.folder / "made").touch()
        for hospital in self.hospitals:
            self._register_hospital(hospital)
        for insurer in self.insurers:
            self._register_insurer(insurer)
        for office in (*self.hospitals, *self.insurers):
            self._consents(office)
        self._cast()

    def _cast(self) -> None:
        """Who is one tap away on the first insurer's pages: the heroine, a guardian, and its own people."""
        rows = self.policies_of(self.insurer)
        with closing(self.insurer.database()) as database, database.transaction() as tx:
            if tx.row("select 1 from account where story <> '' limit 1"):
                return
            guarded = next((row for row in rows if row["insureds"][0].get("guardians")), None)
            persons = {"heroine": rows[0]["insureds"][0]["person"]}
            if guarded is not None:
                persons["guardian"] = guarded["insureds"][0]["guardians"][0]["person"]
            for story, person in persons.items():
                document = person["documents"][0]
                seen = PersonSeen((Identifier(document["kind"], document["number"]),), person["name"])
                found = people.find_people(tx, [seen])[0].person
                assert found is not None, story
                account = accounts.account_of(tx, found, clock.now())
                accounts.note_story(tx, account.id, f"demo.story.{story}")
            for role in _STAFF:
                name = say(f"demo.staff.{role}", self.language)
                account = accounts.add_account(tx, role, name, clock.now())
                accounts.note_story(tx, account.id, f"demo.story.{role}")

    def _found(self) -> None:
        for office in self.offices:
            port = free_port()
            url = f"http://{office.settings.host}:{port}"
            homes.init(office.home, office.role, office.name, url, office.settings.host, port)
        homes.found(self.commission.home)
        roots = read_roots((self.commission.settings.home / "roots.json").read_bytes())
        ledger, database = homes.open_ledger(self.commission.home), self.commission.database()
        try:
            for office in self.offices[1:]:
                homes.join(office.home, self.commission.home.member().url, roots)
                outcome = membership.admit(self.commission.home, ledger, database, homes.application(office.home))
                assert isinstance(outcome, Final), outcome
        finally:
            ledger.close()
            database.close()

    def _register_hospital(self, hospital: Office) -> None:
        tokens = json.loads((self.city / "tokens.json").read_text(encoding="utf-8"))
        sender = Sender(hospital.hospital, hospital.hospital, hl7_facility=hospital.hospital)
        database = hospital.database()
        try:
            with database.transaction() as tx:
                senders.save(tx, [(sender, tokens[hospital.hospital])])
        finally:
            database.close()

    def _register_insurer(self, insurer: Office) -> None:
        own = self.city / f"policies-{insurer.settings.home.name}.jsonl"
        rows = [json.dumps(row, ensure_ascii=False) for row in self.policies_of(insurer)]
        own.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        database = insurer.database()
        try:
            with database.transaction() as tx:
                cases_store.save_hospitals(tx, self.hospital_rows)
                senders.save(tx, [(Sender(each.member, each.hospital), None) for each in self.hospitals])
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                policies_import(database, [own], False, self.language, nowhere, now=clock.now())
        finally:
            database.close()

    def is_busy(self, patience: float) -> bool:
        """Whether any member has something to do in the next seconds, or to send within so many.

        A delivery may have been put off again and again while its recipient was away.
        """
        soon, later = (at_text(clock.later(seconds=seconds)) for seconds in (20, patience))
        for office in (*self.hospitals, *self.insurers):
            with closing(office.database()) as database, database.reading() as tx:
                if tx.row("select 1 from task where parked is null and due_at < ? limit 1", (soon,)) or tx.row(
                    "select 1 from outgoing where state in ('queued', 'sealed') and due_at < ? limit 1", (later,)
                ):
                    return True
        return False

    def policies_of(self, insurer: Office) -> list[dict[str, Any]]:
        """The policies an insurer has sold; the first person of the city is insured with both."""
        lines = (self.city / "policies.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        persons = list(dict.fromkeys(_person_key(row) for row in rows))
        other = {person for n, person in enumerate(persons) if n % OTHER_INSURERS_SHARE == OTHER_INSURERS_SHARE - 1}
        if insurer is self.insurer:
            return [row for row in rows if _person_key(row) not in other]
        both = [{**row, "number": f"{row['number']}-2"} for row in rows if _person_key(row) == persons[0]]
        return both + [row for row in rows if _person_key(row) in other]

    # ------------------------------------------------------------ what people allow

    def _consents(self, office: Office) -> None:
        """What the insured have allowed this member, imported as their hospital and their insurer would do it."""
        resources = [each for each in self._allowed(office) if each is not None]
        database = office.database()
        try:
            with database.reading() as tx:
                noted = tx.rows("select count(*) from consent_grant")[0][0]
            if noted >= len(resources):
                return
            file = self.city / f"consents-{office.settings.home.name}.ndjson"
            file.write_text(
                "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in resources), encoding="utf-8"
            )
            _, refused = import_file(database, file, clock.now(), self.language)
            if refused:
                raise AssertionError(refused)
        finally:
            database.close()

    def _allowed(self, office: Office) -> Iterator[dict[str, Any] | None]:
        """A hospital is allowed to give to each person's insurer, and an insurer to process; who is insured with both
        has allowed the second to process only."""
        for insurer in self.insurers:
            seen = set[str]()
            rows = self.policies_of(insurer)
            for n, row in enumerate(rows):
                if _person_key(row) in seen:
                    continue
                seen.add(_person_key(row))
                if office is insurer:
                    yield self.consent(row, None, insurer)
                elif office.role == "hospital" and not (insurer is self.other_insurer and n == 0):
                    yield self.consent(row, office, insurer)

    def consent(self, row: dict[str, Any], giver: Office | None, insurer: Office) -> dict[str, Any] | None:
        """The consent of the person a policy row names, as a FHIR resource with the person in it.

        None for a child under 14 without a guardian on file: nobody can consent for it.
        """
        act: consents.Act = "process" if giver is None else "give"
        text = texts.newest(act)
        given_at = datetime.combine(self.today, clock_time(), SHANGHAI)
        insured = row["insureds"][0]
        is_child = age_on(date.fromisoformat(insured["person"]["birth"]), self.today) < GIVES_ITSELF
        guardian = next(iter(insured.get("guardians", ())), None) if is_child else None
        if is_child and guardian is None:
            return None
        by, proof = ("somebody-else", guardian["proof"]) if guardian else ("the-person", "")
        consent = consent_of(
            PersonId("the-person"), act, giver.party if giver else None, insurer.party, "claim", _KINDS,
            given_at - timedelta(days=CONSENT_DAYS_BEFORE), given_at + timedelta(days=CONSENT_DAYS_AFTER),
            (text.version, text.digest), PersonId(by), given_at, "screen", proof=proof,
        )  # fmt: skip
        resource = fhir.write(Kept(consent), "active")
        resource["contained"].append(_described("Patient", "patient", insured["person"]))
        resource["patient"] = {"reference": "#patient"}
        resource["performer"] = [{"reference": "#guardian" if guardian else "#patient"}]
        if guardian:
            resource["contained"].append(_described("RelatedPerson", "guardian", guardian["person"]))
        return resource

    # ------------------------------------------------------------ running

    def start(self, opened: ExitStack, banks: Sequence[str]) -> dict[str, subprocess.Popen[bytes]]:
        """The processes, by the names of their logs, once every one of them answers."""
        running = dict[str, subprocess.Popen[bytes]]()
        for office in self.offices:
            bank = banks[self.insurers.index(office)] if office in self.insurers else ""
            environment = {
                "SAFEWEAVE_HOME": str(office.settings.home),
                "SAFEWEAVE_DATABASE": "",
                "SAFEWEAVE_BANK_URL": bank,
                "SAFEWEAVE_HOST": office.settings.host,
                "SAFEWEAVE_HTTP_PORT": str(office.settings.http_port),
                "SAFEWEAVE_MLLP_PORT": str(office.settings.mllp_port),
                "SAFEWEAVE_LANGUAGE": self.language,
                **({"SAFEWEAVE_PAGES": "1", "SAFEWEAVE_PAGES_DEMO": "1"} if office is self.insurer else {}),
            }
            log = f"{'insurer-1' if office is self.insurer else office.settings.home.name}.log"
            serve = leashed(["safeweave.main", office.role, "serve"], self.settings.home / log, environment)
            running[log] = opened.enter_context(serve)
            if office is self.commission:
                self._wait_for(office, running[log], self.settings.home / log)
        for office, (log, process) in zip(self.offices, running.items(), strict=True):
            self._wait_for(office, process, self.settings.home / log)
        for hospital in self.hospitals:
            self._wait_for_consents(hospital)
        return running

    def _wait_for_consents(self, hospital: Office) -> None:
        """Until what people have allowed stands on the ledger."""
        until = seconds_running() + STARTS_WITHIN_SECONDS
        with closing(hospital.database()) as database:
            while seconds_running() < until:
                with database.reading() as tx:
                    if not tx.row("select 1 from task where kind = 'ConsentGiven' limit 1"):
                        return
                clock.pause(0.1)

    def _wait_for(self, office: Office, process: subprocess.Popen[bytes], log: Path) -> None:
        urls = [office.home.member().url + "/health"]
        if office.role != "commission":
            urls.append(office.doors + "/health")
        until = seconds_running() + STARTS_WITHIN_SECONDS
        while seconds_running() < until and process.poll() is None:
            try:
                if all(
                    httpx.get(url, timeout=1, trust_env=False, verify=trusting()).status_code == 200 for url in urls
                ):
                    return
            except httpx.HTTPError:
                clock.pause(0.05)
        raise Unavailable(say("demo.node_silent", self.language, log=log))

    def write_doors(self, file: Path) -> Path:
        """Where each hospital's systems knock, for the city."""
        doors = {
            each.hospital: {"mllp": [each.settings.host, each.settings.mllp_port], "http": each.doors}
            for each in self.hospitals
        }
        file.write_text(json.dumps(doors), encoding="utf-8")
        return file


def _person_key(row: dict[str, Any]) -> str:
    return str(row["insureds"][0]["person"]["documents"][0]["number"])


def _described(kind: str, id: str, person: dict[str, Any]) -> dict[str, Any]:
    """A person of policies.jsonl as a FHIR Patient or RelatedPerson."""
    described: dict[str, Any] = {
        "resourceType": kind,
        "id": id,
        "name": [{"text": person["name"]}],
        "identifier": [
            {"type": {"coding": [{"code": _TYPES[each["kind"]]}]}, "value": each["number"]}
            if each["kind"] in _TYPES else {"system": _RESIDENT, "value": each["number"]}
            for each in person["documents"]
        ],
    }  # fmt: skip
    if "birth" in person:
        described["birthDate"] = person["birth"]
    if "sex" in person:
        described["gender"] = {"F": "female", "M": "male"}[person["sex"]]
    return described
