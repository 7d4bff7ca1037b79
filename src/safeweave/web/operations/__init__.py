"""The operations room: how the service does, what waits for repair, how exchange and ledger stand.

`tally.py` keeps the figures as cases move, `figures.py` reads them, `chart.py` draws them; the other files are pages.
What a case is and what was decided about it belong to the packages below. Read `tally.py` first.
"""

from safeweave.web.operations import again, health, oversight, repair, room, what_if

PARTS = [room.routes, repair.routes, health.routes, oversight.routes, what_if.routes, again.routes]
