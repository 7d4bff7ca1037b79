"""`safeweave store`: its version, bringing it up to this one or to PostgreSQL, and reading what is packed in it."""

import argparse
import sys
from pathlib import Path

from safeweave.clock import seconds_running
from safeweave.commands.screen import print_json, print_table
from safeweave.database import SCHEMA_VERSION, NotOurStore, engine_of, moving, unpacked
from safeweave.errors import Malformed
from safeweave.settings import Settings
from safeweave.words import NotHere, say

_TOLD_EVERY_SECONDS = 5


def status(settings: Settings, asked: argparse.Namespace) -> int:
    """The engine, the version of the tables and the one needed; 1 if they are to be brought up."""
    engine = engine_of(settings.store)
    found = engine.version_at(settings.store)
    state = "fresh" if not found else "present" if found == SCHEMA_VERSION else "earlier"
    if asked.json:
        print_json({"engine": engine.__name__, "version": found, "needed": SCHEMA_VERSION, "state": state})
    else:
        values = {"engine": engine.__name__, "found": found, "needed": SCHEMA_VERSION}
        print(say(f"cli.store.status.{state}", settings.language, **values))
    return 1 if state == "earlier" else 0


def migrate(settings: Settings, asked: argparse.Namespace) -> int:
    """Bring the tables up, keeping every row; all of it or nothing."""
    found = engine_of(settings.store).migrate(settings.store)
    done = "made" if not found else "migrated" if found < SCHEMA_VERSION else "present"
    print(say(f"cli.store.migrate.{done}", settings.language, found=found, needed=SCHEMA_VERSION))
    return 0


def move(settings: Settings, asked: argparse.Namespace) -> int:
    """Bring the embedded store into a PostgreSQL database, and close it where it was; all of it or nothing."""
    source, language = settings.store, settings.language
    if not isinstance(source, Path):
        raise NotOurStore("move.embedded_only", "SAFEWEAVE_DATABASE")
    if not asked.to.startswith(("postgresql://", "postgres://")):
        raise NotOurStore("no_address", "--to")
    if not engine_of(source).version_at(source):
        raise NotHere("cli.store.move.nothing", path=source)
    told_at = seconds_running()

    def told(table: str, rows: int) -> None:
        nonlocal told_at
        if seconds_running() - told_at > _TOLD_EVERY_SECONDS:
            told_at = seconds_running()
            print(say("cli.store.move.under_way", language, table=table, rows=f"{rows:,}"), file=sys.stderr)

    counts = moving.move(source, asked.to, told)
    if asked.json:
        print_json({"rows": counts})
        return 0
    rows = [(table, f"{count:,}") for table, count in counts.items()]
    print_table(language, ("cli.store.move.table", "cli.store.move.rows"), rows, "cli.store.move.empty")
    print(say("cli.store.move.done", language, path=source, to=moving.target_shown(asked.to)))
    return 0


def unpack(settings: Settings, asked: argparse.Namespace) -> int:
    """Print the text of each packed value on standard input, in hex. Malformed if a line is none."""
    for number, line in enumerate(sys.stdin, start=1):
        try:
            text = unpacked(bytes.fromhex(line.strip().removeprefix("\\x"))).decode()
        except ValueError as error:
            why = say("cli.store.unpack.no_value", settings.language, line=number, why=error)
            raise Malformed(why, line=number) from None
        print(text.replace("\x1e", "\n"))
    return 0
