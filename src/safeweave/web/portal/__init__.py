"""What the insured, their guardians and agents see: policies, stays, consents, money. Read `around.py` first."""

from safeweave.web.pages import Routes
from safeweave.web.portal import acting, agreeing, home, money, stays

PARTS: list[Routes] = [home.routes, stays.routes, agreeing.routes, money.routes, acting.routes]
