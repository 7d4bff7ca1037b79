"""Bringing a store of an earlier version up to this one; imported only when there is something to bring up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import pool

from safeweave.database.tables import SCHEMA_VERSION


def up(connection: sqlalchemy.Connection, found: int, to: int = SCHEMA_VERSION) -> None:
    """Run every migration from version `found` to version `to`, in the transaction of this connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(files("safeweave.database").joinpath("migrations")))
    has_versions = sqlalchemy.inspect(connection).has_table("alembic_version")
    if found and not has_versions:  # a store of version 0.1.0, which did not know it would be migrated
        command.stamp(config, f"{found:04}")
    command.upgrade(config, f"{to:04}")


@contextmanager
def connected(dialect: str, connect: Callable[[], Any], begin: str) -> Iterator[sqlalchemy.Connection]:
    """A connection of SQLAlchemy over one of the driver, in one transaction that begins like this."""
    engine = sqlalchemy.create_engine(f"{dialect}://", creator=connect, poolclass=pool.StaticPool)
    try:
        with engine.connect() as connection:
            for statement in begin.split(";"):
                connection.exec_driver_sql(statement)
            yield connection
            connection.commit()
    finally:
        engine.dispose()
