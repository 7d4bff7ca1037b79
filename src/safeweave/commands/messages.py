"""`safeweave messages`: what each person was told."""

import argparse

from safeweave.commands.inbox import shown_at
from safeweave.commands.screen import print_json, print_table
from safeweave.database import at_of
from safeweave.node import open_node
from safeweave.settings import Settings
from safeweave.words import say


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """The latest messages, whatever their channel."""
    node = open_node(settings)
    with node.database.reading() as tx:
        rows = tx.rows(
            "select m.told_at, p.name, m.channel, m.body, m.case_id, m.delivered_at is not null from message m"
            " left join person_name p on p.person = m.person where m.channel <> 'desk' and (? = '' or p.name = ?)"
            " order by m.told_at desc, m.id limit 200",
            (asked.person or "", asked.person or ""),
        )
    if asked.json:
        print_json(
            [
                {"at": at, "person": name, "channel": channel, "text": text, "case": case, "delivered": bool(delivered)}
                for at, name, channel, text, case, delivered in rows
            ]
        )
        return 0
    print_table(
        settings.language,
        ["columns.at", "columns.person", "columns.channel", "columns.text"],
        [
            (shown_at(at_of(at)), name, say(f"channels.{channel}", settings.language), text)
            for at, name, channel, text, _, _ in rows
        ],
        "cli.messages.none",
    )
    return 0
