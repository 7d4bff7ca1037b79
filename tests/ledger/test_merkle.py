"""The tree of RFC 6962 against its published vectors, and its proofs whatever the size."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeweave.errors import Malformed
from safeweave.ledger.merkle import (
    EMPTY,
    Growing,
    consistency_spans,
    hashes_of,
    inclusion_spans,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    nodes_of,
    root_of,
)

# The entries and roots of the certificate-transparency test suite (merkletree tests, "ReferenceMerkleTree").
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (entry, size): its path. From the same suite, with entries counted from 0.
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
# (old size, size): how one follows from the other.
CONSISTENCIES = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class Kept:
    """A tree with its nodes, as a store keeps them; it counts what it is asked for."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.nodes: dict[int, bytes] = {}
        self.roots = [EMPTY]
        self.asked = 0
        growing = Growing()
        for leaf in leaves:
            self.nodes.update(growing.append(leaf))
            self.roots.append(growing.root())

    def read(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        self.asked += len(numbers)
        return {number: self.nodes[number] for number in numbers}

    def path(self, index: int, size: int) -> list[bytes]:
        return hashes_of(inclusion_spans(index, size), self.read)

    def consistency(self, old: int, size: int) -> list[bytes]:
        return hashes_of(consistency_spans(old, size), self.read)


VECTORS = Kept([leaf_hash(entry) for entry in ENTRIES])
LEAVES = [leaf_hash(str(n).encode()) for n in range(300)]
TREE = Kept(LEAVES)


def by_the_book(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 writes it."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(by_the_book(leaves[:k]), by_the_book(leaves[k:]))


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Growing().root() == root_of([]) == EMPTY


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots_come_out(size: int) -> None:
    assert VECTORS.roots[size].hex() == ROOTS[size - 1]
    assert root_of([leaf_hash(entry) for entry in ENTRIES[:size]]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_the_published_paths_come_out_and_are_accepted(index: int, size: int) -> None:
    path = VECTORS.path(index, size)
    assert [hash.hex() for hash in path] == PATHS[index, size]
    assert is_included(leaf_hash(ENTRIES[index]), index, size, path, VECTORS.roots[size])


@pytest.mark.parametrize(("old", "size"), CONSISTENCIES)
def test_the_published_consistency_proofs_come_out_and_are_accepted(old: int, size: int) -> None:
    path = VECTORS.consistency(old, size)
    assert [hash.hex() for hash in path] == CONSISTENCIES[old, size]
    assert is_consistent(old, VECTORS.roots[old], size, VECTORS.roots[size], path)


@settings(deadline=None)
@given(st.integers(0, 300))
def test_growing_gives_the_root_of_the_book(size: int) -> None:
    assert TREE.roots[size] == by_the_book(LEAVES[:size]) == root_of(LEAVES[:size])


@settings(deadline=None)
@given(st.data())
def test_each_entry_is_proved_and_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 299))
    path = TREE.path(index, size)
    assert is_included(LEAVES[index], index, size, path, TREE.roots[size])
    if other != index:
        assert not is_included(LEAVES[other], index, size, path, TREE.roots[size])
        assert not is_included(LEAVES[index], other, size, path, TREE.roots[size])


@settings(deadline=None)
@given(st.data())
def test_a_changed_proof_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, size - 1))
    for path, holds in (
        (TREE.path(old, size), lambda p: is_included(LEAVES[old], old, size, p, TREE.roots[size])),
        (
            TREE.consistency(old, size),
            lambda p: is_consistent(old, TREE.roots[old], size, TREE.roots[size], p),
        ),
    ):
        place = data.draw(st.integers(0, len(path) - 1))
        flipped = [bytes([path[place][0] ^ 1]) + path[place][1:] if i == place else h for i, h in enumerate(path)]
        assert holds(path)
        assert not holds(flipped)
        assert not holds(path[:-1])
        assert not holds([*path, LEAVES[0]])


@settings(deadline=None)
@given(st.data())
def test_a_tree_that_only_grew_is_consistent_and_a_changed_one_is_not(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    old = data.draw(st.integers(1, size))
    path = TREE.consistency(old, size)
    assert is_consistent(old, TREE.roots[old], size, TREE.roots[size], path)
    forked = root_of([*LEAVES[: old - 1], leaf_hash(b"another")])
    assert not is_consistent(old, forked, size, TREE.roots[size], path)


def test_a_proof_of_ten_million_reads_some_fifty_nodes_at_most() -> None:
    size = 10_000_000
    for index in (0, 1, size // 3, size - 1):
        assert sum(len(nodes_of(span)) for span in inclusion_spans(index, size)) <= 48
        assert sum(len(nodes_of(span)) for span in consistency_spans(index + 1, size)) <= 48


def test_what_is_not_in_the_tree_cannot_be_asked_for() -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(Malformed):
            inclusion_spans(index, size)
    for old, size in ((0, 5), (6, 5)):
        with pytest.raises(Malformed):
            consistency_spans(old, size)


def test_an_edge_needs_its_peaks() -> None:
    with pytest.raises(Malformed):
        Growing(5, [LEAVES[0]])
