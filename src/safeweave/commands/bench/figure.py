"""What a measurement gives, and how much is measured."""

from typing import Literal, NamedTuple

import msgspec

from safeweave.facts import Fact

Engine = Literal["sqlite", "postgresql"]
MORE_IS_BETTER = ("1/s", "x")  # units; of all others less is


class Figure(Fact):
    """One measured value and its baseline.

    `target` must be reached and `aim` should be: at least where more is better, at most otherwise; `ratio_target` is
    the most the ratio may be. `parts` say what the value is made of, or the largest of what it is made of.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    target: float | None = None
    aim: float | None = None
    ratio_target: float | None = None
    engine: Engine | None = None
    parts: dict[str, float] = msgspec.field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times the baseline, if there is one."""
        return self.value / self.baseline if self.baseline else None

    @property
    def is_met(self) -> bool:
        """Whether value and ratio reach their targets."""
        ratio_met = self.ratio_target is None or self.ratio is None or self.ratio <= self.ratio_target
        return ratio_met and (self.target is None or self.reaches(self.target))

    def reaches(self, wanted: float) -> bool:
        """Whether the value is as good as that."""
        return self.value >= wanted if self.unit in MORE_IS_BETTER else self.value <= wanted


class Counts(NamedTuple):
    """How much is measured."""

    runs: int = 5  # of which the median is taken
    claims: int = 4_000  # of one run, in all feeders together
    rounds: int = 50  # of CALLS decisions each, and as many of the baseline after each
    idle_claims: int = 300
    door_claims: int = 1_500  # of one run through the doors
    load_seconds: float = 5.0  # of one run at half the maximum
    size_claims: int = 3_000
    letters: int = 100
    seconds: float = 5.0  # of pgbench
    ledger_batches: int = 200  # of 100 consents, and as many of 100 nullifiers
    ledger_commits: int = 200  # alone
    log_entries: int = 10_000_000  # of the large log whose tree is built: 1 GB
    records: int = 200  # sealed and sent, by each suite
    filed_claims: int = 100  # through the consortium
    pages_cases: int = 100_000  # stored while pages are measured
    page_requests: int = 60  # of each kind of page
    live_updates: int = 40
    crowd_seconds: float = 30.0  # of fifty examiners at work
    stream_seconds: float = 600.0


QUICK = Counts(
    runs=3, claims=1_000, rounds=10, idle_claims=40, door_claims=300, load_seconds=2.0, size_claims=500, letters=10,
    seconds=2.0, ledger_batches=40, ledger_commits=40, log_entries=200_000, records=40, filed_claims=20,
    pages_cases=5_000, page_requests=20, live_updates=10, crowd_seconds=10.0, stream_seconds=20.0,
)  # fmt: skip
