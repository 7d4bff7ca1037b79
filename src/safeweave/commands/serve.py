"""`safeweave serve`: one insurer node with its doors open; `safeweave work`: one more worker beside it."""

import argparse
import logging
import multiprocessing
import signal
import threading
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess

from safeweave.node import open_node
from safeweave.node import work as work_node
from safeweave.serving import serve as serve_node
from safeweave.settings import Settings
from safeweave.words import say


def serve(settings: Settings, asked: argparse.Namespace) -> int:
    """Open the HTTP and MLLP doors and work until interrupted, in as many processes as asked for."""
    _write_log()
    settings = replace(settings, pages=settings.pages or asked.pages)
    node = open_node(settings)
    spawn = multiprocessing.get_context("spawn")
    others: list[BaseProcess] = []

    def ready() -> None:
        where = {"host": settings.host, "http": settings.http_port, "mllp": settings.mllp_port, "home": settings.home}
        for _ in range(asked.processes - 1):
            other = spawn.Process(target=_serve_too, args=(settings,), daemon=True)
            other.start()
            others.append(other)
        print(say("cli.serve.ready", settings.language, **where), flush=True)
        if settings.pages:
            url = settings.pages_url or f"http://{settings.host}:{settings.http_port}/"
            print(say("cli.serve.pages_at", settings.language, url=url), flush=True)

    try:
        serve_node(node, ready, told_to_stop(), share_doors=asked.processes > 1)
    finally:
        for other in others:
            other.terminate()
        for other in others:
            other.join()
        node.close()
    return 0


def _serve_too(settings: Settings) -> None:
    _write_log()
    node = open_node(settings)
    try:
        serve_node(node, stopping=told_to_stop(), share_doors=True)
    finally:
        node.close()


def work(settings: Settings, asked: argparse.Namespace) -> int:
    """Work on the store beside other processes, without doors, until interrupted."""
    _write_log()
    node = open_node(settings)
    print(say("cli.work.ready", settings.language), flush=True)
    try:
        work_node(node, told_to_stop())
    finally:
        node.close()
    return 0


def told_to_stop() -> threading.Event:
    """Set when the process is told to end (SIGTERM, SIGINT), so that what is under way is finished first."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


class _Lines(logging.Formatter):
    """One line a record, in UTC; what could look like another line, or move a terminal, is written out."""

    converter = time.gmtime  # type: ignore[assignment]

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, whoever chose what stands in it."""
        line = super().formatMessage(record)
        return (
            line if line.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
        )


def _write_log() -> None:
    to_stderr = logging.StreamHandler()
    to_stderr.setFormatter(_Lines("%(asctime)sZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(handlers=[to_stderr], level=logging.WARNING)
    logging.getLogger("safeweave.security").setLevel(logging.INFO)
