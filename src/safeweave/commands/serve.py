"""`safeweave serve`: one insurer node with its doors open."""

import argparse
import logging

from safeweave.node import open_node
from safeweave.node import serve as serve_node
from safeweave.settings import Settings
from safeweave.words import say


def serve(settings: Settings, asked: argparse.Namespace) -> int:
    """Open the HTTP and MLLP doors and work until interrupted."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    node = open_node(settings)

    def ready() -> None:
        where = {"host": settings.host, "http": settings.http_port, "mllp": settings.mllp_port, "home": settings.home}
        print(say("cli.serve.ready", settings.language, **where), flush=True)

    try:
        serve_node(node, ready)
    finally:
        node.close()
    return 0
