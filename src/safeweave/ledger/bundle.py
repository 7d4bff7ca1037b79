"""A proof bundle: one JSON file that shows, off line and to whoever holds the trust roots, what stands on the ledger.

It holds the operations of a claim, and those that made their authors members, each with its way to a checkpoint that
the operator and enough witnesses signed. It may open commitments, show documents under their anchors, and prove by the
hospital's VRF that a nullifier is the only one of its bill.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from safeweave.errors import Malformed, NotFound
from safeweave.keys import vrf
from safeweave.keys.commitment import opens
from safeweave.keys.errors import UnknownSuite
from safeweave.ledger.checkpoint import TrustRoots, decode_hash
from safeweave.ledger.ledger import ItemResult, Kind, Ledger, Proof
from safeweave.ledger.merkle import is_included
from safeweave.ledger.operation import (
    Anchor,
    Found,
    GrantConsent,
    Id,
    OperationId,
    PutMember,
    Reserve,
    Said,
    SuspendMember,
    items_of,
    operation_id,
)
from safeweave.ledger.proof import Untrusted, verify
from safeweave.ledger.rules import Accepted, Moment, State, apply, check, is_valid_ticket, kind_of
from safeweave.words import Language, say

FORM: Literal["safeweave/proof/1"] = "safeweave/proof/1"


class Opening(Said):
    """A document and the salt that open a commitment named by an operation of the bundle."""

    commitment: Id
    kind: str
    salt: bytes
    document: Any
    suite: str = "std-1"


class AnchoredDocument(Said):
    """The digest of a document and its place under a root that an operation of the bundle anchored."""

    digest: Id
    index: int
    path: tuple[str, ...]
    root: Id


class NullifierProof(Said):
    """The hospital's proof (RFC 9381) that the nullifier is what its key gives for this bill."""

    issuer: Id
    nullifier: Id
    alpha: bytes
    proof: bytes


class Bundle(Said):
    """Everything a third party needs but the trust roots."""

    form: Literal["safeweave/proof/1"]
    membership: tuple[Proof, ...]
    operations: tuple[Proof, ...]
    openings: tuple[Opening, ...] = ()
    documents: tuple[AnchoredDocument, ...] = ()
    nullifiers: tuple[NullifierProof, ...] = ()


class ProvedItem(Said):
    """What became of a part of a bill."""

    nullifier: str
    part: int
    result: ItemResult


class ProvedOperation(Said):
    """One operation that stands."""

    kind: Kind
    by: str
    number: int
    time: int
    items: tuple[ProvedItem, ...] = ()


class Verified(Said):
    """What a bundle proves."""

    operations: tuple[ProvedOperation, ...]
    openings: tuple[Opening, ...]
    documents: tuple[tuple[str, int], ...]  # digest, and the ledger's time of its anchor
    nullifiers: tuple[NullifierProof, ...]

    def text(self, language: Language) -> list[str]:
        """It in words, line by line."""
        lines = []
        for one in self.operations:
            kind = say(f"ledger.kind.{one.kind}", language)
            lines.append(
                say("ledger.verified.operation", language, kind=kind, by=one.by, at=_shown(one.time), number=one.number)
            )
            lines += [
                "  " + say("ledger.verified.item", language, nullifier=i.nullifier, part=i.part, result=i.result)
                for i in one.items
            ]
        lines += [
            say("ledger.verified.opening", language, commitment=opening.commitment, kind=opening.kind)
            for opening in self.openings
        ]
        lines += [
            say("ledger.verified.document", language, digest=digest, at=_shown(at)) for digest, at in self.documents
        ]
        return lines + [
            say("ledger.verified.nullifier", language, nullifier=one.nullifier, issuer=one.issuer)
            for one in self.nullifiers
        ]


@runtime_checkable
class _KnowsMembership(Protocol):
    def membership(self) -> list[OperationId]: ...


def build(
    ledger: Ledger,
    ids: Iterable[OperationId],
    openings: Sequence[Opening] = (),
    documents: Sequence[AnchoredDocument] = (),
    nullifiers: Sequence[NullifierProof] = (),
) -> Bundle:
    """The bundle of these operations. Raises NotFound if one of them is not final."""
    return Bundle(
        FORM,
        tuple(_proof(ledger, id) for id in _membership(ledger)),
        tuple(_proof(ledger, id) for id in ids),
        tuple(openings),
        tuple(documents),
        tuple(nullifiers),
    )


def write_bundle(bundle: Bundle) -> bytes:
    """The bundle as a JSON file."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1)


def read_bundle(raw: bytes) -> Bundle:
    """A bundle from its file; Malformed if it is none."""
    try:
        return msgspec.json.decode(raw, type=Bundle)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no proof bundle: {error}") from None


def verify_bundle(bundle: Bundle, roots: TrustRoots) -> Verified:
    """What the bundle proves to whoever trusts these roots; Untrusted, with what does not fit, if it proves nothing.

    That no later suspension was left out is for the audit to say: a bundle shows what is in the log, not what is not.
    """
    if not roots.founding:
        raise Untrusted("the trust roots do not name the operation that founded the ledger")
    try:
        state = _members_of(bundle, roots)
        operations = tuple(_proved(state, proof, roots) for proof in bundle.operations)
        said = [proof.signed.operation for proof in bundle.operations]
        anchored = {document.digest for document in bundle.documents}
        for opening in bundle.openings:
            _check_opening(opening, said, anchored)
        documents = tuple(_anchored(document, bundle.operations) for document in bundle.documents)
        for one in bundle.nullifiers:
            _check_nullifier(state, one, bundle.operations)
    except (Malformed, UnknownSuite) as fault:
        raise Untrusted(str(fault)) from None
    return Verified(operations, bundle.openings, documents, bundle.nullifiers)


def _shown(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _membership(ledger: Ledger) -> list[OperationId]:
    if isinstance(ledger, _KnowsMembership):
        return ledger.membership()
    found: list[OperationId] = []
    after = -1
    while events := ledger.events(after, 500):
        found += [e.operation for e in events if e.kind in ("found", "put_member", "suspend_member")]
        after = events[-1].number
    return found


def _proof(ledger: Ledger, id: OperationId) -> Proof:
    proof = ledger.prove(id)
    if proof is None:
        raise NotFound(f"operation {id} is not final on this ledger")
    return proof


def _members_of(bundle: Bundle, roots: TrustRoots) -> State:
    """The members as the bundle's own operations make them, from the founding that the trust roots name."""
    state, last = State(), -1
    for proof in bundle.membership:
        operation, receipt = proof.signed.operation, proof.receipt
        if not isinstance(operation, Found | PutMember | SuspendMember) or receipt.number <= last:
            raise Untrusted("the operations on members are not in order")
        verify(proof, roots)
        if last < 0 and operation_id(operation) != roots.founding:
            raise Untrusted("the ledger was not founded by the operation that the trust roots name")
        decided = apply(state, proof.signed, Moment(receipt.height, receipt.time))
        if not isinstance(decided, Accepted):
            raise Untrusted(f"entry {receipt.number} should have been refused: {decided.code} {decided.words}")
        last = receipt.number
    return state


def _proved(state: State, proof: Proof, roots: TrustRoots) -> ProvedOperation:
    verify(proof, roots)
    operation, receipt = proof.signed.operation, proof.receipt
    at = Moment(receipt.height, receipt.time)
    if not isinstance(operation, Found | PutMember | SuspendMember):
        refused = check(state, proof.signed, at)
        if refused:
            raise Untrusted(f"entry {receipt.number} is not its author's: {refused.code} {refused.words}")
    if isinstance(operation, Reserve):
        held = [outcome.item for outcome in receipt.results if outcome.result in ("RESERVED", "MINE")]
        valid = [ticket for ticket in operation.tickets if is_valid_ticket(state, ticket, operation.by, at)]
        allowed = {item for ticket in valid for item in items_of(ticket)}
        if not allowed.issuperset(held):
            raise Untrusted(f"entry {receipt.number} reserves a bill without a ticket of its hospital")
    items = tuple(ProvedItem(o.item.nullifier, o.item.part, o.result) for o in receipt.results)
    return ProvedOperation(kind_of(operation), operation.by, receipt.number, receipt.time, items)


def _check_opening(opening: Opening, said: Sequence[object], anchored: Iterable[str]) -> None:
    """What was committed to stands in an operation, or is itself a digest under an anchor of the bundle."""
    named = set(anchored)
    for operation in said:
        if isinstance(operation, GrantConsent):
            named |= {operation.commitment, operation.scope_commitment}
        elif isinstance(operation, Reserve):
            named.add(operation.claim_commitment)
    if opening.commitment not in named:
        raise Untrusted(f"commitment {opening.commitment} stands in none of these operations, nor under their anchors")
    committed = bytes.fromhex(opening.commitment)
    if not opens(committed, opening.kind, opening.salt, opening.document, opening.suite):
        raise Untrusted(f"the {opening.kind} document is not what commitment {opening.commitment} was made of")


def _anchored(document: AnchoredDocument, proofs: Sequence[Proof]) -> tuple[str, int]:
    for proof in proofs:
        operation = proof.signed.operation
        if isinstance(operation, Anchor) and operation.root == document.root:
            path = [decode_hash(hash) for hash in document.path]
            digest, root = bytes.fromhex(document.digest), bytes.fromhex(document.root)
            if is_included(digest, document.index, operation.count, path, root):
                return document.digest, proof.receipt.time
            raise Untrusted(f"document {document.digest} is not under the root {document.root}")
    raise Untrusted(f"the root {document.root} is anchored by none of these operations")


def _check_nullifier(state: State, one: NullifierProof, proofs: Sequence[Proof]) -> None:
    items = [outcome.item for proof in proofs for outcome in proof.receipt.results]
    if not any((item.issuer, item.nullifier) == (one.issuer, one.nullifier) for item in items):
        raise Untrusted(f"nullifier {one.nullifier} stands in none of these operations")
    member = state.member(one.issuer)
    for period in member.periods if member else ():
        beta = vrf.verify(period.keys.vrf, one.proof, one.alpha)
        if beta is not None and beta[:32].hex() == one.nullifier:
            return
    raise Untrusted(f"nullifier {one.nullifier} is not what a key of {one.issuer} gives for this bill")
