"""Notes and checkpoints against published ones, and what is not believed."""

import msgspec
import pytest

from safeweave.errors import Malformed
from safeweave.ledger.checkpoint import (
    COSIGNATURE,
    Checkpoint,
    Note,
    NoteSigner,
    TrustRoots,
    read_checkpoint,
    read_key,
    read_note,
    read_roots,
    sign_checkpoint,
    trusted_checkpoint,
    write_roots,
)

# The example of the package golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SUM_GOLANG_ORG = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

LOG = NoteSigner("ledger.example", bytes(range(32)))
WITNESSES = [NoteSigner(f"witness-{n}", bytes([n] * 32), COSIGNATURE) for n in range(4)]
ROOTS = TrustRoots("ledger.example", str(LOG.key), "", tuple(str(w.key) for w in WITNESSES), 3)
HERE = Checkpoint("ledger.example", 7, b"\x07" * 32, 1_772_798_400)


def cosigned(count: int) -> Note:
    note = sign_checkpoint(HERE, LOG)
    lines = [witness.line(note.body, 1_772_798_401) for witness in WITNESSES[:count]]
    return msgspec.structs.replace(note, lines=(*note.lines, *lines))


def test_the_published_note_is_believed() -> None:
    assert read_note(PETERS_NOTE).signed_at(read_key(PETER)) == 0
    assert read_note(PETERS_NOTE).text() == PETERS_NOTE


def test_a_changed_word_in_the_published_note_is_not_believed() -> None:
    assert read_note(PETERS_NOTE.replace("answer", "reason")).signed_at(read_key(PETER)) is None


@pytest.mark.parametrize("text", [PETER, SUM_GOLANG_ORG, str(LOG.key), str(WITNESSES[0].key)])
def test_a_key_is_written_as_it_was_read(text: str) -> None:
    assert str(read_key(text)) == text


@pytest.mark.parametrize("text", ["", "a+b", PETER[:-4], PETER.replace("c74f20a3", "c74f20a4"), "a b+00000000+AQ=="])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_key(text)


def test_a_checkpoint_reads_as_it_was_written() -> None:
    assert read_checkpoint(read_note(sign_checkpoint(HERE, LOG).text())) == HERE
    assert HERE.body().startswith("ledger.example\n7\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n")


def test_three_of_four_witnesses_are_believed_and_two_are_not() -> None:
    assert trusted_checkpoint(cosigned(3).text(), ROOTS) == HERE
    with pytest.raises(Malformed, match="2 of the 3"):
        trusted_checkpoint(cosigned(2).text(), ROOTS)


def test_one_witness_that_signs_three_times_is_one_witness() -> None:
    note = sign_checkpoint(HERE, LOG)
    lines = tuple(WITNESSES[0].line(note.body, time) for time in (1, 2, 3))
    with pytest.raises(Malformed, match="1 of the 3"):
        trusted_checkpoint(Note(note.body, note.lines + lines).text(), ROOTS)


def test_a_checkpoint_of_another_log_or_operator_is_not_believed() -> None:
    other = sign_checkpoint(msgspec.structs.replace(HERE, origin="other.example"), LOG)
    forged = sign_checkpoint(HERE, NoteSigner("ledger.example", bytes(32)))
    for note in (other, forged):
        with pytest.raises(Malformed):
            trusted_checkpoint(note.text(), msgspec.structs.replace(ROOTS, witnesses=(), quorum=0))


def test_a_cosignature_does_not_count_for_another_time_or_text() -> None:
    note = cosigned(1)
    moved = Note(note.body.replace("\n7\n", "\n8\n"), note.lines)
    assert note.signed_at(WITNESSES[0].key) == 1_772_798_401
    assert moved.signed_at(WITNESSES[0].key) is None


def test_a_quorum_that_cannot_be_met_or_is_no_majority_is_refused() -> None:
    for quorum in (0, 2, 5):
        with pytest.raises(Malformed):
            msgspec.structs.replace(ROOTS, quorum=quorum).keys()


@pytest.mark.parametrize(
    "text",
    ["", "a\n\n", "a\n\nb\n", "a\n— x y\n", "a\x00\n\n— x y\n", cosigned(1).text() + "more\n", "x" * 70_000],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_note(text)


@pytest.mark.parametrize("size", ["-1", "07", "x", "1" * 17])
def test_what_is_no_checkpoint_is_refused(size: str) -> None:
    note = sign_checkpoint(HERE, LOG)
    with pytest.raises(Malformed):
        read_checkpoint(Note(note.body.replace("\n7\n", f"\n{size}\n"), note.lines))


def test_trust_roots_read_as_they_were_written() -> None:
    assert read_roots(write_roots(ROOTS)) == ROOTS


@pytest.mark.parametrize("changes", [{"operator": "x"}, {"quorum": 5}, {"witnesses": ("x",)}])
def test_trust_roots_that_cannot_be_met_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read_roots(write_roots(msgspec.structs.replace(ROOTS, **changes)))


def test_what_are_no_trust_roots_is_refused() -> None:
    for raw in (b"", b"{}", b"[]", b"\xff"):
        with pytest.raises(Malformed):
            read_roots(raw)
