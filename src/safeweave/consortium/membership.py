"""Who is a member: what the commission says of one, agreed to by as many of its offices as its founding asks for.

One office prepares a file; the others look at it and approve, each into a file of its own; the first sends it with
their approvals. The files hold nothing private. Where one office is enough it does all of that at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from safeweave.consortium import store
from safeweave.consortium.directory import endpoint_hash
from safeweave.consortium.homes import FINAL_WITHIN_SECONDS, Application, Home, signed_by
from safeweave.consortium.store import Contact
from safeweave.database import Database
from safeweave.errors import Malformed
from safeweave.ledger.ledger import Ledger, Outcome
from safeweave.ledger.operation import (
    Approval,
    PutMember,
    SuspendMember,
    SuspensionReason,
    approve,
    fresh_id,
)
from safeweave.words import NotHere


class Prepared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an office of the commission wants to say of a member; of one it admits, with its application."""

    form: Literal["safeweave/prepared/1"] = "safeweave/prepared/1"
    operation: PutMember | SuspendMember
    application: Application | None = None

    def check(self) -> None:
        """Raises Malformed if the operation does not say what the application shows; KeyUnusable for bad keys."""
        said, shown = self.operation, self.application
        if isinstance(said, SuspendMember):
            agrees = shown is None
        else:
            agrees = shown is not None and _put(shown, said.by, said.nonce) == said
        if not agrees:
            raise Malformed("the operation is not the one that the application shows; prepare it anew")
        if shown is not None:
            shown.keys.check()


def prepare_admission(home: Home, applied: Application) -> Prepared:
    """That a member joins, comes back, or has new keys or another address.

    Raises NotHere at an office that does not keep the ledger: the others look for addresses where that is.
    """
    if home.member().ledger:
        raise NotHere("cli.member.keeper_admits", ledger=home.member().ledger)
    return Prepared(operation=_put(applied, home.member().member, fresh_id()), application=applied)


def prepare_suspension(home: Home, member: str, reason: SuspensionReason) -> Prepared:
    """That nothing this member says counts any more."""
    return Prepared(operation=SuspendMember(home.member().member, fresh_id(), member, reason))


def _put(applied: Application, by: str, nonce: str) -> PutMember:
    return PutMember(by, nonce, applied.member, applied.role, applied.keys, endpoint_hash(applied.url))


def read_prepared(file: Path) -> Prepared:
    """What another office has prepared; raises Malformed unless its parts agree, or KeyUnusable."""
    with _naming(file):
        found = msgspec.json.decode(file.read_bytes(), type=Prepared)
        found.check()
        return found


def read_approval(file: Path) -> Approval:
    """An approval from its file; raises Malformed."""
    with _naming(file):
        return msgspec.json.decode(file.read_bytes(), type=Approval)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, Malformed) as fault:
        raise Malformed(str(fault), file=str(file)) from None


def agree(home: Home, ledger: Ledger, prepared: Prepared) -> Approval:
    """This office's approval of what another has prepared."""
    ring = home.ring()
    period = ring.at(ledger.head().height)
    return approve(prepared.operation, ring.member, period.suite, period.signing_key())


def send(
    home: Home, ledger: Ledger, database: Database, prepared: Prepared, approvals: Sequence[Approval] = ()
) -> Outcome:
    """Put it on the ledger, and the address of one who joins where the others find it.

    Raises NotHere if another office has prepared it.
    """
    ring, applied = home.ring(), prepared.application
    if prepared.operation.by != ring.member:
        raise NotHere("cli.member.not_prepared_here", member=prepared.operation.by)
    if applied is not None:
        with database.transaction() as tx:
            store.keep_contacts(tx, [Contact(applied.member, applied.name, applied.url)])
    (id,) = ledger.submit([signed_by(ring, prepared.operation, ledger.head().height, approvals)])
    return ledger.outcome(id, FINAL_WITHIN_SECONDS)


def admit(home: Home, ledger: Ledger, database: Database, applied: Application) -> Outcome:
    """Put a member on the ledger where one office is enough."""
    return send(home, ledger, database, prepare_admission(home, applied))
