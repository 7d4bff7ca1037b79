"""Claims that file themselves: from a hospital's word to the insured's money, exact to the fen.

Read `flow.py` first: it says what follows what. `docs/tour.md` walks through the rest.
"""

__version__ = "0.1.0"
