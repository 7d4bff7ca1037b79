"""What the insured, their guardians and agents see: policies, stays, consents, money. Read `around.py` first."""

from safeweave.web.pages import Routes

PARTS: list[Routes] = []
