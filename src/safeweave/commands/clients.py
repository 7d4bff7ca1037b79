"""`safeweave clients`: machines that may call the API."""

import argparse

from safeweave.commands.screen import print_json, print_table
from safeweave.errors import NotAllowed
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.web.api import clients
from safeweave.words import say


class NoSender(NotAllowed):
    """A hospital's client must say which sender it speaks for."""

    def said(self, language: str) -> str:
        """What is missing."""
        return say("cli.accounts.add.no_sender", "zh" if language == "zh" else "en")


def add(settings: Settings, asked: argparse.Namespace) -> int:
    """Register a client with its public keys; it calls in this role, within these scopes."""
    if asked.role == "hospital" and not asked.sender:
        raise NoSender(say("cli.accounts.add.no_sender", "en"))
    keys = asked.keys.read_text(encoding="utf-8")
    node = open_node(settings)
    with node.database.transaction() as tx:
        made = clients.add(
            tx, asked.name, asked.role, asked.sender, asked.scope or ["system/*.read"], keys, node.clock()
        )
    print(say("cli.clients.add.done", settings.language, id=made.id, name=made.name, scopes=" ".join(made.scopes)))
    return 0


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """Every client that may call."""
    with open_node(settings).database.reading() as tx:
        found = list(clients.registered(tx).values())
    if asked.json:
        print_json([{"client": c.id, "name": c.name, "role": c.role, "scopes": list(c.scopes)} for c in found])
        return 0
    print_table(
        settings.language,
        ["columns.number", "columns.role", "columns.name", "columns.scopes"],
        [(c.id, say(f"portal.role.{c.role}", settings.language), c.name, " ".join(c.scopes)) for c in found],
        "cli.clients.none",
    )
    return 0


def close(settings: Settings, asked: argparse.Namespace) -> int:
    """A client gets no token any more, and those it has are over."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        clients.close(tx, asked.client, node.clock())
    print(say("cli.clients.close.done", settings.language, id=asked.client))
    return 0
