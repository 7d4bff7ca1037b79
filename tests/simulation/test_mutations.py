"""The deliberate bugs keep their places in the source; `make mutations` shows that each is caught."""

import pytest

from simulation.mutations import MUTATIONS, ROOT, Mutation, fits


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug)
def test_each_deliberate_bug_has_its_place(mutation: Mutation):
    assert fits(mutation, (ROOT / "src" / "safeweave" / mutation.file).read_text(encoding="utf-8"))
