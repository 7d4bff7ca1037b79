"""What the recipient of an envelope gives back: its signature that this document came in this envelope."""

import msgspec

from safeweave.keys.canonical import canonical
from safeweave.keys.envelope import Cover
from safeweave.keys.framing import framed
from safeweave.keys.keyset import KeySet, key_id
from safeweave.keys.ring import KeyRing
from safeweave.keys.suites import suite as suite_named

_DOMAIN = b"safeweave/receipt/1"


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`recipient` received from `sender` the envelope with this digest, and in it the document committed to.

    `commitment` is `commitment(kind, salt, document)` of the document in the recipient's suite: whoever holds the
    document can check it, whoever does not learns nothing. The salt is for the sender alone and never goes on the
    ledger. `height` is that of the ledger when it was received, by which the recipient's keys count.
    """

    sender: str
    recipient: str
    exchange: str
    sequence: int
    envelope: bytes
    commitment: bytes
    salt: bytes
    height: int
    suite: str
    signing_key: str

    def digest(self) -> bytes:
        """The 32 bytes to anchor."""
        return suite_named(self.suite).digest(self.signed())

    def signed(self) -> bytes:
        """What the signature is over."""
        return framed(_DOMAIN, canonical(self))


class SignedReceipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt, its signature, and once it is anchored the ledger's proof of its digest (its Merkle path).

    The proof stands outside the signature: it comes later, and needs no one's word.
    """

    receipt: Receipt
    signature: bytes
    proof: bytes = b""

    def signed_by(self, recipient: KeySet) -> bool:
        """Whether the owner of these keys signed it, while they counted."""
        receipt = self.receipt
        return (
            (receipt.suite, receipt.signing_key) == (recipient.suite, recipient.signing_id)
            and recipient.valid_at(receipt.height)
            and suite_named(recipient.suite).verify(recipient.signing, self.signature, receipt.signed())
        )

    def anchored(self, proof: bytes) -> "SignedReceipt":
        """The same receipt with the ledger's proof."""
        return msgspec.structs.replace(self, proof=proof)


def sign_receipt(cover: Cover, commitment: bytes, salt: bytes, height: int, ring: KeyRing) -> SignedReceipt:
    """The receipt for an envelope that was opened; raises NoKeys if the ring has none for that height."""
    period = ring.at(height)
    key = period.signing_key()
    header = cover.header
    receipt = Receipt(
        sender=header.sender,
        recipient=ring.member,
        exchange=header.exchange,
        sequence=header.sequence,
        envelope=cover.digest(),
        commitment=commitment,
        salt=salt,
        height=height,
        suite=period.suite,
        signing_key=key_id(period.suite, key.public),
    )
    return SignedReceipt(receipt, key.sign(receipt.signed()))
