"""Statements that are run for many rows, as one statement over arrays or as a COPY; pure text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

_INSERT = re.compile(r"\s*insert\s+into\s+(\w+)\s*\(([\w\s,]+)\)\s*values\s*\((.*)", re.IGNORECASE | re.DOTALL)
_UPDATE = re.compile(r"\s*update\s+(\w+)\s+set\s+(.*?)\s+where\s+(.*)", re.IGNORECASE | re.DOTALL)
_DELETE = re.compile(r"\s*delete\s+from\s+(\w+)\s+where\s+(.*)", re.IGNORECASE | re.DOTALL)
_TARGET = re.compile(r"on\s+conflict\s*\(([\w\s,]+)\).*\bdo\s+update\b", re.IGNORECASE | re.DOTALL)
_COMPARED = re.compile(r"(\w+)\s*(?:=|<>|<=|>=|<|>|\+|-)\s*\?")
_PLAIN = re.compile(r"\?|-?\d+|'[^'?]*'|null", re.IGNORECASE)


class Bulk(Struct, frozen=True):
    """One statement over a row set `w` instead of many.

    `before` and `after` stand around the row set, the columns of which are `columns` of `table`; where they may name a
    row twice, `once` are the positions of the values that tell rows apart, and each is sent in a statement of its own.
    """

    table: str
    columns: tuple[str, ...]
    before: str
    after: str
    once: tuple[int, ...] = ()
    copied: bool = False  # nothing but rows: COPY takes them too

    def over(self, types: Mapping[str, str]) -> str:
        """The statement, its columns as arrays `$1`, `$2`, ... of these types."""
        arrays = ", ".join(f"${n}::{types[column]}[]" for n, column in enumerate(self.columns, 1))
        names = ", ".join(f"p{n}" for n in range(1, len(self.columns) + 1))
        return f"{self.before} unnest({arrays}) as w ({names}){self.after}"

    def rounds(self, rows: Sequence[Sequence[object]]) -> Iterable[Sequence[Sequence[object]]]:
        """The rows, those that would meet another one of them in a later round."""
        if not self.once:
            yield rows
            return
        while rows:
            now: dict[tuple[object, ...], Sequence[object]] = {}
            later: list[Sequence[object]] = []
            for row in rows:
                key = tuple([row[position] for position in self.once])
                if key in now:
                    later.append(row)
                else:
                    now[key] = row
            yield list(now.values())
            rows = later


@lru_cache(maxsize=1000)
def bulk_of(sql: str) -> Bulk | None:
    """The statement for many rows at once; None if it must be run for one after another."""
    found = _INSERT.fullmatch(sql)
    if found:
        return _insert(*found.groups())
    found = _UPDATE.fullmatch(sql)
    if found:
        return _change(found[1], f"update {found[1]} set", found[2], "from", found[3])
    found = _DELETE.fullmatch(sql)
    if found:
        return _change(found[1], f"delete from {found[1]}", "", "using", found[2])
    return None


def _insert(table: str, named: str, rest: str) -> Bulk | None:
    columns = [column.strip() for column in named.split(",")]
    values, closed, tail = rest.partition(")")
    parts = [part.strip() for part in values.split(",")]
    if not closed or len(parts) != len(columns) or "?" in tail or not all(map(_PLAIN.fullmatch, parts)):
        return None
    asked = [column for column, part in zip(columns, parts, strict=True) if part == "?"]
    chosen = [f"p{asked.index(column) + 1}" if part == "?" else part
              for column, part in zip(columns, parts, strict=True)]  # fmt: skip
    once: tuple[int, ...] = ()
    target = _TARGET.search(tail)
    if target:
        keys = [key.strip() for key in target[1].split(",")]
        if not set(keys) <= set(asked):
            return None
        once = tuple(asked.index(key) for key in keys)
    before = f"insert into {table} ({', '.join(columns)}) select {', '.join(chosen)} from"
    copied = not tail.strip() and len(asked) == len(columns)
    return Bulk(table, tuple(asked), before, f" where true{tail}" if tail.strip() else "", once, copied)


def _change(table: str, head: str, changes: str, joined: str, where: str) -> Bulk | None:
    columns: list[str] = []

    def named(text: str) -> str:
        def one(found: re.Match[str]) -> str:
            columns.append(found[1])
            return f"{found[0][:-1]}w.p{len(columns)}"

        return _COMPARED.sub(one, text)

    changes = named(changes)
    before = len(columns)
    where = named(where)
    if "?" in changes or "?" in where or len(columns) == before:
        return None
    return Bulk(table, tuple(columns), f"{head} {changes} {joined}".replace("  ", " "), f" where {where}",
                tuple(range(before, len(columns))))  # fmt: skip


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copied(rows: Iterable[Sequence[object]]) -> str:
    """The rows in the text form of COPY."""
    return "".join(["\t".join([_field(value) for value in row]) + "\n" for row in rows])


def _field(value: object) -> str:
    if type(value) is str:
        return value.translate(_ESCAPES) if _special(value) else value
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return str(int(value)) if isinstance(value, bool) else str(value).translate(_ESCAPES)


_special = re.compile(r"[\\\t\n\r]").search
