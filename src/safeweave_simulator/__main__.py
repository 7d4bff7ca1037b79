"""`python -m safeweave_simulator`: write the files an insurer imports, and speak to its doors."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from safeweave.clock import now, shanghai_day
from safeweave_simulator.city import City
from safeweave_simulator.client import Address, Delivery, Doors
from safeweave_simulator.running import run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "safeweave_simulator", description="An invented city speaks to an insurer's doors."
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hospitals", type=int, default=5)
    parser.add_argument("--people", type=int, default=2000, help="how many hold policies")
    parser.add_argument("--stays", type=int, default=300)
    parser.add_argument(
        "--today", type=date.fromisoformat, help="the day after the last simulated one (default: today)"
    )
    parser.add_argument("--days", type=int, default=35, help="how many simulated days there are")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the files to import there, and stop")
    parser.add_argument("--mllp", default="127.0.0.1:2575", metavar="HOST:PORT")
    parser.add_argument("--http", default="http://127.0.0.1:8440", metavar="URL")
    parser.add_argument(
        "--doors", type=Path, help='JSON object: institution code to {"mllp": [HOST, PORT], "http": URL} of its gateway'
    )
    parser.add_argument(
        "--tokens", type=Path, help="JSON object: institution code to bearer token (default: the city's own)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="new messages a second (0: as fast as they are answered)"
    )
    parser.add_argument("--seconds", type=float, help="take no new messages after this time")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds to go on trying unanswered messages at the end"
    )
    parser.add_argument("--state", type=Path, help="file that keeps what is not answered; a later run goes on from it")
    parser.add_argument("--answers", type=Path, help="write what was really true of every stay there, as JSON")
    parser.add_argument("--opening", action="store_true", help="tell the opening story first")
    parser.add_argument("--quiet", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator; 0 if every message taken was answered, 1 if some still wait, 2 if asked wrongly."""
    asked = _parser().parse_args(arguments)
    try:
        city = City(
            asked.seed, asked.hospitals, asked.people, today=asked.today or shanghai_day(now()), days=asked.days
        )
        if asked.write:
            city.write(asked.write)
            return 0
        host, _, port = asked.mllp.rpartition(":")
        tokens = json.loads(asked.tokens.read_text(encoding="utf-8")) if asked.tokens else city.tokens()
        own = msgspec.json.decode(asked.doors.read_bytes(), type=dict[str, Address]) if asked.doors else {}
        doors = Doors((host, int(port)), asked.http, tokens, own)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        tally = run(
            city, doors, stays=asked.stays, rate=asked.rate, seconds=asked.seconds, patience=asked.patience,
            state=asked.state, answers=asked.answers, opening=asked.opening,
            on_event=None if asked.quiet else _show, stop=stop,
        )  # fmt: skip
    except (ValueError, OSError, msgspec.MsgspecError) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(
        f"taken {tally.taken}, accepted {tally.accepted}, refused {tally.refused}, sent again {tally.retried}, "
        f"waiting {tally.waiting}, in {tally.seconds:.1f} s"
    )
    return 1 if tally.waiting else 0


def _show(delivery: Delivery) -> None:
    message = delivery.message
    if delivery.outcome != "accepted":
        what = f"{message.door} {message.id} {delivery.outcome}: {delivery.answer}"
        print(f"{message.at:%m-%d %H:%M} {message.hospital} {what}")


if __name__ == "__main__":
    sys.exit(main())
