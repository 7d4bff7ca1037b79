"""Fills a PostgreSQL store with closed cases: the rows of some that were really settled, cloned inside the database.

Every clone has ids, numbers, a birthday and days of its own, in the same shape. Its documents are those of its template
to the byte, but for these; digests are not computed again, since nobody looks into a clone.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

from safeweave.clock import seconds_running
from safeweave.commands.bench.baselines import table_names
from safeweave.commands.bench.disk import sizes
from safeweave.commands.bench.feeders import feeders
from safeweave.commands.bench.stays import birth_of, document_of, stays_of
from safeweave.commands.bench.stores import Bench, Store, connected
from safeweave.database import Row
from safeweave.database.bulk import copied
from safeweave.errors import Conflict
from safeweave.ids import PERSON_CHARACTERS
from safeweave.words import say

TEMPLATES = 500
FIRST_TEMPLATE = 9_000_000  # seven digits that stand in nothing else
FIRST_CLONE = 1_000_000
MOST_CASES = 5_400_000  # then the numbers of identity documents begin again
MOST_BYTES = 60_000_000_000
SPARE_BYTES = 12_000_000_000  # for the log and for sorting
CHUNK = 10  # clones of every template, in one transaction
SESSIONS = 2

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # of ids
_ID = re.compile(rf"[a-z]_([{_ALPHABET}]{{{PERSON_CHARACTERS}}})[{_ALPHABET}]{{10}}(?![0-9a-z])")
_NUMBER = re.compile(rf"{FIRST_TEMPLATE // 1000}\d{{3}}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SPREAD = 663_608_941  # about 0.618 of 2**30: the ids of one template's clones fall all over the index
_BITS = 5 * PERSON_CHARACTERS


class _Column(NamedTuple):
    name: str
    type: str
    numbers_itself: bool


class _Table(NamedTuple):
    name: str
    columns: Sequence[_Column]
    key: str  # the one whole number rows are told apart by; "": something else


def fill(bench: Bench, store: Store, cases: int) -> None:
    """Add that many closed cases, of as many persons, to an empty store. Raises Conflict if there is no room."""
    began = seconds_running()
    with bench.store("postgresql", "templates") as templates:
        with closing(templates.node()) as node:
            before = sum(sizes(templates).values())
            numbers = range(FIRST_TEMPLATE, FIRST_TEMPLATE + TEMPLATES)
            stays_of(node).register(node, templates.home, numbers)
        with feeders(templates, 1) as feeding:
            feeding.feed(numbers, TEMPLATES // 2, to_closed=True)
        _check_room(bench, cases, (sum(sizes(templates).values()) - before) / TEMPLATES)
        with connected(templates.database) as source, connected(store.database) as target:
            tables = [_table(source, name) for name in table_names()]
            expressions = _keep_templates(source, target, tables)
            rebuild = _without_indexes(target)
    prepared = seconds_running()
    rounds = -(-cases // TEMPLATES)
    chunks = [range(first, min(first + CHUNK, rounds)) for first in range(0, rounds, CHUNK)]
    done = 0

    def clone(chunk: range) -> None:
        nonlocal done
        with connected(store.database) as connection:
            _clone(connection, expressions, chunk)
        done += len(chunk) * TEMPLATES
        bench.tell(say("bench.filled", bench.language, done=f"{done:,}", cases=f"{rounds * TEMPLATES:,}"))

    _each(clone, chunks)
    cloned = seconds_running()
    bench.tell(say("bench.indexing", bench.language))
    for statements in rebuild:
        _each(lambda sql: _run(store, "set maintenance_work_mem = '1GB'", sql), statements)
    _each(lambda table: _run(store, f"vacuum (analyze) {table.name}"), tables)
    _run(store, "drop table template_keys", *(f"drop table if exists template_{table.name}" for table in tables))
    _run(store, "checkpoint")
    bytes_ = _rows(store, "select pg_database_size(current_database())")[0][0]
    bench.remark(
        "bench.grown", cases=f"{rounds * TEMPLATES:,}", gb=f"{bytes_ / 1e9:.1f}", each=f"{bytes_ / cases / 1e3:.1f}",
        minutes=f"{(seconds_running() - began) / 60:.0f}", rate=f"{rounds * TEMPLATES / (cloned - prepared):,.0f}",
    )  # fmt: skip


def _check_room(bench: Bench, cases: int, bytes_each: float) -> None:
    wanted = cases * bytes_each
    if cases > MOST_CASES or wanted > MOST_BYTES:
        most = min(MOST_CASES, int(MOST_BYTES / bytes_each))
        raise Conflict(say("bench.too_many", bench.language, cases=f"{cases:,}", gb=f"{wanted / 1e9:.0f}",
                           most=f"{most:,}", most_gb=f"{MOST_BYTES / 1e9:.0f}"))  # fmt: skip
    if bench.postgresql.folder is not None:
        free = shutil.disk_usage(bench.postgresql.folder).free
        if wanted + SPARE_BYTES > free:
            raise Conflict(say("bench.no_room", bench.language, cases=f"{cases:,}", free=f"{free / 1e9:.0f}",
                               gb=f"{(wanted + SPARE_BYTES) / 1e9:.0f}"))  # fmt: skip


# ---------------------------------------------------------------- templates


def _table(connection: Any, name: str) -> _Table:
    columns = [
        _Column(*row)
        for row in connection.execute(
            "select column_name::text, data_type::text, is_identity = 'YES' from information_schema.columns"
            " where table_schema = 'public' and table_name = %s order by ordinal_position",
            (name,),
        )
    ]
    keys = connection.execute(
        "select a.attname::text, count(*) over () from pg_index i join pg_attribute a"
        " on a.attrelid = i.indrelid and a.attnum = any(i.indkey) where i.indrelid = %s::regclass and i.indisprimary",
        (name,),
    ).fetchall()
    whole = {column.name for column in columns if column.type == "bigint"}
    key = keys[0][0] if keys and keys[0][1] == 1 and keys[0][0] in whole else ""
    return _Table(name, columns, key)


def _keep_templates(source: Any, target: Any, tables: Sequence[_Table]) -> dict[str, str]:
    """Keep the rows of the templates beside the store's own tables; by table, the statement that clones them."""
    rows = {table.name: source.execute(f"select * from {table.name}").fetchall() for table in tables}
    owners = _owners(row for some in rows.values() for row in some)
    keys: list[list[str]] = [[] for _ in range(TEMPLATES)]
    for key, owner in owners.items():
        keys[owner].append(key)
    width = max(map(len, keys))
    target.execute(f"create table template_keys (t integer, {', '.join(f'k{n} bigint' for n in range(width))})")
    _copy(target, "template_keys", [
        (t, *[_number_of(key) for key in some], *[None] * (width - len(some))) for t, some in enumerate(keys)
    ])  # fmt: skip
    statements = {"": _clones(width)}
    for table in tables:
        kept = []
        for row in rows[table.name]:
            of = _owner_of(row, owners)
            if of is not None:
                marks = _marks(of, keys[of])
                kept.append((of, *[_marked(value, marks) for value in row]))
        if kept:
            target.execute(f"create table template_{table.name} as select 0 as t, * from {table.name} with no data")
            _copy(target, f"template_{table.name}", kept)
            statements[table.name] = _cloning(table, kept)
    return statements


def _owners(rows: Iterable[Row]) -> dict[str, int]:
    """Which template each key of ids belongs to; those that several share belong to none."""
    rows = list(rows)
    owners: dict[str, int] = {}
    shared: set[str] = set()
    known = -1
    while known != len(owners) + len(shared):
        known = len(owners) + len(shared)
        for row in rows:
            owner = _owner_of(row, owners)
            for key in _keys(row) if owner is not None else ():
                assert owner is not None
                if key not in shared and owners.setdefault(key, owner) != owner:
                    shared.add(key)
                    del owners[key]
    return owners


def _owner_of(row: Row, owners: Mapping[str, int]) -> int | None:
    for value in row:
        found = _NUMBER.search(value) if isinstance(value, str) else None
        if found:
            return int(found[0]) - FIRST_TEMPLATE
    return next((owners[key] for key in _keys(row) if key in owners), None)


def _keys(row: Row) -> list[str]:
    return [key for value in row if isinstance(value, str) for key in _ID.findall(value)]


def _number_of(key: str) -> int:
    number = 0
    for character in key:
        number = number * 32 + _ALPHABET.index(character)
    return number


def _marks(owner: int, keys: Sequence[str]) -> list[tuple[str, str]]:
    """What differs from clone to clone, each with the control character that stands for it in a template."""
    number = FIRST_TEMPLATE + owner
    given = (document_of(number), str(number), birth_of(number).isoformat())
    return [*zip(given, "\x01\x02\x03", strict=True), *((f"_{key}", f"_{chr(14 + n)}") for n, key in enumerate(keys))]


def _marked(value: object, marks: Sequence[tuple[str, str]]) -> object:
    if isinstance(value, str):
        for text, mark in marks:
            if f"_{value}" == text:  # a column `shard`: the key alone
                return mark[1:]
            value = value.replace(text, mark)
    return value


# ---------------------------------------------------------------- cloning


def _clones(width: int) -> str:
    """What makes the table `clones`: for some rounds, what stands for each mark in the clones of every template."""

    def key(n: int) -> str:
        number = f"((k{n} + r::bigint * {_SPREAD}) & {2**_BITS - 1})"
        return " || ".join(
            f"substr('{_ALPHABET}', (({number} >> {shift}) & 31)::int + 1, 1)" for shift in range(_BITS - 5, -1, -5)
        )

    keys = "".join(f", {key(n)} as m{14 + n}" for n in range(width))
    return (
        "create temp table clones as"
        " select t, r, n::text as m2, born::text as m3, (n % 1000)::int as days,"
        f" '110105' || to_char(born, 'YYYYMMDD') || (100 + n % 400 * 2)::text || 'X' as m1{keys}"
        f" from template_keys cross join generate_series({{0}}, {{1}}) as r"
        f" cross join lateral (select {FIRST_CLONE} + r * {TEMPLATES} + t as n) as numbered"
        f" cross join lateral (select date '{birth_of(0)}' + (n / 400)::int as born) as aged"
    )


def _cloning(table: _Table, kept: Sequence[Row]) -> str:
    """The statement that adds the clones of a table's templates to it."""
    names, values = [], []
    for position, column in enumerate(table.columns, 1):
        if column.numbers_itself:
            continue
        names.append(column.name)
        found = [row[position] for row in kept if row[position] is not None]
        value = f"s.{column.name}"
        if column.name == table.key:
            value += f" + (c.r + 1) * {max(found) + 1}"
        texts = [text for text in found if isinstance(text, str)]
        for mark in sorted({character for text in texts for character in text if character < "\x20"} - set("\t\n\r")):
            value = f"replace({value}, chr({ord(mark)}), c.m{ord(mark)})"
        if texts and all(_DAY.match(text) for text in texts):
            value = f"(substr({value}, 1, 10)::date - c.days)::text || substr({value}, 11)"
        values.append(value)
    return (
        f"insert into {table.name} ({', '.join(names)}) select {', '.join(values)}"
        f" from clones c join template_{table.name} s using (t)"
    )


def _clone(connection: Any, statements: Mapping[str, str], rounds: range) -> None:
    connection.execute("set synchronous_commit = off")
    connection.execute("set work_mem = '256MB'")
    connection.execute(statements[""].format(rounds.start, rounds.stop - 1))
    with connection.transaction():
        for table, sql in statements.items():
            if table:
                connection.execute(sql)


# ---------------------------------------------------------------- indexes


def _without_indexes(connection: Any) -> tuple[Sequence[str], ...]:
    """Take keys and indexes off all tables; the statements that put them on again, one step after the other."""
    constraints = connection.execute(
        "select conrelid::regclass::text, quote_ident(conname), contype::text, pg_get_constraintdef(oid)"
        " from pg_constraint where contype in ('p', 'u', 'f') and connamespace = 'public'::regnamespace"
        " order by contype = 'f' desc"
    ).fetchall()
    for table, name, _, _ in constraints:
        connection.execute(f"alter table {table} drop constraint {name}")
    indexes = connection.execute(
        "select schemaname || '.' || quote_ident(indexname), indexdef from pg_indexes where schemaname = 'public'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"drop index {name}")
    tables = [
        name for (name,) in connection.execute("select tablename::text from pg_tables where schemaname = 'public'")
    ]
    for table in tables:
        connection.execute(f"alter table {table} set (autovacuum_enabled = false)")
    added = {kind: [f"alter table {table} add constraint {name} {definition}"
                    for table, name, of, definition in constraints if (of == "f") == kind]
             for kind in (False, True)}  # fmt: skip
    swept = [f"alter table {table} reset (autovacuum_enabled)" for table in tables if not table.startswith("template_")]
    return [*added[False], *(definition for _, definition in indexes)], added[True], swept


# ---------------------------------------------------------------- small parts


def _each(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Do it for each item, as many at once as there are sessions."""
    with ThreadPoolExecutor(SESSIONS) as threads:
        list(threads.map(work, items))


def _run(store: Store, *statements: str) -> None:
    with connected(store.database) as connection:
        for sql in statements:
            connection.execute(sql)


def _rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with connected(store.database) as connection:
        return connection.execute(sql).fetchall()


def _copy(connection: Any, table: str, rows: Sequence[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
        copy.write(copied(rows))
