"""A small consortium to be measured: commission and insurer are processes of their own, the hospital is in this one."""

import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from signal import SIGTERM, signal

from safeweave.clock import now
from safeweave.commands.bench.stores import HOST
from safeweave.consortium import homes, membership, roles, taking
from safeweave.consortium.homes import Home
from safeweave.consortium.roles import MemberNode
from safeweave.database import Database
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.ledger.ledger import Final, Ledger
from safeweave.ledger.operation import GrantConsent, Operation, Role, fresh_id, sign
from safeweave.ports import free_port

FINAL_WITHIN_SECONDS = 60.0
START_WITHIN_SECONDS = 60.0
YEAR = 365 * 24 * 3600


@dataclass
class City:
    """A hospital's node at work in this process, the insurer it sends to, and a consent between the two."""

    hospital: MemberNode
    insurer: str
    consent: str


@contextmanager
def city(folder: Path, suite: str) -> Iterator[City]:
    """Three members with keys of this suite, founded, joined and up until the end of the block."""
    commission, hospital, insurer = founded(folder, suite)
    with closing(homes.open_ledger(commission)) as ledger:
        consent = _granted(ledger, hospital, insurer)
    with ExitStack() as opened:
        for home in (commission, insurer):
            opened.enter_context(_process(home))
        node = opened.enter_context(_beside(hospital))
        yield City(node, insurer.member().member, consent)


def founded(folder: Path, suite: str = "std-1") -> tuple[Home, Home, Home]:
    """The homes of commission, hospital and insurer, whose ledger knows all three; none of them is up."""
    commission, hospital, insurer = (_made(folder / role, role, suite) for role in _ROLES)
    homes.found(commission)
    with closing(homes.open_ledger(commission)) as ledger, closing(Database(commission.folder / _STORE)) as database:
        for home in (hospital, insurer):
            homes.join(home, commission.member().url, commission.roots())
            _stands(membership.admit(commission, ledger, database, homes.application(home)))
    return commission, hospital, insurer


_ROLES: tuple[Role, ...] = ("commission", "hospital", "insurer")
_STORE = "safeweave.db"


def _made(folder: Path, role: Role, suite: str) -> Home:
    home, port = Home(folder), free_port()
    homes.init(home, role, role, f"http://{HOST}:{port}", HOST, port, suite)
    return home


def _granted(ledger: Ledger, hospital: Home, insurer: Home) -> str:
    ring, since, consent = hospital.ring(), int(now().timestamp()), fresh_id()
    period = ring.at(ledger.head().height)
    grant: Operation = GrantConsent(
        ring.member, fresh_id(), consent, fresh_id(), insurer.member().member, fresh_id(), since, since + YEAR
    )
    (id,) = ledger.submit([sign(grant, period.suite, period.signing_key())])
    _stands(ledger.outcome(id, FINAL_WITHIN_SECONDS))
    return consent


def _stands(outcome: object) -> None:
    if not isinstance(outcome, Final):
        raise InvariantBroken(f"the ledger of the bench did not take what founds it: {outcome}")


@contextmanager
def _process(home: Home) -> Iterator[None]:
    """The node of this home as a process of its own, which keeps what it is sent."""
    context = get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_serve, args=(home, ready))
    child.start()
    try:
        if not ready.wait(START_WITHIN_SECONDS):
            raise Unavailable(f"the {home.member().role} of the bench did not open its door; see above")
        yield
    finally:
        child.terminate()
        child.join()


def _serve(home: Home, ready: Event) -> None:
    stopping = threading.Event()
    signal(SIGTERM, lambda *told: stopping.set())
    gc.set_threshold(50_000, 20, 20)  # as the command does
    with closing(Database(home.folder / _STORE)) as database:
        roles.serve(roles.assembled(home, database, taking.keep), ready.set, stopping)


@contextmanager
def _beside(home: Home) -> Iterator[MemberNode]:
    """The node of this home, its door open in a thread."""
    stopping = threading.Event()
    with closing(Database(home.folder / _STORE)) as database:
        node = roles.assembled(home, database, taking.keep)
        node.look_around()
        with roles.serving(node, stopping):
            try:
                yield node
            finally:
                stopping.set()
