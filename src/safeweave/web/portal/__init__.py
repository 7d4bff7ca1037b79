"""What the insured, their guardians and agents see: policies, stays, consents, money. Read `around.py` first."""

from safeweave.web.pages import Routes
from safeweave.web.portal import acting, agreeing, handing_in, home, money, stays

PARTS: list[Routes] = [
    home.routes, stays.routes, handing_in.routes, agreeing.routes, money.routes, acting.routes,
]  # fmt: skip
