"""`safeweave exchange`: what is on its way to other members and from them, and trying again what was refused."""

import argparse

from safeweave import clock, outbox
from safeweave.commands.inbox import shown_at
from safeweave.commands.screen import print_json, print_table
from safeweave.consortium import locking, store
from safeweave.consortium.sending import lane_of
from safeweave.consortium.status import ExchangeStatus, status
from safeweave.consortium.why import Why
from safeweave.database import Database
from safeweave.settings import Settings
from safeweave.words import Language, say


def show(settings: Settings, asked: argparse.Namespace) -> int:
    """How the exchange stands; 1 if something was refused or waits for a person."""
    database, lang = Database(settings.store), settings.language
    with database.reading() as tx:
        found = status(tx)
    database.close()
    if asked.json:
        print_json(found.as_json(lang))
    else:
        _print(found, lang)
    return 1 if found.refused else 0


def again(settings: Settings, asked: argparse.Namespace) -> int:
    """Have one delivery, or all and all that is locked, tried now by the running node."""
    database, now = Database(settings.store), clock.now()
    with database.transaction() as tx:
        count = store.send_again(tx, now, asked.delivery or "")
        if not asked.delivery:
            count += locking.look_again(tx, now)
        for one in store.unfinished(tx):
            outbox.answered(tx, lane_of(one.recipient))
    database.close()
    print(say("cli.exchange.again.done", settings.language, count=count))
    return 0 if count else 1


def _why(why: Why | None, lang: Language) -> str:
    return why.said(lang) if why else ""


def _print(found: ExchangeStatus, lang: Language) -> None:
    def name(member: str) -> str:
        return found.names.get(member) or member[:12]

    def title(key: str) -> None:
        print("\n" + say(f"cli.exchange.{key}", lang))

    def table(columns: str, rows: list[tuple[object, ...]]) -> None:
        print_table(lang, [f"columns.{column}" for column in columns.split()], rows, "cli.exchange.nothing")

    print(say("cli.exchange.outgoing", lang))
    table("member waiting refused oldest tries next why", [
        (
            one.name or one.member[:12], one.waiting, one.refused, shown_at(one.oldest_at), one.tries,
            shown_at(one.next_at) if one.next_at else "", _why(one.why, lang),
        )
        for one in found.waiting
    ])  # fmt: skip
    if found.refused:
        title("refused")
        table("delivery member kind sequence why", [
            (one.id, name(one.recipient), one.kind, one.sequence, _why(one.why, lang)) for one in found.refused
        ])  # fmt: skip
        print(say("cli.exchange.how_again", lang))
    if found.stopped:
        title("stopped")
        table("delivery member kind sequence why", [
            (one.id, name(one.recipient), one.kind, one.sequence, _why(one.why, lang)) for one in found.stopped
        ])  # fmt: skip
    if found.held:
        title("held")
        table("sender sequence received", [
            (name(one.header.sender), one.header.sequence, shown_at(one.arrived_at)) for one in found.held
        ])  # fmt: skip
    if found.turned_away:
        title("turned_away")
        table("sender sequence tries at why", [
            (name(one.sender), one.sequence, one.times, shown_at(one.refused_at), _why(one.why, lang))
            for one in found.turned_away
        ])  # fmt: skip
    if found.locked:
        title("locked")
        table("sender kind visit received why", [
            (name(one.sender), one.kind, one.visit, shown_at(one.opened_at), one.why.said(lang) if one.why else "")
            for one in found.locked
        ])  # fmt: skip
        print(say("cli.exchange.how_unlock", lang))
    anchors = found.anchors
    print()
    print(say("cli.exchange.sums", lang, received=found.sent.get("received", 0), stopped=found.sent.get("stopped", 0),
              taken=sum(found.taken.values())))  # fmt: skip
    print(say("cli.exchange.anchors", lang, final=sum(anchors.final.values()), under_way=anchors.under_way,
              waiting=anchors.waiting))  # fmt: skip
    if anchors.last_height is not None and anchors.last_at is not None:
        print(say("cli.exchange.last_anchor", lang, height=anchors.last_height, at=shown_at(anchors.last_at)))
    if anchors.why:
        print(say("cli.exchange.anchor_waits", lang, tries=anchors.tries, why=anchors.why.said(lang)))
