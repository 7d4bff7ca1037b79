"""Recomputes a stored determination from what was stored, and says so if a byte has changed since."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from safeweave import coverage
from safeweave.adjudication import store
from safeweave.adjudication.adjusting import adjusted
from safeweave.adjudication.determination import Determination
from safeweave.adjudication.engine import ENGINE_VERSION
from safeweave.adjudication.history import History
from safeweave.adjudication.holds import held
from safeweave.adjudication.kept import says
from safeweave.adjudication.restoring import restored
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import Decided, PolicyOf, Stored, digest_of, released
from safeweave.cases import heads as heads_of_cases
from safeweave.coverage.product import Product, parse_product
from safeweave.coverage.usage import Usage, tidied
from safeweave.database import Damaged, Transaction
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.ids import CaseId, DeterminationId
from safeweave.money import Fen

FOR_A_PERSON = ("refer", "refuse-proposed")  # decisions that leave a determination waiting for a person
SAID_BY = {"determined": "pay", "paid": "pay", "refused": "refuse"}  # what was decided of a case in such a stage


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

    `opening` gives the usage a policy was imported with. A determination whose bytes are not those that were written is
    named with whatever case asks for its policy: its own case may be what has changed. A case that moved on as decided
    and has no such determination is named too.
    """
    heads = heads_of_cases(tx, cases)
    promised = coverage.policies_of(tx, {head.person for head in heads.values()})
    rows = store.stored_of_cases(tx, cases)
    keys = list(
        dict.fromkeys([*(row.key for row in rows), *((p.policy, p.person) for held in promised.values() for p in held)])
    )
    chains, openings, kept = store.stored(tx, keys), opening(keys), coverage.usage_of(tx, keys)
    linked = {row.columns for chain in chains.values() for row in chain}
    for row in rows:
        if row.columns not in linked:  # its policy or person can no longer be read
            chains[row.key].append(row)
    products: dict[str, Product | str] = {}
    found: dict[DeterminationId, Replayed] = {}
    decisions: dict[CaseId, set[str]] = {}
    for key in keys:
        for result, decision in _chain_again(tx, chains[key], openings.get(key, Usage()), kept[key], products):
            if decision is None or result.case in heads:
                found[result.determination] = result
                decisions.setdefault(result.case, set()).add(decision or "")
    missing = [
        Replayed(
            DeterminationId(""), case, Fen(0), None, False,
            (f"case {case}: it is {head.stage}, and no determination that says so is in the store any more",),
        )
        for case, head in heads.items()
        if head.stage in SAID_BY and SAID_BY[head.stage] not in decisions.get(case, ())
    ]  # fmt: skip
    return [*found.values(), *missing]


def _chain_again(
    tx: Transaction, chain: Sequence[Stored], opening: Usage, kept: Usage, products: dict[str, Product | str]
) -> list[tuple[Replayed, str | None]]:
    """All determinations of one person under one policy, each from the history that those before it add up to.

    With each its decision, or None if its bytes do not hold together.
    """
    results: list[tuple[Replayed, Stored, str | None]] = []
    history, broken = History(opening), list[str]()
    earlier: dict[str, Decided] = {}
    for sequence, stored in enumerate(chain, start=1):
        decided = _read(stored)
        if isinstance(decided, Decided) and decided.sequence != sequence + len(broken):
            broken.append(f"determination {decided.id}: one before it is missing (its number is {decided.sequence})")
        if isinstance(decided, str):
            broken.append(decided)
            result = Replayed(
                DeterminationId(stored.text("id")), CaseId(stored.text("case_id")), Fen(0), None,
                stored.engine == ENGINE_VERSION, (decided,),
            )  # fmt: skip
            results.append((result, stored, None))
        else:
            result = _replayed(tx, decided, history, tuple(broken), products, earlier)
            earlier[decided.id] = decided
            results.append((result, stored, decided.decision))
            if not broken and decided.decision == "pay":  # what a person refused leaves nothing in force
                history = history.after(decided.claim, released(decided))
    if broken:
        return [(result, decision) for result, _, decision in results]
    found = [(_in_its_state(result, stored, decision, history), decision) for result, stored, decision in results]
    if found and tidied(history.usage) != tidied(kept):
        last, decision = found[-1]
        fault = f"determination {last.determination}: the usage kept after it is not what the determinations used"
        found[-1] = (msgspec.structs.replace(last, faults=(*last.faults, fault)), decision)
    return found


def _read(stored: Stored) -> Decided | str:
    """The determination, or why its bytes do not hold together any more."""
    id = stored.text("id")
    try:
        *plain, digest = values = stored.values()
    except Damaged as damaged:
        return f"determination {id}: its stored bytes are not those that were written ({damaged})"
    except ValueError:
        return f"determination {id}: its stored bytes are not those that were written (they are no text)"
    if digest_of(*("" if value is None else str(value) for value in plain)) != digest:
        return f"determination {id}: its stored bytes are not those that were written (digest differs)"
    return store.decided_of(values)


def _replayed(
    tx: Transaction, decided: Decided, history: History, broken: tuple[str, ...], products: dict[str, Product | str],
    earlier: Mapping[str, Decided],
) -> Replayed:  # fmt: skip
    same_engine = decided.engine == ENGINE_VERSION
    product = _product(tx, decided, products)
    if broken or isinstance(product, str):
        faults = broken or (str(product),)
        return Replayed(decided.id, decided.case, decided.payable, None, same_engine, faults)
    faults_found: list[str] = []
    if tidied(history.usage) != tidied(decided.usage_before):
        faults_found.append(
            f"determination {decided.id}: the usage before it is not what earlier determinations add up to"
        )
    if decided.result.restores is not None:
        before = earlier.get(decided.result.restores)
        if before is None or decided.claim.supersedes not in history.in_force:
            fault = f"determination {decided.id}: what it puts back, or in place of what, is not in the store any more"
            return Replayed(decided.id, decided.case, decided.payable, None, same_engine, (fault,))
        ruled = restored(released(before), before.id, decided.claim, history)
    else:
        ruled = decide(product, decided.cover, history, decided.claim, decided.overlays)
    if decided.result.adjusted is not None and decided.result.restores is None:
        ruled = adjusted(ruled, decided.result.adjusted, product, decided.cover, history, decided.claim)
    again = held(ruled, decided.holds, history.usage)
    faults_found += _differences(decided, again)
    return Replayed(decided.id, decided.case, decided.payable, again.payable, same_engine, tuple(faults_found))


def _in_its_state(result: Replayed, stored: Stored, decision: str | None, history: History) -> Replayed:
    """The result, with a fault if what the store says of its standing is not what followed from the decisions."""
    faults: list[str] = []
    left = history.in_force.get(result.determination)
    is_said = left is None or (stored.settled is not None and says(stored.settled, left))
    if (left is None) == stored.in_force or not is_said:
        faults.append(f"determination {result.determination}: what it leaves in force is not what was decided")
    if stored.waiting and decision not in FOR_A_PERSON:
        faults.append(f"determination {result.determination}: it waits for a person, and was decided")
    return msgspec.structs.replace(result, faults=(*result.faults, *faults)) if faults else result


def _product(tx: Transaction, decided: Decided, products: dict[str, Product | str]) -> Product | str:
    digest = decided.product_digest
    if digest not in products:
        try:
            product = parse_product(store.kept_product(tx, digest), f"{decided.product}.toml")
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
