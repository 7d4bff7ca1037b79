"""Recomputes a stored determination from what was stored, and says so if a byte has changed since."""

from collections.abc import Callable, Mapping, Sequence

from safeweave.adjudication import store
from safeweave.adjudication.determination import Determination
from safeweave.adjudication.engine import ENGINE_VERSION
from safeweave.adjudication.history import History
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import Decided, PolicyOf, digest_of, released
from safeweave.coverage.product import Product, parse_product
from safeweave.coverage.usage import Usage, tidied
from safeweave.database import Row, Transaction
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.ids import CaseId, DeterminationId
from safeweave.money import Fen


class Replayed(Fact):
    """Whether a determination came out again as it was stored; `faults` say what did not, in words."""

    determination: DeterminationId
    case: CaseId
    stored_payable: Fen
    replayed_payable: Fen | None
    same_engine: bool
    faults: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether everything is as it was."""
        return not self.faults


def replay(
    tx: Transaction, cases: Sequence[CaseId], opening: Callable[[Sequence[PolicyOf]], Mapping[PolicyOf, Usage]]
) -> list[Replayed]:
    """Every determination of these cases computed again, from the stored facts, terms and earlier determinations.

    `opening` gives the usage a policy was imported with.
    """
    results: list[Replayed] = []
    readable: list[Decided] = []
    for row in store.rows_of_cases(tx, cases):
        fault = unreadable(row)
        if fault:
            results.append(Replayed(row[0], row[1], row[16], None, row[7] == ENGINE_VERSION, (fault,)))
        else:
            readable.append(store.decided_from(row))
    openings = opening(list({(decided.policy, decided.person) for decided in readable}))
    products: dict[str, Product | str] = {}
    for decided in readable:
        results.append(_replayed(tx, decided, openings.get((decided.policy, decided.person), Usage()), products))
    return results


def unreadable(row: Row) -> str:
    """Why a stored row does not hold together any more, or ""."""
    *plain, digest = row
    claim, cover, overlays, usage = row[8], row[9], row[10], row[11]
    if digest_of(*("" if value is None else str(value) for value in plain)) != digest:
        return f"determination {row[0]}: its stored bytes are not those that were written (digest differs)"
    if digest_of(claim, cover, overlays, usage) != row[-2]:
        return f"determination {row[0]}: its stored facts are not those that were decided on (facts digest differs)"
    return ""


def _replayed(tx: Transaction, decided: Decided, opening: Usage, products: dict[str, Product | str]) -> Replayed:
    faults: list[str] = []
    history = History(opening)
    for row in store.raw_rows(tx, decided.policy, decided.person, decided.sequence):
        fault = unreadable(row)
        if fault:
            faults.append(fault)
            continue
        earlier = store.decided_from(row)
        if earlier.sequence < decided.sequence:
            history = history.after(earlier.claim, released(earlier))
    if faults:
        return Replayed(
            decided.id, decided.case, decided.payable, None, decided.engine == ENGINE_VERSION, tuple(faults)
        )
    product = _product(tx, decided, products)
    if isinstance(product, str):
        return Replayed(decided.id, decided.case, decided.payable, None, decided.engine == ENGINE_VERSION, (product,))
    if tidied(history.usage) != tidied(decided.usage_before):
        faults.append(f"determination {decided.id}: the usage before it is not what earlier determinations add up to")
    again = decide(product, decided.cover, history, decided.claim, decided.overlays)
    faults += _differences(decided, again)
    return Replayed(
        decided.id, decided.case, decided.payable, again.payable, decided.engine == ENGINE_VERSION, tuple(faults)
    )


def _product(tx: Transaction, decided: Decided, products: dict[str, Product | str]) -> Product | str:
    digest = decided.product_digest
    if digest not in products:
        text = store.kept_product(tx, digest)
        try:
            product = parse_product(text or "", f"{decided.product}.toml")
            products[digest] = (
                product if product.digest == digest else f"product {decided.product}: its kept file has changed"
            )
        except Malformed as malformed:
            products[digest] = f"product {decided.product}: its kept file cannot be read ({malformed})"
    return products[digest]


def _differences(decided: Decided, again: Determination) -> list[str]:
    if again == decided.result:
        return []
    fields = [name for name in Determination.__struct_fields__ if getattr(again, name) != getattr(decided.result, name)]
    return [
        f"determination {decided.id}: computed again, {', '.join(fields)} differ"
        f" (stored {decided.result.payable} fen, now {again.payable} fen)"
    ]
