"""Carries what is queued to its recipients: sealed once, sent until the recipient's receipt is here.

A delivery is sealed just before it is first sent, with the consent read at the ledger's head of that moment, and is
kept sealed before its last bytes leave: every later try sends the same ones. Before each try the consent is read
again; once it has ended, what was not received is stopped and its bytes are destroyed. One recipient's silence holds
up nobody else.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO, Protocol

import httpx
import msgspec

from safeweave import outbox
from safeweave.asking import Asking
from safeweave.clock import Clock
from safeweave.consortium import store
from safeweave.consortium.answer import MEDIA_TYPE, PATH, Answer, read_answer
from safeweave.consortium.directory import Directory, keys_at
from safeweave.consortium.permission import Covers, Permit, permit
from safeweave.consortium.receiving import committed_to
from safeweave.consortium.spool import Source, side_by_side, spooled
from safeweave.consortium.store import PIECE_BYTES, Outgoing
from safeweave.consortium.why import CONSENT_ENDED, FOR_GOOD, Refused, Why
from safeweave.database import Database, Slot, Transaction
from safeweave.errors import SafeweaveError, StoreUnavailable
from safeweave.keys.commitment import opens
from safeweave.keys.envelope import Cover, Matter, seal_envelope
from safeweave.keys.receipt import SignedReceipt
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import Head

log = logging.getLogger("safeweave.consortium")

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 60.0
LONGEST_WISH_SECONDS = 3600.0  # that a recipient may ask us to wait
WITHHELD_BYTES = 32  # of an envelope, which without them is none, until it is on our own disk
AT_ONCE = 8  # recipients
LINES = 6  # exchanges with one recipient that are served beside each other
IN_A_ROW = 100  # deliveries to one recipient before the others are looked at again
ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.1  # another process may have queued something
STORE_RETRY_SECONDS = 1.0
_SLOT = "deliveries"
_LAST_SECOND = 253_402_300_799  # of the year 9999


def lane_of(member: str) -> str:
    """The lane under which the outbox keeps how this recipient is doing."""
    return f"deliveries/{member}"


class Headers(Protocol):
    """Of an answer, by their names in any case."""

    def get(self, name: str, default: str) -> str: ...


class Response(Protocol):
    """What a recipient answered."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def content(self) -> bytes: ...
    @property
    def text(self) -> str: ...


class Client(Protocol):
    """What brings something to an address; httpx.TransportError or httpx.InvalidURL if nobody answers there."""

    def get(self, url: str) -> Response: ...
    def post(self, url: str, *, content: Iterable[bytes], headers: Mapping[str, str]) -> Response: ...
    def close(self) -> None: ...


class _Gone(Exception):
    """The bytes are not there any more: another process has finished this delivery."""


@dataclass
class Courier:
    """Sends what is queued in this store; `folder` is for what is being sealed.

    `covers` says whether a consent covers a kind of document, as far as this member knows its text; `recorded` notes
    that another member has received a person's record, in the transaction that notes its receipt.
    """

    database: Database
    directory: Directory
    ring: Callable[[], KeyRing]
    clock: Clock
    folder: Path
    covers: Covers = lambda consent, kind: True
    recorded: Callable[[Transaction, Outgoing, datetime], None] = lambda tx, delivery, now: None
    client: Client = field(default_factory=lambda: Asking(ANSWER_SECONDS, CONNECT_SECONDS))
    _stopping: Event = field(default_factory=Event, init=False)
    _woken: Event = field(default_factory=Event, init=False)
    _thread: Thread | None = field(default=None, init=False)
    _lines: ThreadPoolExecutor | None = field(default=None, init=False)
    _keepers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE * LINES, "courier keeper"), init=False
    )

    def check(self, consent: str, recipient: str, kind: str) -> Permit:
        """That a document of this kind may go now; Refused with the reason. Not for use in a transaction."""
        found = permit(self.directory, consent, self.ring().member, recipient)
        if not self.covers(consent, kind):
            raise Refused("not_covered", consent=consent, kind=kind)
        return found

    def put(
        self, tx: Transaction, recipient: str, exchange: str, consent: str, kind: str, content: BinaryIO, now: datetime,
        id: str = "",
    ) -> str:  # fmt: skip
        """Queue a document in this transaction; its id. It asks nobody, so it works whatever is silent.

        The same `id` again changes nothing. Raises Conflict if the exchange goes under another consent.
        """
        tx.committed.append(self.wake)
        return store.queue(tx, recipient, exchange, consent, kind, content, now, id)

    def hurry(self, tx: Transaction, consents: Collection[str], now: datetime) -> None:
        """What waits for these consents of the ledger may be tried at once: they stand there now."""
        tx.committed.append(self.wake)
        store.make_due(tx, consents, now)

    # ------------------------------------------------------------ running

    def start(self) -> None:
        """Send from a thread of its own; of all processes over one store, one sends."""
        self._thread = Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and stop."""
        self._stopping.set()
        self._woken.set()
        if self._thread:
            self._thread.join()
        self._keepers.shutdown()
        self.client.close()

    def wake(self) -> None:
        """Something was queued."""
        self._woken.set()

    def _run(self) -> None:
        slot: Slot | None = None
        busy: dict[str, Future[int]] = {}
        with (
            ThreadPoolExecutor(AT_ONCE, "courier") as pool,
            ThreadPoolExecutor(AT_ONCE * LINES, "courier line") as self._lines,
        ):
            while not self._stopping.is_set():
                self._woken.wait(POLL_SECONDS)
                self._woken.clear()
                try:
                    if slot is None or not slot.still_held():
                        slot = self.database.slot(_SLOT)
                    if slot is None:
                        continue
                    busy = {member: future for member, future in busy.items() if not future.done()}
                    for member in self._due():
                        if member not in busy:
                            busy[member] = pool.submit(self._serve_safely, member)
                except StoreUnavailable as away:
                    log.warning("deliveries wait: %s", away)
                except Exception:
                    log.exception("deliveries wait")
        if slot is not None:
            slot.release()

    def work(self) -> int:
        """Try everything that is due, in the calling thread; how many tries that were."""
        return sum(self._serve(member) for member in self._due())

    def _due(self) -> list[str]:
        now = self.clock()
        with self.database.reading() as tx:
            circuits = outbox.circuits(tx)
            found = store.recipients_due(tx, now)
        closed = {
            member
            for member in found
            if (until := circuits.get(lane_of(member), outbox.Circuit()).open_until) is not None and until > now
        }
        return [member for member in found if member not in closed]

    def _serve_safely(self, member: str) -> int:
        try:
            return self._serve(member)
        except StoreUnavailable as away:
            log.warning("deliveries to %s wait: %s", member, away)
        except Exception as fault:  # neither the recipient's nor the document's: seldom tried, and the others go on
            log.exception("deliveries to %s wait", member)
            self._put_off_all(member, str(fault) or type(fault).__name__)
        self._stopping.wait(STORE_RETRY_SECONDS)
        return 0

    def _put_off_all(self, member: str, what: str) -> None:
        try:
            now, lane = self.clock(), lane_of(member)
            with self.database.transaction(beside=True) as tx:
                until = now + _pause(outbox.circuit(tx, lane).failures)
                for first in store.due(tx, member, now, 1):
                    store.put_off(tx, first.id, Why("fault", {"what": what}), until)
                outbox.no_answer(tx, lane, what, now, until)
        except StoreUnavailable as away:
            log.warning("deliveries to %s wait: %s", member, away)

    def _serve(self, member: str) -> int:
        """Send what is due for one recipient until it is all sent, or the recipient cannot be reached."""
        tries, lines = 0, self._lines
        while tries < IN_A_ROW and not self._stopping.is_set():
            with self.database.reading() as tx:
                found = store.due(tx, member, self.clock(), LINES if lines else 1)
            if not found:
                return tries
            tries += len(found)
            if lines and len(found) > 1:
                under_way = [lines.submit(self._try, delivery) for delivery in found]
                wait(under_way)
                went_on = all(each.result() for each in under_way)
            else:
                went_on = self._try(found[0])
            if not went_on:
                return tries
        self.wake()
        return tries

    # ------------------------------------------------------------ one try

    def _try(self, delivery: Outgoing) -> bool:
        """Try one delivery; whether the next may be tried now."""
        try:
            allowed = self.check(delivery.consent, delivery.recipient, delivery.kind)
            url = self.directory.address(allowed.recipient)
            if delivery.state == "queued":
                return self._send_fresh(delivery, allowed, url)
        except Refused as refused:
            if delivery.state == "sealed" and refused.why.code in CONSENT_ENDED:
                return self._stop(delivery, refused.why)
            return self._not_now(delivery, refused.why)
        except _Gone:
            return True
        return self._send_again(delivery, url)

    def _stop(self, delivery: Outgoing, why: Why) -> bool:
        """The consent ended: send nothing more, but learn first whether an earlier try arrived before that."""
        try:
            url = self.directory.address(self.directory.member(delivery.recipient, self.directory.head()))
            response = self.client.get(f"{url}{PATH}/{delivery.envelope}")
        except Refused as refused:
            return self._not_now(delivery, refused.why)
        except (httpx.HTTPError, httpx.InvalidURL) as silence:
            return self._silent(delivery, Why("silent", {"what": str(silence) or type(silence).__name__}))
        answer = read_answer(response.content)
        if answer and answer.became == "refused":
            return self._not_now(delivery, why)
        return self._answered(delivery, answer, response)

    def _not_now(self, delivery: Outgoing, why: Why) -> bool:
        now = self.clock()
        with self.database.transaction(beside=True) as tx:
            if why.code in CONSENT_ENDED:
                store.note_stopped(tx, delivery.id, why, now)
            elif why.code in FOR_GOOD or why.code in ("not_party", "not_covered"):
                store.note_refused(tx, delivery.id, why)
            else:
                store.put_off(tx, delivery.id, why, now + _pause(delivery.tries))
        return why.code != "ledger_silent"

    def _send_fresh(self, delivery: Outgoing, allowed: Permit, url: str) -> bool:
        """Seal it and send it for the first time; it is kept sealed before its last bytes leave."""
        with spooled(self.folder) as sealed:
            cover = self._seal(delivery, allowed, sealed)
            size = sealed.tell()
            fresh = msgspec.structs.replace(delivery, state="sealed", envelope=cover.digest().hex(), cover=cover)
            reading = side_by_side(sealed)
            kept = self._keepers.submit(self._keep, delivery, reading(), cover, allowed.head)

            def parts() -> Iterator[bytes]:
                source, left = reading(), size - WITHHELD_BYTES
                while left > 0 and (part := source.read(min(left, PIECE_BYTES))):
                    yield part
                    left -= len(part)
                kept.result()
                yield source.read(WITHHELD_BYTES)

            try:
                brought = self._brought(url, parts(), size)
                kept.result()
            except _Gone:
                return True
            finally:
                wait([kept])
        return self._concluded(fresh, brought)

    def _keep(self, delivery: Outgoing, sealed: Source, cover: Cover, head: Head) -> None:
        with self.database.transaction(beside=True) as tx:
            if not store.keep_sealed(tx, delivery.id, sealed, cover, head.time, self.clock()):
                raise _Gone

    def _seal(self, delivery: Outgoing, allowed: Permit, sealed: BinaryIO) -> Cover:
        ring, head = self.ring(), allowed.head
        matter = Matter(
            recipient=delivery.recipient,
            consent=delivery.consent,
            height=head.height,
            exchange=delivery.exchange,
            sequence=delivery.sequence,
            expires_at=datetime.fromtimestamp(min(allowed.consent.expires, _LAST_SECOND), UTC),
            kind=delivery.kind,
        )
        with spooled(self.folder) as content:
            for piece in self._pieces(delivery.id):
                content.write(piece)
            content.seek(0)
            try:
                cover = seal_envelope(content, sealed, matter, ring, keys_at(allowed.recipient, head.height))
            except SafeweaveError as fault:
                raise Refused("unsealable", what=str(fault)) from fault
        if not cover.signed_by(keys_at(allowed.sender, head.height)):
            raise Refused("no_keys", member=ring.member, height=head.height)  # not on the ledger yet
        return cover

    def _send_again(self, delivery: Outgoing, url: str) -> bool:
        with self.database.reading() as tx:
            size = store.sealed_size(tx, delivery.id)
            current = store.outgoing(tx, delivery.id)
        if current is None or current.state != "sealed":
            return True
        try:
            brought = self._brought(url, self._pieces(delivery.id), size)
        except _Gone:
            return True
        return self._concluded(current, brought)

    def _brought(self, url: str, parts: Iterator[bytes], size: int) -> Response | Why:
        """What the recipient answers to an envelope, or why it does not; raises what `parts` raises."""
        headers = {"content-type": MEDIA_TYPE, "content-length": str(size)}
        try:
            return self.client.post(url + PATH, content=parts, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as silence:
            return Why("silent", {"what": str(silence) or type(silence).__name__})

    def _concluded(self, delivery: Outgoing, brought: Response | Why) -> bool:
        if isinstance(brought, Why):
            return self._silent(delivery, brought)
        return self._answered(delivery, read_answer(brought.content), brought)

    def _pieces(self, id: str) -> Iterator[bytes]:
        """The kept bytes, each piece read by itself so that a slow recipient holds no transaction open."""
        number = 0
        while True:
            with self.database.reading() as tx:
                piece = store.piece(tx, id, number)
                if piece is None and number == 0 and store.outgoing(tx, id) is None:
                    raise _Gone
            if piece is None:
                return
            yield piece
            number += 1

    def _answered(self, delivery: Outgoing, answer: Answer | None, response: Response) -> bool:
        if answer is None:
            what = response.text.strip()[:200]
            return self._silent(delivery, Why("unwell", {"status": response.status_code, "what": what}), response)
        if answer.became == "later":
            return self._silent(delivery, answer.why or Why("busy", {"seconds": 0}), response)
        if answer.became == "refused" and answer.why and answer.why.code in FOR_GOOD:
            with self.database.transaction(beside=True) as tx:
                store.note_refused(tx, delivery.id, answer.why)
                outbox.answered(tx, lane_of(delivery.recipient))
            return True
        why = answer.why
        if answer.became == "taken":
            if answer.receipt and self._holds(delivery, answer.receipt):
                now = self.clock()
                with self.database.transaction(beside=True) as tx:
                    if store.note_received(tx, delivery.id, answer.receipt, now):
                        self.recorded(tx, delivery, now)
                    outbox.answered(tx, lane_of(delivery.recipient))
                return True
            why = Why("receipt_bad")
        now = self.clock()
        with self.database.transaction(beside=True) as tx:
            store.put_off(tx, delivery.id, why or Why("receipt_bad"), now + _pause(delivery.tries))
            outbox.answered(tx, lane_of(delivery.recipient))
        return True

    def _holds(self, delivery: Outgoing, signed: SignedReceipt) -> bool:
        """Whether this receipt is the recipient's, for this envelope and this content."""
        receipt = signed.receipt
        try:
            recipient = self.directory.member_since(delivery.recipient, receipt.height)
            return (
                receipt.envelope.hex() == delivery.envelope
                and (receipt.sender, receipt.recipient) == (self.ring().member, delivery.recipient)
                and (receipt.exchange, receipt.sequence) == (delivery.exchange, delivery.sequence)
                and signed.signed_by(keys_at(recipient, receipt.height))
                and opens(
                    receipt.commitment, delivery.kind, receipt.salt, committed_to(delivery.content), receipt.suite
                )
            )
        except (Refused, SafeweaveError):
            return False

    def _silent(self, delivery: Outgoing, why: Why, response: Response | None = None) -> bool:
        """The recipient takes nothing now: try it again later, and meanwhile nothing else for it."""
        now, lane = self.clock(), lane_of(delivery.recipient)
        with self.database.transaction(beside=True) as tx:
            due_at = now + (_wished(response) or _pause(outbox.circuit(tx, lane).failures))
            store.put_off(tx, delivery.id, why, due_at)
            outbox.no_answer(tx, lane, why.said("en"), now, due_at)
        return False


def _pause(failures: int) -> timedelta:
    return timedelta(seconds=min(FIRST_RETRY_SECONDS * 2 ** min(failures, 20), LONGEST_RETRY_SECONDS))


def _wished(response: Response | None) -> timedelta | None:
    """How long the recipient asks us to wait (RFC 9110 §10.2.3, in seconds)."""
    wish = response.headers.get("retry-after", "") if response is not None else ""
    return timedelta(seconds=min(max(int(wish), 1), LONGEST_WISH_SECONDS)) if wish.isdecimal() else None
