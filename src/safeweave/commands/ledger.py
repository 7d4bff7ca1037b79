"""`safeweave ledger` and `safeweave verify`: check a log and what was proved by it, trusting nothing but the roots.

Neither opens the store of a node; `verify` needs no network either.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from safeweave.commands.screen import print_json
from safeweave.errors import Malformed
from safeweave.ledger.audit import Audited, Disclosed, LogFile, audit
from safeweave.ledger.bundle import read_bundle, verify_bundle
from safeweave.ledger.checkpoint import TrustRoots, read_roots
from safeweave.ledger.proof import Untrusted
from safeweave.ledger.remote import RemoteLedger
from safeweave.settings import Settings
from safeweave.words import say


def audit_(settings: Settings, asked: argparse.Namespace) -> int:
    """Replay a log and print what is wrong with it and what members did that they should not; 1 if it is wrong."""
    roots = _roots(asked.roots)
    disclosed = [] if asked.disclosed is None else _disclosed(asked.disclosed)
    with _opened(asked.log, roots) as log:
        report = audit(log, roots, disclosed, asked.grace, asked.late)
    if asked.json:
        print_json(msgspec.to_builtins(report))
    else:
        print("\n".join(report.text(settings.language)))
    return 1 if report.faults else 0


def verify(settings: Settings, asked: argparse.Namespace) -> int:
    """Print what a proof bundle proves to whoever trusts these roots; 1 if it proves nothing."""
    try:
        verified = verify_bundle(read_bundle(asked.file.read_bytes()), _roots(asked.roots))
    except Malformed as malformed:
        raise Malformed(malformed.what, file=malformed.file or str(asked.file)) from None
    except Untrusted as untrusted:
        if asked.json:
            print_json({"verified": False, "why": str(untrusted)})
        else:
            print(say("cli.verify.untrusted", settings.language, why=untrusted))
        return 1
    if asked.json:
        print_json({"verified": True, **msgspec.to_builtins(verified)})
    else:
        print("\n".join([say("cli.verify.right", settings.language), *verified.text(settings.language)]))
    return 0


def _roots(file: Path) -> TrustRoots:
    try:
        return read_roots(file.read_bytes())
    except Malformed as malformed:
        raise Malformed(malformed.what, file=str(file)) from None


def _disclosed(file: Path) -> list[Disclosed]:
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=Disclosed))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise Malformed(f"not a disclosed document: {error}", file=str(file), line=number) from None
    return found


@contextmanager
def _opened(log: str, roots: TrustRoots) -> Iterator[Audited]:
    if log.startswith(("http://", "https://")):
        yield RemoteLedger(log, roots)
        return
    file = LogFile(Path(log))
    try:
        yield file
    finally:
        file.close()
