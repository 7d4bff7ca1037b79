"""`safeweave hospital`, `insurer` and `commission`: make a member of the consortium, let it in, and run it."""

import argparse
import gc
import logging
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from safeweave import clock, outbox
from safeweave.commands.case import find_case
from safeweave.commands.serve import told_to_stop
from safeweave.consortium import roles
from safeweave.consortium.gateway import Gateway
from safeweave.consortium.insuring import InsurerDesk
from safeweave.consortium.receiving import Arrival
from safeweave.consortium.roles import Application, Home, MemberNode
from safeweave.consortium.taking import keep, take_documents
from safeweave.database import Database, Transaction
from safeweave.errors import Malformed
from safeweave.exchange.formats import Limits
from safeweave.flow import ALONE
from safeweave.ledger.bundle import write_bundle
from safeweave.ledger.checkpoint import read_key, read_roots
from safeweave.ledger.ledger import Final, Outcome, Refused
from safeweave.ledger.operation import Role
from safeweave.node import Running, open_node
from safeweave.serving import serve as serve_node
from safeweave.settings import Settings
from safeweave.words import Language, say
from safeweave.worker import Worker


def _home(settings: Settings) -> Home:
    return Home(settings.home, settings.keys_passphrase or None)


def init_hospital(settings: Settings, asked: argparse.Namespace) -> int:
    """Make a hospital's keys, and print what the commission has to approve."""
    return _init(settings, asked, "hospital")


def init_insurer(settings: Settings, asked: argparse.Namespace) -> int:
    """Make an insurer's keys, and print what the commission has to approve."""
    return _init(settings, asked, "insurer")


def init_commission(settings: Settings, asked: argparse.Namespace) -> int:
    """Make the commission's keys and found a ledger with it."""
    asks = [_witness(text) for text in asked.ask]
    _init(settings, asked, "commission")
    outcome = roles.found(_home(settings), asks, asked.quorum)
    print(say("cli.member.founded", settings.language, file=settings.home / "roots.json"))
    return 0 if asks else _told(outcome, settings.language)


def _init(settings: Settings, asked: argparse.Namespace, role: Role) -> int:
    parts = urlsplit(asked.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Malformed(say("cli.member.no_url", settings.language, url=asked.url), field="--url")
    port = asked.port or parts.port or (443 if parts.scheme == "https" else 80)
    made = roles.init(
        _home(settings), role, asked.name, asked.url, settings.host, port, asked.suite, getattr(asked, "witness", False)
    )
    return _print_made(made, settings)


def _print_made(made: Application, settings: Settings) -> int:
    values = {
        "member": made.member, "url": made.url, "fingerprint": made.fingerprint,
        "file": settings.home / "application.json",
    }  # fmt: skip
    print(say("cli.member.made", settings.language, **values))
    if made.witness:
        print(say("cli.member.witness", settings.language, ask=f"{made.url}{roles.WITNESS}={made.witness}"))
    return 0


def _witness(text: str) -> tuple[str, str]:
    url, _, key = text.partition("=")
    read_key(key)
    return url, key


def join(settings: Settings, asked: argparse.Namespace) -> int:
    """Take over the address of the ledger and whom to believe about it."""
    roots = read_roots(asked.roots.read_bytes())
    roles.join(_home(settings), asked.ledger, roots)
    print(say("cli.member.joined", settings.language, origin=roots.origin))
    return 0


def rotate(settings: Settings, asked: argparse.Namespace) -> int:
    """Make new keys, and print what the commission has to approve."""
    home = _home(settings)
    ledger = roles.open_ledger(home)
    try:
        made = roles.rotate(home, ledger, asked.heights)
    finally:
        ledger.close()
    print(say("cli.member.rotated", settings.language, height=made.keys.valid_from))
    return _print_made(made, settings)


def admit(settings: Settings, asked: argparse.Namespace) -> int:
    """Put a member on the ledger; 1 if the ledger refuses or does not say."""
    applied = roles.read_application(asked.application)
    print(
        say(
            "cli.member.admits", settings.language, name=applied.name, url=applied.url, fingerprint=applied.fingerprint,
            role=say(f"cli.member.role.{applied.role}", settings.language),
        )
    )  # fmt: skip
    home = _home(settings)
    ledger, database = roles.open_ledger(home), Database(settings.store)
    try:
        return _told(roles.admit(home, ledger, database, applied), settings.language)
    finally:
        ledger.close()
        database.close()


def suspend(settings: Settings, asked: argparse.Namespace) -> int:
    """Let nothing that a member says count; 1 if the ledger refuses or does not say."""
    home = _home(settings)
    ledger = roles.open_ledger(home)
    try:
        return _told(roles.suspend(home, ledger, asked.member, asked.reason), settings.language)
    finally:
        ledger.close()


def _told(outcome: Outcome, lang: Language) -> int:
    if isinstance(outcome, Final):
        print(say("cli.member.final", lang, height=outcome.receipt.height))
        return 0
    if isinstance(outcome, Refused):
        why = say(f"ledger.refusal.{outcome.code}", lang)
        print(say("cli.member.refused", lang, why=f"{why} {outcome.words}".strip()))
    else:
        print(say("cli.member.unknown", lang, why=outcome.words))
    return 1


# ---------------------------------------------------------------- running


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
    with closing(roles.open_ledger(home)) as ledger:
        limits, ring = Limits(max_bytes=settings.max_message_bytes), roles.Ring(home)
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


def prove(settings: Settings, asked: argparse.Namespace) -> int:
    """Write what proves a claim off line to whoever holds the trust roots: see `safeweave verify`."""
    home = _home(settings)
    ring, database = roles.Ring(home), Database(settings.store)
    try:
        with closing(roles.open_ledger(home)) as ledger, database.reading() as tx:
            desk = InsurerDesk(ledger, ring, lambda products: True)
            case = find_case(tx, asked.case)
            asked.file.write_bytes(write_bundle(desk.bundle(tx, case.id)))
    finally:
        database.close()
    print(say("cli.member.proved", settings.language, case=case.id, file=asked.file))
    return 0


def _ready_to_serve(settings: Settings, role: Role) -> Home:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    gc.set_threshold(50_000, 20, 20)
    home = _home(settings)
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
