"""The Merkle tree of RFC 6962 §2.1: roots, and proofs that an entry is in it and that it only grew.

Of a tree that grows only its complete subtrees are kept, each under one number (`node_number`), and none ever changes.
An append adds two nodes on average; a proof reads about log2 of the size.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from safeweave.errors import Malformed

EMPTY = hashlib.sha256(b"").digest()
Span = tuple[int, int]  # leaves from the first up to and without the second


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, level by level: the same as the recursion of RFC 6962."""
    level = list(leaves)
    if not level:
        return EMPTY
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0]


def node_number(level: int, index: int) -> int:
    """The number of the complete subtree of 2**level leaves at `index` of its level: its in-order place in the tree."""
    return ((2 * index + 1) << level) - 1


class Growing:
    """The right edge of a tree: all that is needed to append, and to know the root."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise Malformed(f"a tree of {size} entries has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Add a leaf hash; the subtrees that are complete with it, by their numbers."""
        index, level, made = self.size, 0, leaf
        complete = [(node_number(0, index), made)]
        while index & 1:
            made = node_hash(self.peaks.pop(), made)
            index, level = index >> 1, level + 1
            complete.append((node_number(level, index), made))
        self.peaks.append(made)
        self.size += 1
        return complete

    def root(self) -> bytes:
        """The root of what was appended so far."""
        return _folded(self.peaks) if self.peaks else EMPTY

    def copy(self) -> "Growing":
        """The same edge, to go back to."""
        return Growing(self.size, self.peaks)


def nodes_of(span: Span) -> list[int]:
    """The numbers of the complete subtrees that make up a span which the recursion of RFC 6962 reaches."""
    first, end = span
    numbers = []
    while first < end:
        level = (end - first).bit_length() - 1
        numbers.append(node_number(level, first >> level))
        first += 1 << level
    return numbers


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove that entry `index` is in the tree of `size` (PATH of RFC 6962 §2.1.1)."""
    if not 0 <= index < size:
        raise Malformed(f"no entry {index} in a tree of {size}")
    spans: list[Span] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((first, middle))
            first = middle
    return spans[::-1]


def consistency_spans(old: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove that the tree of `size` begins with that of `old` (PROOF of RFC 6962 §2.1.2)."""
    if not 0 < old <= size:
        raise Malformed(f"no consistency between {old} and {size} entries")
    spans: list[Span] = []
    first, end, is_old_root = 0, size, True
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((first, middle))
            first, is_old_root = middle, False
    if not is_old_root:
        spans.append((first, end))
    return spans[::-1]


def hashes_of(spans: Sequence[Span], read: Callable[[Sequence[int]], Mapping[int, bytes]]) -> list[bytes]:
    """The hash of each span, from the complete subtrees that `read` gives by their numbers, all asked for at once."""
    parts = [nodes_of(span) for span in spans]
    known = read([number for part in parts for number in part])
    return [_folded([known[number] for number in part]) for part in parts]


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether this leaf hash is entry `index` of the tree of `size` with this root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, made = index, size - 1, leaf
    for hash in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = node_hash(hash, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node_hash(made, hash)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `size` with `root` begins with that of `old` with `old_root` (RFC 9162 §2.1.4.2)."""
    if old == size:
        return not path and old_root == root
    if not 0 <= old < size:
        return False
    if old == 0:
        return not path and old_root == EMPTY
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    made_old = made = hashes[0]
    for hash in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            made_old, made = node_hash(hash, made_old), node_hash(hash, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node_hash(made, hash)
        at, last = at >> 1, last >> 1
    return last == 0 and made_old == old_root and made == root


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _folded(hashes: Iterable[bytes]) -> bytes:
    *rest, made = hashes
    for hash in reversed(rest):
        made = node_hash(hash, made)
    return made
