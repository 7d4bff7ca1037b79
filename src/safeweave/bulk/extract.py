"""Stored determinations written as columns, once, so that they can be decided again and again without the store.

An extract is a folder: `extract.json` says what is in it, `products/` holds the product files that decided, and every
part is a folder of Parquet files with all determinations of some persons. It holds no names. What was decided after the
extract was begun is not in it, so it may be begun, interrupted and gone on with while the store works.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from safeweave import coverage
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import MACHINE, Decided, PolicyOf, released
from safeweave.adjudication.turns import paid_by_bill
from safeweave.bulk.facts import Given, Verdict, tables_of
from safeweave.bulk.parts import write_part
from safeweave.bulk.results import FINAL, PAY, REFUSE, Rows
from safeweave.cases import store as cases
from safeweave.coverage.usage import Usage
from safeweave.database import Database, Transaction
from safeweave.errors import Conflict, NotFound
from safeweave.facts import Bill, Claim, Fact, OtherPaid
from safeweave.ids import PersonId
from safeweave.money import Fen
from safeweave.words import Language, say

FORMAT = 1  # of the files; raised whenever other columns are written
PART_CLAIMS = 20_000  # a part has at least so many determinations, but for the last
PERSONS_READ = 400  # at once
MANIFEST = "extract.json"


class Part(Fact):
    """One part: its folder, how many determinations it has, and the last person in it."""

    name: str
    claims: int
    last_person: str


class Manifest(Fact):
    """What an extract holds."""

    format: int
    store: str  # which store it was taken from
    as_of: datetime  # determinations made later are not in it
    parts: tuple[Part, ...] = ()
    products: dict[str, str] = msgspec.field(default_factory=dict)  # the product of each file that decided, by digest
    complete: bool = False

    @property
    def claims(self) -> int:
        """How many determinations there are."""
        return sum(part.claims for part in self.parts)


class NoSuchExtract(NotFound):
    """There is no extract, or only the beginning of one."""

    def __init__(self, key: str, folder: Path) -> None:
        self._key, self._folder = key, folder
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What is missing and what to do, in one language."""
        return say(self._key, language, folder=self._folder)


class OtherExtract(Conflict):
    """The folder holds what another store, or another version of safeweave, wrote there."""

    def __init__(self, key: str, folder: Path, **values: object) -> None:
        self._key, self._values = key, {"folder": folder, **values}
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What lies there and what to do, in one language."""
        return say(self._key, language, **self._values)


def manifest_in(folder: Path) -> Manifest:
    """What the extract in a folder holds. Raises NoSuchExtract, or OtherExtract if this version cannot read it."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise NoSuchExtract("bulk.extract.missing", folder) from None
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found != FORMAT:
            raise OtherExtract("bulk.extract.other_format", folder, found=found, needed=FORMAT)
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError:
        raise OtherExtract("bulk.extract.unreadable", folder, path=folder / MANIFEST) from None


class _Format(msgspec.Struct):
    format: int


def complete_manifest_in(folder: Path) -> Manifest:
    """The same, of an extract that was finished."""
    manifest = manifest_in(folder)
    if not manifest.complete:
        raise NoSuchExtract("bulk.extract.unfinished", folder)
    return manifest


def extract(
    database: Database,
    store: str,
    folder: Path,
    now: datetime,
    told: Callable[[Manifest], None] = lambda manifest: None,
) -> Manifest:
    """Writes what is not in the extract yet; `told` hears of every part. A finished extract is left as it is.

    `store` names the store, so that no extract is gone on with from another one. OSError if the disk takes no more:
    the same call goes on from the last part that was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        manifest = manifest_in(folder)
    except NoSuchExtract:
        manifest = Manifest(FORMAT, store, now)
    if manifest.store != store:
        raise OtherExtract("bulk.extract.other_store", folder, found=manifest.store, needed=store)
    if manifest.complete:
        return manifest
    told(manifest)
    after = manifest.parts[-1].last_person if manifest.parts else ""
    waiting: list[tuple[Given, Decided]] = []
    for person, rows in _persons(database, after, manifest.as_of):
        waiting += rows
        after = person
        if len(waiting) >= PART_CLAIMS:
            manifest = _with_part(database, folder, manifest, waiting, after)
            told(manifest)
            waiting = []
    if waiting:
        manifest = _with_part(database, folder, manifest, waiting, after)
    manifest = msgspec.structs.replace(manifest, complete=True)
    _save(folder, manifest)
    told(manifest)
    return manifest


def _with_part(
    database: Database, folder: Path, manifest: Manifest, rows: Sequence[tuple[Given, Decided]], last_person: str
) -> Manifest:
    """The manifest with one more part, which is written first."""
    part = Part(f"part-{len(manifest.parts):05}", len(rows), last_person)
    made = Rows(len(rows))
    places: dict[str, int] = {}
    for place, (given, decided) in enumerate(rows):
        places[decided.id] = place
        bills = [bill.key for bill in sorted(given.claim.bills, key=lambda bill: (bill.on, bill.code, bill.number))]
        order: dict[str, int] = {}
        for benefit in decided.result.benefits:
            order.setdefault(benefit.benefit, len(order))
        made.add(place, decided.result, order, bills)
        made.claims["final"][place] = FINAL.index(decided.decision)
        made.claims["released"][place] = 0 if decided.decision == FINAL[REFUSE] else decided.payable
        if decided.supersedes in places and decided.decision == FINAL[PAY]:
            made.claims["replaced"][places[decided.supersedes]] = True
    products = dict(manifest.products)
    new = {decided.product_digest: decided.product for _, decided in rows if decided.product_digest not in products}
    with database.reading() as tx:
        for digest in new:
            path = folder / "products" / f"{digest}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(determinations.kept_product(tx, digest), encoding="utf-8")
    write_part(folder / part.name, tables_of(given for given, _ in rows), made.finish())
    manifest = msgspec.structs.replace(manifest, parts=(*manifest.parts, part), products=products | new)
    _save(folder, manifest)
    return manifest


def _save(folder: Path, manifest: Manifest) -> None:
    save_json(folder / MANIFEST, manifest)


def save_json(path: Path, value: Fact) -> None:
    """Writes a value as a file that is there whole or not at all."""
    beside = path.with_name(f".{path.name}.unfinished")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    beside.replace(path)


# ---------------------------------------------------------------- from the store


def _persons(database: Database, after: str, as_of: datetime) -> Iterator[tuple[str, list[tuple[Given, Decided]]]]:
    """The determinations of each person, persons by id, in the order of decision."""
    while True:
        with database.reading() as tx:
            found = cases.cases_of_next_persons(tx, after, PERSONS_READ)
            if not found:
                return
            read = list(_read(tx, found, as_of))
        yield from read
        after = max(found)


def _read(
    tx: Transaction, found: Mapping[PersonId, Sequence[str]], as_of: datetime
) -> Iterator[tuple[str, list[tuple[Given, Decided]]]]:
    of_case = {case: person for person, own in found.items() for case in own}
    rows: dict[str, list[Decided]] = {person: [] for person in found}
    for decided in determinations.of_cases(tx, list(of_case)):  # type: ignore[arg-type]
        if decided.made_at <= as_of:
            rows[of_case[decided.case]].append(decided)
    keys = list(dict.fromkeys((d.policy, d.person) for own in rows.values() for d in own))
    openings = coverage.opening_usage(tx, keys)
    policies = coverage.policies_of(tx, list(found))
    for person, own in rows.items():
        order = {policy.policy: place for place, policy in enumerate(policies.get(person, ()))}  # type: ignore[call-overload]
        yield person, _in_turns(own, order, openings)


def _in_turns(
    rows: Sequence[Decided], order: Mapping[str, int], openings: Mapping[PolicyOf, Usage]
) -> list[tuple[Given, Decided]]:
    """A person's determinations as facts, turn by turn, policies in their order."""
    found: list[tuple[Given, Decided]] = []
    standing: dict[str, Decided] = {}  # in force, by id
    for number, turn in enumerate(_turns(rows)):
        by_rules = [d for d in turn if not _verdict(d)]
        by_person = sorted((d for d in turn if _verdict(d)), key=_compensations)
        by_rules.sort(key=lambda d: order.get(d.policy, len(order)))
        for decided in (*by_rules, *by_person):
            if _verdict(decided):
                claim = _without(decided.claim, _paid_by_others(decided, standing.values()))
            else:
                claim = _with_fewest_compensations([d.claim for d in by_rules], decided.claim)
            found.append(
                (_given(decided, claim, number, openings.get((decided.policy, decided.person), Usage())), decided)
            )
            if decided.decision == FINAL[PAY]:
                standing[decided.id] = decided
                standing.pop(decided.supersedes or "", None)
    return found


def _turns(rows: Sequence[Decided]) -> Iterator[list[Decided]]:
    """What was decided together for one case, in the order of decision."""
    turns: dict[tuple[datetime, str], list[Decided]] = {}
    for decided in sorted(rows, key=lambda d: d.made_at):
        turns.setdefault((decided.made_at, decided.case), []).append(decided)
    waiting = list(turns.items())
    while waiting:
        (made_at, _), _ = waiting[0]
        together = [turn for (at, _), turn in waiting if at == made_at]  # in one batch: the sequence tells their order
        first = {chain: min(d.sequence for turn in together for d in turn if (d.policy, d.person) == chain)
                 for chain in {(d.policy, d.person) for turn in together for d in turn}}  # fmt: skip
        turn = next((t for t in together if all(d.sequence == first[d.policy, d.person] for d in t)), together[0])
        yield turn
        waiting = [(key, other) for key, other in waiting if other is not turn]


def _verdict(decided: Decided) -> Verdict:
    if decided.decided_by == MACHINE or decided.decision not in ("pay", "refuse"):
        return ""
    if decided.decision == "refuse":
        return "refuse"
    if decided.result.adjusted is not None:
        return "adjusted"
    return "pay" if decided.result.restores is None else "restored"


def _given(decided: Decided, claim: Claim, turn: int, opening: Usage) -> Given:
    return Given(
        decided.id, decided.case, decided.policy, decided.person, turn, decided.made_at, decided.product,
        decided.product_digest, decided.engine, _verdict(decided), decided.holds, claim, decided.cover,
        decided.overlays, opening,
    )  # fmt: skip


def _compensations(decided: Decided) -> int:
    return sum(len(bill.other_paid) for bill in decided.claim.bills)


def _paid_by_others(decided: Decided, standing: Iterable[Decided]) -> dict[str, int]:
    """What other policies have paid in force for each bill of the case."""
    paid: dict[str, int] = {}
    for other in standing:
        if other.case == decided.case and other.policy != decided.policy:
            for bill, amount in paid_by_bill(released(other)).items():
                paid[bill] = paid.get(bill, 0) + amount
    return paid


def _without(claim: Claim, paid: Mapping[str, int]) -> Claim:
    """The claim before what other policies paid was added to its bills as another insurer's compensation."""

    def before(bill: Bill) -> Bill:
        ours = OtherPaid("other_insurer", Fen(paid.get(bill.key, 0)))
        if ours.amount and bill.other_paid[-1:] == (ours,):
            return msgspec.structs.replace(bill, other_paid=bill.other_paid[:-1])
        return bill

    return msgspec.structs.replace(claim, bills=tuple(map(before, claim.bills)))


def _with_fewest_compensations(claims: Sequence[Claim], claim: Claim) -> Claim:
    """The claim with its bills as the first of the policies saw them, which no other had paid for yet."""
    if len(claims) == 1:
        return claim
    first: dict[str, Bill] = {}
    for bill in (bill for seen in claims for bill in seen.bills):
        if bill.key not in first or len(bill.other_paid) < len(first[bill.key].other_paid):
            first[bill.key] = bill
    bills = tuple(msgspec.structs.replace(bill, other_paid=first[bill.key].other_paid) for bill in claim.bills)
    return msgspec.structs.replace(claim, bills=bills)
