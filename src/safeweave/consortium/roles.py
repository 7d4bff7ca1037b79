"""A member at work: a hospital's gateway, an insurer's node, the commission with the ledger, each behind its door."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI

from safeweave import clock as clocks
from safeweave import listening
from safeweave.clock import Clock
from safeweave.consortium import store
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.covering import covering
from safeweave.consortium.directory import Directory
from safeweave.consortium.door import contacts_router, reception_router
from safeweave.consortium.homes import CONTACTS, LEDGER, WITNESS, Home, Member, Ring, open_ledger
from safeweave.consortium.reads import note_delivered, note_opened
from safeweave.consortium.receiving import HandOver, Reception
from safeweave.consortium.sending import Courier
from safeweave.consortium.store import Contact
from safeweave.consortium.why import Refused
from safeweave.database import Database
from safeweave.errors import Conflict, StoreUnavailable
from safeweave.ledger.checkpoint import NoteKey, read_key
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.remote import RemoteLedger
from safeweave.ledger.serving import ledger_router, witness_router
from safeweave.ledger.witness import Witness

log = logging.getLogger("safeweave.consortium")

HOUSEKEEPING_SECONDS = 10.0


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
        app.include_router(contacts_router(database, member))
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
    try:
        knocker = listening.knocker(config)
    except OSError as error:
        raise Conflict(f"nobody can be heard at {member.host}:{member.port}: {error.strerror}") from error
    node.start()
    http = uvicorn.Server(config)
    serving = asyncio.create_task(http.serve(sockets=[knocker]))
    try:
        await listening.until_told(http, serving, ready, stopping)
    finally:
        http.should_exit = True
        await serving
        await asyncio.to_thread(node.close)
