"""Letters and messages as rows."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from safeweave.database import Row, Transaction, at_of, at_text, marks
from safeweave.ids import CaseId, DeterminationId, LetterId, MessageId
from safeweave.telling.letter import LetterFacts
from safeweave.telling.message import DESK, Message
from safeweave.words import Language

_encode = msgspec.json.Encoder().encode
_facts = msgspec.json.Decoder(LetterFacts)


class LetterRow(msgspec.Struct, frozen=True):
    """A stored letter: what is kept of it, in which language it was written, and when."""

    facts: LetterFacts
    language: Language
    made_at: datetime


# ---------------------------------------------------------------- letters


def add_letters(tx: Transaction, letters: Iterable[LetterRow]) -> None:
    """Keep letters; one that is there already stays as it is."""
    tx.run_many(
        "insert into letter (id, case_id, determination, language, kind, content, made_at) values (?, ?, ?, ?, ?, ?, ?)"
        " on conflict (id) do nothing",
        [
            (row.facts.id, row.facts.case, row.facts.determination, row.language, row.facts.kind,
             _encode(row.facts).decode(), at_text(row.made_at))
            for row in letters
        ],
    )  # fmt: skip


def letter(tx: Transaction, letter: LetterId) -> LetterRow | None:
    """The letter with this id."""
    return next(iter(_letters(tx, "id = ?", letter)), None)


def letters_of_case(tx: Transaction, case: CaseId) -> list[LetterRow]:
    """The letters of a case, the oldest first."""
    return _letters(tx, "case_id = ?", case)


def letters_of_determination(tx: Transaction, determination: DeterminationId) -> list[LetterRow]:
    """The letters about a determination: one at most, as a list."""
    return _letters(tx, "determination = ?", determination)


def _letters(tx: Transaction, where: str, value: str) -> list[LetterRow]:
    rows = tx.rows(f"select content, language, made_at from letter where {where} order by made_at, id", (value,))
    return [LetterRow(_facts.decode(content), language, at_of(made_at)) for content, language, made_at in rows]


# ---------------------------------------------------------------- messages

_MESSAGE = "id, change, channel, person, case_id, occasion, language, address, subject, body, amount, told_at"


def _message(row: Row) -> Message:
    fields = dict(zip(Message.__struct_fields__, row, strict=True))
    return Message(**{**fields, "told_at": at_of(row[-1])})


def add_messages(tx: Transaction, messages: Sequence[Message]) -> list[Message]:
    """Those of the messages that were not told before, now written."""
    by_id = {message.id: message for message in messages}
    rows = [
        (m.id, m.change, m.channel, m.person, m.case, m.occasion, m.language, m.to, m.subject, m.text, m.amount,
         at_text(m.told_at))
        for m in by_id.values()
    ]  # fmt: skip
    new: set[MessageId] = set()
    for start in range(0, len(rows), 2000):
        part = rows[start : start + 2000]
        new.update(
            row[0]
            for row in tx.rows(
                f"insert into message ({_MESSAGE}) values {', '.join([f'({marks(part[0])})'] * len(part))}"
                " on conflict (id) do nothing returning id",
                [value for row in part for value in row],
            )
        )
    return [message for message in by_id.values() if message.id in new]


def waiting_messages(tx: Transaction, ids: Sequence[MessageId]) -> dict[MessageId, Message]:
    """Those of these messages that are still to be delivered."""
    if not ids:
        return {}
    rows = tx.rows(
        f"select {_MESSAGE} from message where id in ({marks(ids)}) and delivered_at is null and fault = ''", ids
    )
    return {row[0]: _message(row) for row in rows}


def note_delivered(tx: Transaction, receipts: Iterable[tuple[MessageId, str]], now: datetime) -> None:
    """Messages that a channel took, with its receipt."""
    at = at_text(now)
    tx.run_many(
        "update message set delivered_at = ?, receipt = ? where id = ? and delivered_at is null",
        [(at, receipt, message) for message, receipt in receipts],
    )


def cases_told(tx: Transaction, ids: Sequence[MessageId], occasion: str) -> list[CaseId]:
    """The cases these messages told something of, if it was this."""
    wanted = f"select distinct case_id from message where occasion = ? and id in ({marks(ids)})"
    return [row[0] for row in tx.rows(wanted, (occasion, *ids))]


def note_faults(tx: Transaction, faults: Iterable[tuple[MessageId, str]]) -> None:
    """Messages that can never be delivered, and why."""
    tx.run_many("update message set fault = ? where id = ?", [(fault, message) for message, fault in faults])


def messages_of(tx: Transaction, case: CaseId) -> list[tuple[datetime, str, str]]:
    """(told at, channel, text) of everything people were told about a case, the oldest first."""
    rows = tx.rows(
        "select told_at, channel, body from message where case_id = ? and channel <> ? order by told_at, id",
        (case, DESK),
    )
    return [(at_of(at), channel, body) for at, channel, body in rows]


def undeliverable(tx: Transaction, limit: int = 1000) -> list[tuple[Message, str]]:
    """Messages no channel can deliver, with the reason, the latest first: somebody should call."""
    rows = tx.rows(
        f"select {_MESSAGE}, fault from message where fault <> '' order by told_at desc, id limit ?", (limit,)
    )
    return [(_message(row[:-1]), row[-1]) for row in rows]


def alarms(tx: Transaction, limit: int = 1000) -> list[tuple[datetime, CaseId, str]]:
    """(at, case, text) of the clock alarms to the claims desk, the latest first."""
    rows = tx.rows(
        "select told_at, case_id, body from message where channel = ? order by told_at desc, id limit ?", (DESK, limit)
    )
    return [(at_of(at), case, body) for at, case, body in rows]
