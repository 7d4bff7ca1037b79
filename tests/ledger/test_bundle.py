"""A proof bundle convinces whoever holds the trust roots, off line, and nobody once a byte of it is changed."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.given_ledger import Consortium, Person
from ledger.ledgers import ENGINES, Running
from safeweave.errors import Malformed, NotFound
from safeweave.keys import vrf
from safeweave.keys.commitment import commitment, new_salt
from safeweave.ledger.bundle import (
    AnchoredDocument,
    Bundle,
    NullifierProof,
    Opening,
    build,
    read_bundle,
    verify_bundle,
    write_bundle,
)
from safeweave.ledger.checkpoint import TrustRoots, encode_hash
from safeweave.ledger.ledger import LogEvidence
from safeweave.ledger.merkle import leaf_hash, root_of
from safeweave.ledger.operation import fresh_id, items_of, operation_id
from safeweave.ledger.proof import Untrusted

ALPHA = b'["safeweave/nullifier/1","indemnity","H1","33060226","0012345678",1]'
DOCUMENT = {"claim": "c-1", "amount_fen": 238_185}


@pytest.fixture(params=["witnessed", "remote"])
def running(request: pytest.FixtureRequest, tmp_path: Path, members: Consortium) -> Iterator[Running]:
    with ENGINES[request.param](tmp_path, members) as found:
        yield found


@pytest.fixture
def roots(running: Running) -> TrustRoots:
    found = running.roots()
    assert found
    return found


@pytest.fixture
def bundle(running: Running, members: Consortium) -> Bundle:
    """A paid claim: reserved, settled, its records anchored, with everything that can be shown of it."""
    secret = members.hospital.period.vrf
    pi = vrf.prove(secret, ALPHA)
    nullifier = vrf.output(pi)[:32].hex()
    salt = new_salt()
    committed = commitment("claim", salt, DOCUMENT).hex()
    leaves = [leaf_hash(name) for name in (b"record", b"bill")]
    root = root_of(leaves).hex()
    ticket = members.hospital.ticket(members.insurer, (nullifier, 1))
    said = [
        members.hospital.anchors(fresh_id(), 1, root, 2),
        members.insurer.reserves(ticket, claim=committed),
        members.insurer.settles(*items_of(ticket)),
    ]
    running.final(members.insurer, *said)
    return build(
        running.ledger_of(members.insurer),
        [operation_id(one.operation) for one in said],
        [Opening(committed, "claim", salt, DOCUMENT)],
        [AnchoredDocument(leaves[1].hex(), 1, (encode_hash(leaves[0]),), root)],
        [NullifierProof(members.hospital.id, nullifier, ALPHA, pi)],
    )


def test_a_bundle_proves_a_paid_claim_from_its_file_and_the_trust_roots(
    bundle: Bundle, roots: TrustRoots, members: Consortium
) -> None:
    verified = verify_bundle(read_bundle(write_bundle(bundle)), roots)
    assert [one.kind for one in verified.operations] == ["anchor", "reserve", "settle"]
    assert [item.result for one in verified.operations for item in one.items] == ["RESERVED", "SETTLED"]
    assert [one.by for one in verified.operations] == [members.hospital.id] + [members.insurer.id] * 2
    assert len(verified.documents) == len(verified.openings) == len(verified.nullifiers) == 1


def test_what_was_proved_is_said_in_both_languages(bundle: Bundle, roots: TrustRoots) -> None:
    verified = verify_bundle(bundle, roots)
    assert len(verified.text("zh")) == len(verified.text("en")) == 8
    assert "2026-03-06 12:00:00 UTC" in verified.text("en")[0]


def replaced(bundle: Bundle, **changes: object) -> Bundle:
    return msgspec.structs.replace(bundle, **changes)


def test_under_other_trust_roots_it_proves_nothing(bundle: Bundle, roots: TrustRoots) -> None:
    from safeweave.ledger.checkpoint import NoteSigner

    stranger = str(NoteSigner(roots.origin, bytes(32)).key)
    for other in (
        msgspec.structs.replace(roots, operator=stranger),
        msgspec.structs.replace(roots, origin="another.log"),
        msgspec.structs.replace(roots, founding=fresh_id()),
        msgspec.structs.replace(roots, founding=""),
        msgspec.structs.replace(roots, witnesses=(stranger,), quorum=1),
    ):
        with pytest.raises(Untrusted):
            verify_bundle(bundle, other)


def test_a_changed_document_salt_or_commitment_proves_nothing(bundle: Bundle, roots: TrustRoots) -> None:
    opening = bundle.openings[0]
    for changed in (
        msgspec.structs.replace(opening, document={**DOCUMENT, "amount_fen": 238_186}),
        msgspec.structs.replace(opening, salt=bytes(32)),
        msgspec.structs.replace(opening, salt=b"short"),
        msgspec.structs.replace(opening, kind="consent"),
        Opening(commitment("claim", opening.salt, {}).hex(), "claim", opening.salt, {}),
    ):
        with pytest.raises(Untrusted):
            verify_bundle(replaced(bundle, openings=(changed,)), roots)


def test_a_document_elsewhere_than_it_says_proves_nothing(bundle: Bundle, roots: TrustRoots) -> None:
    document = bundle.documents[0]
    for changed in (
        msgspec.structs.replace(document, digest=fresh_id()),
        msgspec.structs.replace(document, index=0),
        msgspec.structs.replace(document, root=fresh_id()),
        msgspec.structs.replace(document, path=("?",)),
    ):
        with pytest.raises(Untrusted):
            verify_bundle(replaced(bundle, documents=(changed,)), roots)


def test_a_nullifier_of_another_bill_or_hospital_proves_nothing(
    bundle: Bundle, roots: TrustRoots, members: Consortium
) -> None:
    one = bundle.nullifiers[0]
    for changed in (
        msgspec.structs.replace(one, alpha=ALPHA + b" "),
        msgspec.structs.replace(one, issuer=members.other_hospital.id),
        msgspec.structs.replace(one, proof=bytes(80)),
        NullifierProof(one.issuer, fresh_id(), one.alpha, one.proof),
    ):
        with pytest.raises(Untrusted):
            verify_bundle(replaced(bundle, nullifiers=(changed,)), roots)


def test_a_changed_receipt_path_or_signature_proves_nothing(bundle: Bundle, roots: TrustRoots) -> None:
    anchor, reserve, settle = bundle.operations
    evidence = reserve.evidence
    assert isinstance(evidence, LogEvidence)
    late = msgspec.structs.replace(reserve.receipt, time=reserve.receipt.time + 1)
    forged = msgspec.structs.replace(reserve.signed, signature="00" * 64)
    for changed in (
        msgspec.structs.replace(reserve, receipt=late),
        msgspec.structs.replace(reserve, signed=forged),
        msgspec.structs.replace(reserve, signed=settle.signed),
        msgspec.structs.replace(reserve, evidence=settle.evidence),
        msgspec.structs.replace(reserve, evidence=msgspec.structs.replace(evidence, path=evidence.path[1:])),
        msgspec.structs.replace(reserve, evidence=msgspec.structs.replace(evidence, index=evidence.index - 1)),
    ):
        with pytest.raises(Untrusted):
            verify_bundle(replaced(bundle, operations=(anchor, changed, settle)), roots)


def test_a_bundle_that_leaves_out_who_is_a_member_proves_nothing(bundle: Bundle, roots: TrustRoots) -> None:
    for members in ((), bundle.membership[1:], bundle.membership[:1], bundle.membership[::-1]):
        with pytest.raises(Untrusted):
            verify_bundle(replaced(bundle, membership=members), roots)


def test_no_character_of_a_bundle_can_be_changed_unseen(bundle: Bundle, roots: TrustRoots) -> None:
    """Every fact of the file is flipped in turn; only what decides nothing may stay unseen."""
    tree = json.loads(write_bundle(bundle))
    want = verify_bundle(bundle, roots)

    def flipped(node: object, path: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], object]]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from flipped(value, (*path, key))
        elif isinstance(node, list):
            for n, value in enumerate(node):
                yield from flipped(value, (*path, n))
        elif isinstance(node, str) and node:
            yield path, node[:-1] + ("0" if node[-1] != "0" else "1")
        elif isinstance(node, int) and not isinstance(node, bool):
            yield path, node + 1

    for path, value in flipped(tree):
        copy = json.loads(json.dumps(tree))
        place = copy
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        try:
            assert verify_bundle(read_bundle(json.dumps(copy).encode()), roots) == want, path
        except (Untrusted, Malformed):
            continue


def test_what_is_not_final_is_not_in_a_bundle(running: Running, members: Consortium) -> None:
    with pytest.raises(NotFound):
        build(running.ledger_of(members.insurer), [fresh_id()])


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"form":"safeweave/proof/2"}', b"\xff\xfe"])
def test_what_is_no_bundle_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_bundle(raw)


def test_a_stranger_named_in_a_bundle_is_no_member(bundle: Bundle, roots: TrustRoots) -> None:
    stranger = Person("insurer")
    signed = stranger.anchors(fresh_id(), 1)
    proof = msgspec.structs.replace(bundle.operations[0], signed=signed)
    with pytest.raises(Untrusted):
        verify_bundle(replaced(bundle, operations=(proof,)), roots)
