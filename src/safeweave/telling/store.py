"""Letters and messages as rows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from safeweave import people
from safeweave.database import Row, Transaction, at_of, at_text, packed, unpacked
from safeweave.ids import CaseId, DeterminationId, LetterId, MessageId, person_key
from safeweave.telling.letter import LetterFacts
from safeweave.telling.message import DESK, Message, Wording
from safeweave.words import Language

_encode = msgspec.json.Encoder().encode
_IN_COLUMNS = ("id", "case", "determination", "kind")  # what of a letter stands in columns of its own


class LetterRow(msgspec.Struct, frozen=True):
    """A stored letter: what is kept of it, in which language it was written, and when."""

    facts: LetterFacts
    language: Language
    made_at: datetime


# ---------------------------------------------------------------- letters


def add_letters(tx: Transaction, letters: Sequence[LetterRow]) -> None:
    """Keep letters; one that is there already stays as it is."""
    rows = []
    for row in letters:
        facts = row.facts
        content = msgspec.to_builtins(facts)
        for column in _IN_COLUMNS:
            content.pop(column, None)
        rows.append((
            facts.id, facts.case, facts.determination, row.language, facts.kind, packed(_encode(content)),
            at_text(row.made_at), person_key(facts.id),
        ))  # fmt: skip
    tx.queue(_ADD_LETTER, rows)


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
    rows = _rows(
        tx,
        f"select id, case_id, determination, kind, content, language, made_at from letter where {where}"
        " order by made_at, id",
        (value,),
    )
    return [
        LetterRow(
            msgspec.convert(
                {**msgspec.json.decode(unpacked(content)), **dict(zip(_IN_COLUMNS, columns, strict=True))}, LetterFacts
            ),
            language,
            at_of(made_at),
        )
        for *columns, content, language, made_at in rows
    ]


# ---------------------------------------------------------------- messages

# A message keeps which words it was told in and what was filled in; the words themselves are kept once. Messages of
# version 0.1.0, and alarms to the desk, hold their words themselves.
_MESSAGE = (
    "m.id, m.change, m.channel, m.person, m.case_id, m.occasion, m.language, m.address, m.amount, m.told_at,"
    " coalesce(w.subject, m.subject), coalesce(w.body, m.body), case when w.id is null then null else m.body end"
    " from message m left join wording w on w.id = m.wording"
)


def _message(row: Sequence[Any]) -> Message:
    id, change, channel, person, case, occasion, language, to, amount, told_at, subject, body, filled = row
    words, values = Wording(subject, body), None if filled is None else _filled.decode(filled or "[]")
    return Message(id, change, channel, person, case, occasion, language, to, words, amount, at_of(told_at), values)


_filled = msgspec.json.Decoder(tuple[str, ...])


def add_messages(tx: Transaction, messages: Sequence[Message]) -> list[Message]:
    """Those of the messages that were not told before, now written. Their wordings are added with `add_wordings`."""
    told: set[str] = tx.memo.setdefault("messages told", set())
    doubtful = [m.id for m in messages if not (m.case in tx.fresh or m.change.partition(":")[2] in tx.fresh)]
    if doubtful:
        told |= {id for (id,) in tx.rows("select id from message where id in ?", (doubtful,))}
    new = {message.id: message for message in messages if message.id not in told}
    told.update(new)
    rows = []
    for m in new.values():
        if m.filled is None:
            words: tuple[str | None, ...] = (None, m.subject, m.text)
        else:
            words = (m.wording.id, "", _encode(m.filled).decode() if m.filled else "")
        rows.append((
            m.id, m.change, m.channel, m.person, m.case, m.occasion, m.language, m.to, *words, m.amount,
            at_text(m.told_at), person_key(m.id),
        ))  # fmt: skip
    tx.queue(_ADD_MESSAGE, rows, every=True)
    return list(new.values())


_ADD_MESSAGE = (
    "insert into message (id, change, channel, person, case_id, occasion, language, address, wording, subject,"
    " body, amount, told_at, shard) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
)
_ADD_LETTER = (
    "insert into letter (id, case_id, determination, language, kind, content, made_at, shard)"
    " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
)


_ADD_WORDING = "insert into wording (id, subject, body) values (?, ?, ?) on conflict (id) do nothing"


def _rows(tx: Transaction, sql: str, values: Sequence[object] = ()) -> list[Row]:
    tx.flush(_ADD_MESSAGE, _ADD_LETTER, _ADD_WORDING)
    return tx.rows(sql, values)


def add_wordings(tx: Transaction, wordings: Iterable[Wording]) -> None:
    """Keep these words, each once."""
    tx.queue(
        _ADD_WORDING,
        sorted((each.id, each.subject, each.body) for each in wordings),
    )


def waiting_messages(tx: Transaction, ids: Sequence[MessageId]) -> dict[MessageId, Message]:
    """Those of these messages that are still to be delivered."""
    if not ids:
        return {}
    rows = _rows(tx, f"select {_MESSAGE} where m.id in ? and m.delivered_at is null and m.fault = ''", (ids,))
    return {row[0]: _message(row) for row in rows}


def note_delivered(tx: Transaction, receipts: Iterable[tuple[MessageId, str]], now: datetime) -> None:
    """Messages that a channel took, with its receipt."""
    at = at_text(now)
    tx.flush(_ADD_MESSAGE)
    tx.run_many(
        "update message set delivered_at = ?, receipt = ? where id = ? and delivered_at is null",
        [(at, receipt, message) for message, receipt in receipts],
    )


def cases_told(tx: Transaction, ids: Sequence[MessageId], occasion: str) -> list[CaseId]:
    """The cases these messages told something of, if it was this."""
    wanted = "select distinct case_id from message where occasion = ? and id in ?"
    return [row[0] for row in _rows(tx, wanted, (occasion, ids))]


def note_faults(tx: Transaction, faults: Iterable[tuple[MessageId, str]]) -> None:
    """Messages that can never be delivered, and why."""
    tx.flush(_ADD_MESSAGE)
    tx.run_many("update message set fault = ? where id = ?", [(fault, message) for message, fault in faults])


def messages_of(tx: Transaction, case: CaseId) -> list[tuple[datetime, str, str]]:
    """(told at, channel, text) of everything people were told about a case, the oldest first."""
    rows = _rows(tx, f"select {_MESSAGE} where m.case_id = ? and m.channel <> ? order by m.told_at, m.id", (case, DESK))
    return [(message.told_at, message.channel, message.text) for message in map(_message, rows)]


def messages_of_cases(tx: Transaction, cases: Sequence[CaseId]) -> list[Message]:
    """Everything people were told about these cases, the latest first."""
    rows = _rows(
        tx,
        f"select {_MESSAGE} where m.case_id in ? and m.channel <> ? order by m.told_at desc, m.id",
        (sorted(set(cases)), DESK),
    )
    return [_message(row) for row in rows]


def latest_messages(tx: Transaction, name: str = "", limit: int = 200) -> list[tuple[Message, str, bool]]:
    """The latest messages to people, or to all who have or had this name: (message, the person's name, delivered)."""
    sql = f"select m.delivered_at is not null, {_MESSAGE} where m.channel <> ?"
    values: list[object] = [DESK]
    if name:
        sql += " and m.person in (select person from person_name where name = ?)"
        values.append(name)
    rows = _rows(tx, f"{sql} order by m.told_at desc, m.id limit ?", [*values, limit])
    found = [(_message(row), bool(delivered)) for delivered, *row in rows]
    known = people.people_by_id(tx, {message.person for message, _ in found})
    return [
        (message, known[message.person].name if message.person in known else "", delivered)
        for message, delivered in found
    ]


def undeliverable(tx: Transaction, limit: int = 1000) -> list[tuple[Message, str]]:
    """Messages no channel can deliver, with the reason, the latest first: somebody should call."""
    rows = _rows(tx, f"select m.fault, {_MESSAGE} where m.fault <> '' order by m.told_at desc, m.id limit ?", (limit,))
    return [(_message(row), fault) for fault, *row in rows]


def alarms(tx: Transaction, limit: int = 1000) -> list[tuple[datetime, CaseId, str]]:
    """(at, case, text) of the clock alarms to the claims desk, the latest first."""
    rows = _rows(tx, f"select {_MESSAGE} where m.channel = ? order by m.told_at desc, m.id limit ?", (DESK, limit))
    return [(message.told_at, message.case, message.text) for message in map(_message, rows)]
