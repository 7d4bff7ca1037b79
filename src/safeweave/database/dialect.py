"""The SQL of stores and the tables as PostgreSQL reads them; pure text.

Stores and every tables.sql are written as SQLite reads them. What differs on PostgreSQL is translated here, and this
is all of it:

| written                                  | sent                                                     |
|------------------------------------------|----------------------------------------------------------|
| `?`                                      | `$1`, `$2`, ...                                          |
| `x in ?`, `x not in ?` with a list       | `x = any($1)`, `x <> all($1)`                            |
| `(a, b) in ?` with a list of tuples      | `(a, b) in (select * from unnest($1::text[], $2::...))`  |
| `cast(x as blob)`                        | `convert_to(x::text, 'UTF8')`                            |
| `integer primary key`, `integer`, `blob` | a `bigint` that numbers itself, `bigint`, `bytea`        |
| `text` of a column                       | `text collate "C"`, so that both engines sort alike      |
| `..._at text` of a column                | `timestamptz`; read and written as the same text         |

`json_extract(document, '$.path')` is a function of ours there.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import Struct

_TOKEN = re.compile(
    r"'(?:[^']|'')*'"
    r"|(?<!\w)\((?P<columns>[^()?']+,[^()?']+)\)\s+(?P<not_rows>not\s+)?in\s+\?"
    r"|\b(?P<negated>not\s+)?in\s+\?"
    r"|cast\((?P<blob>[\w.]+)\s+as\s+blob\)"
    r"|\?",
    re.IGNORECASE,
)


_AS_TEXT = """to_char(%s, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


class Query(Struct, frozen=True):
    """A statement as PostgreSQL reads it, in pieces around its row lists: their types are known with their values."""

    pieces: tuple[str, ...]  # with `$1` and so on; between two pieces stands a row list
    heads: tuple[tuple[str, bool], ...]  # for each row list: its columns, and whether rows are not to be in it
    values: tuple[tuple[int, int], ...]  # for each `?`: its first parameter, and of how many columns it is a list
    lists: tuple[bool, ...]  # for each `?`: whether it is a list


@lru_cache(maxsize=1000)
def translated(sql: str) -> Query:
    """The statement with numbered parameters."""
    pieces: list[str] = []
    heads: list[tuple[str, bool]] = []
    values: list[tuple[int, int]] = []
    lists: list[bool] = []
    piece, end, number = "", 0, 1
    for found in _TOKEN.finditer(sql):
        piece += sql[end : found.start()]
        end = found.end()
        if found["columns"]:
            width = found["columns"].count(",") + 1
            pieces.append(piece)
            heads.append((found["columns"], bool(found["not_rows"])))
            piece = ""
            values.append((number, width))
            lists.append(True)
            number += width
        elif found["blob"]:
            is_instant = found["blob"].endswith("_at")
            piece += f"convert_to({_AS_TEXT % found['blob'] if is_instant else found['blob'] + '::text'}, 'UTF8')"
        elif found[0].startswith("'"):
            piece += found[0]
        else:
            is_list = found[0] != "?"
            piece += f"{'<> all' if found['negated'] else '= any'}(${number})" if is_list else f"${number}"
            values.append((number, 1))
            lists.append(is_list)
            number += 1
    return Query((*pieces, piece + sql[end:]), tuple(heads), tuple(values), tuple(lists))


def among(head: tuple[str, bool], rows: Sequence[Sequence[object]], number: int) -> str:
    """The condition on a row list, the columns of which are parameters from `number` on, their types as in its rows."""
    columns, negated = head
    width = columns.count(",") + 1
    if not rows:
        nothing = f"coalesce({', '.join(f'${number + i}::text' for i in range(width))}) is not null"
        return f"(not {nothing})" if negated else f"({nothing})"  # what is given for no rows is null
    types = ["bigint" if isinstance(value, int) else "text" for value in rows[0]]
    arrays = ", ".join(f"${number + i}::{kind}[]" for i, kind in enumerate(types))
    return f"({columns}) {'not ' if negated else ''}in (select * from unnest({arrays}))"


def text_array(values: Sequence[object]) -> str:
    """A list as an array literal of PostgreSQL: texts quoted, numbers and None plain."""
    return "{" + ",".join([_ELEMENT.get(type(value), _quoted)(value) for value in values]) + "}"


def _quoted(value: object) -> str:
    text = str(value)
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'


def _bytes(value: object) -> str:
    assert isinstance(value, bytes)
    return f'"\\\\x{value.hex()}"'


_ELEMENT: dict[type, Callable[[object], str]] = {
    int: str,
    bool: lambda value: "1" if value else "0",
    type(None): lambda _: "NULL",
    bytes: _bytes,
}

_INSTANT = re.compile(r"^(\s*\w+_at)\s+text\b", re.IGNORECASE | re.MULTILINE)
_COLUMN_TYPES = re.compile(r"\b(integer\s+primary\s+key|integer|blob|text)\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*")
COMPRESSED = "compression lz4"


def table_translated(statement: str, compressed: bool, instants: bool = True) -> str:
    """A `create` statement of a tables.sql; long texts are compressed by lz4 where the server has it.

    What is text and ends in `_at` is an instant, and kept as one, in a third of the bytes; before version 4 as text.
    """
    statement = _COMMENT.sub("", statement)
    if not statement.lstrip().lower().startswith("create table"):
        return statement
    if instants:
        statement = _INSTANT.sub(r"\1 timestamptz", statement)
    types = {
        "integer primary key": "bigint generated by default as identity primary key",
        "integer": "bigint",
        "blob": f"bytea {COMPRESSED}" if compressed else "bytea",
        "text": f'text {COMPRESSED} collate "C"' if compressed else 'text collate "C"',
    }
    return _COLUMN_TYPES.sub(lambda found: types[re.sub(r"\s+", " ", found[0].lower())], statement)
