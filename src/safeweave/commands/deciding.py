"""`safeweave stories`, `adjudicate`, `products check`: deciding without a store (stories/FORMAT.md §8)."""

import argparse
import sys

from safeweave.adjudication import stories as told
from safeweave.settings import Settings


def stories(settings: Settings, asked: argparse.Namespace) -> int:
    """Compare stories with what they say must come out."""
    return told.stories_command(asked.path, asked.products, asked.json, sys.stdout, sys.stderr)


def adjudicate(settings: Settings, asked: argparse.Namespace) -> int:
    """Decide claims, one JSON object a line."""
    return told.adjudicate_command(asked.products, sys.stdin.buffer, sys.stdout.buffer, sys.stderr)


def check_products(settings: Settings, asked: argparse.Namespace) -> int:
    """Say what is wrong with the product files of a folder."""
    return told.products_check_command(asked.folder, sys.stdout, sys.stderr)
