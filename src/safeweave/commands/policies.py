"""`safeweave policies`: importing and changing what was promised."""

import argparse
import sys
from datetime import date

from safeweave.commands.inbox import hear_waiting_again
from safeweave.coverage import commands
from safeweave.errors import Malformed
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.words import Language, say


def import_(settings: Settings, asked: argparse.Namespace) -> int:
    """Import policies, then look again at visits that waited for one."""
    node = open_node(settings)
    code = commands.policies_import(
        node.database,
        asked.path,
        asked.strict,
        settings.language,
        sys.stdout,
        now=node.clock(),
        products=node.adjudicator.products,
        banks={"main", *node.desk.banks},  # the main bank may be connected later
        as_json=asked.json,
    )
    hear_waiting_again(node)
    return code


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """One line for each policy."""
    node = open_node(settings)
    return commands.policies_list(node.database, settings.language, sys.stdout, now=node.clock(), as_json=asked.json)


def show(settings: Settings, asked: argparse.Namespace) -> int:
    """One policy with its insured persons and changes."""
    node = open_node(settings)
    return commands.policies_show(
        node.database,
        asked.number,
        settings.language,
        sys.stdout,
        now=node.clock(),
        as_json=asked.json,
        unmasked=asked.unmasked,
    )


def export(settings: Settings, asked: argparse.Namespace) -> int:
    """Every policy, in the form the import reads."""
    node = open_node(settings)
    if asked.output is None:
        commands.policies_export(node.database, sys.stdout)
        return 0
    with asked.output.open("w", encoding="utf-8") as out:
        commands.policies_export(node.database, out)
    return 0


def renew(settings: Settings, asked: argparse.Namespace) -> int:
    """Add a policy year."""
    node = open_node(settings)
    first, last = (
        _day(text, name, settings.language)
        for text, name in ((asked.first_day, "first-day"), (asked.last_day, "last-day"))
    )
    return commands.policies_renew(
        node.database, asked.number, first, last, settings.language, sys.stdout, now=node.clock()
    )


def lapse(settings: Settings, asked: argparse.Namespace) -> int:
    """End the cover from a day on."""
    node = open_node(settings)
    days = {
        name: _day(text, name.replace("_", "-"), settings.language)
        for name in ("on", "due_on", "demanded_on")
        if (text := getattr(asked, name))
    }
    if not days:
        raise Malformed(say("cli.policies.lapse.no_day", settings.language), field="--on")
    return commands.policies_lapse(
        node.database,
        asked.number,
        settings.language,
        sys.stdout,
        now=node.clock(),
        from_day=days.get("on"),
        due_on=days.get("due_on"),
        demanded_on=days.get("demanded_on"),
        reason=asked.reason or "",
    )


def reinstate(settings: Settings, asked: argparse.Namespace) -> int:
    """Open lapsed cover again."""
    node = open_node(settings)
    day = _day(asked.on, "on", settings.language)
    code = commands.policies_reinstate(
        node.database, asked.number, day, settings.language, sys.stdout, now=node.clock()
    )
    hear_waiting_again(node)
    return code


def _day(text: str, name: str, language: Language) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Malformed(say("cli.policies.no_day", language, text=text), field=f"--{name}") from None
