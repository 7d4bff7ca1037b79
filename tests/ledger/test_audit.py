"""The audit: a good log has no faults, each kind of tampering is found, and what members tried is listed."""

import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.given_ledger import DAY, HOUR, NOON, Consortium
from ledger.ledgers import Time, log_signer, remote, witness_signer
from safeweave.ledger.audit import AuditReport, Disclosed, Fault, LogFile, Noted, audit
from safeweave.ledger.checkpoint import Checkpoint, TrustRoots, encode_hash, sign_checkpoint
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final
from safeweave.ledger.merkle import Growing, hashes_of, inclusion_spans, leaf_hash, root_of
from safeweave.ledger.operation import fresh_id, items_of
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.witness import Witness
from safeweave.words import knows
from waiting import PATIENCE


class Log:
    """A log with some history in it, closed whenever it is audited."""

    def __init__(self, folder: Path, members: Consortium) -> None:
        self.file, self.members, self.time = folder / "log.sqlite", members, Time()
        self.say(*members.beginning())
        bills = [(fresh_id(), 1) for _ in range(3)]
        self.ticket = members.hospital.ticket(members.insurer, *bills)
        self.consent = fresh_id()
        self.say(
            members.hospital.grants(members.insurer, self.consent),
            members.insurer.reserves(self.ticket),
            members.insurer.settles(*items_of(self.ticket)[:2]),
            members.hospital.anchors(fresh_id(), 1),
        )

    def say(self, *signed: object) -> None:
        ledger = EmbeddedLedger(self.file, log_signer(), self.time)
        for id in ledger.submit(signed):  # type: ignore[arg-type]
            assert isinstance(ledger.outcome(id, PATIENCE), Final), ledger.outcome(id, 0)
        self.roots = ledger.roots()
        ledger.close()

    def audit(self, *disclosed: Disclosed, **limits: int) -> AuditReport:
        log = LogFile(self.file)
        try:
            return audit(log, self.roots, disclosed, **limits)
        finally:
            log.close()

    def change(self, sql: str, *values: object) -> None:
        with sqlite3.connect(self.file) as database:
            assert database.execute(sql, values).rowcount > 0
        database.close()

    def rewrite(self, number: int, old: bytes, new: bytes) -> None:
        """What a dishonest operator would do: change an entry, and sign the whole log anew."""
        database = sqlite3.connect(self.file)
        body = database.execute("SELECT body FROM entry WHERE number = ?", (number,)).fetchone()[0]
        assert body.count(old) >= 1
        database.execute("UPDATE entry SET body = ? WHERE number = ?", (body.replace(old, new), number))
        bodies = [row[0] for row in database.execute("SELECT body FROM entry ORDER BY number")]
        sizes = [row[0] for row in database.execute("SELECT size FROM checkpoint WHERE size > 0")]
        for size in sizes:
            root = root_of([leaf_hash(body) for body in bodies[:size]])
            note = sign_checkpoint(Checkpoint(self.roots.origin, size, root, NOON), log_signer())
            database.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note.text(), size))
        database.commit()
        database.close()


@pytest.fixture
def log(tmp_path: Path, members: Consortium) -> Log:
    return Log(tmp_path, members)


def faults(report: AuditReport) -> set[str]:
    return {finding.what for finding in report.faults}


def noted(report: AuditReport) -> list[str]:
    return [finding.what for finding in report.noted]


def test_a_good_log_has_no_faults(log: Log) -> None:
    report = log.audit()
    assert (report.faults, report.noted, report.size) == ((), (), 9)
    assert report.kinds == {"found": 1, "put_member": 4, "grant_consent": 1, "reserve": 1, "settle": 1, "anchor": 1}


def test_what_the_operator_writes_during_an_audit_is_no_fault_and_is_audited_the_next_time(log: Log) -> None:
    under_audit = LogFile(log.file)
    log.say(log.members.hospital.anchors(fresh_id(), 1))
    report = audit(under_audit, log.roots)
    under_audit.close()
    assert (report.faults, report.size) == ((), 9)
    assert (log.audit().faults, log.audit().size) == ((), 10)


def test_an_entry_that_was_changed_does_not_fit_its_checkpoint(log: Log) -> None:
    body = sqlite3.connect(log.file).execute("SELECT body FROM entry WHERE number = 6").fetchone()[0]
    log.change("UPDATE entry SET body = ? WHERE number = 6", body.replace(b"RESERVED", b"HELD", 1))
    assert faults(log.audit()) == {"checkpoint_differs", "results_differ", "state_differs"}


def test_a_whole_log_signed_anew_still_breaks_the_rules(log: Log) -> None:
    log.rewrite(6, b'"RESERVED"', b'"HELD"')
    assert "results_differ" in faults(log.audit())
    log.rewrite(5, log.consent.encode(), fresh_id().encode())
    assert "rule_broken" in faults(log.audit())  # the hospital never signed that


def test_an_entry_put_in_by_the_operator_is_seen(log: Log) -> None:
    log.rewrite(8, b'"number":8', b'"number":7')
    assert faults(log.audit()) == {"entry_out_of_place", "state_differs"}
    log.rewrite(8, b'"number":7', b'"numbr":7')
    assert faults(log.audit()) == {"entry_unreadable", "state_differs"}


def test_a_repeated_entry_is_seen(log: Log) -> None:
    database = sqlite3.connect(log.file)
    body = database.execute("SELECT body FROM entry WHERE number = 5").fetchone()[0]
    database.execute("UPDATE entry SET body = ? WHERE number = 8", (body.replace(b'"number":5', b'"number":8'),))
    database.commit()
    database.close()
    log.rewrite(8, b'"number":8', b'"number":8')
    assert {"entry_repeated", "rule_broken"} <= faults(log.audit())


def test_time_that_goes_back_is_seen(log: Log) -> None:
    log.rewrite(8, b'"time":%d' % NOON, b'"time":%d' % (NOON - HOUR))
    assert "time_went_back" in faults(log.audit())


def test_entries_cut_off_the_end_are_missed(log: Log) -> None:
    log.change("DELETE FROM entry WHERE number = 8")
    assert "entries_missing" in faults(log.audit())


def test_a_checkpoint_of_somebody_else_is_not_believed(log: Log) -> None:
    note = sign_checkpoint(Checkpoint(log.roots.origin, 9, bytes(32), NOON), witness_signer(0))
    log.change("UPDATE checkpoint SET note = ? WHERE size = 9", note.text())
    assert faults(log.audit()) == {"checkpoint_differs", "checkpoint_unsigned"}


def test_a_ledger_with_another_founding_is_seen(log: Log) -> None:
    log.roots = msgspec.structs.replace(log.roots, founding=fresh_id())
    assert faults(log.audit()) == {"founding_differs"}


def test_a_stored_state_that_was_changed_is_seen(log: Log) -> None:
    database = sqlite3.connect(log.file)
    key, body = database.execute("SELECT key, body FROM record WHERE substr(key, 1, 1) = ?", (b"u",)).fetchone()
    database.close()
    raw = bytes([body[4] ^ 1]) + body[5:]
    log.change("UPDATE record SET body = ? WHERE key = ?", zlib.crc32(raw).to_bytes(4, "big") + raw, key)
    assert faults(log.audit()) == {"state_differs"}
    log.change("UPDATE record SET body = ? WHERE key = ?", body[:4] + raw, key)
    assert faults(log.audit()) == {"state_unreadable"}
    log.change("DELETE FROM record WHERE key = ?", key)
    assert faults(log.audit()) == {"state_differs"}


def test_attempts_to_claim_twice_are_listed_with_who_held_the_bill(log: Log) -> None:
    members, items = log.members, items_of(log.ticket)
    theirs = members.hospital.ticket(members.other_insurer, *[(item.nullifier, 1) for item in items])
    log.say(members.other_insurer.reserves(theirs))
    report = log.audit()
    assert report.faults == ()
    assert noted(report) == ["claimed_twice"] * 3
    assert {(f.number, f.by, f.detail) for f in report.noted} == {(9, members.other_insurer.id, members.insurer.id)}
    assert [f.item for f in report.noted] == items


def test_attempts_without_a_ticket_on_a_reversed_bill_and_late_releases_are_listed(log: Log) -> None:
    members = log.members
    stolen = msgspec.structs.replace(log.ticket, holder=members.other_insurer.id)
    log.say(
        members.other_insurer.reserves(stolen),
        members.hospital.voids(log.ticket.nullifiers[2]),
        members.insurer.reserves(members.hospital.ticket(members.insurer, (log.ticket.nullifiers[2], 1))),
        members.insurer.releases(items_of(log.ticket)[0]),
    )
    assert noted(log.audit()) == ["without_ticket"] * 3 + ["reversed_claimed", "released_after_settling"]


def disclosed(log: Log, happened_at: int) -> tuple[Disclosed, str]:
    """A document among five under one root, as its sender shows it, and the root."""
    leaves = [leaf_hash(fresh_id().encode()) for _ in range(5)]
    nodes, growing = {}, Growing()
    for leaf in leaves:
        nodes.update(growing.append(leaf))
    path = hashes_of(inclusion_spans(2, 5), lambda numbers: {number: nodes[number] for number in numbers})
    height = log.audit().size
    shown = Disclosed(
        leaves[2].hex(), 2, tuple(encode_hash(hash) for hash in path), growing.root().hex(), log.consent, height,
        log.time.seconds, happened_at,
    )  # fmt: skip
    return shown, growing.root().hex()


def test_a_document_under_a_consent_and_in_time_is_fine(log: Log) -> None:
    shown, root = disclosed(log, NOON)
    log.say(log.members.hospital.anchors(fresh_id(), 1, root, 5))
    assert noted(log.audit(shown)) == []


def test_a_document_anchored_after_the_consent_was_revoked_is_listed(log: Log) -> None:
    shown, root = disclosed(log, NOON)
    log.say(log.members.insurer.revokes(log.consent))
    log.time.passes(HOUR)
    log.say(log.members.hospital.anchors(fresh_id(), 1, root, 5))
    assert noted(log.audit(shown)) == ["exchange_after_revocation"]
    assert noted(log.audit(shown, grace_seconds=HOUR)) == []


def test_a_late_document_and_one_without_consent_or_anchor_are_listed(log: Log) -> None:
    shown, root = disclosed(log, NOON - 2 * DAY)
    assert noted(log.audit(shown)) == ["exchange_unanchored"]
    log.say(log.members.hospital.anchors(fresh_id(), 1, root, 5))
    assert noted(log.audit(shown)) == ["exchange_late"]
    early = msgspec.structs.replace(shown, checked_height=2)
    assert noted(log.audit(early, late_seconds=3 * DAY)) == ["exchange_without_consent"]
    other = msgspec.structs.replace(shown, digest=fresh_id())
    assert noted(log.audit(other)) == ["exchange_unanchored"]


@pytest.fixture
def cosigned(tmp_path: Path, members: Consortium) -> Iterator[tuple[LogFile, TrustRoots]]:
    witnesses = [Witness(tmp_path / f"w{n}", witness_signer(n), [log_signer().key]) for n in range(4)]
    ledger = EmbeddedLedger(tmp_path / "log.sqlite", log_signer(), Time(), witnesses, 3)
    for id in ledger.submit(members.beginning()):
        assert isinstance(ledger.outcome(id, PATIENCE), Final)
    roots = ledger.roots()
    ledger.close()
    yield (log := LogFile(tmp_path / "log.sqlite")), roots
    log.close()
    for witness in witnesses:
        witness.close()


def test_the_witnesses_are_counted(cosigned: tuple[LogFile, TrustRoots]) -> None:
    log, roots = cosigned
    report = audit(log, roots)
    assert (report.faults, report.noted) == ((), ())
    assert sorted(seen.size for seen in report.witnesses)[1:] == [5, 5, 5]


def test_a_log_without_enough_cosignatures_is_noted(log: Log) -> None:
    witnesses = tuple(str(witness_signer(n).key) for n in range(4))
    log.roots = msgspec.structs.replace(log.roots, witnesses=witnesses, quorum=3)
    assert noted(log.audit()) == ["not_cosigned"]


def test_the_log_of_another_operator_is_audited_over_http(tmp_path: Path, members: Consortium) -> None:
    with remote(tmp_path, members) as running:
        ledger = running.ledger_of(members.insurer)
        assert isinstance(ledger, RemoteLedger)
        roots = running.roots()
        assert roots
        report = audit(ledger, roots)
    assert (report.faults, report.size) == ((), 5)


def test_every_finding_has_words_in_both_languages(log: Log) -> None:
    from typing import get_args

    assert [what for what in (*get_args(Fault), *get_args(Noted)) if not knows(f"ledger.finding.{what}")] == []
    log.roots = msgspec.structs.replace(log.roots, founding=fresh_id())
    report = log.audit()
    assert any("trust roots" in line for line in report.text("en"))
    assert any("信任根" in line for line in report.text("zh"))
