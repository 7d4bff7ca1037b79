"""`safeweave hospital serve`, `insurer serve` and `commission serve`: run a member of the consortium."""

import argparse
import gc
import logging
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

from safeweave import clock, outbox
from safeweave.commands.member import home_of
from safeweave.commands.serve import told_to_stop
from safeweave.consortium import homes, roles
from safeweave.consortium.gateway import Gateway
from safeweave.consortium.homes import Home
from safeweave.consortium.insuring import InsurerDesk
from safeweave.consortium.receiving import Arrival
from safeweave.consortium.roles import MemberNode
from safeweave.consortium.taking import keep, take_documents
from safeweave.database import Database, Transaction
from safeweave.errors import Malformed
from safeweave.exchange.formats import Limits
from safeweave.flow import ALONE
from safeweave.ledger.operation import Role
from safeweave.node import Running, open_node
from safeweave.serving import serve as serve_node
from safeweave.settings import Settings
from safeweave.words import say
from safeweave.worker import Worker


def serve_commission(settings: Settings, asked: argparse.Namespace) -> int:
    """Run the commission until interrupted: the ledger for everybody, and its own door."""
    home, database = _ready_to_serve(settings, "commission"), Database(settings.store)
    try:
        node = roles.assembled(home, database, keep)
        roles.serve(node, partial(_say_ready, settings, node), told_to_stop())
    finally:
        database.close()
    return 0


def serve_hospital(settings: Settings, asked: argparse.Namespace) -> int:
    """Run a hospital's gateway until interrupted: what its systems tell goes to the insurers its patients allow."""
    home, database = _ready_to_serve(settings, "hospital"), Database(settings.store)
    member = roles.assembled(home, database, keep)
    gateway = Gateway(member.ledger, member.courier.ring, member.courier, lambda: member.directory.seen)
    limits = Limits(max_bytes=settings.max_message_bytes)
    worker = Worker(database, gateway.follows, clock.now, alone=ALONE, batch=settings.batch)
    return _serve(member, Running(settings, database, worker, limits, clock.now))


def serve_insurer(settings: Settings, asked: argparse.Namespace) -> int:
    """Run an insurer until interrupted: what hospitals send is settled like what comes in by the other doors."""
    home = _ready_to_serve(settings, "insurer")
    with closing(homes.open_ledger(home)) as ledger:
        limits, ring = Limits(max_bytes=settings.max_message_bytes), homes.Ring(home)
        node = open_node(settings, bills=lambda adjudicator: InsurerDesk(ledger, ring, adjudicator.reimburses, limits))
        assert isinstance(node.bills, InsurerDesk)
        take = take_documents(node.limits, node.bills)

        def take_and_wake(tx: Transaction, arrival: Arrival, now: datetime) -> None:
            take(tx, arrival, now)
            tx.committed.append(node.worker.signal)

        def backlog() -> int:
            with node.database.reading() as tx:
                return outbox.waiting(tx)

        member = roles.assembled(home, node.database, take_and_wake, backlog=backlog, ledger=ledger)
        return _serve(member, node)


def _ready_to_serve(settings: Settings, role: Role) -> Home:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    gc.set_threshold(50_000, 20, 20)
    home = home_of(settings)
    if home.member().role != role:
        raise Malformed(
            say(
                "cli.member.other_role", settings.language, home=settings.home,
                role=say(f"cli.member.role.{home.member().role}", settings.language),
            )
        )  # fmt: skip
    return home


def _serve(member: MemberNode, node: Running) -> int:
    """The door for other members, and the doors for hospitals' own systems, over one store."""
    stopping = told_to_stop()
    try:
        with roles.serving(member, stopping):
            serve_node(node, partial(_say_ready, node.settings, member), stopping)
    finally:
        node.close()
    return 0


def _say_ready(settings: Settings, member: MemberNode) -> None:
    values = {"name": member.member.name, "url": member.member.url, "home": Path(settings.home)}
    print(say("cli.member.ready", settings.language, **values), flush=True)
    if member.member.role != "commission":
        where = {"host": settings.host, "http": settings.http_port, "mllp": settings.mllp_port, "home": settings.home}
        print(say("cli.serve.ready", settings.language, **where), flush=True)
