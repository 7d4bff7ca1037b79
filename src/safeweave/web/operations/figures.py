"""The figures of the operations room, read from what `tally.py` keeps; each is defined in words/operations.toml."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from safeweave.cases import clocks
from safeweave.cases.clocks import ClockRow
from safeweave.clock import shanghai_day
from safeweave.database import Transaction, at_of
from safeweave.facts import Fact
from safeweave.money import Fen
from safeweave.web.operations import tally

SPANS = (1, 7, 30, 90)  # days a reader may choose
CLOCK_DAYS = 3  # a clock due within these days is in danger
SILENT_AFTER = timedelta(hours=24)
SILENT_TIMES = 4  # times the usual pause between two messages
USUAL_DAYS = 14  # over which the usual pause is taken


class Times(Fact, frozen=True):
    """How long things took, in milliseconds, each figure at most 5 % too long; None if there is none."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    within_3s: float | None


class Day(Fact, frozen=True):
    """What happened on one day."""

    day: date
    decided: int = 0
    untouched: int = 0
    referred: int = 0
    paid: int = 0
    paid_fen: Fen = Fen(0)
    p50: float | None = None
    p95: float | None = None


class Reserve(Fact, frozen=True):
    """Money that is likely to leave: by kind, how many and how much."""

    kind: str
    count: int
    fen: Fen


class Figures(Fact, frozen=True):
    """Everything the room shows of a span of days, and how things stand now."""

    first_day: date
    last_day: date
    decided: int
    untouched: int
    instructed: Times
    settled: Times
    referred: tuple[tuple[str, int], ...]  # reason code, cases; the most frequent first
    paid: int
    paid_fen: Fen
    products: tuple[tuple[str, int, Fen], ...]
    stages: Mapping[str, int]
    reserves: tuple[Reserve, ...]
    recoveries_fen: Fen
    trial_balance_fen: Fen
    days: tuple[Day, ...]
    messages: int
    unread: int
    behind: int

    @property
    def untouched_share(self) -> float | None:
        """Of the decided cases, those no person had to look at; None if none is decided."""
        return self.untouched / self.decided if self.decided else None

    @property
    def reserves_fen(self) -> Fen:
        """All reserves together."""
        return Fen(sum(each.fen for each in self.reserves))


class Silent(Fact, frozen=True):
    """A sender that has told nothing for longer than is usual; `last_at` None: never yet."""

    sender: str
    last_at: datetime | None
    usual_hours: float | None
    hours: float | None


_BY_DAY = ("decided", "untouched", "referred", "paid", *tally.DAYS_TIMES)
_IN_ALL = ("instructed", "product", "settled", "messages_all", "unread_all")


def figures(tx: Transaction, now: datetime, span: int) -> Figures:
    """The figures of the last `span` days, today included."""
    last = shanghai_day(now)
    first = last - timedelta(days=span - 1)
    sums: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    days: dict[str, dict[str, dict[str, list[int]]]] = defaultdict(lambda: defaultdict(dict))
    for figure, day, key, count, fen in tx.rows(
        "select figure, day, key, count, fen from tally where figure in ? and day between ? and ? and count <> 0",
        (_BY_DAY, first.isoformat(), last.isoformat()),
    ):
        total = sums[figure][key]
        total[0], total[1] = total[0] + count, total[1] + fen
        days[day][figure][key] = [count, fen]
    for figure, key, count, fen in tx.rows(
        "select figure, key, sum(count), sum(fen) from tally where figure in ? and day between ? and ?"
        " group by figure, key",
        (_IN_ALL, first.isoformat(), last.isoformat()),
    ):
        sums[figure][key] = [int(count), int(fen)]
    standing: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for figure, key, count, fen in tx.rows(
        "select figure, key, count, fen from tally where figure in ? and day = ? and count <> 0",
        (("stage", "held", "open", "ordered", tally.BOOKS), tally.NOW),
    ):
        standing[figure][key] = [count, fen]
    (outstanding,) = tx.rows("select coalesce(sum(amount_fen - received_fen), 0) from recovery")[0]
    paid, paid_fen = sums["paid"][""]
    return Figures(
        first, last, sums["decided"][""][0], sums["untouched"][""][0], times(sums["instructed"]),
        times(sums["settled"]),
        tuple(sorted(((key, count) for key, (count, _) in sums["referred"].items()), key=lambda p: (-p[1], p[0]))),
        paid, Fen(paid_fen),
        tuple(sorted(((key, n, Fen(fen)) for key, (n, fen) in sums["product"].items()), key=lambda p: (-p[2], p[0]))),
        {key: count for key, (count, _) in sorted(standing["stage"].items())},
        _reserves(tx, standing, last), Fen(int(outstanding)),
        Fen(standing[tally.BOOKS].get("", [0, 0])[1]),
        tuple(_day(day, days[day.isoformat()])
              for day in (first + timedelta(days=n) for n in range(span))),
        sums["messages_all"][""][0], sums["unread_all"][""][0], tally.behind(tx),
    )  # fmt: skip


def _day(day: date, found: Mapping[str, Mapping[str, list[int]]]) -> Day:
    paid, paid_fen = found.get("paid", {}).get("", [0, 0])
    took = [found[figure][""][1] if figure in found else None for figure in tally.DAYS_TIMES]
    return Day(
        day, found.get("decided", {}).get("", [0, 0])[0], found.get("untouched", {}).get("", [0, 0])[0],
        sum(count for count, _ in found.get("referred", {}).values()), paid, Fen(paid_fen),
        *(None if bucket is None else tally.reaches(bucket) for bucket in took),
    )  # fmt: skip


def times(buckets: Mapping[str, list[int]]) -> Times:
    """What these buckets of times say."""
    ordered = sorted((int(key), count) for key, (count, _) in buckets.items() if count > 0)
    total = sum(count for _, count in ordered)
    if not total:
        return Times(0, None, None, None, None)

    def below(percent: int) -> float:
        passed = 0
        for key, count in ordered:
            passed += count
            if 100 * passed >= percent * total:
                return tally.reaches(key)
        raise AssertionError("the last bucket holds the longest time")

    within = sum(count for key, count in ordered if tally.reaches(key) <= 3000)
    return Times(total, below(50), below(95), below(99), within / total)


def _reserves(tx: Transaction, standing: Mapping[str, Mapping[str, list[int]]], last: date) -> tuple[Reserve, ...]:
    """Ordered and not confirmed; held for a person, as the rules would pay; and open cases at the usual amount."""
    ordered = [sum(each[n] for each in standing["ordered"].values()) for n in (0, 1)]
    held = standing["held"].get("", [0, 0])
    waiting = standing["open"].get("", [0, 0])[0]
    usual = usual_amount(tx, last)
    return (
        Reserve("ordered", ordered[0], Fen(ordered[1])),
        Reserve("held", held[0], Fen(held[1])),
        Reserve("open", waiting, Fen(waiting * usual)),
    )


def usual_amount(tx: Transaction, last: date) -> Fen:
    """What was paid in the last 90 days for each case decided in them, in whole fen rounded down; 0 if none was."""
    of = {
        figure: (int(count), int(fen)) for figure, count, fen in tx.rows(
            "select figure, sum(count), sum(fen) from tally where figure in ? and day between ? and ? group by figure",
            (("decided", "paid"), (last - timedelta(days=89)).isoformat(), last.isoformat()),
        )
    }  # fmt: skip
    cases, fen = of.get("decided", (0, 0))[0], of.get("paid", (0, 0))[1]
    return Fen(fen // cases if cases > 0 else 0)


def clocks_in_danger(tx: Transaction, now: datetime) -> list[ClockRow]:
    """Statutory clocks due within three days or over already, the most urgent first."""
    return clocks.running(tx, shanghai_day(now) + timedelta(days=CLOCK_DAYS))


def silent(tx: Transaction, now: datetime) -> list[Silent]:
    """Senders that have told nothing for a day and for four times their usual pause, the longest silent first."""
    last = shanghai_day(now)
    counts = {
        sender: int(count) for sender, count in tx.rows(
            "select key, sum(count) from tally where figure = 'messages' and day >= ? group by key",
            ((last - timedelta(days=USUAL_DAYS - 1)).isoformat(),),
        )
    }  # fmt: skip
    known = {sender: (at_of(first), at_of(at)) for sender, first, at in tx.rows(
        "select sender, first_at, last_at from tally_sender")}  # fmt: skip
    found = []
    for (sender,) in tx.rows("select id from sender order by id"):
        if sender not in known:
            found.append(Silent(sender, None, None, None))
            continue
        first, at = known[sender]
        count = counts.get(sender, 0)
        spoke_for = at - max(first, now - timedelta(days=USUAL_DAYS))
        usual = max(spoke_for / max(count - 1, 1), timedelta(0))
        if now - at > max(SILENT_AFTER, SILENT_TIMES * usual):
            found.append(Silent(sender, at, usual / timedelta(hours=1) if count else None,
                                (now - at) / timedelta(hours=1)))  # fmt: skip
    return sorted(found, key=lambda each: (each.hours is None, -(each.hours or 0), each.sender))
