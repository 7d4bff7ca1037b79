"""Hashes of envelopes and receipts come to stand on the ledger, whatever it says meanwhile."""

from contextlib import closing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consortium.given_consortium import City, Site, serving
from ledger.given_ledger import DAY
from safeweave.consortium import anchoring, store
from safeweave.consortium.anchoring import MOST_LEAVES, Anchoring, paths_of
from safeweave.errors import Unavailable
from safeweave.ledger.audit import LogFile, audit
from safeweave.ledger.bundle import AnchoredDocument
from safeweave.ledger.checkpoint import decode_hash
from safeweave.ledger.ledger import Refused, Unknown
from safeweave.ledger.merkle import is_included
from safeweave.ledger.operation import fresh_id


@pytest.fixture
def anchors(city: City) -> Anchoring:
    return an_anchoring(city, city.hospital)


def an_anchoring(city: City, site: Site) -> Anchoring:
    return Anchoring(site.database, city.ledger, lambda: site.person.ring, city.time, final_within_seconds=0.2)


def open_batch(site: Site):
    with site.database.reading() as tx:
        return store.open_batch(tx)


def is_under(document: AnchoredDocument, count: int) -> bool:
    path = [decode_hash(hash) for hash in document.path]
    return is_included(bytes.fromhex(document.digest), document.index, count, path, bytes.fromhex(document.root))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_every_digest_is_provably_under_the_root(digests):
    root, paths = paths_of([digest.hex() for digest in digests])
    for n, digest in enumerate(digests):
        assert is_under(AnchoredDocument(digest.hex(), n, paths[n], root), len(digests))


def test_both_sides_receipts_get_their_path_and_the_envelope_stands_on_the_ledger(city, anchors):
    id = city.hospital.put(city.insurer, city.consent(), "a record")
    with serving(city.insurer):
        city.hospital.works()
    assert not anchors.work()  # not yet: more may come within two seconds
    city.time.passes(2)
    assert anchors.work()
    assert an_anchoring(city, city.insurer).work()

    sent = city.hospital.outgoing(id)
    for site in (city.hospital, city.insurer):
        with site.database.reading() as tx:
            mine = store.outgoing(tx, id)
            other = store.incoming(tx, city.hospital.person.id, "exchange", 1)
        receipt = mine.receipt if mine else other.receipt
        document = msgspec.json.decode(receipt.proof, type=AnchoredDocument)
        assert document.digest == receipt.receipt.digest().hex()
        found = city.ledger.find_anchor(document.root)
        assert found is not None
        assert found.by == site.person.id
        assert is_under(document, found.count)
    with city.hospital.database.reading() as tx:
        envelope = anchoring.anchored(tx, id)
    assert envelope is not None
    assert envelope.digest == sent.envelope
    assert is_under(envelope, 2)


def test_the_audit_finds_nothing_in_what_a_member_shows_of_its_deliveries(city, anchors):
    consent = city.consent()
    ids = [city.hospital.put(city.insurer, consent, f"record {n}") for n in range(5)]
    with serving(city.insurer):
        city.hospital.works()
    city.time.passes(3)
    anchors.work()
    with city.hospital.database.reading() as tx:
        shown = [anchoring.disclosed(tx, id) for id in ids]
    assert None not in shown
    with closing(LogFile(city.folder / "log.sqlite")) as log:
        report = audit(log, city.ledger.roots(), shown)
    assert (report.faults, report.noted) == ((), ())


def test_many_are_anchored_at_once_and_none_twice(city, anchors):
    digests = [fresh_id() for _ in range(MOST_LEAVES + 10)]
    with city.hospital.database.transaction() as tx:
        for n, digest in enumerate(digests):
            store.add_leaf(tx, digest, "envelope", f"outgoing_{n}", city.time())
    assert anchors.work()  # a whole batch does not wait
    assert not anchors.work()
    city.time.passes(2)
    assert anchors.work()
    with city.hospital.database.reading() as tx:
        batches = [store.batch(tx, n) for n in (1, 2)]
        leaves = [leaf.digest for batch in batches for leaf in store.leaves_of(tx, batch.id)]
    assert [(batch.sequence, batch.count) for batch in batches] == [(1, MOST_LEAVES), (2, 10)]
    assert leaves == digests


def a_leaf(city: City) -> None:
    with city.hospital.database.transaction() as tx:
        store.add_leaf(tx, fresh_id(), "envelope", "outgoing_1", city.time())
    city.time.passes(2)


def test_a_silent_ledger_is_asked_again_with_the_same_operation(city, anchors, monkeypatch):
    a_leaf(city)
    with monkeypatch.context() as silent:
        silent.setattr(city.ledger, "outcome", lambda id, seconds: Unknown("no answer"))
        assert not anchors.work()
    handed_in = open_batch(city.hospital)
    assert handed_in.why.code == "ledger_silent"

    def away():
        raise Unavailable("away")

    with monkeypatch.context() as silent:
        silent.setattr(city.ledger, "head", away)
        city.time.passes(DAY)
        assert not anchors.work()
    assert open_batch(city.hospital).operation == handed_in.operation
    size = city.ledger.head().height
    city.time.passes(DAY)
    assert anchors.work()
    assert city.ledger.head().height == size  # it stood there since the first time


def test_a_refusal_loses_nothing(city, anchors, monkeypatch):
    a_leaf(city)
    city.suspend(city.hospital.person)
    assert not anchors.work()
    assert open_batch(city.hospital).why.values == {"what": "suspended_member"}
    city.admit(city.hospital)
    city.time.passes(DAY)
    assert anchors.work()
    assert open_batch(city.hospital) is None


def test_new_keys_sign_a_batch_that_the_old_ones_signed(city, anchors, monkeypatch):
    a_leaf(city)
    with monkeypatch.context() as lost:
        lost.setattr(city.ledger, "submit", lambda signed: [fresh_id()])
        anchors.work()
    city.hospital.person.ring = city.hospital.person.ring.rotated(city.ledger.head().height + 1)
    city.admit(city.hospital)
    for _ in range(2):
        city.time.passes(DAY)
        anchors.work()
    assert open_batch(city.hospital) is None


def test_a_store_from_before_the_last_anchor_goes_on_in_a_new_stream(city, anchors):
    a_leaf(city)
    anchors.work()
    with city.hospital.database.transaction() as tx:
        tx.run("update anchor_batch set sequence = 0")  # as if another anchor had been the last
    a_leaf(city)
    assert not anchors.work()
    city.time.passes(DAY)
    assert anchors.work()
    with city.hospital.database.reading() as tx:
        first, second = store.batch(tx, 1), store.batch(tx, 2)
    assert second.sequence == 1
    assert second.stream != first.stream
    assert city.ledger.find_anchor(second.root) is not None


def test_a_root_that_we_put_down_and_forgot_counts_as_final(city, anchors, monkeypatch):
    a_leaf(city)
    with monkeypatch.context() as lost:
        lost.setattr(city.ledger, "outcome", lambda id, seconds: Unknown("no answer"))
        anchors.work()
        city.time.passes(DAY)
        lost.setattr(city.ledger, "outcome", lambda id, seconds: Refused("out_of_order"))
        assert anchors.work()
    assert open_batch(city.hospital) is None
