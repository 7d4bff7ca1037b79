"""The tables of every package that remembers, and which version of them this program needs."""

import sqlite3
from importlib.resources import files

from safeweave.errors import Conflict
from safeweave.words import Language, say

# Every package that remembers keeps its tables beside its store, in `tables.sql`, written as SQLite reads them.
PACKAGES_WITH_TABLES = ("safeweave", "safeweave.people", "safeweave.coverage", "safeweave.exchange", "safeweave.cases",
                        "safeweave.adjudication", "safeweave.payments", "safeweave.telling",
                        "safeweave.consents", "safeweave.consortium", "safeweave.web")  # fmt: skip

SCHEMA_VERSION = 12  # raised, with a migration, whenever a tables.sql changes


class NotOurStore(Conflict):
    """What lies there is no store of this version; nothing was changed in it."""

    def __init__(self, why: str, where: object, found: int = 0) -> None:
        self._key, self._values = f"cli.store.{why}", {"path": where, "found": found, "needed": SCHEMA_VERSION}
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """What was found and what to do, in one language."""
        return say(self._key, language, **self._values)


def fresh_store() -> list[str]:
    """The statements that make the tables of a fresh store, and note their version where migrations look for it."""
    return [
        *(
            statement
            for package in PACKAGES_WITH_TABLES
            for statement in statements(files(package).joinpath("tables.sql").read_text(encoding="utf-8"))
        ),
        "create table alembic_version (version_num varchar(32) not null,"
        " constraint alembic_version_pkc primary key (version_num))",
        f"insert into alembic_version (version_num) values ('{SCHEMA_VERSION:04}')",
    ]


def statements(script: str) -> list[str]:
    """The statements of a script, without the comments before them."""
    found, pending = [], ""
    for line in script.splitlines():
        if not pending and (not line.strip() or line.startswith("--")):
            continue
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found
