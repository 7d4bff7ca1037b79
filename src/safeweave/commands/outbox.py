"""`safeweave outbox`: what is still to be done, how those we call outside are doing, and what could not be handled."""

import argparse

from safeweave import outbox
from safeweave.commands.inbox import shown_at, work_off
from safeweave.commands.screen import print_json, print_table
from safeweave.errors import NotFound
from safeweave.node import open_node
from safeweave.outbox import Backlog, Circuit
from safeweave.settings import Settings
from safeweave.words import Language, say


def list_(settings: Settings, asked: argparse.Namespace) -> int:
    """Every lane with what waits in it and the state of its circuit, and the work set aside."""
    node, lang = open_node(settings), settings.language
    now = node.clock()
    with node.database.reading() as tx:
        found = {each.lane: each for each in outbox.backlog(tx)}
        circuits, parked = outbox.circuits(tx), outbox.parked(tx)
    every = sorted({"", *node.worker.lanes, *found, *circuits})
    lanes = [found.get(lane, Backlog(lane, 0, 0, None, 0)) for lane in every]

    def state(lane: str) -> str:
        circuit = circuits.get(lane, Circuit())
        if not circuit.failures:
            return "closed"
        return "open" if circuit.open_until and circuit.open_until > now else "asking"

    if asked.json:
        print_json({
            "lanes": [
                {
                    "lane": each.lane or "inside", "waiting": each.waiting, "parked": each.parked,
                    "oldest_due_at": each.oldest_due_at, "tries": each.tries, "circuit": state(each.lane),
                    "failures": circuits[each.lane].failures if each.lane in circuits else 0,
                    "open_until": circuits[each.lane].open_until if each.lane in circuits else None,
                    "error": circuits[each.lane].error if each.lane in circuits else "",
                }
                for each in lanes
            ],
            "parked": [
                {"task": task, "event": kind, "subject": subject, "error": error}
                for task, kind, subject, error in parked
            ],
        })  # fmt: skip
        return 0
    print_table(
        lang,
        ["columns.lane", "columns.waiting", "columns.parked", "columns.since", "columns.circuit", "columns.what"],
        [
            (
                each.lane or say("cli.outbox.inside", lang),
                each.waiting,
                each.parked,
                shown_at(each.oldest_due_at) if each.oldest_due_at else "",
                _circuit_shown(state(each.lane), circuits.get(each.lane), lang),
                circuits[each.lane].error if each.lane in circuits else "",
            )
            for each in lanes
        ],
        "cli.inbox.no_messages",
    )
    if parked:
        print("\n" + say("cli.inbox.parked", lang))
        columns = ["columns.task", "columns.kind", "columns.subject", "columns.what"]
        print_table(lang, columns, parked, "cli.inbox.no_messages")
        print(say("cli.outbox.how_to_replay", lang))
    return 0


def _circuit_shown(state: str, circuit: Circuit | None, lang: Language) -> str:
    until = shown_at(circuit.open_until) if circuit and circuit.open_until else ""
    return say(f"cli.outbox.circuit.{state}", lang, failures=circuit.failures if circuit else 0, until=until)


def call(settings: Settings, asked: argparse.Namespace) -> int:
    """Close the circuit of a lane and make its waiting calls due now; the running node makes them."""
    node = open_node(settings)
    if not node.worker.serves(asked.lane):
        lanes = ", ".join(node.worker.lanes)
        raise NotFound(say("cli.outbox.no_lane", settings.language, lane=asked.lane, lanes=lanes))
    with node.database.transaction() as tx:
        count = outbox.call_again(tx, asked.lane, node.clock())
    print(say("cli.outbox.call.done", settings.language, lane=asked.lane, count=count))
    return 0


def replay(settings: Settings, asked: argparse.Namespace) -> int:
    """Give work that was set aside another try."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        tasks = [task for task, *_ in outbox.parked(tx)] if asked.all else asked.task
        count = outbox.unpark(tx, tasks, node.clock())
    work_off(node)
    with node.database.reading() as tx:
        again = len({task for task, *_ in outbox.parked(tx)} & set(tasks))
    print(say("cli.outbox.replay.done", settings.language, count=count, again=again))
    return 0 if count and not again else 1
