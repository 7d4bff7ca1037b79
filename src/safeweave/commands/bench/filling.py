"""Fills a PostgreSQL store with closed cases: the rows of some that were really settled, cloned inside the database.

Every clone has ids, numbers, a birthday and days of its own, in the same shape. Its documents are those of its template
to the byte, but for these; digests are not computed again, since nobody looks into a clone. What is packed is unpacked
here, made a clone's own, and packed again; rows without anything packed are cloned by the server itself.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from safeweave.clock import seconds_running
from safeweave.commands.bench.baselines import table_names
from safeweave.commands.bench.disk import sizes
from safeweave.commands.bench.feeders import feeders
from safeweave.commands.bench.stays import birth_of, document_of, stays_of
from safeweave.commands.bench.stores import Bench, Store, connected
from safeweave.database import Dictionary, Row, packed, unpacked
from safeweave.database.bulk import copied
from safeweave.errors import Conflict
from safeweave.ids import HOUR_CHARACTERS, PERSON_CHARACTERS
from safeweave.words import say

TEMPLATES = 500
FIRST_TEMPLATE = 9_000_000  # seven digits that stand in nothing else
FIRST_CLONE = 1_000_000
MOST_CASES = 5_400_000  # then the numbers of identity documents begin again
MOST_BYTES = 64_000_000_000
SPARE_BYTES = 12_000_000_000  # for the log and for sorting
REFERRED_TO = "event"  # the table the own numbers of which other rows name: a case says which events it has heard
CHUNK = 10  # clones of every template, in one transaction
SESSIONS = 2

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # of ids
_ID = re.compile(
    rf"[a-z]_((?:[{_ALPHABET}]{{{HOUR_CHARACTERS}}})?[{_ALPHABET}]{{{PERSON_CHARACTERS}}})[{_ALPHABET}]{{10}}(?![0-9a-z])"
)
_NUMBER = re.compile(rf"{FIRST_TEMPLATE // 1000}\d{{3}}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SPREAD = 663_608_941  # about 0.618 of 2**30: the ids of one template's clones fall all over the index
_BITS = 5 * PERSON_CHARACTERS  # above them, in a key that begins with an hour, are those of the hour
_HEARD = (  # the stay a case keeps, with the numbers of its clone's events
    "(select json_build_object('hospital', s.stay::json -> 'hospital', 'heard', json_agg(e.n::bigint + (c.r + 1) * {}))"
    " from json_array_elements_text(s.stay::json -> 'heard') as e (n))::text"
)
_INSTANT = "timestamp with time zone"
_MARKS = (*"\x01\x02\x03", *map(chr, range(14, 30)))  # of a person's document, the number, the birthday, and of keys
_MARK = re.compile(f"([{''.join(_MARKS)}])")
_PLACES = ("", "", "", *_MARKS)  # what the columns of `clones` stand for
_PLACE = "\0"  # of what a line for COPY gets clone by clone


class _Column(NamedTuple):
    name: str
    type: str
    numbers_itself: bool


class _Table(NamedTuple):
    name: str
    columns: Sequence[_Column]
    key: str  # the one whole number rows are told apart by; "": something else


class _Cut(NamedTuple):
    """A text cut at its marks: the pieces between them, and where in a row of `clones` what stands for each is."""

    pieces: Sequence[str]
    places: Sequence[int]

    def of(self, clone: Row) -> str:
        """The text of this clone."""
        parts = [*self.pieces]
        parts[1::2] = [clone[place] for place in self.places]
        return "".join(parts)


class _Part(NamedTuple):
    """One value of a template's row that is not the same text, but for marks, in every clone."""

    value: Any  # an instant or a whole number
    step: int = 0  # of a whole number: what each clone adds
    text: _Cut | None = None  # of a value that is packed
    against: Dictionary = Dictionary.FACTS


class _Template(NamedTuple):
    """A row with packed values: its line for COPY, which has a zero character in the place of each part."""

    line: _Cut
    parts: Sequence[_Part]


class _Copying(NamedTuple):
    """How the rows of a table with packed values are cloned: what each template has of them."""

    into: str
    templates: Mapping[int, Sequence[_Template]]


def fill(bench: Bench, store: Store, cases: int) -> None:
    """Add that many closed cases, of as many persons, to an empty store. Raises Conflict if there is no room."""
    began = seconds_running()
    with bench.store("postgresql", "templates") as templates:
        first = FIRST_TEMPLATE
        before = _whole_bytes_with(templates, range(first, first + TEMPLATES // 2))
        after = _whole_bytes_with(templates, range(first + TEMPLATES // 2, first + TEMPLATES))
        _check_room(bench, cases, (after - before) / (TEMPLATES - TEMPLATES // 2))
        with connected(templates.database) as source, connected(store.database) as target:
            tables = [_table(source, name) for name in table_names()]
            cloning = _keep_templates(source, target, tables)
            rebuild = _without_indexes(target)
    prepared = seconds_running()
    rounds = -(-cases // TEMPLATES)
    chunks = [range(first, min(first + CHUNK, rounds)) for first in range(0, rounds, CHUNK)]
    done = 0

    def clone(chunk: range) -> None:
        nonlocal done
        with connected(store.database) as connection:
            _clone(connection, *cloning, chunk)
        done += len(chunk) * TEMPLATES
        bench.tell(say("bench.filled", bench.language, done=f"{done:,}", cases=f"{rounds * TEMPLATES:,}"))

    _each(clone, chunks)
    cloned = seconds_running()
    bench.tell(say("bench.indexing", bench.language))
    for statements in rebuild:
        _each(lambda sql: _run(store, "set maintenance_work_mem = '1GB'", sql), statements)
    _each(lambda table: _run(store, f"vacuum (analyze) {table.name}"), tables)
    _run(store, f"select setval(pg_get_serial_sequence('{REFERRED_TO}', 'id'), max(id)) from {REFERRED_TO}")
    _run(store, "drop table template_keys", *(f"drop table if exists template_{table.name}" for table in tables))
    _run(store, "checkpoint")
    bytes_ = _rows(store, "select pg_database_size(current_database())")[0][0]
    bench.remark(
        "bench.grown", cases=f"{rounds * TEMPLATES:,}", gb=f"{bytes_ / 1e9:.1f}", each=f"{bytes_ / cases / 1e3:.1f}",
        minutes=f"{(seconds_running() - began) / 60:.0f}", rate=f"{rounds * TEMPLATES / (cloned - prepared):,.0f}",
    )  # fmt: skip


def _whole_bytes_with(store: Store, numbers: range) -> int:
    """Bytes of all tables and indexes as if written in one go, after these stays were settled too."""
    with closing(store.node()) as node:
        stays_of(node).register(node, store.home, numbers)
    with feeders(store, 1) as feeding:
        feeding.feed(numbers, len(numbers), to_closed=True)
    _run(store, "vacuum full")
    return sum(sizes(store).values())


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


def _keep_templates(source: Any, target: Any, tables: Sequence[_Table]) -> tuple[Mapping[str, str], Sequence[_Copying]]:
    """Keep the rows of the templates beside the store's own tables: the statements that clone them, by table, and what
    is cloned here because something of it is packed."""
    rows = {table.name: [_opened(row) for row in source.execute(f"select * from {table.name}")] for table in tables}
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
    copying = []
    events = _step(rows[REFERRED_TO], 0)
    for table in tables:
        kept = []
        for row in rows[table.name]:
            of = _owner_of(row, owners)
            if of is not None:
                marks = _marks(of, keys[of])
                kept.append((of, *[_marked(value, marks) for value in row]))
        if any(isinstance(value, _Text) for row in kept for value in row):
            copying.append(_copying(table, kept))
        elif kept:
            target.execute(f"create table template_{table.name} as select 0 as t, * from {table.name} with no data")
            _copy(target, f"template_{table.name}", kept)
            statements[table.name] = _cloning(table, kept, events)
    return statements, copying


class _Text(str):
    """What was packed in a row."""

    against: Dictionary


def _opened(row: Row) -> Row:
    """The row with the texts of its packed values."""
    return tuple(_opened_value(value) if isinstance(value, bytes) else value for value in row)


def _opened_value(value: bytes) -> object:
    if value[0] not in set(Dictionary):
        return value
    text = _Text(unpacked(value).decode())
    text.against = Dictionary(value[0])
    return text


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
    found = [key for value in row if isinstance(value, str) for key in _ID.findall(value)]
    return [*found, *(key[HOUR_CHARACTERS:] for key in found if len(key) > PERSON_CHARACTERS)]


def _number_of(key: str) -> int:
    number = 0
    for character in key:
        number = number * 32 + _ALPHABET.index(character)
    return number


def _marks(owner: int, keys: Sequence[str]) -> list[tuple[str, str]]:
    """What differs from clone to clone, each with the control character that stands for it in a template."""
    number = FIRST_TEMPLATE + owner
    given = (document_of(number), str(number), birth_of(number).isoformat())
    return [*zip(given, _MARKS[:3], strict=True), *((f"_{key}", f"_{_MARKS[3 + n]}") for n, key in enumerate(keys))]


def _marked(value: object, marks: Sequence[tuple[str, str]]) -> object:
    if isinstance(value, str):
        for text, mark in marks:
            if f"_{value}" == text:  # a column `shard`: the key alone
                return mark[1:]
        marked = value
        for text, mark in marks:
            marked = marked.replace(text, mark)
        if isinstance(value, _Text):
            marked = _Text(marked)
            marked.against = value.against
        return marked
    return value


# ---------------------------------------------------------------- cloning


def _clones(width: int) -> str:
    """What makes the table `clones`: for some rounds, what stands for each mark in the clones of every template."""

    def key(n: int) -> str:
        hour = f"(greatest((k{n} >> {_BITS}) - n % 1000 * 24, 0) << {_BITS})"
        number = f"({hour} | ((k{n} + r::bigint * {_SPREAD}) & {2**_BITS - 1}))"
        text = " || ".join(
            f"substr('{_ALPHABET}', (({number} >> {shift}) & 31)::int + 1, 1)"
            for shift in range(_BITS + 5 * HOUR_CHARACTERS - 5, -1, -5)
        )
        return f"right({text}, case when k{n} < {2**_BITS} then {PERSON_CHARACTERS} else 99 end)"

    keys = "".join(f", {key(n)} as m{14 + n}" for n in range(width))
    return (
        "create temp table clones as"
        " select t, r, (n % 1000)::int as days,"
        f" '110105' || to_char(born, 'YYYYMMDD') || (100 + n % 400 * 2)::text || 'X' as m1,"
        f" n::text as m2, born::text as m3{keys}"
        f" from template_keys cross join generate_series({{0}}, {{1}}) as r"
        f" cross join lateral (select {FIRST_CLONE} + r * {TEMPLATES} + t as n) as numbered"
        f" cross join lateral (select date '{birth_of(0)}' + (n / 400)::int as born) as aged"
    )


def _step(kept: Sequence[Row], position: int) -> int:
    """What each clone adds to a number, so that no two have the same."""
    return int(max(row[position] for row in kept)) + 1


def _cloning(table: _Table, kept: Sequence[Row], events: int) -> str:
    """The statement that adds the clones of a table's templates to it; `events` is the step of their numbers."""
    names, values = [], []
    for position, column in enumerate(table.columns, 1):
        if column.numbers_itself:
            continue
        names.append(column.name)
        found = [row[position] for row in kept if row[position] is not None]
        value = f"s.{column.name}"
        if column.name == table.key:
            value += f" + (c.r + 1) * {_step(kept, position)}"
        texts = [text for text in found if isinstance(text, str)]
        for mark in sorted({character for text in texts for character in text if character < "\x20"} - set("\t\n\r")):
            value = f"replace({value}, chr({ord(mark)}), c.m{ord(mark)})"
        if (table.name, column.name) == ("claim_case", "stay"):
            value = _HEARD.format(events)
        elif column.type == _INSTANT:
            value = f"{value} - make_interval(days => c.days)"
        elif texts and all(_DAY.match(text) for text in texts):
            value = f"(substr({value}, 1, 10)::date - c.days)::text || substr({value}, 11)"
        values.append(value)
    return (
        f"insert into {table.name} ({', '.join(names)}) select {', '.join(values)}"
        f" from clones c join template_{table.name} s using (t)"
    )


def _copying(table: _Table, kept: Sequence[Row]) -> _Copying:
    """How the clones of a table's templates are made here, given the marked rows behind the number of each template."""
    columns = [
        (n, column)
        for n, column in enumerate(table.columns, 1)
        if not column.numbers_itself or table.name == REFERRED_TO
    ]
    templates: dict[int, list[_Template]] = {}
    for row in kept:
        fields: list[object] = []
        parts: list[_Part] = []
        for n, column in columns:
            value = row[n]
            if isinstance(value, _Text):
                parts.append(_Part(None, text=_cut(value), against=value.against))
            elif column.name == table.key:
                parts.append(_Part(value, step=_step(kept, n)))
            elif isinstance(value, datetime):
                parts.append(_Part(value))
            else:
                fields.append(value)
                continue
            fields.append(_PLACE)
        templates.setdefault(row[0], []).append(_Template(_cut(copied([fields])), parts))
    names = ", ".join(column.name for _, column in columns)
    return _Copying(f"copy {table.name} ({names}) from stdin", templates)


def _clone(connection: Any, statements: Mapping[str, str], copying: Sequence[_Copying], rounds: range) -> None:
    connection.execute("set synchronous_commit = off")
    connection.execute("set work_mem = '256MB'")
    connection.execute(statements[""].format(rounds.start, rounds.stop - 1))
    clones = connection.execute("select * from clones order by t, r").fetchall()
    with connection.transaction():
        for table, sql in statements.items():
            if table:
                connection.execute(sql)
        for each in copying:
            with connection.cursor() as writing, writing.copy(each.into) as copy:
                for t, of_one in groupby(clones, key=itemgetter(0)):
                    copy.write("".join(_lines(each.templates.get(t, ()), list(of_one))))


def _cut(text: str) -> _Cut:
    pieces = _MARK.split(text)
    return _Cut(pieces, [_PLACES.index(mark) for mark in pieces[1::2]])


def _lines(templates: Sequence[_Template], clones: Sequence[Row]) -> Iterator[str]:
    """The lines for COPY of these clones of one template."""
    for line, parts in templates:
        for clone in clones:
            first, *rest = line.of(clone).split(_PLACE)
            yield first + "".join([_field_of(part, clone) + behind for part, behind in zip(parts, rest, strict=True)])


def _field_of(part: _Part, clone: Row) -> str:
    if part.text is not None:
        return f"\\\\x{packed(part.text.of(clone), part.against).hex()}"
    _, round_, days, *_ = clone
    return str(part.value + (round_ + 1) * part.step) if part.step else _days_before(part.value, days)


@lru_cache(maxsize=100_000)
def _days_before(at: datetime, days: int) -> str:
    return str(at - timedelta(days=days))


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
