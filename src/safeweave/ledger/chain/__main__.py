"""Setting up the ledger on a chain and its members: python -m safeweave.ledger.chain COMMAND.

Operations on members need several of the commission, who sit at different desks: one prepares a file, the others
approve it into files of their own, the first sends it with their approvals. Keys stay in key rings, files of public
values travel. A ring with a passphrase takes it from SAFEWEAVE_RING_PASSPHRASE.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from safeweave.errors import Malformed, SafeweaveError
from safeweave.keys.keyset import KeySet
from safeweave.keys.ring import KeyRing, Period
from safeweave.ledger.chain.account import countersigned_approval, new_account
from safeweave.ledger.chain.adapter import ChainLedger, deploy
from safeweave.ledger.chain.node import Node
from safeweave.ledger.chain.profile import PROFILES, profile
from safeweave.ledger.ledger import Final
from safeweave.ledger.operation import (
    Approval,
    Found,
    Founder,
    Operation,
    PutMember,
    Role,
    SuspendMember,
    SuspensionReason,
    approve,
    fresh_id,
    operation_bytes,
    sign,
)
from safeweave.settings import from_environment
from safeweave.words import Language, say

PASSPHRASE = "SAFEWEAVE_RING_PASSPHRASE"
Run = Callable[[argparse.Namespace], int]


class PublicMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member gives to the commission to be admitted."""

    member: str
    keys: KeySet
    endpoint_hash: str


def ring(asked: argparse.Namespace) -> int:
    """Make a key ring with a ledger account, and print what others may know of it."""
    made = KeyRing.generated(asked.member or fresh_id(), account=new_account())
    made.save(_new(asked.file), os.environ.get(PASSPHRASE))
    return public(asked)


def public(asked: argparse.Namespace) -> int:
    """Print what the commission needs to admit the owner of a ring."""
    opened = _ring(asked.file)
    endpoint = asked.endpoint_hash or "0" * 64
    return _print(PublicMember(opened.member, opened.periods[-1].public(), endpoint))


def create(asked: argparse.Namespace) -> int:
    """Create the contract with the account of a ring; print its address."""
    account = _period(_ring(asked.ring)).account
    assert account
    print(deploy(Node.at(asked.node), profile(asked.profile), account))
    return 0


def found(asked: argparse.Namespace) -> int:
    """Prepare the founding by these members of the commission."""
    members = [_read(file, PublicMember) for file in asked.founders]
    founders = tuple(Founder(one.member, one.keys, one.endpoint_hash) for one in members)
    return _prepared(Found(_ring(asked.ring).member, fresh_id(), founders, asked.needed))


def admit(asked: argparse.Namespace) -> int:
    """Prepare that a member joins, comes back or has new keys."""
    one = _read(asked.public, PublicMember)
    return _prepared(
        PutMember(_ring(asked.ring).member, fresh_id(), one.member, asked.role, one.keys, one.endpoint_hash)
    )


def suspend(asked: argparse.Namespace) -> int:
    """Prepare that a member is suspended."""
    return _prepared(SuspendMember(_ring(asked.ring).member, fresh_id(), asked.member, asked.reason))


def agree(asked: argparse.Namespace) -> int:
    """Print this ring's approval of a prepared operation."""
    opened = _ring(asked.ring)
    period = _period(opened)
    assert period.account
    operation = _read(asked.operation, Operation)
    approval = approve(operation, opened.member, period.suite, period.signing_key())
    return _print(countersigned_approval(approval, operation, period.account))


def send(asked: argparse.Namespace) -> int:
    """Sign a prepared operation, send it with the approvals, and tell what became of it."""
    opened = _ring(asked.ring)
    period = _period(opened)
    assert period.account
    operation = _read(asked.operation, Operation)
    approvals = [_read(file, Approval) for file in asked.approvals]
    signed = sign(operation, period.suite, period.signing_key(), approvals)
    ledger = _ledger(asked, {opened.member: period.account})
    [id] = ledger.submit([signed])
    outcome = ledger.outcome(id, asked.seconds)
    _print(outcome)
    return 0 if isinstance(outcome, Final) else 1


def member(asked: argparse.Namespace) -> int:
    """Print what the ledger knows of a member."""
    known = _ledger(asked).member(asked.member)
    return _print(known) if known else 1


def status(asked: argparse.Namespace) -> int:
    """Print the newest final head, and the last operations that stand."""
    ledger = _ledger(asked)
    print(msgspec.json.encode(ledger.head()).decode())
    for event in ledger.events(max(-1, ledger.count() - 1 - asked.last), asked.last):
        print(event.number, event.height, event.kind, event.operation)
    return 0


def _parser(language: Language) -> argparse.ArgumentParser:
    def help(key: str) -> str:
        return say(f"chain.{key}", language)

    top = argparse.ArgumentParser(prog="python -m safeweave.ledger.chain", description=help("about"))
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, *options: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help(f"command.{name}"), description=help(f"command.{name}"))
        made.set_defaults(run=run)
        if "ring" in options:
            made.add_argument("--ring", type=Path, required=True, metavar="FILE", help=help("ring"))
        if "node" in options:
            made.add_argument("--node", required=True, metavar="URL", help=help("node"))
            made.add_argument("--profile", choices=tuple(PROFILES), default="besu", help=help("profile"))
        if "contract" in options:
            made.add_argument("--contract", required=True, metavar="ADDRESS", help=help("contract"))
        return made

    for name, run in (("ring", ring), ("public", public)):
        made = command(name, run)
        made.add_argument("file", type=Path, metavar="FILE", help=help("ring"))
        made.add_argument("--endpoint-hash", metavar="HEX", help=help("endpoint_hash"))
        if name == "ring":
            made.add_argument("--member", metavar="ID", help=help("member"))
    command("deploy", create, "ring", "node")
    made = command("found", found, "ring")
    made.add_argument("--needed", type=int, required=True, metavar="N", help=help("needed"))
    made.add_argument("founders", type=Path, nargs="+", metavar="PUBLIC", help=help("public"))
    made = command("admit", admit, "ring")
    made.add_argument("public", type=Path, metavar="PUBLIC", help=help("public"))
    made.add_argument("--role", choices=get_args(Role), required=True, help=help("role"))
    made = command("suspend", suspend, "ring")
    made.add_argument("member", metavar="ID", help=help("member"))
    made.add_argument("--reason", choices=get_args(SuspensionReason), required=True, help=help("reason"))
    made = command("approve", agree, "ring")
    made.add_argument("operation", type=Path, metavar="OPERATION", help=help("operation"))
    made = command("send", send, "ring", "node", "contract")
    made.add_argument("operation", type=Path, metavar="OPERATION", help=help("operation"))
    made.add_argument("approvals", type=Path, nargs="*", metavar="APPROVAL", help=help("approval"))
    made.add_argument("--seconds", type=int, default=60, metavar="N", help=help("seconds"))
    made = command("member", member, "node", "contract")
    made.add_argument("member", metavar="ID", help=help("member"))
    made = command("status", status, "node", "contract")
    made.add_argument("--last", type=int, default=10, metavar="N", help=help("last"))
    return top


def _ledger(asked: argparse.Namespace, accounts: dict[str, Any] | None = None) -> ChainLedger:
    return ChainLedger(Node.at(asked.node), asked.contract, profile(asked.profile), accounts)


def _ring(file: Path) -> KeyRing:
    return KeyRing.load(file, os.environ.get(PASSPHRASE))


def _period(opened: KeyRing) -> Period:
    period = opened.periods[-1]
    if period.account is None:
        raise Malformed(say("chain.no_account", from_environment().language, member=opened.member))
    return period


def _new(file: Path) -> Path:
    if file.exists():
        raise Malformed(say("chain.exists", from_environment().language, file=file))
    return file


def _read(file: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Malformed(say("chain.unreadable", from_environment().language, fault=fault), file=str(file)) from fault


def _prepared(operation: Operation) -> int:
    print(operation_bytes(operation).decode())
    return 0


def _print(value: object) -> int:
    print(msgspec.json.encode(value).decode())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 1 if it did not come to what was asked."""
    language = from_environment().language
    asked = _parser(language).parse_args(arguments)
    try:
        return int(asked.run(asked))
    except (SafeweaveError, OSError) as error:
        said = getattr(error, "said", None)
        print(said(language) if said else error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
