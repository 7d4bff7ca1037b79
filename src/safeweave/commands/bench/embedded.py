"""Fills an embedded store with closed cases, as `filling.py` fills one on a server: cloned row by row in Python."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from functools import lru_cache

import msgspec

from safeweave.commands.bench import filling
from safeweave.commands.bench.baselines import plain_sqlite, table_names
from safeweave.commands.bench.filling import FIRST_CLONE, FIRST_TEMPLATE, REFERRED_TO, Cut, Text
from safeweave.commands.bench.stays import birth_of
from safeweave.commands.bench.stores import Bench, Store
from safeweave.database import Row, packed
from safeweave.words import say

CHUNK = 4  # clones of every template, in one transaction

Clone = tuple[str | int, ...]  # the template's number, the round, days before, and what stands for each mark
Value = Callable[[Clone], object]


class _Template(msgspec.Struct):
    """A row, and those of its values that each clone has of its own, by their place."""

    row: list[object]
    own: list[tuple[int, Value]]


def fill_embedded(bench: Bench, store: Store, cases: int, over: int) -> None:
    """Add that many closed cases, of as many persons, over so many days, to an empty store with its tables."""
    count = min(filling.TEMPLATES, cases)
    with bench.store("sqlite", "templates") as templates:
        filling.settle(templates, range(FIRST_TEMPLATE, FIRST_TEMPLATE + count))
        with closing(sqlite3.connect(templates.settings.store)) as source:
            rows = {name: [filling.opened(row) for row in source.execute(f"select * from {name}")]
                    for name in table_names()}  # fmt: skip
            columns = {name: [(of[1], of[2].lower(), bool(of[5])) for of in
                              source.execute(f"pragma table_info({name})")] for name in rows}  # fmt: skip
    owners = filling.owners_of(row for some in rows.values() for row in some)
    keys: list[list[str]] = [[] for _ in range(count)]
    for key, owner in owners.items():
        keys[owner].append(key)
    tables = {name: _templates(name, some, columns[name], owners, keys, rows) for name, some in rows.items()}
    rounds = -(-cases // count)
    with plain_sqlite(store.home / "safeweave.db") as target:
        target.execute("pragma synchronous = off")
        indexes = target.execute("select name, sql from sqlite_master where type = 'index' and sql <> ''").fetchall()
        for name, _ in indexes:
            target.execute(f"drop index {name}")
        for first in range(0, rounds, CHUNK):
            chunk = range(first, min(first + CHUNK, rounds))
            target.execute("begin immediate")
            for name, of_owner in tables.items():
                if of_owner:
                    marks = ", ".join("?" * len(columns[name]))
                    target.executemany(f"insert into {name} values ({marks})",
                                       _cloned(of_owner, keys, chunk, count, over))  # fmt: skip
            target.execute("commit")
            bench.tell(say("bench.filled", bench.language, done=f"{chunk.stop * count:,}", cases=f"{cases:,}"))
        bench.tell(say("bench.indexing", bench.language))
        for _, sql in indexes:
            target.execute(sql)
        target.execute("analyze")
        target.execute("pragma wal_checkpoint(truncate)")


def _templates(
    name: str, rows: Sequence[Row], columns: Sequence[tuple[str, str, bool]], owners: Mapping[str, int],
    keys: Sequence[Sequence[str]], every: Mapping[str, Sequence[Row]],
) -> dict[int, list[_Template]]:  # fmt: skip
    """The templates of a table, by whose they are."""
    numbered = [n for n, (_, kind, is_key) in enumerate(columns) if is_key and "int" in kind]
    number = numbered[0] if len(numbered) == sum(is_key for *_, is_key in columns) == 1 else None
    owned = [(owner, row) for row in rows if (owner := filling.owner_of(row, owners)) is not None]
    days = {
        n for n in range(len(columns))
        if (texts := [row[n] for _, row in owned if isinstance(row[n], str)])
        and all(filling.DAY.match(text) for text in texts) and columns[n][0] != "birth"
    }  # fmt: skip
    steps = {n: filling.step_of(rows, n) for n in ([] if number is None or not rows else [number])}
    heard = filling.step_of(every[REFERRED_TO], 0)
    marks_by_owner = {owner: filling.marks_of(owner, keys[owner]) for owner, _ in owned}
    found: dict[int, list[_Template]] = {}
    for owner, row in owned:
        marks = marks_by_owner[owner]
        template = _Template(list(row), [])
        for n, value in enumerate(row):
            own = None
            if n == number:
                own = _stepped(value, steps[n])
            elif (name, columns[n][0]) == ("claim_case", "stay"):
                own = _stay(value, heard)
            elif n in days and isinstance(value, str):
                own = _days_before(value)
            elif isinstance(value, str) and (marked := filling.marked(value, marks)) != value:
                own = _text(filling.cut(str(marked)))
            if isinstance(value, Text):
                own = _packed(filling.cut(str(filling.marked(value, marks))), value)
            if own is not None:
                template.own.append((n, own))
        found.setdefault(owner, []).append(template)
    return found


def _cloned(
    templates: Mapping[int, Sequence[_Template]], keys: Sequence[Sequence[str]], rounds: range, count: int, over: int
) -> Iterator[list[object]]:
    for owner, some in templates.items():
        for round_ in rounds:
            clone = _clone(owner, tuple(keys[owner]), round_, count, over)
            for template in some:
                row = template.row.copy()
                for n, value in template.own:
                    row[n] = value(clone)
                yield row


@lru_cache(maxsize=10_000)
def _clone(owner: int, keys: tuple[str, ...], round_: int, count: int, over: int) -> Clone:
    n = FIRST_CLONE + round_ * count + owner
    born = birth_of(n)
    document = f"110105{born:%Y%m%d}{100 + n % 400 * 2}X"
    return (owner, round_, n % over, document, str(n), born.isoformat(),
            *(filling.key_of_clone(key, round_, n % over) for key in keys))  # fmt: skip


# ---------------------------------------------------------------- one value


def _stepped(value: int, step: int) -> Value:
    return lambda clone: value + (int(clone[1]) + 1) * step


def _stay(value: str, step: int) -> Value:
    stay = msgspec.json.decode(value)

    def of(clone: Clone) -> str:
        heard = [number + (int(clone[1]) + 1) * step for number in stay["heard"]]
        return msgspec.json.encode({**stay, "heard": heard}).decode()

    return of


def _text(cut: Cut) -> Value:
    return cut.of


def _packed(cut: Cut, text: Text) -> Value:
    return lambda clone: packed(cut.of(clone), text.against)


def _days_before(text: str) -> Value:
    day, rest = text[:10], text[10:]
    return lambda clone: _earlier(day, int(clone[2])) + rest


@lru_cache(maxsize=100_000)
def _earlier(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
