"""How the tables got from each version to the next, for both engines; run by Alembic.

A migration is a file `versions/v0003_what_changes.py`, frozen once it is released. `database.tables.SCHEMA_VERSION` is
the newest one, and a store made by all of them has the tables that a fresh one has. It reads nothing of the program
but `kit.py`, whose meaning never changes.
"""
