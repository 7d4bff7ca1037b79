"""`safeweave inbox`: what came and could not be placed, and how to mend it."""

import argparse
import sys
from datetime import datetime

from safeweave import outbox, worker
from safeweave.cases.store import waiting_visits
from safeweave.clock import SHANGHAI
from safeweave.commands.screen import print_json, print_table
from safeweave.consortium import MEMBER_FILE, locking
from safeweave.errors import NotFound
from safeweave.events import VisitTold
from safeweave.exchange import inbound, senders
from safeweave.node import Node, open_node
from safeweave.settings import Settings
from safeweave.words import knows, say


def shown_at(at: datetime) -> str:
    """An instant as people in Shanghai read it."""
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def list_inbox(settings: Settings, asked: argparse.Namespace) -> int:
    """Messages to repair, visits without a case, papers without a visit, gaps in numbering, parked work."""
    node = open_node(settings)
    lang = settings.language
    with node.database.reading() as tx:
        entries, visits, gaps, parked = inbound.inbox(tx), waiting_visits(tx), inbound.gaps(tx), outbox.parked(tx)
        unplaced = inbound.unplaced(tx)
    if asked.json:
        print_json(
            {
                "messages": [
                    {
                        "number": e.number,
                        "sender": e.sender,
                        "format": e.format,
                        "kind": e.kind,
                        "status": e.status,
                        "received_at": e.received_at.isoformat(),
                        "what": e.fault.what if e.fault else "",
                        "field": e.fault.field if e.fault else "",
                        "line": e.fault.line if e.fault else 0,
                    }
                    for e in entries
                ],
                "visits": [{"sender": v.sender, "visit": v.visit, "waiting": v.waiting} for v in visits],
                "unplaced": [{"sender": s, "kind": kind, "names": names} for s, kind, names in unplaced],
                "gaps": [{"sender": gap.sender, "first": gap.first, "last": gap.last} for gap in gaps],
                "parked": [
                    {"task": t, "event": kind, "subject": subject, "error": error} for t, kind, subject, error in parked
                ],
            }
        )
        return 0
    print(say("cli.inbox.messages", lang))
    print_table(
        lang,
        [
            "columns.number",
            "columns.received",
            "columns.sender",
            "columns.format",
            "columns.status",
            "columns.place",
            "columns.what",
        ],
        [
            (
                e.number,
                shown_at(e.received_at),
                e.sender,
                e.format or "?",
                say(f"status.message.{e.status}", lang),
                (e.fault.field or (f"line {e.fault.line}" if e.fault.line else "")) if e.fault else "",
                e.fault.what if e.fault else "",
            )
            for e in entries
        ],
        "cli.inbox.no_messages",
    )
    for heading, columns, rows in (
        (
            "cli.inbox.visits",
            ["columns.sender", "columns.visit", "columns.since", "columns.why"],
            [
                (
                    v.sender,
                    v.visit,
                    shown_at(v.first_told_at) if v.first_told_at else "",
                    _why(v.waiting or "", settings),
                )
                for v in visits
            ],
        ),
        ("cli.inbox.unplaced", ["columns.sender", "columns.kind", "columns.names"], unplaced),
        (
            "cli.inbox.gaps",
            ["columns.sender", "columns.sequence", "columns.since"],
            [(gap.sender, _numbers(gap), shown_at(gap.noticed_at)) for gap in gaps],
        ),
        ("cli.inbox.parked", ["columns.task", "columns.kind", "columns.subject", "columns.what"], parked),
    ):
        if rows:
            print("\n" + say(heading, lang))
            print_table(lang, columns, rows, "cli.inbox.no_messages")
    return 0


def _numbers(gap: inbound.Gap) -> str:
    return str(gap.first) if gap.first == gap.last else f"{gap.first}–{gap.last}"


def _why(reason: str, settings: Settings) -> str:
    key = f"reasons.{reason}.short"
    return say(key, settings.language) if knows(key) else reason


def show(settings: Settings, asked: argparse.Namespace) -> int:
    """The original bytes of a kept message."""
    with open_node(settings).database.reading() as tx:
        _, raw = inbound.original(tx, asked.number)
    sys.stdout.buffer.write(raw)
    return 0


def retry(settings: Settings, asked: argparse.Namespace) -> int:
    """Take a kept message again, from a mended file or under the right sender."""
    node = open_node(settings)
    with node.database.reading() as tx:
        sender_id, raw = inbound.original(tx, asked.number)
        known = senders.every(tx)
    sender_id = asked.sender or sender_id
    if sender_id not in known:
        raise NotFound(f'"{sender_id}" is no registered sender; name one with --sender (`safeweave senders list`)')
    if asked.file:
        raw = asked.file.read_bytes()
    with node.database.transaction() as tx:
        now = node.clock()
        receipt, told = inbound.repair(tx, asked.number, raw, known[sender_id], node.limits, now)
        worker.tell(tx, told, now)
    work_off(node)
    print(say(f"status.message.{receipt.status}", settings.language), receipt.fault.what if receipt.fault else "")
    return 0 if receipt.status in ("taken", "duplicate") else 1


def hear_waiting_again(node: Node) -> None:
    """Look again at visits without a case, after policies, persons or hospitals were added."""
    now = node.clock()
    with node.database.transaction() as tx:
        worker.tell(tx, [VisitTold(visit.sender, visit.visit) for visit in waiting_visits(tx)], now)
        locking.look_again(tx, now)
    work_off(node)


def work_off(node: Node) -> None:
    """Do what is due inside; calls to the outside are left to the running node.

    A member of a consortium leaves all of it to that node, which asks the ledger and the consents first.
    """
    if (node.settings.home / MEMBER_FILE).exists():
        return
    while node.worker.work():
        pass
