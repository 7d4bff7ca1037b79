"""Where examiners clear referrals: queue, evidence and decision on one screen. Read `bench.py`, then `deciding.py`.

It decides nothing itself: acts go to the adjudicator. Who may decide how much stands in `authority.toml`.
"""

from safeweave.web.pages import Routes
from safeweave.web.workbench import acts, bench, finding, taking_away

PARTS: list[Routes] = [bench.routes, acts.routes, finding.routes, taking_away.routes]
HOME = "/desk"
EXAMINERS = ("examiner", "senior")  # who begins here; directors come by its address

__all__ = ["EXAMINERS", "HOME", "PARTS"]
