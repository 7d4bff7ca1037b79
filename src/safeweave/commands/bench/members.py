"""A small consortium to be measured: commission and insurer are processes of their own, the hospital is in this one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from safeweave.clock import now
from safeweave.commands.bench.stores import HOST, free_port
from safeweave.consortium import roles, taking
from safeweave.consortium.roles import Home, MemberNode
from safeweave.database import Database
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.ledger.ledger import Final, Ledger
from safeweave.ledger.operation import GrantConsent, Operation, Role, fresh_id, sign

FINAL_WITHIN_SECONDS = 10.0
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
    homes = {role: _made(folder / role, role, suite) for role in _ROLES}
    commission, hospital, insurer = homes.values()
    roles.found(commission)
    with closing(roles.open_ledger(commission)) as ledger, closing(Database(commission.folder / _STORE)) as database:
        for home in (hospital, insurer):
            roles.join(home, commission.member().url, commission.roots())
            _stands(roles.admit(commission, ledger, database, roles.application(home)))
        consent = _granted(ledger, hospital, insurer)
    with ExitStack() as opened:
        for home in (commission, insurer):
            opened.enter_context(_process(home))
        node = opened.enter_context(_beside(hospital))
        yield City(node, insurer.member().member, consent)


_ROLES: tuple[Role, ...] = ("commission", "hospital", "insurer")
_STORE = "safeweave.db"


def _made(folder: Path, role: Role, suite: str) -> Home:
    home, port = Home(folder), free_port()
    roles.init(home, role, role, f"http://{HOST}:{port}", HOST, port, suite)
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
    """`safeweave ROLE serve` for this home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFEWEAVE_")} | {
        "SAFEWEAVE_HOME": str(home.folder)
    }
    command = [sys.executable, "-m", "safeweave.main", home.member().role, "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            if not child.stdout.readline():
                raise Unavailable(f"the {home.member().role} of the bench did not open its door; see above")
            yield
        finally:
            child.terminate()
            child.wait()


@contextmanager
def _beside(home: Home) -> Iterator[MemberNode]:
    """The node of this home, its door open in a thread."""
    stopping = Event()
    with closing(Database(home.folder / _STORE)) as database:
        node = roles.assembled(home, database, taking.keep)
        node.look_around()
        with roles.serving(node, stopping):
            try:
                yield node
            finally:
                stopping.set()
