"""Facts and coverage in, a determination with reasons out; every fen by stories/FORMAT.md.

It moves no money and writes no letters. Read `steps.py` from top to bottom: it calls one file per kind of rule.
"""

from safeweave.adjudication.deciding_again import DecidingAgain
from safeweave.adjudication.handlers import Adjudicator, product_files, read_overlays

__all__ = ["Adjudicator", "DecidingAgain", "product_files", "read_overlays"]
