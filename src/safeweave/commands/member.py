"""`safeweave hospital`, `insurer` and `commission`: make a member of the consortium, let it in, prove what it did."""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from safeweave.commands.case import find_case
from safeweave.consortium import homes, membership
from safeweave.consortium.homes import Application, Home
from safeweave.consortium.insuring import InsurerDesk
from safeweave.consortium.membership import Prepared
from safeweave.database import Database
from safeweave.errors import Malformed
from safeweave.ledger.bundle import write_bundle
from safeweave.ledger.checkpoint import read_key, read_roots
from safeweave.ledger.ledger import Final, Outcome, Refused
from safeweave.ledger.operation import Approval, Role, SuspendMember
from safeweave.settings import Settings
from safeweave.words import Language, say


def home_of(settings: Settings) -> Home:
    """The home folder of the member that these settings name."""
    return Home(settings.home, settings.keys_passphrase or None)


def init_hospital(settings: Settings, asked: argparse.Namespace) -> int:
    """Make a hospital's keys, and print what the commission has to approve."""
    return _init(settings, asked, "hospital")


def init_insurer(settings: Settings, asked: argparse.Namespace) -> int:
    """Make an insurer's keys, and print what the commission has to approve."""
    return _init(settings, asked, "insurer")


def office(settings: Settings, asked: argparse.Namespace) -> int:
    """Make the keys of an office of the commission, with which another founds the ledger."""
    return _init(settings, asked, "commission")


def init_commission(settings: Settings, asked: argparse.Namespace) -> int:
    """Make the commission's keys and found a ledger with it, and with its other offices."""
    asks = [_witness(text) for text in asked.ask]
    others = [_office(file, settings.language) for file in asked.office]
    needed = asked.needed or (len(others) + 1) // 2 + 1
    if needed > len(others) + 1:
        raise Malformed(say("cli.member.too_few", settings.language, offices=len(others) + 1), field="--needed")
    _init(settings, asked, "commission")
    for each in others:
        print(_shown(each, "cli.member.founds", settings.language))
    outcome = homes.found(home_of(settings), asks, asked.quorum, others=others, needed=needed)
    print(say("cli.member.founded", settings.language, file=settings.home / "roots.json"))
    return 0 if asks else _told(outcome, settings.language)


def _office(file: Path, language: Language) -> Application:
    applied = homes.read_application(file)
    if applied.role != "commission":
        role = say(f"cli.member.role.{applied.role}", language)
        raise Malformed(say("cli.member.no_office", language, name=applied.name, role=role), file=str(file))
    return applied


def _init(settings: Settings, asked: argparse.Namespace, role: Role) -> int:
    parts = urlsplit(asked.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Malformed(say("cli.member.no_url", settings.language, url=asked.url), field="--url")
    port = asked.port or parts.port or (443 if parts.scheme == "https" else 80)
    made = homes.init(
        home_of(settings), role, asked.name, asked.url, settings.host, port, asked.suite,
        getattr(asked, "witness", False),
    )  # fmt: skip
    return _print_made(made, settings)


def _print_made(made: Application, settings: Settings) -> int:
    values = {
        "member": made.member, "url": made.url, "fingerprint": made.fingerprint,
        "file": settings.home / "application.json",
    }  # fmt: skip
    print(say("cli.member.made", settings.language, **values))
    if made.witness:
        print(say("cli.member.witness", settings.language, ask=f"{made.url}{homes.WITNESS}={made.witness}"))
    return 0


def _witness(text: str) -> tuple[str, str]:
    url, _, key = text.partition("=")
    read_key(key)
    return url, key


def join(settings: Settings, asked: argparse.Namespace) -> int:
    """Take over the address of the ledger and whom to believe about it."""
    roots = read_roots(asked.roots.read_bytes())
    homes.join(home_of(settings), asked.ledger, roots)
    print(say("cli.member.joined", settings.language, origin=roots.origin))
    return 0


def rotate(settings: Settings, asked: argparse.Namespace) -> int:
    """Make new keys, and print what the commission has to approve."""
    home = home_of(settings)
    ledger = homes.open_ledger(home)
    try:
        made = homes.rotate(home, ledger, asked.heights)
    finally:
        ledger.close()
    print(say("cli.member.rotated", settings.language, height=made.keys.valid_from))
    return _print_made(made, settings)


def admit(settings: Settings, asked: argparse.Namespace) -> int:
    """Put a member on the ledger, or prepare that for the other offices; 1 if the ledger refuses or does not say."""
    applied = homes.read_application(asked.application)
    print(_shown(applied, "cli.member.admits", settings.language))
    return _prepared(settings, asked, membership.prepare_admission(home_of(settings), applied))


def suspend(settings: Settings, asked: argparse.Namespace) -> int:
    """Let nothing that a member says count, or prepare that; 1 if the ledger refuses or does not say."""
    return _prepared(settings, asked, membership.prepare_suspension(home_of(settings), asked.member, asked.reason))


def approve(settings: Settings, asked: argparse.Namespace) -> int:
    """Show what another office has prepared, and write this one's approval into a file."""
    prepared, home = membership.read_prepared(asked.prepared), home_of(settings)
    if isinstance(prepared.operation, SuspendMember):
        print(say("cli.member.suspends", settings.language, member=prepared.operation.member,
                  reason=prepared.operation.reason))  # fmt: skip
    elif prepared.application is not None:
        print(_shown(prepared.application, "cli.member.admits", settings.language))
    with closing(homes.open_ledger(home)) as ledger:
        approval = membership.agree(home, ledger, prepared)
    asked.to.write_bytes(msgspec.json.encode(approval))
    print(say("cli.member.approved", settings.language, file=asked.to))
    return 0


def send(settings: Settings, asked: argparse.Namespace) -> int:
    """Put on the ledger what was prepared here, with the approvals; 1 if the ledger refuses or does not say."""
    approvals = [membership.read_approval(file) for file in asked.approval]
    return _sent(settings, membership.read_prepared(asked.prepared), approvals)


def _prepared(settings: Settings, asked: argparse.Namespace, prepared: Prepared) -> int:
    if asked.prepare is None:
        return _sent(settings, prepared, ())
    asked.prepare.write_bytes(msgspec.json.format(msgspec.json.encode(prepared), indent=1))
    print(say("cli.member.prepared", settings.language, file=asked.prepare))
    return 0


def _sent(settings: Settings, prepared: Prepared, approvals: Sequence[Approval]) -> int:
    home = home_of(settings)
    with closing(homes.open_ledger(home)) as ledger, closing(Database(settings.store)) as database:
        return _told(membership.send(home, ledger, database, prepared, approvals), settings.language)


def _shown(applied: Application, key: str, language: Language) -> str:
    return say(
        key, language, name=applied.name, url=applied.url, fingerprint=applied.fingerprint,
        role=say(f"cli.member.role.{applied.role}", language),
    )  # fmt: skip


def _told(outcome: Outcome, lang: Language) -> int:
    if isinstance(outcome, Final):
        print(say("cli.member.final", lang, height=outcome.receipt.height))
        return 0
    if isinstance(outcome, Refused):
        why = say(f"ledger.refusal.{outcome.code}", lang)
        print(say("cli.member.refused", lang, why=f"{why} {outcome.words}".strip()))
        if outcome.code == "approvals_missing":
            print(say("cli.member.prepare_it", lang))
    else:
        print(say("cli.member.unknown", lang, why=outcome.words))
    return 1


def prove(settings: Settings, asked: argparse.Namespace) -> int:
    """Write what proves a claim off line to whoever holds the trust roots: see `safeweave verify`."""
    home = home_of(settings)
    ring, database = homes.Ring(home), Database(settings.store)
    try:
        with closing(homes.open_ledger(home)) as ledger, database.reading() as tx:
            desk = InsurerDesk(ledger, ring, lambda products: True)
            case = find_case(tx, asked.case)
            asked.file.write_bytes(write_bundle(desk.bundle(tx, case.id)))
    finally:
        database.close()
    print(say("cli.member.proved", settings.language, case=case.id, file=asked.file))
    return 0
