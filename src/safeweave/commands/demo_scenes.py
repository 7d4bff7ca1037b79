"""Three scenes of the demo that only a consortium can play, and what the ledger says of them afterwards.

Each is played over the same doors and processes as everything else: a bill claimed twice, a consent taken back in the
middle of a stay, and a sealed record that was tampered with on its way.
"""

import io
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import httpx

from safeweave import clock, consents, people, worker
from safeweave.adjudication import store as decisions
from safeweave.cases import store as cases_store
from safeweave.clock import seconds_running
from safeweave.commands.consent import import_file
from safeweave.commands.demo_members import Consortium, Office
from safeweave.consents import Revocation
from safeweave.consortium import anchoring, homes
from safeweave.consortium.answer import MEDIA_TYPE, PATH, Answer, read_answer
from safeweave.consortium.insuring import InsurerDesk
from safeweave.database import Database
from safeweave.errors import NotFound, Unavailable
from safeweave.events import ConsentRevoked, Identifier, PersonSeen
from safeweave.keys.envelope import Matter, seal_envelope
from safeweave.ledger.audit import Disclosed, LogFile, audit
from safeweave.ledger.bundle import read_bundle, verify_bundle, write_bundle
from safeweave.ledger.checkpoint import read_roots
from safeweave.ledger.ledger import Ledger
from safeweave.ledger.operation import fresh_id
from safeweave.words import Language, knows, say

PLAYED_WITHIN_SECONDS = 60.0
STAY_VISIT = "ZY-STILL-HERE"  # of the patient who changes her mind
LATE_SECONDS = 90 * 24 * 3600  # the city tells of weeks that have passed


class Scenes:
    """The scenes, over a consortium that is running."""

    def __init__(self, consortium: Consortium, language: Language) -> None:
        self.members, self.language = consortium, language
        self.hospital, self.insurer, self.other = consortium.hospitals[0], consortium.insurer, consortium.other_insurer

    def play(self) -> dict[str, Any]:
        """What came of each scene, and of the audit and the proof after them; `well`: all is as it must be."""
        ledger = homes.open_ledger(self.hospital.home)
        try:
            found: dict[str, Any] = {
                "double_claim": self.double_claim(),
                "revoked": self.revoked(ledger),
                "tampered": self.tampered(ledger),
            }
            found["audit"] = self.audited()
            found["proof"] = self.proved()
        finally:
            ledger.close()
        found["well"] = all(part["well"] for part in found.values())
        return found

    def _until(self, true: Callable[[], Any]) -> Any:
        until = seconds_running() + PLAYED_WITHIN_SECONDS
        while seconds_running() < until:
            if found := true():
                return found
            clock.pause(0.05)
        raise Unavailable(say("demo.scenes.silent", self.language))

    # ------------------------------------------------------------ one bill, two insurers

    def double_claim(self) -> dict[str, Any]:
        """The heroine is insured with both. Her first insurer has paid; now she lets the hospital tell the second."""
        row = self.members.policies_of(self.other)[0]
        file = self.members.city / "consent-second-insurer.json"
        resource = self.members.consent(row, self.hospital, self.other)
        file.write_text(json.dumps(resource, ensure_ascii=False), encoding="utf-8")
        database, other = self.hospital.database(), self.other.database()
        try:
            _, refused = import_file(database, file, clock.now(), self.language)
            assert not refused, refused

            def judged() -> tuple[str, list[str]] | None:
                with other.reading() as tx:
                    for case in cases_store.cases_in(tx, ("referred",)):
                        for each in decisions.of_cases(tx, [case.id]):
                            if "claimed_elsewhere" in (*each.result.refer, *each.holds):
                                return case.id, sorted({*each.result.refer, *each.holds})
                return None

            case, reasons = self._until(judged)
            with other.reading() as tx:
                payouts = tx.rows("select count(*) from payout where case_id = ?", (case,))[0][0]
        finally:
            database.close()
            other.close()
        return {"well": payouts == 0, "case": case, "reasons": reasons, "payouts": payouts}

    # ------------------------------------------------------------ a yes taken back

    def revoked(self, ledger: Ledger) -> dict[str, Any]:
        """A patient is admitted, and her insurer hears of it; she takes her consent back, and it hears no more."""
        row = next(
            row for row in reversed(self.members.policies_of(self.insurer))
            if not row["insureds"][0].get("guardians")
            and row["insureds"][0]["person"]["documents"][0]["kind"] == "resident_id"
        )  # fmt: skip
        person, hospital, insurer = row["insureds"][0]["person"], self.hospital.database(), self.insurer.database()
        try:
            self._tells(person, "in-progress")
            heard = self._until(lambda: self._heard(insurer))
            with hospital.transaction() as tx:
                patient = people.find_people(tx, [_seen(person)])[0].person
                assert patient is not None
                given = [
                    each.consent for each in consents.consents_of(tx, [patient])[patient]
                    if each.consent.recipient.member == self.insurer.member
                ]  # fmt: skip
                now = clock.now()
                for consent in given:
                    consents.revoke(tx, [Revocation(consent.id, now, patient, "screen")], now)
                    worker.tell(tx, [ConsentRevoked(consent.id, patient)], now)
            with hospital.reading() as tx:
                entries = [each.entry for each in consents.entries(tx, [each.id for each in given]).values()]
            self._until(lambda: all(ledger.consent(entry).state == "REVOKED" for entry in entries))
            self._tells(person, "finished")
            self._until(lambda: self._is_quiet(hospital))
            after = self._heard(insurer)
        finally:
            hospital.close()
            insurer.close()
        return {"well": bool(given) and after == heard, "heard_before": heard, "heard_after": after}

    def _tells(self, person: dict[str, Any], status: str) -> None:
        now = clock.now()
        begun = now - timedelta(days=2)
        encounter: dict[str, Any] = {
            "resourceType": "Encounter",
            "identifier": [{"system": "urn:oid:2.16.156.10011.1.12", "value": STAY_VISIT}],
            "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": {"reference": "urn:uuid:patient"},
            "period": {"start": begun.isoformat()} | ({"end": now.isoformat()} if status == "finished" else {}),
            "meta": {"lastUpdated": now.isoformat()},
        }
        patient = {
            "resourceType": "Patient",
            "name": [{"text": person["name"]}],
            "birthDate": person["birth"],
            "identifier": [
                {"system": "urn:oid:2.16.156.10011.1.3", "value": person["documents"][0]["number"]},
            ],
        }
        bundle = {
            "resourceType": "Bundle",
            "type": "message",
            "id": f"{STAY_VISIT}-{status}-{now:%H%M%S%f}",
            "timestamp": now.isoformat(),
            "entry": [
                {"fullUrl": "urn:uuid:patient", "resource": patient},
                {"fullUrl": "urn:uuid:encounter", "resource": encounter},
            ],
        }
        tokens = json.loads((self.members.city / "tokens.json").read_text(encoding="utf-8"))
        answer = httpx.post(
            f"{self.hospital.doors}/fhir", json=bundle, timeout=30, trust_env=False,
            headers={"authorization": f"Bearer {tokens[self.hospital.hospital]}"},
        )  # fmt: skip
        answer.raise_for_status()

    def _heard(self, insurer: Database) -> int:
        """How many things the insurer was told of this stay."""
        with insurer.reading() as tx:
            subject = f"{self.hospital.member}/{STAY_VISIT}"
            return int(tx.rows("select count(*) from event where subject = ?", (subject,))[0][0])

    def _is_quiet(self, hospital: Database) -> bool:
        """Whether the hospital has followed everything and has nothing on its way."""
        with hospital.reading() as tx:
            tasks = tx.rows("select count(*) from task")[0][0]
            return not tasks and not tx.rows("select 1 from outgoing where state in ('queued', 'sealed') limit 1")

    # ------------------------------------------------------------ a record changed on its way

    def tampered(self, ledger: Ledger) -> dict[str, Any]:
        """A record that the hospital has sealed and signed is changed in one bit before it reaches the insurer."""
        database = self.hospital.database()
        try:
            with database.reading() as tx:
                entry = tx.rows(
                    "select consent from outgoing where recipient = ? and state = 'received' order by id desc limit 1",
                    (self.insurer.member,),
                )[0][0]
        finally:
            database.close()
        head, recipient = ledger.head(), ledger.member(self.insurer.member)
        keys = recipient.keys_at(head.height) if recipient else None
        assert keys is not None
        matter = Matter(
            recipient=self.insurer.member, consent=entry, height=head.height, exchange=fresh_id(), sequence=1,
            expires_at=clock.later(seconds=24 * 3600), kind="record",
        )  # fmt: skip
        sealed = io.BytesIO()
        seal_envelope(io.BytesIO(b"discharge record " * 100), sealed, matter, self.hospital.home.ring(), keys)
        envelope = bytearray(sealed.getvalue())
        envelope[-200] ^= 1

        def judged() -> Answer | None:  # it may be asked to come again, as any envelope may
            response = httpx.post(
                self.insurer.home.member().url + PATH, content=bytes(envelope), headers={"content-type": MEDIA_TYPE},
                timeout=30, trust_env=False,
            )  # fmt: skip
            answer = read_answer(response.content)
            return None if answer is None or answer.became == "later" else answer

        answer: Answer = self._until(judged)
        why = answer.why.said(self.language) if answer.why else ""
        return {"well": answer.became == "refused", "became": answer.became, "why": why}

    # ------------------------------------------------------------ afterwards

    def audited(self) -> dict[str, Any]:
        """The commission replays its log, and compares what the hospitals disclose of every envelope they sent."""
        disclosed: list[Disclosed] = []
        for hospital in self.members.hospitals:
            self._until(partial(_is_anchored, hospital))
            disclosed += _disclosed(hospital)
        folder = self.members.commission.settings.home
        log = LogFile(folder / "ledger.sqlite")
        try:
            report = audit(log, read_roots((folder / "roots.json").read_bytes()), disclosed, 0, LATE_SECONDS)
        finally:
            log.close()
        noted = sorted({finding.what for finding in report.noted})
        return {
            "well": not report.faults and "claimed_twice" in noted and "exchange_without_consent" not in noted,
            "entries": report.size,
            "envelopes": len(disclosed),
            "faults": [finding.text(self.language) for finding in report.faults],
            "noted": [finding.text(self.language) for finding in report.noted],
        }

    def proved(self) -> dict[str, Any]:
        """The proof of one paid claim, written to a file and verified with nothing but the trust roots."""
        database = self.insurer.database()
        ledger = homes.open_ledger(self.insurer.home)
        file = self.members.settings.home / "proof.json"
        try:
            desk = InsurerDesk(ledger, self.insurer.home.ring, lambda products: True)

            def built() -> bool:
                with database.reading() as tx:
                    for case in cases_store.cases_in(tx, ("closed",)):
                        try:
                            bundle = desk.bundle(tx, case.id)
                        except NotFound:
                            continue
                        if bundle.operations and bundle.documents:
                            file.write_bytes(write_bundle(bundle))
                            return True
                return False

            self._until(built)
        finally:
            ledger.close()
            database.close()
        roots = read_roots((self.insurer.settings.home / "roots.json").read_bytes())
        verified = verify_bundle(read_bundle(file.read_bytes()), roots)
        return {"well": True, "file": str(file), "says": verified.text(self.language)}


def _seen(person: dict[str, Any]) -> PersonSeen:
    return PersonSeen((Identifier("resident_id", person["documents"][0]["number"]),), person["name"])


def _is_anchored(hospital: Office) -> bool:
    database = hospital.database()
    try:
        with database.reading() as tx:
            return not tx.rows(
                "select 1 from anchor_leaf l left join anchor_batch b on b.id = l.batch"
                " where coalesce(b.state, '') <> 'final' limit 1"
            )
    finally:
        database.close()


def _disclosed(hospital: Office) -> list[Disclosed]:
    database = hospital.database()
    try:
        with database.reading() as tx:
            ids = [id for (id,) in tx.rows("select id from outgoing where state = 'received' order by id")]
            found = [anchoring.disclosed(tx, id) for id in ids]
    finally:
        database.close()
    return [each for each in found if each is not None]


def shown(found: dict[str, Any], language: Language) -> Sequence[str]:
    """The scenes as people read them, a line for each fact."""
    double, revoked, tampered = found["double_claim"], found["revoked"], found["tampered"]
    reason = next((each for each in double["reasons"] if each == "claimed_elsewhere"), double["reasons"][0])
    words = say(f"reasons.{reason}.short", language) if knows(f"reasons.{reason}.short") else reason
    lines = [
        say("demo.scenes.double", language, case=double["case"], reason=words),
        say("demo.scenes.revoked", language, before=revoked["heard_before"], after=revoked["heard_after"]),
        say("demo.scenes.tampered", language, why=tampered["why"]),
        say("demo.scenes.audit", language, entries=found["audit"]["entries"], envelopes=found["audit"]["envelopes"]),
        *(f"    {line}" for line in (*found["audit"]["faults"], *found["audit"]["noted"][:5])),
        say("demo.scenes.proof", language, file=found["proof"]["file"]),
    ]
    return lines
