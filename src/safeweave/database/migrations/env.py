"""Read by Alembic: the connection is handed over by `database.migrating`."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="alembic_version", transactional_ddl=False)
context.run_migrations()  # the caller's transaction holds all of them
