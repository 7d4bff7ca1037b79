"""What migrations have in common: SQL written for SQLite, sent to either engine."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import op

from safeweave.database.dialect import table_translated
from safeweave.database.tables import statements


def is_postgresql() -> bool:
    """Whether this store is on PostgreSQL."""
    return op.get_bind().dialect.name == "postgresql"


def run(*script: str) -> None:
    """Run these statements, `create table` as PostgreSQL reads it if that is the engine."""
    bind = op.get_bind()
    compressed = is_postgresql() and bool(
        bind.exec_driver_sql(
            "select 'lz4' = any(enumvals) from pg_settings where name = 'default_toast_compression'"
        ).scalar()
    )
    instants = is_postgresql() and "timestamp with time zone" in [
        row["data_type"]
        for row in rows(
            "select data_type from information_schema.columns where table_schema = current_schema()"
            " and table_name = 'event' and column_name = 'told_at'"
        )
    ]
    for part in script:
        for statement in statements(part):
            bind.exec_driver_sql(
                table_translated(statement, compressed, instants).replace("%", "%%") if is_postgresql() else statement
            )


def run_file(beside: str) -> None:
    """Run the statements of the `.sql` file of a migration, given its `__file__`."""
    run(Path(beside).with_suffix(".sql").read_text(encoding="utf-8"))


def rows(query: str, **values: object) -> Iterable[Any]:
    """The rows of a query, by name."""
    return op.get_bind().execute(sqlalchemy.text(query), values).mappings().all()


def insert(table: str, new: list[Mapping[str, object]]) -> None:
    """Add rows."""
    if new:
        names = list(new[0])
        into = f"insert into {table} ({', '.join(names)}) values ({', '.join(':' + name for name in names)})"
        op.get_bind().execute(sqlalchemy.text(into), [dict(row) for row in new])


def remade(table: str, created: str, *, indexes: Iterable[str] = ()) -> str:
    """Replace a table by a new form of it; the name under which its rows are kept until they are moved."""
    held = f"{table}_before"
    run(f"create table {held} as select * from {table};", *(f"drop index {name};" for name in indexes))
    run(f"drop table {table};", created)
    return held


def number_on() -> None:
    """Let tables that number themselves go on behind their last row; SQLite does so by itself."""
    for row in rows(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = current_schema() and is_identity = 'YES'"
    ):
        table, column = row["table_name"], row["column_name"]
        op.get_bind().exec_driver_sql(
            f"select setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1, false)"
            f" from {table}"
        )


def altered(ending: str, to: str) -> None:
    """Give every text column of PostgreSQL whose name ends like this another type."""
    for row in rows(
        "select table_name, string_agg(format('alter column %I type ' || :to || ' using %I::' || :to,"
        " column_name, column_name), ', ') as changes from information_schema.columns"
        " where table_schema = current_schema() and data_type = 'text' and right(column_name, :length) = :ending"
        " group by table_name order by table_name",
        to=to, length=len(ending), ending=ending,
    ):  # fmt: skip
        op.get_bind().exec_driver_sql(f"alter table {row['table_name']} {row['changes']}")
