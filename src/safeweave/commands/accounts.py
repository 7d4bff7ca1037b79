"""`safeweave accounts`: who may sign in to the pages, besides the insured and their guardians."""

import argparse

from safeweave.commands.screen import print_json, print_table
from safeweave.errors import NotAllowed
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.web import accounts
from safeweave.web.access import ROLES
from safeweave.words import say


class NoWayIn(NotAllowed):
    """An account to which no code could be sent, or an agent nobody could find."""

    def __init__(self, key: str) -> None:
        super().__init__(say(key, "en"))
        self._key = key

    def said(self, language: str) -> str:
        """What is missing."""
        return say(self._key, "zh" if language == "zh" else "en")


def add(settings: Settings, asked: argparse.Namespace) -> int:
    """Open an account; a code is sent to its phone or e-mail at each sign-in."""
    if not (asked.phone or asked.email):
        raise NoWayIn("cli.accounts.add.no_address")
    if asked.role == "agent" and not asked.licence:
        raise NoWayIn("cli.accounts.add.no_licence")
    if asked.role == "hospital" and not asked.sender:
        raise NoWayIn("cli.accounts.add.no_sender")
    node = open_node(settings)
    with node.database.transaction() as tx:
        made = accounts.add_account(
            tx, asked.role, asked.name, node.clock(),
            phone=asked.phone, email=asked.email, licence=asked.licence, sender=asked.sender,
        )  # fmt: skip
    print(say("cli.accounts.add.done", settings.language, id=made.id, name=made.name))
    return 0


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """Every open account but those of the insured."""
    node = open_node(settings)
    with node.database.reading() as tx:
        found = accounts.with_roles(tx, ROLES)
    if asked.json:
        print_json([{"account": a.id, "role": a.role, "name": a.name, "licence": a.licence} for a in found])
        return 0
    print_table(
        settings.language,
        ["columns.number", "columns.role", "columns.name", "columns.licence"],
        [(a.id, say(f"portal.role.{a.role}", settings.language), a.name, a.licence) for a in found],
        "cli.accounts.none",
    )
    return 0


def close(settings: Settings, asked: argparse.Namespace) -> int:
    """Close an account: whoever is signed in with it is out at once."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        accounts.close_account(tx, asked.account, node.clock())
    print(say("cli.accounts.close.done", settings.language, id=asked.account))
    return 0


def sign_out(settings: Settings, asked: argparse.Namespace) -> int:
    """End every session of an account, or of everybody; who signs in again goes on."""
    if bool(asked.account) == asked.all:
        raise NoWayIn("cli.accounts.sign-out.whom")
    node = open_node(settings)
    with node.database.transaction() as tx:
        count = accounts.end_sessions(tx, asked.account or "", node.clock())
    print(say("cli.accounts.sign-out.done", settings.language, count=count))
    return 0
