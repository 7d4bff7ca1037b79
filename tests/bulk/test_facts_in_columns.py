"""Claims written as columns and read back lose nothing that decides."""

import msgspec
import numpy as np
import pytest

from bulk.compare import givens, portfolio
from safeweave.bulk.facts import Facts, tables_of


def canonical(claim):
    """A claim as its columns give it back: in canonical order, without names as printed."""
    bills = sorted(claim.bills, key=lambda bill: (bill.on, bill.code, bill.number))
    return msgspec.structs.replace(
        claim,
        bills=tuple(
            msgspec.structs.replace(
                bill,
                lines=tuple(
                    msgspec.structs.replace(line, name="") for line in sorted(bill.lines, key=lambda line: line.no)
                ),
            )
            for bill in bills
        ),
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_claim_comes_back_as_it_was(seed):
    _, stories = portfolio(seed)
    rows = [row for number, story in enumerate(stories) for row in givens(number, story)]
    facts = Facts(tables_of(rows))
    found = facts.claims_at(np.arange(facts.count))
    for place, row in enumerate(rows):
        claim, cover, case = found[place]
        assert claim == canonical(row.claim)
        assert (cover.periods, cover.birth, cover.roster_last_day) == (
            row.cover.periods, row.cover.birth, row.cover.roster_last_day,
        )  # fmt: skip
        assert bool(cover.beneficiary) == bool(row.cover.beneficiary)
        assert case == row.case


def test_nobody_is_named_in_the_columns():
    _, stories = portfolio(1)
    rows = [row for number, story in enumerate(stories) for row in givens(number, story)]
    named = [
        row._replace(cover=msgspec.structs.replace(row.cover, beneficiary="王受益")) for row in rows if row.claim.bills
    ]
    tables = tables_of(named)
    assert "王受益" not in str([table.to_pylist() for table in tables.values()])
