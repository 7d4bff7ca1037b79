"""The roles of a node: a hospital's gateway, an insurer's node, the commission with the ledger. Each in a home folder.

The folder holds `member.json` (who we are), `keys.json` (the private keys), `roots.json` (whom to believe about the
ledger), the store, and for the commission `ledger.sqlite` with `log.key`, for a witness `witness.sqlite` with
`witness.key`. Files of keys are for their owner alone.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal
from urllib.parse import urlsplit

import httpx
import msgspec
import uvicorn
from fastapi import APIRouter, FastAPI, Response

from safeweave import clock as clocks
from safeweave import listening
from safeweave.clock import Clock
from safeweave.consortium import MEMBER_FILE, store
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.covering import covering
from safeweave.consortium.directory import Directory, endpoint_hash
from safeweave.consortium.reads import note_delivered, note_opened
from safeweave.consortium.receiving import HandOver, Reception, reception_router
from safeweave.consortium.sending import Courier
from safeweave.consortium.store import Contact
from safeweave.consortium.why import Refused
from safeweave.database import Database
from safeweave.errors import Conflict, Malformed, NotFound, StoreUnavailable
from safeweave.keys.keyset import KeySet
from safeweave.keys.ring import KeyRing
from safeweave.ledger.checkpoint import (
    COSIGNATURE,
    NoteKey,
    NoteSigner,
    TrustRoots,
    read_key,
    read_roots,
    write_roots,
)
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Ledger, Outcome
from safeweave.ledger.operation import (
    Found,
    Founder,
    Operation,
    PutMember,
    Role,
    SignedOperation,
    SuspendMember,
    SuspensionReason,
    approve,
    fresh_id,
    operation_id,
    sign,
)
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.serving import ledger_router
from safeweave.ledger.witness import Witness, WitnessClient, witness_router

log = logging.getLogger("safeweave.consortium")

LEDGER, WITNESS, CONTACTS = "/ledger", "/witness", "/contacts"
HOUSEKEEPING_SECONDS = 10.0
FINAL_WITHIN_SECONDS = 10.0


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who a node is. `url` is where others reach it, `host` and `port` where it listens.

    `ledger` is the address of the commission that keeps the ledger, "" for that commission and before joining.
    `witnesses` are those the commission asks, as (address, note key), of which `quorum` make something final.
    """

    form: Literal["safeweave/member/1"] = "safeweave/member/1"
    role: Role
    name: str
    member: str
    url: str
    host: str
    port: int
    ledger: str = ""
    is_witness: bool = False
    witnesses: tuple[tuple[str, str], ...] = ()
    quorum: int = 0


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member hands to the commission to be admitted. The keys are public; compare their fingerprint by voice."""

    form: Literal["safeweave/application/1"] = "safeweave/application/1"
    role: Role
    name: str
    member: str
    url: str
    keys: KeySet
    witness: str = ""

    @property
    def fingerprint(self) -> str:
        """What the two sides compare: the names of the signing and the sealing key."""
        return f"{self.keys.signing_id} {self.keys.sealing_id}"


@dataclass(frozen=True)
class Home:
    """The files of a node."""

    folder: Path
    passphrase: str | None = None

    @property
    def keys(self) -> Path:
        """The private keys."""
        return self.folder / "keys.json"

    @property
    def ledger(self) -> Path:
        """The log, if this is the commission."""
        return self.folder / "ledger.sqlite"

    def member(self) -> Member:
        """Who we are; raises NotFound or Malformed."""
        file = self.folder / MEMBER_FILE
        try:
            return msgspec.json.decode(file.read_bytes(), type=Member)
        except FileNotFoundError:
            raise NotFound(f"there is no member in {self.folder}; make one with `init`") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise Malformed(str(fault), file=str(file)) from None

    def ring(self) -> KeyRing:
        """The private keys; raises what KeyRing.load does."""
        return KeyRing.load(self.keys, self.passphrase)

    def roots(self) -> TrustRoots:
        """Whom to believe about the ledger; raises NotFound or Malformed."""
        file = self.folder / "roots.json"
        try:
            return read_roots(file.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there are no trust roots in {self.folder}; take them over with `join`") from None

    def signer(self, kind: Literal["log", "witness"]) -> NoteSigner:
        """The key with which this node signs checkpoints or cosigns them."""
        private = (self.folder / f"{kind}.key").read_bytes()
        name = f"{urlsplit(self.member().url).netloc}/{kind}"
        return NoteSigner(name, private) if kind == "log" else NoteSigner(name, private, COSIGNATURE)

    def write(self, name: str, content: bytes) -> Path:
        """Put a file there, whole or not at all, for its owner alone."""
        file, beside = self.folder / name, self.folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, file)
        return file


# ---------------------------------------------------------------- making and joining


def init(
    home: Home, role: Role, name: str, url: str, host: str, port: int, suite: str = "std-1", is_witness: bool = False
) -> Application:
    """Make the keys and files of a new member; what the commission has to approve. Raises Conflict if there is one."""
    home.folder.mkdir(parents=True, exist_ok=True)
    if home.keys.exists() or (home.folder / MEMBER_FILE).exists():
        raise Conflict(f"{home.folder} holds a member already; its keys are not made anew")
    ring = KeyRing.generated(fresh_id(), suite)
    ring.save(home.keys, home.passphrase)
    member = Member(
        role=role, name=name, member=ring.member, url=url.rstrip("/"), host=host, port=port, is_witness=is_witness
    )
    home.write(MEMBER_FILE, _written(member))
    for kind in (("log",) if role == "commission" else ()) + (("witness",) if is_witness else ()):
        home.write(f"{kind}.key", secrets.token_bytes(32))
    return application(home)


def application(home: Home) -> Application:
    """What the commission has to approve; written to `application.json` too."""
    member, ring = home.member(), home.ring()
    made = Application(
        role=member.role, name=member.name, member=member.member, url=member.url, keys=ring.public()[-1],
        witness=str(home.signer("witness").key) if member.is_witness else "",
    )  # fmt: skip
    home.write("application.json", _written(made))
    return made


def rotate(home: Home, ledger: Ledger, heights: int) -> Application:
    """Make new keys that count so many heights from now; what the commission has to approve before that.

    Until it does, nothing is sent under the new ones. The old ones stay to open what was sealed to them.
    """
    home.ring().rotated(ledger.head().height + heights).save(home.keys, home.passphrase)
    return application(home)


def read_application(file: Path) -> Application:
    """An application from its file; raises Malformed, or KeyUnusable for keys that protect nothing."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Application)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Malformed(str(fault), file=str(file)) from None
    found.keys.check()
    return found


def join(home: Home, ledger: str, roots: TrustRoots) -> None:
    """Take over where the ledger is and whom to believe about it."""
    home.write("roots.json", write_roots(roots))
    home.write(MEMBER_FILE, _written(msgspec.structs.replace(home.member(), ledger=ledger.rstrip("/"))))


def found(home: Home, witnesses: Sequence[tuple[str, str]] = (), quorum: int = 0, now: Clock = clocks.now) -> Outcome:
    """Found a ledger with this commission as its only member; `roots.json` is what the others need.

    With witnesses it is final once enough of them are up and have cosigned. Raises Conflict if it was founded before.
    """
    if home.ledger.exists():
        raise Conflict(f"{home.ledger} is there already; a ledger is founded once")
    member = msgspec.structs.replace(home.member(), witnesses=tuple(witnesses), quorum=quorum)
    ring = home.ring()
    founder = Founder(member.member, ring.public()[-1], endpoint_hash(member.url))
    operation = Found(member.member, fresh_id(), (founder,), 1)
    ledger = _log(home, member, now)
    try:
        (id,) = ledger.submit([_said(ring, operation, 0)])
        roots = msgspec.structs.replace(ledger.roots(), founding=operation_id(operation))
        home.write("roots.json", write_roots(roots))
        home.write(MEMBER_FILE, _written(member))
        return ledger.outcome(id, FINAL_WITHIN_SECONDS if not witnesses else 1.0)
    finally:
        ledger.close()


def admit(home: Home, ledger: Ledger, database: Database, applied: Application) -> Outcome:
    """Put a member on the ledger, and its address where the others find it."""
    ring = home.ring()
    operation = PutMember(
        ring.member, fresh_id(), applied.member, applied.role, applied.keys, endpoint_hash(applied.url)
    )
    with database.transaction() as tx:
        store.keep_contacts(tx, [Contact(applied.member, applied.name, applied.url)])
    return _outcome(ledger, ring, operation)


def suspend(home: Home, ledger: Ledger, member: str, reason: SuspensionReason) -> Outcome:
    """Let nothing that this member says count any more."""
    ring = home.ring()
    return _outcome(ledger, ring, SuspendMember(ring.member, fresh_id(), member, reason))


def _outcome(ledger: Ledger, ring: KeyRing, operation: Operation) -> Outcome:
    (id,) = ledger.submit([_said(ring, operation, ledger.head().height)])
    return ledger.outcome(id, FINAL_WITHIN_SECONDS)


def _said(ring: KeyRing, operation: Operation, height: int) -> SignedOperation:
    period = ring.at(height)
    key = period.signing_key()
    return sign(operation, period.suite, key, [approve(operation, ring.member, period.suite, key)])


def _written(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def _log(home: Home, member: Member, now: Clock) -> EmbeddedLedger:
    asked = [WitnessClient(url, read_key(key)) for url, key in member.witnesses]
    return EmbeddedLedger(home.ledger, home.signer("log"), now, asked, member.quorum)


def open_ledger(home: Home, now: Clock = clocks.now) -> EmbeddedLedger | RemoteLedger:
    """The ledger as this node uses it: the commission's own file, or over HTTP; also if another process serves it.

    Raises NotFound before it was founded or joined.
    """
    member = home.member()
    if member.role == "commission" and not member.ledger:
        if not home.ledger.exists():
            raise NotFound(f"there is no ledger in {home.folder}; found one with `safeweave commission init`")
        try:
            return _log(home, member, now)
        except Conflict:  # our own server has it open
            return RemoteLedger(f"http://{member.host}:{member.port}{LEDGER}", home.roots())
    if not member.ledger:
        raise NotFound(f"the member in {home.folder} has joined no ledger yet; see `join`")
    return RemoteLedger(member.ledger + LEDGER, home.roots(), home.folder / "seen.note")


# ---------------------------------------------------------------- running


@dataclass
class MemberNode:
    """A member at work."""

    home: Home
    member: Member
    database: Database
    ledger: EmbeddedLedger | RemoteLedger
    directory: Directory
    reception: Reception
    courier: Courier
    anchoring: Anchoring
    app: FastAPI
    closing: ExitStack
    _stopping: Event = field(default_factory=Event, init=False)
    _keeper: Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to send, to anchor and to look after things."""
        self.courier.start()
        self.anchoring.start()
        self._keeper = Thread(target=self._keep_house, name="housekeeping", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Finish what is under way and let go of everything."""
        self._stopping.set()
        if self._keeper:
            self._keeper.join()
        self.courier.stop()
        self.anchoring.stop()
        self.closing.close()

    def look_around(self) -> None:
        """Learn the addresses of the others, and let go of what waits in vain."""
        if self.member.ledger:
            answer = httpx.get(self.member.ledger + CONTACTS, timeout=10.0, trust_env=False)
            answer.raise_for_status()
            told = msgspec.json.decode(answer.content, type=list[Contact])
            with self.database.transaction(beside=True) as tx:
                store.keep_contacts(tx, told)
        self.directory.head()
        self.reception.sweep()

    def _keep_house(self) -> None:
        while True:
            try:
                self.look_around()
            except (httpx.HTTPError, msgspec.DecodeError, Refused, StoreUnavailable) as fault:
                log.warning("addresses were not asked for: %s", fault)
            except Exception:
                log.exception("addresses were not asked for")
            if self._stopping.wait(HOUSEKEEPING_SECONDS):
                return


class Ring:
    """The key ring of a home, read again when its file has changed."""

    def __init__(self, home: Home) -> None:
        self._home, self._lock = home, Lock()
        self._read_at, self._ring = home.keys.stat().st_mtime_ns, home.ring()

    def __call__(self) -> KeyRing:
        changed = self._home.keys.stat().st_mtime_ns
        with self._lock:
            if changed != self._read_at:
                self._read_at, self._ring = changed, self._home.ring()
            return self._ring


def assembled(
    home: Home,
    database: Database,
    hand_over: HandOver,
    now: Clock = clocks.now,
    backlog: Callable[[], int] = lambda: 0,
    ledger: EmbeddedLedger | RemoteLedger | None = None,
) -> MemberNode:
    """The node of this home, over its ledger, or over one that the caller has opened and closes.

    Raises NotFound or Malformed for what is missing in the home, and what opening a ledger does.
    """
    with ExitStack() as opened:
        member, ring = home.member(), Ring(home)
        if ledger is None:
            ledger = open_ledger(home, now)
            opened.callback(ledger.close)

        def address_of(asked: str) -> str | None:
            with database.reading() as tx:
                known = store.contact(tx, asked)
            return known.url if known else None

        directory = Directory(ledger, address_of)
        covers = covering(database, now)
        reception = Reception(
            database, directory, ring, now, hand_over, home.folder / "arriving", recorded=note_opened, covers=covers,
            backlog=backlog,
        )  # fmt: skip
        courier = Courier(
            database, directory, ring, now, home.folder / "leaving", covers=covers, recorded=note_delivered
        )
        anchoring = Anchoring(database, ledger, ring, now)
        app = FastAPI(title=f"safeweave {member.role}", docs_url=None, redoc_url=None, openapi_url=None)
        app.include_router(reception_router(reception))
        app.include_router(_contacts_router(database, member))
        if isinstance(ledger, EmbeddedLedger):
            app.include_router(ledger_router(ledger), prefix=LEDGER)
        if member.is_witness:
            operator: NoteKey = read_key(home.roots().operator)
            witness = Witness(home.folder / "witness.sqlite", home.signer("witness"), [operator], now)
            opened.callback(witness.close)
            app.include_router(witness_router(witness), prefix=WITNESS)
        return MemberNode(
            home, member, database, ledger, directory, reception, courier, anchoring, app, opened.pop_all()
        )


def _contacts_router(database: Database, member: Member) -> APIRouter:
    """Where members are reached, which nobody has to believe (see `directory`), and whether the node is up."""
    router = APIRouter()

    @router.get(CONTACTS)
    def contacts() -> Response:
        with database.reading() as tx:
            known = store.contacts(tx)
        known[member.member] = Contact(member.member, member.name, member.url)
        return Response(msgspec.json.encode(list(known.values())), media_type="application/json")

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "up", "role": member.role}

    return router


def serve(node: MemberNode, ready: Callable[[], None], stopping: Event) -> None:
    """Open the door and work until `stopping` is set; Conflict if the door cannot be opened."""
    listening.run(_serve(node, ready, stopping))


@contextmanager
def serving(node: MemberNode, stopping: Event) -> Iterator[None]:
    """The same in a thread of its own, for whoever has other doors beside it; each ends when the other does.

    Raises Conflict if the door cannot be opened.
    """
    opened = Event()
    faults: list[BaseException] = []

    def run() -> None:
        try:
            serve(node, opened.set, stopping)
        except BaseException as fault:
            faults.append(fault)
        finally:
            stopping.set()
            opened.set()

    thread = Thread(target=run, name="member")
    thread.start()
    opened.wait()
    try:
        if not faults:
            yield
    finally:
        stopping.set()
        thread.join()
        if faults:
            raise faults[0]


async def _serve(node: MemberNode, ready: Callable[[], None], stopping: Event) -> None:
    member = node.member
    config = listening.http_config(node.app, member.host, member.port)
    server = uvicorn.Server(config)
    try:
        family = socket.AF_INET6 if ":" in member.host else socket.AF_INET
        knocker = socket.create_server((member.host, member.port), family=family, backlog=config.backlog)
        knocker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits up to 40 ms for its rest
    except OSError as error:
        raise Conflict(f"nobody can be heard at {member.host}:{member.port}: {error.strerror}") from error
    node.start()
    serving = asyncio.create_task(server.serve(sockets=[knocker]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            ready()
        while not serving.done() and not stopping.is_set():
            await asyncio.sleep(0.1)
    finally:
        server.should_exit = True
        await serving
        await asyncio.to_thread(node.close)
