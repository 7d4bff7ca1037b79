"""Asking witnesses to cosign the newest checkpoint, round after round, until enough have.

A round is about one checkpoint and ends when a quorum has cosigned it, or nobody is left to answer. Whoever is slow is
not waited for; whoever is silent is asked again, in the next round or a second later. So one witness may be away.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event, Lock, Thread
from typing import Protocol

import msgspec

from safeweave.clock import seconds_running
from safeweave.errors import SafeweaveError
from safeweave.ledger.checkpoint import Checkpoint, Note, NoteKey, read_checkpoint
from safeweave.ledger.operation import Said

log = logging.getLogger("safeweave.ledger")

ROUND_SECONDS = 2.0  # how long a round waits for those that have not answered
LONGEST_PAUSE = 1.0  # between rounds that found no quorum


class Behind(SafeweaveError):
    """The witness remembers another size than we said; `size` is the one it remembers."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness has seen a log of {size} entries")
        self.size = size


class CosigningRefused(SafeweaveError):
    """The witness does not cosign: this is not what it saw before, grown, or the operator has not signed it."""


class AskedWitness(Protocol):
    """A witness as the operator sees it."""

    key: NoteKey

    def add(self, note: str, old: int, path: Sequence[bytes]) -> str:
        """Its cosignature line under this checkpoint, which follows from the one of `old` entries by `path`.

        Raises Behind, CosigningRefused, or Unavailable.
        """
        ...


class Standing(Said):
    """How a witness does: how far it has cosigned, and what it said last if that was no cosignature."""

    name: str
    size: int = 0
    fault: str = ""


class Cosigning:
    """The rounds, in a thread of their own."""

    def __init__(
        self,
        witnesses: Sequence[AskedWitness],
        quorum: int,
        newest: Callable[[], Note],
        path: Callable[[int, int], list[bytes]],
        publish: Callable[[Note], None],
    ) -> None:
        """`newest` gives what to cosign, `path` a consistency proof; `publish` takes what a quorum cosigned."""
        self._witnesses, self._quorum = list(witnesses), quorum
        self._newest, self._path, self._publish = newest, path, publish
        self._standing = {w.key.name: Standing(w.key.name) for w in witnesses}
        self._wake, self._closed, self._lock = Event(), Event(), Lock()
        self._asking: dict[str, Future[str | None]] = {}
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(witnesses)), thread_name_prefix="witness")
        self._thread = Thread(target=self._run, name="cosigning", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is a newer checkpoint."""
        self._wake.set()

    def standing(self) -> list[Standing]:
        """How each witness does."""
        with self._lock:
            return list(self._standing.values())

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        done, pause = "", 0.02
        self._wake.set()
        while not self._closed.is_set():
            self._wake.wait(LONGEST_PAUSE)
            self._wake.clear()
            note = self._newest()
            if self._closed.is_set():
                break
            if note.body == done:
                self._ask_idle(note, only_behind=True)
                continue
            try:
                cosigned = self._round(note)
            except Exception:
                log.exception("a round of cosigning failed")
                cosigned = None
            if cosigned is not None:
                self._publish(cosigned)
                done, pause = note.body, 0.02
            else:
                self._closed.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                self._wake.set()

    def _round(self, note: Note) -> Note | None:
        until = seconds_running() + ROUND_SECONDS
        asked = self._ask_idle(note)
        lines: list[str] = []
        while asked and len(lines) < self._quorum and not self._closed.is_set():
            left = until - seconds_running()
            done, asked = wait(asked, timeout=max(0.0, left), return_when=FIRST_COMPLETED)
            if not done:
                break
            lines += [line for line in (future.result() for future in done) if line is not None]
        if len(lines) < self._quorum:
            return None
        return msgspec.structs.replace(note, lines=(*note.lines, *lines))

    def _ask_idle(self, note: Note, only_behind: bool = False) -> set[Future[str | None]]:
        """Ask those that are not answering an earlier question, or of these those that have not seen so much yet."""
        checkpoint = read_checkpoint(note)
        asked: set[Future[str | None]] = set()
        for witness in self._witnesses:
            name = witness.key.name
            before, is_behind = self._asking.get(name), self._standing[name].size < checkpoint.size
            if (before is None or before.done()) and (is_behind or self._standing[name].fault or not only_behind):
                self._asking[name] = self._pool.submit(self._ask, witness, note, checkpoint)
                asked.add(self._asking[name])
        return asked

    def _ask(self, witness: AskedWitness, note: Note, checkpoint: Checkpoint) -> str | None:
        name = witness.key.name
        old = self._standing[name].size
        try:
            try:
                line = self._added(witness, note, checkpoint, min(old, checkpoint.size))
            except Behind as behind:
                if behind.size > checkpoint.size:
                    raise CosigningRefused(
                        f"it has seen {behind.size} entries, this log has {checkpoint.size}: was an old copy restored?"
                    ) from None
                line = self._added(witness, note, checkpoint, behind.size)
            signed = msgspec.structs.replace(note, lines=(line,))
            if signed.signed_at(witness.key) is None:
                raise CosigningRefused("it answered with something else than its cosignature")
        except SafeweaveError as fault:
            self._stands(name, old, str(fault))
            return None
        self._stands(name, checkpoint.size, "")
        return line

    def _added(self, witness: AskedWitness, note: Note, checkpoint: Checkpoint, old: int) -> str:
        path = self._path(old, checkpoint.size) if 0 < old < checkpoint.size else []
        return witness.add(note.text(), old, path)

    def _stands(self, name: str, size: int, fault: str) -> None:
        with self._lock:
            changed = self._standing[name].fault != fault
            self._standing[name] = Standing(name, size, fault)
        if fault and changed:
            log.warning("witness %s does not cosign: %s", name, fault)
