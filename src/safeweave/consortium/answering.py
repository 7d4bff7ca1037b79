"""What an insurer says about a determination: on the ledger its commitment, to the hospital what the person allows.

Every determination is committed to with a salt of its own, and the commitment is anchored like the hash of an envelope.
The hospital whose papers it was decided on hears of it sealed. That is giving data to another (个人信息保护法 23), so
it hears what was paid only under a consent to give from the insurer to the hospital; without one it gets an outcome:
that these bills were decided, and the commitment, to which a copy of the letter can be held.
"""

import io
from collections.abc import Sequence
from datetime import datetime

import msgspec

from safeweave import cases, consents
from safeweave.adjudication import store as decisions
from safeweave.adjudication.store import Decided
from safeweave.adjudication.turns import paid_by_bill
from safeweave.consents import Ask
from safeweave.consortium import anchoring, store
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


def anchor(tx: Transaction, made: Sequence[DeterminationMade], member: str, suite: str, now: datetime) -> None:
    """Commit to these determinations, and tell the hospitals of those that are final."""
    decided = decisions.by_id(tx, [event.determination for event in made])
    heads = cases.heads(tx, [each.case for each in decided.values()])
    for each in decided.values():
        document, salt = _document(each), new_salt()
        committed = commitment(DETERMINATION, salt, msgspec.to_builtins(document), suite).hex()
        if not tx.run(
            "insert into determination_anchor (determination, case_id, salt, suite, document, commitment)"
            " values (?, ?, ?, ?, ?, ?) on conflict (determination) do nothing",
            (each.id, each.case, salt, suite, msgspec.json.encode(document).decode(), committed),
        ):
            continue
        store.add_leaf(tx, committed, "determination", each.id, now)
        if each.decision in ("pay", "refuse"):
            head = heads[each.case]
            _answer(tx, each, document, salt, committed, (head.sender, head.visit), member, now)


def _document(decided: Decided) -> Document:
    paid = paid_by_bill(decisions.released(decided)) if decided.decision == "pay" else {}
    return Document(
        decided.case, decided.id, decided.supersedes or "", decided.decision, decided.payable,
        {bill.key: paid.get(bill.key, 0) for bill in decided.claim.bills}, at_text(decided.made_at),
    )  # fmt: skip


def _answer(
    tx: Transaction, decided: Decided, document: Document, salt: bytes, committed: str, of: tuple[str, str],
    member: str, now: datetime,
) -> None:  # fmt: skip
    sender, visit = of
    under = tx.row(
        "select d.exchange, d.entry, v.named from opened_document d"
        " join consented_visit v on v.sender = d.sender and v.visit = d.visit"
        " where d.sender = ? and d.visit = ? and d.state = 'taken' order by d.opened_at desc, d.id desc limit 1",
        (sender, visit),
    )
    if under is None:
        return  # it came by another door: nobody waits for an answer under a consent
    exchange, entry, named = under
    ask = Ask(decided.person, "give", member, sender, "claim", ("settlement",), now, named)
    (allowed,) = consents.allowed(tx, [ask])
    answer: Determined | Outcome
    if allowed.allowed:
        answer = Determined(visit, document, salt, committed)
    else:
        answer = Outcome(visit, tuple(document.paid_fen), committed)
    kind = DETERMINATION if allowed.allowed else OUTCOME
    content = io.BytesIO(msgspec.json.encode(answer))
    store.queue(tx, sender, f"{exchange}/{entry[:16]}", entry, kind, content, now, f"answer/{decided.id}")


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
