"""`safeweave messages`: what each person was told."""

import argparse

from safeweave.commands.inbox import shown_at
from safeweave.commands.screen import print_json, print_table
from safeweave.database import at_text
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.telling import store
from safeweave.words import say


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """The latest messages, whatever their channel."""
    node = open_node(settings)
    with node.database.reading() as tx:
        found = store.latest_messages(tx, asked.person or "")
    if asked.json:
        print_json(
            [
                {
                    "at": at_text(told.told_at),
                    "person": name,
                    "channel": told.channel,
                    "text": told.text,
                    "case": told.case,
                    "delivered": delivered,
                }
                for told, name, delivered in found
            ]
        )
        return 0
    print_table(
        settings.language,
        ["columns.at", "columns.person", "columns.channel", "columns.text"],
        [
            (shown_at(told.told_at), name, say(f"channels.{told.channel}", settings.language), told.text)
            for told, name, _ in found
        ],
        "cli.messages.none",
    )
    return 0
