"""Determinations as rows: everything a decision read and said, so that it can be replayed and proven unchanged."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from safeweave.adjudication.determination import Determination
from safeweave.adjudication.history import Settled
from safeweave.adjudication.kept import claim_from, kept_claim, kept_result, kept_settled, result_from, settled_from
from safeweave.coverage.usage import Usage
from safeweave.database import Row, Transaction, at_of, at_text, packed, unpacked
from safeweave.errors import Malformed
from safeweave.facts import Claim, Cover, Fact, Overlay
from safeweave.ids import CaseId, DeterminationId, PersonId, PolicyId, person_key
from safeweave.money import Fen

MACHINE = "machine"

PolicyOf = tuple[PolicyId, PersonId]

_encoder = msgspec.json.Encoder(order="deterministic")
_covers = msgspec.json.Decoder(Cover)
_overlays = msgspec.json.Decoder(tuple[Overlay, ...])
_usages = msgspec.json.Decoder(Usage)

# What a determination is, in the order of its digest.
_VALUES = (
    "id",
    "case_id",
    "policy",
    "person",
    "sequence",
    "product",
    "product_digest",
    "engine",
    "claim",
    "cover",
    "overlays",
    "usage_before",
    "result",
    "decision",
    "decided_by",
    "note",
    "holds",
    "payable",
    "supersedes",
    "made_at",
    "facts_digest",
    "digest",
)
# What is only read as a whole is kept packed in one column; the digest of the facts follows from them.
_PACKED = ("claim", "cover", "overlays", "usage_before", "result", "product_digest", "engine")
_FACTS = _PACKED[:4]
_BETWEEN = "\x1e"  # JSON has it only escaped
_PLAIN = tuple(name for name in _VALUES if name not in (*_PACKED, "facts_digest"))
_COLUMNS = (*_PLAIN, "kept")


class Decided(Fact):
    """One stored determination."""

    id: DeterminationId
    case: CaseId
    policy: PolicyId
    person: PersonId
    sequence: int
    product: str
    product_digest: str
    engine: str
    claim: Claim
    cover: Cover
    overlays: tuple[Overlay, ...]
    usage_before: Usage
    result: Determination
    decision: str
    decided_by: str
    note: str
    holds: tuple[str, ...]  # codes for which the machine held back what the rules would release
    payable: Fen
    supersedes: DeterminationId | None
    made_at: datetime
    facts_digest: str = ""
    digest: str = ""


def digest_of(*texts: str) -> str:
    """The SHA-256 of these texts, each closed off from the next."""
    return hashlib.sha256(_BETWEEN.join(texts).encode()).hexdigest()


def row_of(decided: Decided) -> tuple[object, ...]:
    """The row of a determination, with its digest computed over the very texts that are stored."""
    claim, result = kept_claim(decided.claim), kept_result(decided.result)
    cover, overlays, usage = (
        _encoder.encode(part).decode() for part in (decided.cover, decided.overlays, decided.usage_before)
    )
    kept = _BETWEEN.join((claim, cover, overlays, usage, result, decided.product_digest, decided.engine))
    plain: list[object] = [
        decided.id,
        decided.case,
        decided.policy,
        decided.person,
        decided.sequence,
        decided.product,
        decided.product_digest,
        decided.engine,
        claim,
        cover,
        overlays,
        usage,
        result,
        decided.decision,
        decided.decided_by,
        decided.note,
        ",".join(decided.holds),
        int(decided.payable),
        decided.supersedes,
        at_text(decided.made_at),
        digest_of(claim, cover, overlays, usage),
    ]
    digest = digest_of(*("" if value is None else str(value) for value in plain))
    v = dict(zip(_VALUES, (*plain, digest), strict=True))
    return (*[v[name] for name in _PLAIN], packed(kept))


def texts_of(kept: bytes) -> dict[str, str]:
    """What is packed in a determination, by name. ValueError if it is not what was written."""
    return dict(zip(_PACKED, unpacked(kept).decode().split(_BETWEEN), strict=True))


def values_of(row: Row) -> Row:
    """The values of a determination, in the order of its digest, from a row of `_COLUMNS`.

    ValueError if what is packed is not what was written.
    """
    *plain, kept = row
    v = dict(zip(_PLAIN, plain, strict=True)) | texts_of(kept)
    v["facts_digest"] = digest_of(*[v[name] for name in _FACTS])
    return tuple(v[name] for name in _VALUES)


def decided_from(row: Row) -> Decided:
    """The determination a row of `_COLUMNS` holds."""
    return decided_of(values_of(row))


def decided_of(values: Row) -> Decided:
    """The determination of these values."""
    v = dict(zip(_VALUES, values, strict=True))
    return Decided(
        v["id"],
        v["case_id"],
        v["policy"],
        v["person"],
        v["sequence"],
        v["product"],
        v["product_digest"],
        v["engine"],
        claim_from(v["claim"]),
        _covers.decode(v["cover"]),
        _overlays.decode(v["overlays"]),
        _usages.decode(v["usage_before"]),
        result_from(v["result"], v["id"]),
        v["decision"],
        v["decided_by"],
        v["note"],
        tuple(code for code in v["holds"].split(",") if code),
        v["payable"],
        v["supersedes"],
        at_of(v["made_at"]),
        v["facts_digest"],
        v["digest"],
    )


def released(decided: Decided) -> Determination:
    """The determination as it takes effect: what a person released counts like what the machine paid."""
    if decided.decision in (decided.result.decision, "refuse"):
        return decided.result
    return msgspec.structs.replace(decided.result, decision=decided.decision)


def add(tx: Transaction, made: Sequence[tuple[Decided, Settled | None, bool]]) -> None:
    """Store determinations: (decided, what it leaves behind if it is in force, whether a person is to decide)."""
    tx.queue(
        _ADD,
        [
            (
                *row_of(decided), kept_settled(left) if left else None, int(left is not None), int(waiting),
                person_key(decided.id),
            )
            for decided, left, waiting in made
        ],
    )  # fmt: skip


_ADD = (
    f"insert into determination ({', '.join(_COLUMNS)}, settled, in_force, waiting, shard)"
    f" values ({', '.join('?' * len(_COLUMNS))}, ?, ?, ?, ?)"
)
_NOTE_PAID_BILL = "insert into paid_bill (bill, determination, case_id) values (?, ?, ?) on conflict do nothing"


def note_paid_bills(tx: Transaction, paid: Iterable[tuple[str, DeterminationId, CaseId]]) -> None:
    """Remember that these bill keys were paid, by which determination and for which case."""
    tx.queue(_NOTE_PAID_BILL, paid)


def retire(tx: Transaction, superseded: Sequence[DeterminationId], answered: Sequence[DeterminationId]) -> None:
    """Take determinations out of force, and others off a person's desk, because newer ones took their place."""
    if superseded or answered:
        tx.flush(_ADD)
    tx.run_many("update determination set in_force = 0, settled = null where id = ?", [(d,) for d in superseded])
    tx.run_many("update determination set waiting = 0 where id = ?", [(d,) for d in answered])


class Standing(Fact):
    """How one person stands under one policy before the next decision."""

    in_force: dict[str, Settled]
    case_of: dict[str, CaseId]  # of the determinations in force, by id
    waiting: dict[DeterminationId, CaseId]  # determinations that wait for a person
    next_sequence: int


def standings(
    tx: Transaction, keys: Sequence[PolicyOf], bills: Sequence[str] = ()
) -> tuple[dict[PolicyOf, Standing], dict[str, CaseId]]:
    """How each of these stands, and the case in which each of these bill keys stands paid, whoever is insured.

    One statement; bills that are not paid are left out.
    """
    tx.flush(_ADD, _NOTE_PAID_BILL)
    found = {key: Standing({}, {}, {}, 1) for key in keys}
    paid_in: dict[str, CaseId] = {}
    for policy, person, sequence, determination, case, settled, in_force, waiting, bill in tx.rows(
        "with paid as materialized (select bill, determination, case_id from paid_bill where bill in ?)"
        " select policy, person, sequence, id, case_id, settled, in_force, waiting, null from determination"
        " where (policy, person) in ? union all"
        " select null, null, null, null, b.case_id, null, null, null, b.bill"
        " from paid b join determination d on d.id = b.determination where d.in_force = 1"
        " order by 1, 2, 3",
        (bills, keys),
    ):
        if bill is not None:
            paid_in[bill] = case
            continue
        standing = found[policy, person]
        if in_force:
            standing.in_force[determination] = settled_from(settled)
            standing.case_of[determination] = case
        if waiting:
            standing.waiting[determination] = case
        found[policy, person] = msgspec.structs.replace(standing, next_sequence=sequence + 1)
    return found, paid_in


_SELECT = f"select {', '.join(_COLUMNS)} from determination"


def of_cases(tx: Transaction, cases: Sequence[CaseId]) -> list[Decided]:
    """Every determination of these cases, in the order they were made."""
    if not cases:
        return []
    tx.flush(_ADD)
    rows = tx.rows(f"{_SELECT} where case_id in ? order by made_at, policy, sequence", (cases,))
    return [decided_from(row) for row in rows]


def by_id(tx: Transaction, ids: Sequence[DeterminationId]) -> dict[DeterminationId, Decided]:
    """These determinations; those just made in this transaction are not asked for again."""
    found = {i: tx.memo[i] for i in ids if i in tx.memo}
    missing = [i for i in ids if i not in found]
    if missing:
        tx.flush(_ADD)
        rows = tx.rows(f"{_SELECT} where id in ?", (missing,))
        found |= {row[0]: decided_from(row) for row in rows}
    return found


class Stored(Fact):
    """A determination as its bytes stand in the store, for replay; numbers as their digits."""

    columns: tuple[bytes | None, ...]
    settled: bytes | None
    in_force: bool
    waiting: bool

    def values(self) -> Row:
        """What it says, in the order of its digest. ValueError if the bytes are no longer what was written."""
        *plain, kept = self.columns
        texts = [None if column is None else column.decode() for column in plain]
        return values_of((
            *(int(text or "") if name in ("sequence", "payable") else text
              for name, text in zip(_PLAIN, texts, strict=True)),
            kept or b"",
        ))  # fmt: skip

    @property
    def engine(self) -> str:
        """Which engine decided, as far as the bytes can be read."""
        try:
            return str(self.values()[_VALUES.index("engine")])
        except ValueError:
            return ""

    @property
    def key(self) -> PolicyOf:
        """Whose determination it is, as far as the bytes can be read."""
        return PolicyId(self.text("policy")), PersonId(self.text("person"))

    def text(self, column: str) -> str:
        """One column as it can be shown."""
        return (self.columns[_COLUMNS.index(column)] or b"").decode(errors="replace")


def stored(tx: Transaction, keys: Sequence[PolicyOf]) -> dict[PolicyOf, list[Stored]]:
    """All determinations of these persons under these policies, by sequence, as they stand in the store."""
    found: dict[PolicyOf, list[Stored]] = {key: [] for key in keys}
    for row in _stored(tx, "(policy, person) in ? order by policy, person, sequence", keys):
        found[row.key].append(row)
    return found


def stored_of_cases(tx: Transaction, cases: Sequence[CaseId]) -> list[Stored]:
    """All determinations that say they are of these cases, as they stand in the store."""
    return _stored(tx, "case_id in ? order by id", cases)


def _stored(tx: Transaction, where: str, values: Sequence[object]) -> list[Stored]:
    raw = ", ".join(f"cast({column} as blob)" for column in (*_PLAIN, "settled"))
    return [
        Stored((*columns, kept), settled, in_force != 0, waiting != 0)
        for in_force, waiting, kept, *columns, settled in tx.rows(
            f"select in_force, waiting, kept, {raw} from determination where {where}", (values,)
        )
    ]


def waiting_for_a_person(tx: Transaction, case: CaseId) -> list[Decided]:
    """The determinations of a case that a person is to decide."""
    tx.flush(_ADD)
    return [
        decided_from(row) for row in tx.rows(f"{_SELECT} where case_id = ? and waiting = 1 order by made_at", (case,))
    ]


class Waiting(Fact, frozen=True):
    """What is listed of a determination that waits for a person."""

    id: DeterminationId
    case: CaseId
    policy: PolicyId
    reasons: tuple[str, ...]
    payable: Fen
    computed: bool


class _Listed(msgspec.Struct):
    """The part of a kept result that a list shows."""

    decision: str
    payable: Fen
    refer: tuple[str, ...] = ()
    benefits: tuple[msgspec.Raw, ...] = ()


_listed = msgspec.json.Decoder(_Listed)


def waiting_of(tx: Transaction, cases: Collection[CaseId]) -> dict[CaseId, list[Waiting]]:
    """The determinations of these cases that wait for a person, as a list shows them; cases without one are absent."""
    tx.flush(_ADD)
    found: dict[CaseId, list[Waiting]] = {}
    for id, case, policy, kept in tx.rows(
        "select id, case_id, policy, kept from determination where waiting = 1 and case_id in ?"
        " order by made_at, policy, sequence",
        (list(cases),),
    ):
        listed = _listed.decode(texts_of(kept)["result"])
        proposed = ("refusal_needs_person",) if listed.decision == "refuse-proposed" else ()
        reasons = (*proposed, *listed.refer)
        each = Waiting(id, case, policy, reasons, listed.payable, bool(listed.benefits))
        found.setdefault(case, []).append(each)
    return found


def waiting_in(tx: Transaction, cases: Collection[CaseId]) -> set[CaseId]:
    """Those of these cases of which a determination waits for a person."""
    tx.flush(_ADD)
    rows = tx.rows("select distinct case_id from determination where waiting = 1 and case_id in ?", (list(cases),))
    return {case for (case,) in rows}


def paid_in(tx: Transaction, cases: Collection[CaseId]) -> set[CaseId]:
    """Those of these cases of which a determination stands paid."""
    tx.flush(_ADD)
    rows = tx.rows("select distinct case_id from determination where in_force = 1 and case_id in ?", (list(cases),))
    return {case for (case,) in rows}


def in_force_of(tx: Transaction, case: CaseId) -> list[Decided]:
    """The determinations of a case that stand paid."""
    tx.flush(_ADD)
    return [
        decided_from(row) for row in tx.rows(f"{_SELECT} where case_id = ? and in_force = 1 order by made_at", (case,))
    ]


def made_since(tx: Transaction, first: Collection[DeterminationId]) -> set[DeterminationId]:
    """These determinations, and all that were made later for the same persons under the same policies."""
    tx.flush(_ADD)
    begun: dict[PolicyOf, int] = {}
    for policy, person, sequence in tx.rows(
        "select policy, person, min(sequence) from determination where id in ? group by policy, person",
        (sorted(first),),
    ):
        begun[policy, person] = sequence
    return {
        id for id, policy, person, sequence in tx.rows(
            "select id, policy, person, sequence from determination where (policy, person) in ?", (list(begun),)
        ) if sequence >= begun[policy, person]
    }  # fmt: skip


def reasons_to_refer(tx: Transaction) -> Iterator[tuple[str, ...]]:
    """Why each determination that was referred was, as codes."""
    for id, kept in tx.rows("select id, kept from determination where decision = 'refer'"):
        yield result_from(texts_of(kept)["result"], id).refer


def keep_products(tx: Transaction, products: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Keep the product files that decided: (digest, product, text)."""
    tx.run_many(
        "insert into product_version (digest, product, body, body_digest, first_used_at) values (?, ?, ?, ?, ?)"
        " on conflict do nothing",
        [(digest, product, text, digest_of(text), at_text(now)) for digest, product, text in products],
    )


def kept_product(tx: Transaction, digest: str) -> str:
    """The text of the product file with that digest. Malformed if it is not here, or not as it was kept."""
    row = tx.row("select cast(body as blob), body_digest from product_version where digest = ?", (digest,))
    if row is None:
        raise Malformed("it is not kept any more")
    text = str(row[0].decode(errors="replace"))
    if digest_of(text) != row[1]:
        raise Malformed("its bytes are not those that were kept (digest differs)")
    return text
