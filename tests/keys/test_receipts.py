"""A receipt: the recipient's signature that this document came in this envelope."""

import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeweave.keys import KeyRing, commitment, new_salt
from safeweave.keys.commitment import opens
from safeweave.keys.envelope import Matter, open_envelope, seal_envelope
from safeweave.keys.errors import NoKeys
from safeweave.keys.receipt import Receipt, SignedReceipt, sign_receipt

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
RECORD = {"stay": "case_1", "total": 759900}
MATTER = Matter(
    recipient="insurer-1",
    consent="5f" * 32,
    height=12,
    exchange="exchange_1",
    sequence=4,
    expires_at=NOW + timedelta(days=1),
    kind="record",
)


def exchanged(suite):
    """The sender's cover, and the recipient's ring and receipt."""
    hospital, insurer = KeyRing.generated("hospital-1", suite), KeyRing.generated("insurer-1", suite)
    envelope = io.BytesIO()
    sent = seal_envelope(io.BytesIO(b"{}"), envelope, MATTER, hospital, insurer.public()[0])
    envelope.seek(0)
    cover = open_envelope(envelope, io.BytesIO(), insurer, hospital.public()[0], NOW)
    salt = new_salt()
    receipt = sign_receipt(cover, commitment("record", salt, RECORD, suite), salt, 13, insurer)
    return sent, insurer, receipt


@pytest.mark.parametrize("suite", ["std-1", "gm-1"])
def test_the_sender_can_show_that_its_document_arrived(suite):
    sent, insurer, receipt = exchanged(suite)
    assert receipt.signed_by(insurer.public()[0])
    said = receipt.receipt
    assert said.envelope == sent.digest()
    assert opens(said.commitment, "record", said.salt, RECORD, said.suite)
    assert not opens(said.commitment, "record", said.salt, RECORD | {"total": 1}, said.suite)
    assert (said.sender, said.recipient, said.exchange, said.sequence) == ("hospital-1", "insurer-1", "exchange_1", 4)


SENT, INSURER, RECEIPT = exchanged("std-1")


@given(st.sampled_from(Receipt.__struct_fields__))
def test_a_receipt_with_anything_changed_is_not_signed(field):
    value = getattr(RECEIPT.receipt, field)
    other = value + 1 if isinstance(value, int) else value[:-1]
    changed = msgspec.structs.replace(RECEIPT.receipt, **{field: other})
    assert not SignedReceipt(changed, RECEIPT.signature).signed_by(INSURER.public()[0])


def test_a_receipt_counts_only_with_the_recipients_keys_of_its_height():
    assert not RECEIPT.signed_by(SENT_BY_ANOTHER := KeyRing.generated("insurer-1").public()[0])
    assert SENT_BY_ANOTHER.valid_at(13)
    assert not RECEIPT.signed_by(msgspec.structs.replace(INSURER.public()[0], valid_until=13))
    assert RECEIPT.signed_by(INSURER.rotated(14).public()[0])
    with pytest.raises(NoKeys):
        sign_receipt(SENT, bytes(32), bytes(32), 5, KeyRing.generated("insurer-1", valid_from=6))


def test_a_receipt_keeps_its_signature_when_the_ledgers_proof_is_added():
    anchored = RECEIPT.anchored(b"path")
    assert anchored.proof == b"path"
    assert anchored.signed_by(INSURER.public()[0])
    assert anchored.receipt.digest() == RECEIPT.receipt.digest()
    assert msgspec.json.decode(msgspec.json.encode(anchored), type=SignedReceipt) == anchored
