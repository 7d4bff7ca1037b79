"""How many claims a CPU second decides in columns, measured on many copies of one claim with amounts of their own."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from safeweave.adjudication.history import NO_HISTORY
from safeweave.adjudication.steps import decide
from safeweave.bulk.engine import decide_all
from safeweave.bulk.extract import PART_CLAIMS
from safeweave.bulk.facts import Facts, Given, tables_of
from safeweave.bulk.parts import tables_of_results
from safeweave.bulk.shapes import HOW
from safeweave.coverage.product import Product
from safeweave.errors import InvariantBroken
from safeweave.facts import Bill, Claim, Cover, Line
from safeweave.money import Fen

VARIANTS = 500


class Speed(NamedTuple):
    """Claims decided with every line, cut, reason and clause as Arrow columns, and the CPU seconds that took."""

    claims: int
    cpu_seconds: float
    cuts: int

    @property
    def per_cpu_second(self) -> float:
        """Claims a CPU second."""
        return self.claims / self.cpu_seconds


def measured(product: Product, cover: Cover, claim: Claim, parts: int = 5) -> Speed:
    """How fast copies of a claim of persons of their own are decided, from Arrow tables to Arrow tables.

    Raises InvariantBroken if the plain engine says otherwise of any of the variants.
    """
    variants = [_varied(claim, number) for number in range(VARIANTS)]
    tables = _tables(product, cover, variants)
    _check(product, cover, variants, tables)
    claims = cuts = 0
    began = time.process_time()
    for _ in range(parts):
        facts = Facts(tables)
        decided = decide_all(facts, [product], np.zeros(facts.count, np.int32))
        made = tables_of_results(decided.results)
        claims += facts.count
        cuts += made["line_cuts"].num_rows
    return Speed(claims, time.process_time() - began, cuts)


def _tables(product: Product, cover: Cover, variants: Sequence[Claim]) -> dict[str, pa.Table]:
    """The variants again and again until they make a part."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    once = tables_of(
        Given(claim.id, claim.id, "policy", claim.id, 0, at, product.id, product.digest, "", "", (), claim, cover)
        for claim in variants
    )
    again = PART_CLAIMS // len(variants)
    tables = {name: pa.concat_tables([table] * again).combine_chunks() for name, table in once.items()}
    numbers = pa.array(np.arange(tables["claims"].num_rows, dtype=np.int32))
    for column in ("person_no", "chain_no", "turn_no"):
        place = tables["claims"].schema.get_field_index(column)
        tables["claims"] = tables["claims"].set_column(place, column, numbers)
    return tables


def _check(product: Product, cover: Cover, variants: Sequence[Claim], tables: dict[str, pa.Table]) -> None:
    facts = Facts(tables)
    decided = decide_all(facts, [product], np.zeros(facts.count, np.int32))
    if (decided.how != HOW.index("columns")).any():
        raise InvariantBroken("the claims of the bench were to be decided in columns")
    for place, claim in enumerate(variants):
        made = decided.results.determination(place, claim.id, [bill.key for bill in claim.bills])
        plain = decide(product, cover, NO_HISTORY, claim)
        if (made.lines, made.benefits, made.decision, made.uses) != (
            plain.lines, plain.benefits, plain.decision, plain.uses
        ):  # fmt: skip
            raise InvariantBroken(f"claim {claim.id} is decided otherwise in columns than by the plain engine")


def _varied(claim: Claim, number: int) -> Claim:
    """A claim whose lines are dearer by a few fen each, its bills adding up."""
    bills = tuple(_dearer(bill, number) for bill in claim.bills)
    return msgspec.structs.replace(claim, id=f"{claim.id}-{number}", bills=bills, supersedes=None)


def _dearer(bill: Bill, number: int) -> Bill:
    more = [(number * (place + 3) * 7_919) % 101 for place in range(len(bill.lines))]
    lines = tuple(_dearer_line(line, fen) for line, fen in zip(bill.lines, more, strict=True))
    sums = {
        name: Fen(value + sum(more))
        for name in ("total", "cash", "self_pay")
        if (value := getattr(bill, name)) is not None
    }
    return msgspec.structs.replace(bill, lines=lines, number=f"{bill.number}-{number}", **sums)


def _dearer_line(line: Line, fen: int) -> Line:
    split = line.split
    if split is not None:
        split = msgspec.structs.replace(split, within=Fen(split.within + fen))
    return msgspec.structs.replace(line, amount=Fen(line.amount + fen), split=split)
