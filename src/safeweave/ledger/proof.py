"""Checking evidence of the log off line: an entry, its path, a checkpoint, and whom we trust."""

from safeweave.errors import Malformed, NotAllowed
from safeweave.ledger.checkpoint import Checkpoint, TrustRoots, decode_hash, trusted_checkpoint
from safeweave.ledger.entry import Entry, read_entry, receipt_of
from safeweave.ledger.ledger import LogEvidence, Proof
from safeweave.ledger.merkle import is_included, leaf_hash
from safeweave.ledger.operation import write_signed


class Untrusted(NotAllowed):
    """Evidence that proves nothing, or proves that somebody lies; its text says what does not fit."""


def proved_entry(evidence: LogEvidence, roots: TrustRoots) -> tuple[Entry, Checkpoint]:
    """The entry that this evidence proves to be in the log; Untrusted if it does not."""
    try:
        checkpoint = trusted_checkpoint(evidence.checkpoint, roots)
        return entry_under(evidence.entry, evidence.index, evidence.path, checkpoint), checkpoint
    except Malformed as fault:
        raise Untrusted(str(fault)) from None


def entry_under(text: str, index: int, path: tuple[str, ...], checkpoint: Checkpoint) -> Entry:
    """The entry `index` of the log of this checkpoint; Untrusted if the path does not lead there, Malformed."""
    raw = text.encode()
    if not is_included(leaf_hash(raw), index, checkpoint.size, [decode_hash(hash) for hash in path], checkpoint.root):
        raise Untrusted(f"this is not entry {index} of the log of {checkpoint.size} entries")
    entry = read_entry(raw)
    if entry.number != index:
        raise Untrusted(f"entry {index} calls itself {entry.number}")
    return entry


def verify(proof: Proof, roots: TrustRoots) -> None:
    """Raises Untrusted unless the operation stands as its receipt says, by the word of those we trust.

    Whether its author's signature is that of a member is checked by `bundle.verify`, which has the members' keys.
    """
    if not isinstance(proof.evidence, LogEvidence):
        raise Untrusted("these trust roots are of a log, and the evidence is of a chain")
    entry, _ = proved_entry(proof.evidence, roots)
    if write_signed(entry.signed) != write_signed(proof.signed):
        raise Untrusted("the proof is of another operation")
    if receipt_of(entry) != proof.receipt:
        raise Untrusted("the receipt does not say what stands in the log")
