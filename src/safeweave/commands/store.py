"""`safeweave store`: the version of the tables, bringing them up to this one, and reading what is packed in them."""

import argparse
import sys

from safeweave.commands.screen import print_json
from safeweave.database import SCHEMA_VERSION, engine_of, unpacked
from safeweave.errors import Malformed
from safeweave.settings import Settings
from safeweave.words import say


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
