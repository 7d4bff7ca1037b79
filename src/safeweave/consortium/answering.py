"""What an insurer says about a determination: on the ledger its commitment, to the hospital what the person allows.

Every determination is committed to with a salt of its own, and the commitment is anchored like the hash of an envelope.
The hospital whose papers it was decided on hears of it sealed. That is giving data to another (个人信息保护法 23), so
it hears what was paid only under a consent to give from the insurer to the hospital; without one it gets an outcome:
that these bills were decided, and the commitment, to which a copy of the letter can be held.
"""

import io
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from safeweave import cases, consents
from safeweave.adjudication import store as decisions
from safeweave.adjudication.store import Decided
from safeweave.adjudication.turns import paid_by_bill
from safeweave.consents import Ask
from safeweave.consortium import anchoring, store
from safeweave.consortium.ending import VisitKey
from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed
from safeweave.events import DeterminationMade
from safeweave.facts import Fact
from safeweave.ids import CaseId
from safeweave.keys.commitment import commitment, new_salt
from safeweave.ledger.bundle import AnchoredDocument, Opening
from safeweave.ledger.ledger import Ledger
from safeweave.ledger.operation import Id, OperationId, Said

DETERMINATION, OUTCOME = "determination", "outcome"  # kinds of documents, and of the commitment


class Document(Fact, frozen=True):
    """What is committed to: what was decided of one claim, without whose it is."""

    case: str
    determination: str
    supersedes: str
    decision: str
    payable_fen: int
    paid_fen: dict[str, int]  # of each bill key
    decided_at: str


class Determined(Said, tag=DETERMINATION, tag_field="kind"):
    """What a hospital hears under a consent: all that was committed to, and the salt that opens the commitment."""

    visit: str
    document: Document
    salt: bytes
    commitment: Id


class Outcome(Said, tag=OUTCOME, tag_field="kind"):
    """What it hears without one: that these bills of the visit were decided."""

    visit: str
    bills: tuple[str, ...]
    commitment: Id


_answers = msgspec.json.Decoder(Determined | Outcome)
_documents = msgspec.json.Decoder(Document)


def read_answer(raw: bytes) -> Determined | Outcome:
    """What an insurer answered, from a document of either kind; Malformed with the place of the fault."""
    try:
        found: Determined | Outcome = _answers.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no answer of an insurer: {error}") from None
    return found


class _Committed(NamedTuple):
    """A determination with what was committed to."""

    decided: Decided
    document: Document
    salt: bytes
    commitment: str


def anchor(tx: Transaction, made: Sequence[DeterminationMade], member: str, suite: str, now: datetime) -> None:
    """Commit to these determinations, and tell the hospitals of those that are final."""
    decided = decisions.by_id(tx, [event.determination for event in made])
    committed = {each.id: _commit(each, suite) for each in decided.values()}
    new = tx.rows_many(
        "insert into determination_anchor (determination, case_id, salt, suite, document, commitment)"
        " values (?, ?, ?, ?, ?, ?) on conflict (determination) do nothing returning determination",
        [
            (
                id, each.decided.case, each.salt, suite, msgspec.json.encode(each.document).decode(), each.commitment,
            )
            for id, each in committed.items()
        ],
    )  # fmt: skip
    told = [committed[id] for (id,) in sorted(new)]
    for each in told:
        store.add_leaf(tx, each.commitment, "determination", each.decided.id, now)
    _answer(tx, [each for each in told if each.decided.decision in ("pay", "refuse")], member, now)


def _commit(decided: Decided, suite: str) -> _Committed:
    document, salt = _document(decided), new_salt()
    return _Committed(
        decided, document, salt, commitment(DETERMINATION, salt, msgspec.to_builtins(document), suite).hex()
    )


def _document(decided: Decided) -> Document:
    paid = paid_by_bill(decisions.released(decided)) if decided.decision == "pay" else {}
    return Document(
        decided.case, decided.id, decided.supersedes or "", decided.decision, decided.payable,
        {bill.key: paid.get(bill.key, 0) for bill in decided.claim.bills}, at_text(decided.made_at),
    )  # fmt: skip


def _answer(tx: Transaction, told: Sequence[_Committed], member: str, now: datetime) -> None:
    """Queue what each hospital may hear. What came by another door is answered to nobody: no consent carries it."""
    heads = cases.heads(tx, [each.decided.case for each in told])
    ways = _ways(tx, {(head.sender, head.visit) for head in heads.values()})
    found = [
        (each, head, ways[head.sender, head.visit])
        for each in told
        if (head := heads[each.decided.case]) and (head.sender, head.visit) in ways
    ]
    asks = [
        Ask(each.decided.person, "give", member, head.sender, "claim", ("settlement",), now, named)
        for each, head, (_, _, named) in found
    ]
    allowed = consents.allowed(tx, asks) if asks else []
    for (each, head, (exchange, entry, _)), may in zip(found, allowed, strict=True):
        answer: Determined | Outcome = Outcome(head.visit, tuple(each.document.paid_fen), each.commitment)
        if may.allowed:
            answer = Determined(head.visit, each.document, each.salt, each.commitment)
        store.queue(
            tx, head.sender, f"{exchange}/{entry[:16]}", entry, DETERMINATION if may.allowed else OUTCOME,
            io.BytesIO(msgspec.json.encode(answer)), now, f"answer/{each.decided.id}",
        )  # fmt: skip


def _ways(tx: Transaction, visits: Collection[VisitKey]) -> dict[VisitKey, tuple[str, str, str]]:
    """For each of these visits the exchange and the consent its last paper came in, and how consents name it."""
    rows = tx.rows(
        "select d.sender, d.visit, d.exchange, d.entry, v.named from opened_document d"
        " join consented_visit v on v.sender = d.sender and v.visit = d.visit"
        " where (d.sender, d.visit) in ? and d.state = 'taken' order by d.opened_at, d.id",
        (sorted(visits),),
    ) if visits else []  # fmt: skip
    return {(sender, visit): (exchange, entry, named) for sender, visit, exchange, entry, named in rows}


# ---------------------------------------------------------------- proving


class Proved(Said):
    """What a proof bundle says of the determinations of one case."""

    operations: tuple[OperationId, ...]
    openings: tuple[Opening, ...]
    documents: tuple[AnchoredDocument, ...]


def proved(tx: Transaction, case: CaseId) -> Proved:
    """The determinations of this case that stand on the ledger, opened."""
    operations: dict[str, None] = {}
    openings, documents = [], []
    for determination, salt, suite, raw, committed in tx.rows(
        "select determination, salt, suite, document, commitment from determination_anchor where case_id = ?"
        " order by determination",
        (case,),
    ):
        document = anchoring.anchored(tx, determination, "determination")
        operation = anchoring.operation_of(tx, determination, "determination")
        if document is None or operation is None:
            continue
        operations[operation] = None
        documents.append(document)
        said = msgspec.to_builtins(_documents.decode(raw))
        openings.append(Opening(committed, DETERMINATION, bytes(salt), said, suite))
    return Proved(tuple(operations), tuple(openings), tuple(documents))


def grants_of(tx: Transaction, ledger: Ledger, case: CaseId) -> list[OperationId]:
    """The operations that put down the consents under which the papers of this case came."""
    head = cases.heads(tx, [case])[case]
    rows = tx.rows(
        "select distinct entry from opened_document where sender = ? and visit = ? and state = 'taken' order by entry",
        (head.sender, head.visit),
    )
    return [grant for (entry,) in rows if (grant := grant_of(ledger, entry)) is not None]


def grant_of(ledger: Ledger, entry: str) -> OperationId | None:
    """The operation that put down a consent, found by the height it was put down at. None if there is none."""
    record = ledger.consent(entry).record
    if record is None:
        return None
    before, beyond = -1, 1
    while (event := _height_after(ledger, beyond)) is not None and event < record.granted_height:
        before, beyond = beyond, beyond * 2
    while beyond - before > 1:
        middle = (before + beyond) // 2
        height = _height_after(ledger, middle)
        if height is not None and height < record.granted_height:
            before = middle
        else:
            beyond = middle
    while events := ledger.events(before, 500):
        for each in events:
            if each.kind == "grant_consent" and entry in each.subjects:
                return each.operation
            if each.height > record.granted_height:
                return None
        before = events[-1].number
    return None


def _height_after(ledger: Ledger, number: int) -> int | None:
    """The height of the first event behind this number; None if there is none."""
    events = ledger.events(number, 1)
    return events[0].height if events else None
