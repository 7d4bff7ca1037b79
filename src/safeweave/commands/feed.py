"""`safeweave feed`: hospital data from files, through the same door and flow as everything else."""

import argparse
import hashlib
import logging
import lzma
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from safeweave import outbox, people
from safeweave.cases import store
from safeweave.cases.store import HospitalRow
from safeweave.commands.screen import print_json
from safeweave.coverage.policy import Change, Insured, Payee
from safeweave.coverage.store import (
    Head,
    add_changes,
    add_insureds,
    add_payees,
    add_policies,
    policies_by_number,
    policy_id,
)
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken, NotFound
from safeweave.events import AdmissionReported, BillIssued, Event, OutpatientVisited, PatientDischarged, PersonSeen
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Sender
from safeweave.exchange.inbound import Arrived, Fault, Receipt
from safeweave.exchange.profiles import Profile, profile_of
from safeweave.facts import Fact
from safeweave.ids import PersonId
from safeweave.node import Node, open_node
from safeweave.people import Guardianship, Held, Particulars, Saved
from safeweave.settings import Settings
from safeweave.words import say

BYTES_IN_A_BATCH = 12_000_000
FILES = Sender(id="files", hospital="")  # whoever feeds files vouches for them; each still is what it says it is

log = logging.getLogger("safeweave.feed")


class Tally(Fact):
    """What a feed came to; `stays_*` and `eobs_agree` count what stands now for the messages that were fed.

    `refused` messages are kept for repair, and so is each of the `breaks`: a part of an archive that cannot be read.
    `crashed` counts what failed on our side: messages a reader failed on, work that was parked.
    """

    patients: int
    stays_opened: int
    stays_closed: int
    eobs: int
    eobs_agree: int
    messages: int
    refused: int
    crashed: int
    events_new: int
    breaks: int = 0


class Break(Fact):
    """A place in an archive where something cannot be read."""

    archive: str
    after: int  # members read before it
    why: str

    def refused(self, sender: Sender) -> Arrived:
        """What the repair list holds of it."""
        place = f"{self.archive}, after member {self.after}"
        fault = Fault(f"{self.why}; all else of the archive was taken. Fetch it again and feed it again", field=place)
        return Arrived(f"{place}: {self.why}".encode(), sender, None, fault)


def feed(settings: Settings, asked: argparse.Namespace) -> int:
    """Take every file, follow everything it tells, and say what it came to."""
    node = open_node(settings)
    try:
        tally = feed_paths(node, asked.path, asked.sender, show_progress=not asked.json and sys.stderr.isatty())
    finally:
        node.close()
    counts = {name: getattr(tally, name) for name in Tally.__struct_fields__}
    if asked.json:
        print_json(counts)
    else:
        agree = say("cli.feed.eobs", settings.language, **counts) if tally.eobs else ""
        print(say("cli.feed.stays", settings.language, **counts) + agree)
        print(say("cli.feed.done", settings.language, **counts))
        if tally.crashed or tally.breaks:
            print(say("cli.feed.broken", settings.language, **counts))
    return 0 if tally.crashed == tally.breaks == 0 else 1


def feed_paths(node: Node, paths: Sequence[Path], sender_id: str | None, show_progress: bool = False) -> Tally:
    """Feed these files, folders and archives to a node; NotFound if there is nothing to read or no such sender."""
    named = _registered(node, sender_id) if sender_id else None
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise NotFound(say("cli.feed.nothing", node.settings.language, path=", ".join(map(str, paths))))
    desk = _Desk(node)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show_progress) as bar:
        task = bar.add_task(say("cli.feed.reading", node.settings.language), total=sum(f.stat().st_size for f in files))
        done = 0
        for file in files:
            for found, position in _messages(file, node.limits.max_bytes):
                desk.add(found, named)
                bar.update(task, completed=done + position)
            done += file.stat().st_size
        desk.finish()
    return desk.tally()


def _registered(node: Node, sender_id: str) -> Sender:
    with node.database.reading() as tx:
        known = senders.every(tx)
    if sender_id not in known:
        raise NotFound(say("cli.feed.no_sender", node.settings.language, sender=sender_id))
    return known[sender_id]


def _files(path: Path) -> list[Path]:
    """The files to read under a path, in order; notes that accompany data are left out."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and not _is_a_note(file))
    return [path] if path.is_file() else []


def _is_a_note(file: Path) -> bool:
    return file.name.startswith(".") or file.suffix.lower() == ".md"


ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_BROKEN = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError)


class _Header(tarfile.TarInfo):
    """A member's header; its archive notes what stands in place of one, and then looks for the next."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        assert isinstance(archive, _Archive)
        try:
            found = super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # the kinds are no public names of tarfile
            archive.has_ended = archive.has_ended or kind == "EOFHeaderError"
            archive.damaged_blocks += kind in ("InvalidHeaderError", "TruncatedHeaderError")
            raise
        archive.has_ended = False
        return found


class _Archive(tarfile.TarFile):
    """An archive in which a damaged member does not hide those behind it."""

    tarinfo = _Header
    damaged_blocks = 0
    has_ended = False  # whether its end mark has been read


def _messages(file: Path, max_bytes: int) -> Iterator[tuple[bytes | Break, int]]:
    """Every message of a file, and how far into the file we are; archives as they unfold, with their breaks.

    No more of a message is read than can be taken.
    """
    size = file.stat().st_size
    if not _is_archive(file):
        with file.open("rb") as content:
            yield content.read(max_bytes + 1), size
        return
    read, skipped = 0, 0
    try:
        with file.open("rb") as packed, _Archive.open(fileobj=packed, ignore_zeros=True) as archive:
            assert isinstance(archive, _Archive)
            for member in archive:
                if archive.damaged_blocks > skipped:
                    yield Break(file.name, read, _damaged(archive.damaged_blocks - skipped)), packed.tell()
                    skipped = archive.damaged_blocks
                unfolded = archive.extractfile(member) if member.isfile() else None
                if unfolded is not None and not _is_a_note(Path(member.name)):
                    yield unfolded.read(max_bytes + 1), packed.tell()
                read += 1
            if archive.damaged_blocks > skipped:
                yield Break(file.name, read, _damaged(archive.damaged_blocks - skipped)), size
            elif not archive.has_ended:
                yield Break(file.name, read, "the archive breaks off (it has no end mark)"), size
    except _BROKEN as broken:
        yield Break(file.name, read, f"the archive breaks off ({broken})"), size
    except OSError as error:
        if error.errno is not None:  # those of gzip and bz2 about what they unpack have none
            raise
        yield Break(file.name, read, f"the archive breaks off ({error})"), size


def _damaged(blocks: int) -> str:
    return f"{blocks * tarfile.BLOCKSIZE} bytes are no member of an archive"


def _is_archive(file: Path) -> bool:
    try:
        return file.name.lower().endswith(ARCHIVES) or tarfile.is_tarfile(file)
    except (*_BROKEN, OSError):
        return False  # packed, and broken off before its first member


Mark = tuple[object, ...]


def _marks(sender: str, visit: str, person: PersonSeen) -> set[Mark]:
    """What tells this patient from others: numbers and the visit, or where there is neither, the name and birth.

    A resident number is the same everywhere, any other number is its sender's. A bill may name the medical record
    without its issuer: the visit joins them.
    """
    marks: set[Mark] = {
        (each.kind, each.number) if each.kind == "resident_id" else (sender, each) for each in person.identifiers
    }
    if visit:
        marks.add((sender, visit))
    return marks or {(sender, person.name, person.birth)}


class _Desk:
    """Gathers messages into batches and counts what becomes of them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.waiting: list[tuple[Arrived, Profile | None]] = []
        self.waiting_bytes = 0
        self.known: set[str] = set()
        self.messages = self.refused = self.crashed = self.events_new = self.breaks = 0
        self.parked_before = self._parked()
        self.patients: dict[Mark, set[Mark]] = {}  # by each mark of a patient, all of them
        self.visits: dict[tuple[str, str], bool] = {}  # by (sender, visit): whether it is a stay
        self.eobs: list[tuple[str, str, int]] = []  # sender, bill number, paid
        self.visit_of: dict[tuple[str, str], str] = {}  # by (sender, bill number)

    def add(self, found: bytes | Break, named: Sender | None) -> None:
        self.messages += 1
        if isinstance(found, Break):
            self.breaks += 1
            self.waiting.append((found.refused(named or FILES), None))
            return
        raw, profile = found, None if named else profile_of(found)
        sender = named or (profile.sender if profile else FILES)
        try:
            arrived = inbound.open_message(raw, sender, self.node.limits)
        except (
            Exception
        ) as error:  # a reader that fails is our fault: it is counted, kept and said, and the feed goes on
            log.exception("reading message %d failed", self.messages)
            self.crashed += 1
            arrived = Arrived(
                raw, sender, None, Fault(f"our reader failed ({type(error).__name__}); it is kept for repair")
            )
        if sender is FILES and arrived.reading is not None:  # loose files of many origins: each is known by its content
            arrived = known_by_content(arrived)
        self.waiting.append((arrived, profile))
        self.waiting_bytes += len(raw)
        if self.waiting_bytes >= BYTES_IN_A_BATCH:
            self._work()

    def finish(self) -> None:
        self._work()
        self.node.worker.drain()

    def tally(self) -> Tally:
        """What stands now for everything that was fed."""
        opened = closed = agree = 0
        with self.node.database.reading() as tx:
            stages: dict[tuple[str, str], str] = {}
            payables: dict[tuple[str, str], int] = {}
            for sender in {sender for sender, _ in self.visits}:
                stages |= {(sender, visit): stage for visit, stage in store.stages_of(tx, sender)}
                payables |= {(sender, visit): fen for visit, fen in self.node.adjudicator.payable_by_visit(tx, sender)}
        for key, is_stay in self.visits.items():
            if is_stay and key in stages:
                opened += 1
                closed += stages[key] == "closed"
        for sender, bill, paid in self.eobs:
            agree += payables.get((sender, self.visit_of.get((sender, bill), ""))) == paid
        return Tally(
            len({id(marks) for marks in self.patients.values()}),
            opened,
            closed,
            len(self.eobs),
            agree,
            self.messages,
            self.refused,
            self.crashed + max(self._parked() - self.parked_before, 0),
            self.events_new,
            self.breaks,
        )

    def _parked(self) -> int:
        with self.node.database.reading() as tx:
            return len(outbox.parked(tx))

    def _work(self) -> None:
        batch, self.waiting, self.waiting_bytes = self.waiting, [], 0
        if not batch:
            return
        now = self.node.clock()

        def write(tx: Transaction) -> tuple[list[Receipt], Sequence[Event], datetime]:
            self._insure(tx, batch, now)
            receipts, told = inbound.take(tx, [arrived for arrived, _ in batch], now)
            return receipts, told, now

        receipts = self.node.worker.accept(write, beside=False)  # it may register persons and policies
        for (arrived, _), receipt in zip(batch, receipts, strict=True):
            self.refused += receipt.status in ("refused", "conflict")
            self.events_new += receipt.events
            self._note(arrived)
        banks = [lane for lane in self.node.worker.lanes if lane.startswith("bank")]
        while sum(self.node.worker.call_out(lane) for lane in banks):
            pass

    def _note(self, arrived: Arrived) -> None:
        if arrived.reading is None:
            return
        sender = arrived.sender.id
        for event in arrived.reading.events:
            if isinstance(event, AdmissionReported | PatientDischarged | OutpatientVisited):
                is_stay = not isinstance(event, OutpatientVisited)
                self.visits[sender, event.visit] = is_stay or self.visits.get((sender, event.visit), False)
            if isinstance(event, BillIssued):
                self.visit_of[sender, event.bill.number] = event.visit
            person = getattr(event, "person", None)
            if person is not None and not any("*" in each.number for each in person.identifiers):
                self._meet(_marks(sender, event.visit, person))
        self.eobs += [(sender, eob.claim, eob.paid) for eob in arrived.reading.eobs]

    def _meet(self, marks: set[Mark]) -> None:
        """These are of one patient, and so is whatever shares one of them."""
        known = [self.patients[mark] for mark in marks if mark in self.patients]
        one = max(known, key=len, default=set[Mark]())
        for mark in marks.union(*(others for others in known if others is not one)) - one:
            one.add(mark)
            self.patients[mark] = one

    def _insure(self, tx: Transaction, batch: Sequence[tuple[Arrived, Profile | None]], now: datetime) -> None:
        """Register the senders of this batch, and give the patients of a known source its back-test cover."""
        speaking = {arrived.sender.id: (arrived.sender, profile) for arrived, profile in batch}
        tx.committed.append(lambda: self.known.update(speaking))
        for sender, profile in speaking.values():
            if sender.id not in self.known:
                senders.save(tx, [(sender, None)])
                if profile:
                    at = profile.hospital
                    store.save_hospitals(tx, [HospitalRow(at.code, at.name, at.name_en, at.level, at.public, None)])
        for profile in {profile.recognised_by: profile for _, profile in batch if profile}.values():
            seen = {
                _record_of(person): person
                for arrived, own in batch if own == profile and arrived.reading
                for event in arrived.reading.events
                if (person := getattr(event, "person", None)) is not None and _record_of(person)
            }  # fmt: skip
            _insure_for_back_test(tx, profile, seen, now)


def _registered_as(saved: Saved) -> PersonId:
    if saved.person is None:
        raise InvariantBroken(f"a patient of the data set cannot be registered ({saved.conflict})")
    return saved.person


def known_by_content(arrived: Arrived) -> Arrived:
    """The message under an id made of its bytes, where the sender's own ids and numbering mean nothing."""
    assert arrived.reading is not None
    digest = hashlib.sha256(arrived.raw).hexdigest()
    reading = msgspec.structs.replace(arrived.reading, control_id=digest, sequence=None)
    return msgspec.structs.replace(arrived, reading=reading)


def _record_of(person: PersonSeen) -> tuple[str, str] | None:
    """The medical record (issuer, number) that tells this patient from all others of the source."""
    return next(((i.issuer, i.number) for i in person.identifiers if i.kind == "mr"), None)


def _insure_for_back_test(
    tx: Transaction, profile: Profile, seen: dict[tuple[str, str] | None, PersonSeen], now: datetime
) -> None:
    numbers = {f"{profile.sender.id}-{record[1]}": (record, person) for record, person in seen.items() if record}
    known = policies_by_number(tx, list(numbers))
    new = {number: found for number, found in numbers.items() if number not in known}
    if not new:
        return
    cover = profile.cover
    saved = people.save_people(
        tx,
        [
            Particulars(cover.guardian, (Held("birth_certificate", profile.sender.id),), cover.first_day, "F"),
            *(
                Particulars(person.name, (Held("birth_certificate", record[1]),), person.birth, person.sex or "F")
                for record, person in new.values()
            ),
        ],
        now,
    )
    guardian, *patients = [_registered_as(person) for person in saved]
    ids = dict(zip(new, patients, strict=True))
    people.add_guardianships(
        tx, [Guardianship(ids[number], guardian, "back-test", cover.first_day) for number in new], now
    )
    add_policies(tx, [Head(number, cover.product, ids[number], cover.bank) for number in new], now)
    add_changes(tx, [(policy_id(number), Change("period", cover.first_day, cover.last_day)) for number in new], now)
    add_insureds(tx, [(policy_id(number), Insured(ids[number], enrolled=False)) for number in new], now)
    add_payees(
        tx,
        [
            (policy_id(number), ids[number], Payee(role, person.name, cover.account, ""))
            for number, (_, person) in new.items()
            for role in ("insured", "guardian", "estate")
        ],
        now,
    )
    people.remember_medical_record(tx, [(*new[number][0], ids[number]) for number in new], now)
