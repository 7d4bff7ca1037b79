"""`safeweave store`: which version the tables have, and bringing them up to this one."""

import argparse

from safeweave.commands.screen import print_json
from safeweave.database import SCHEMA_VERSION, engine_of
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
