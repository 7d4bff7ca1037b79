"""The log of another operator over HTTP, believed only as far as it can be checked.

Every final outcome and every event is proved to be in a log whose checkpoint the operator and enough witnesses signed,
and that log must have grown from the one seen before. A refusal, and what reads of the state say (a member, a consent,
a nullifier), is the operator's word; the audit checks it against the log. Silence is an unknown outcome.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from safeweave.asking import Asking, Reply
from safeweave.clock import pause, seconds_running
from safeweave.errors import Malformed, NotFound, Unavailable
from safeweave.ledger.checkpoint import (
    Checkpoint,
    TrustRoots,
    decode_hash,
    read_checkpoint,
    read_note,
    trusted_checkpoint,
)
from safeweave.ledger.entry import event_of
from safeweave.ledger.ledger import (
    AnchorRecord,
    ConsentFound,
    Event,
    Final,
    Head,
    LogEvidence,
    MemberRecord,
    Outcome,
    Proof,
    Refused,
    Unknown,
    UseRecord,
)
from safeweave.ledger.merkle import is_consistent
from safeweave.ledger.operation import OperationId, SignedOperation, operation_id, read_signed, write_signed
from safeweave.ledger.proof import Untrusted, entry_under, verify
from safeweave.ledger.wire import MOST_ENTRIES, MOST_OPERATIONS, ConsentTold, EntriesTold, HeadTold, OutcomeTold

log = logging.getLogger("safeweave.ledger")

RETRY_SECONDS = 0.2


class RemoteLedger:
    """A client of the log at `url`. What it saw last is kept in `seen`, so that an older or other log is noticed."""

    def __init__(self, url: str, roots: TrustRoots, seen: Path | None = None, seconds: float = 10.0) -> None:
        """Raises Malformed if the trust roots cannot be read, or `seen`: delete that file to begin without a memory."""
        roots.keys()
        self._roots, self._seconds = roots, seconds
        self._url, self._client = url.rstrip("/"), Asking(seconds)
        self._lock, self._seen_file = Lock(), seen
        self._seen: Checkpoint | None = None
        self._seen_text = ""
        self._malformed: dict[OperationId, Refused] = {}
        self._told: dict[str, tuple[int, MemberRecord]] = {}  # with consents, by height
        if seen and seen.exists():
            self._seen = trusted_checkpoint(seen.read_text(encoding="utf-8"), roots)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def submit(self, signed: Sequence[SignedOperation]) -> list[OperationId]:
        """Hand these in; silence is no fault here, `outcome` says what is known."""
        ids = [operation_id(one.operation) for one in signed]
        fit: list[SignedOperation] = []
        for id, one in zip(ids, signed, strict=True):
            try:
                fit.append(read_signed(write_signed(one)))
            except Malformed as fault:
                self._malformed[id] = Refused("malformed", str(fault))
        for start in range(0, len(fit), MOST_OPERATIONS):
            try:
                self._handed(fit[start : start + MOST_OPERATIONS])
            except Unavailable as silence:
                log.warning("%s operations may not have been heard: %s", len(fit) - start, silence)
        return ids

    def outcome(self, id: OperationId, seconds: float) -> Outcome:
        """What became of an operation. Untrusted if what the operator calls final is not proved."""
        if id in self._malformed:
            return self._malformed[id]
        until = seconds_running() + seconds
        while True:
            left = max(0.0, until - seconds_running())
            try:
                told = self._asked(f"/operations/{id}", OutcomeTold, {"seconds": left}, seconds=left + self._seconds)
                if not isinstance(told.outcome, Unknown):
                    return self._believed(id, told)
                unknown = told.outcome
            except Unavailable as silence:
                unknown = Unknown(str(silence))
            if seconds_running() >= until:
                return unknown
            pause(min(RETRY_SECONDS, max(0.0, until - seconds_running())))

    def _believed(self, id: OperationId, told: OutcomeTold) -> Outcome:
        outcome, proof = told.outcome, told.proof
        if isinstance(outcome, Final):
            if proof is None or proof.receipt != outcome.receipt or operation_id(proof.signed.operation) != id:
                raise Untrusted(f"the operator calls {id} final and does not prove it")
            verify(proof, self._roots)
            assert isinstance(proof.evidence, LogEvidence)
            self._follow(proof.evidence.checkpoint)
        return outcome

    def head(self) -> Head:
        """The newest final head, which has grown from the one seen before; Untrusted if it has not."""
        with self._lock:
            old = self._seen.size if self._seen else 0
        told: HeadTold = self._asked("/head", HeadTold, {"old": old})
        checkpoint = self._follow(told.head.evidence, old, told.consistency)
        if checkpoint.size < old:
            raise Untrusted(f"the ledger shows {checkpoint.size} entries after it has shown {old}")
        if told.head.height != checkpoint.size or told.head.root != checkpoint.root.hex():
            raise Untrusted("the head is not that of its checkpoint")
        if told.head.time < checkpoint.time:
            raise Untrusted("the head is older than its checkpoint")
        return told.head

    def events(self, after: int, limit: int) -> list[Event]:
        """Final operations after this number, each proved at its place."""
        told = self._asked("/entries", EntriesTold, {"after": after, "limit": min(limit, MOST_ENTRIES)})
        checkpoint = self._follow(told.checkpoint)
        if not told.entries and checkpoint.size > after + 1:
            raise Untrusted(f"the log has {checkpoint.size} entries and the operator shows none after {after}")
        try:
            return [
                event_of(entry_under(one.entry, after + 1 + n, one.path, checkpoint))
                for n, one in enumerate(told.entries)
            ]
        except Malformed as fault:
            raise Untrusted(str(fault)) from None

    def member(self, id: str, at: Head | None = None) -> MemberRecord | None:
        """A member, by the operator's word."""
        with self._lock:
            height, told = self._told.get(id, (-1, None))
        if at is not None and at.height == height:
            return told
        found: MemberRecord | None = self._asked(f"/members/{id}", MemberRecord | None, _at(at))
        return found

    def consent(self, id: str, at: Head | None = None) -> ConsentFound:
        """A consent's state, by the operator's word; the head it names is checked."""
        with self._lock:
            old = self._seen.size if self._seen else 0
        told: ConsentTold = self._asked(f"/consents/{id}", ConsentTold, _at(at) or {"old": old})
        if at is not None:
            return msgspec.structs.replace(told.found, head=at)
        head = told.found.head
        checkpoint = self._follow(head.evidence, old, told.consistency)
        if head.height != checkpoint.size or head.root != checkpoint.root.hex():
            raise Untrusted("the head is not that of its checkpoint")
        with self._lock:
            self._told.update({member.member: (head.height, member) for member in told.members})
        return told.found

    def find_anchor(self, root: str) -> AnchorRecord | None:
        """Who put down this root first, by the operator's word."""
        found: AnchorRecord | None = self._asked(f"/anchors/{root}", AnchorRecord | None)
        return found

    def nullifier(self, issuer: str, nullifier: str, part: int) -> UseRecord:
        """One part of a bill, by the operator's word."""
        found: UseRecord = self._asked(f"/nullifiers/{issuer}/{nullifier}/{part}", UseRecord)
        return found

    def prove(self, id: OperationId) -> Proof | None:
        """Evidence that an operation stands, checked."""
        proof: Proof | None = self._asked(f"/operations/{id}/proof", Proof | None)
        if proof is not None:
            if operation_id(proof.signed.operation) != id:
                raise Untrusted("the proof is of another operation")
            verify(proof, self._roots)
        return proof

    def entries(self, after: int, limit: int) -> list[bytes]:
        """The bytes of final entries after this number, as the audit replays them."""
        told = self._asked("/entries", EntriesTold, {"after": after, "limit": min(limit, MOST_ENTRIES)})
        return [one.entry.encode() for one in told.entries]

    def checkpoints(self) -> list[str]:
        """The newest checkpoint, for the audit."""
        return [self.head().evidence]

    def membership(self) -> list[OperationId]:
        """The operations that say who is a member, in order, by the operator's word."""
        ids: list[OperationId] = self._asked("/membership", list[str])
        return ids

    # ------------------------------------------------------------ asking, and what was seen before

    def _handed(self, signed: Sequence[SignedOperation]) -> None:
        try:
            reply = self._client.post(f"{self._url}/operations", msgspec.json.encode(signed))
        except httpx.HTTPError as error:
            raise Unavailable(f"the ledger does not answer: {error}") from error
        self._read(reply, "/operations", list[str])

    def _asked(
        self, path: str, type: Any, params: Mapping[str, object] | None = None, seconds: float | None = None
    ) -> Any:
        try:
            reply = self._client.get(f"{self._url}{path}{'?' + urlencode(params) if params else ''}", seconds)
        except httpx.HTTPError as error:
            raise Unavailable(f"the ledger does not answer: {error}") from error
        return self._read(reply, path, type)

    def _read(self, reply: Reply, path: str, type: Any) -> Any:
        if reply.status_code >= 500:
            raise Unavailable(f"the ledger is not well: {reply.status_code} {reply.text[:300]}")
        if reply.status_code == 404:
            raise NotFound(f"there is no ledger at {self._url}{path}")
        if reply.status_code != 200:
            raise Malformed(f"the ledger refuses the request: {reply.text[:300]}")
        try:
            return msgspec.json.decode(reply.content, type=type)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise Unavailable(f"what answers there is no ledger: {error}") from None

    def _follow(self, text: str, old: int | None = None, path: Sequence[str] = ()) -> Checkpoint:
        """Believe this checkpoint if it is signed and agrees with the one seen before; Untrusted if not."""
        with self._lock:
            if self._seen and text == self._seen_text:
                return self._seen
            try:
                checkpoint = trusted_checkpoint(text, self._roots)
                seen = self._seen
                if seen is None or (seen.size, seen.root) == (checkpoint.size, checkpoint.root):
                    return self._remember(checkpoint, text)
                first, last = sorted((seen, checkpoint), key=lambda one: one.size)
                if old != first.size or last is not checkpoint:
                    params = {"old": first.size, "size": last.size}
                    path = self._asked("/consistency", list[str], params)
                if not is_consistent(first.size, first.root, last.size, last.root, [decode_hash(one) for one in path]):
                    raise Untrusted(f"the log of {last.size} entries does not begin with the {first.size} seen before")
            except Malformed as fault:
                raise Untrusted(str(fault)) from None
            return self._remember(checkpoint, text) if last is checkpoint else checkpoint

    def _remember(self, checkpoint: Checkpoint, text: str) -> Checkpoint:
        self._seen, self._seen_text = checkpoint, text
        if self._seen_file and read_checkpoint(read_note(text)).size:
            beside = self._seen_file.with_suffix(".new")
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, self._seen_file)
        return checkpoint


def _at(at: Head | None) -> dict[str, int]:
    return {} if at is None else {"height": at.height, "time": at.time}
