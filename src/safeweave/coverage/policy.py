"""One policy: the insured, the product, the days of cover, and who is paid. All pure.

Days of cover are built from dated changes that are only ever added to. A policy year that begins the day after the one
before ended is a continuous renewal and keeps `since`; after a gap, waiting periods begin anew. A lapse ends the year
early; a reinstatement opens the rest of that year as a year of its own from its first day, with a new `since`
(保险法 36, 37: cover comes back from that day on). A reinstatement without a gap undoes the lapse. A void policy
(cooling-off, rescission) never covered anything.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Literal

from safeweave.facts import Cover, Fact, Period, Sex
from safeweave.ids import PersonId, PolicyId
from safeweave.people.identity import Unusable

ChangeKind = Literal["period", "lapse", "reinstatement", "cancellation", "void"]
Role = Literal["insured", "guardian", "estate", "beneficiary"]
ROLES: tuple[Role, ...] = ("insured", "guardian", "estate", "beneficiary")

DAYS_AFTER_DUE = 60  # 保险法 36
DAYS_AFTER_DEMAND = 30

ONE_DAY = timedelta(days=1)


class Change(Fact, frozen=True):
    """One dated addition to the days of cover.

    `first_day` is the first day with cover (period, reinstatement) or without it (lapse, cancellation); for "void" the
    day it was declared. `since` of a period is given where earlier years are not on file. No `person` means everybody
    insured under the policy.
    """

    kind: ChangeKind
    first_day: date
    last_day: date | None = None
    since: date | None = None
    reason: str = ""
    person: PersonId | None = None


class Insured(Fact, frozen=True):
    """What is on file of one insured person under one policy, apart from the days."""

    person: PersonId
    enrolled: bool  # in 医保
    relation: str = "self"  # to the holder: self, spouse, child, parent, employee, other
    beneficiary: str | None = None
    roster_first_day: date | None = None
    roster_last_day: date | None = None


class Payee(Fact, frozen=True):
    """Who receives what the policy pays. `role` is insured, guardian, estate or beneficiary (FORMAT.md §5.11)."""

    role: str
    name: str
    account: str
    bank_code: str  # CNAPS, 12 digits; "" if the bank needs none


class Policy(Fact, frozen=True):
    """A contract as it stands: its head, its insured persons and every change so far, oldest first."""

    id: PolicyId
    number: str
    product: str
    holder: PersonId | None
    bank: str
    insureds: tuple[Insured, ...]
    changes: tuple[Change, ...]

    def periods(self) -> dict[PersonId, tuple[Period, ...]]:
        """The policy years of each insured person."""
        own: dict[PersonId, list[Change]] = {insured.person: [] for insured in self.insureds}
        for change in self.changes:
            for changes in own.values() if change.person is None else [own.get(change.person, [])]:
                changes.append(change)
        return {person: periods_of(changes) for person, changes in own.items()}

    def status_on(self, day: date) -> str:
        """in_force, void, cancelled, lapsed, ended or not_begun: how the policy stands on a day for somebody."""
        periods = [period for own in self.periods().values() for period in own]
        if any(period.first_day <= day <= period.last_day for period in periods):
            return "in_force"
        latest = next((change for change in reversed(self.changes) if change.first_day <= day), None)
        if latest is not None and latest.kind in _ENDINGS:
            return _ENDINGS[latest.kind]
        return "not_begun" if any(period.first_day > day for period in periods) else "ended"


_ENDINGS: dict[str, str] = {"void": "void", "cancellation": "cancelled", "lapse": "lapsed"}


class InsuredPolicy(Fact, frozen=True):
    """What one person was promised under one policy, as adjudication and payments read it."""

    policy: PolicyId
    person: PersonId
    product: str
    cover: Cover
    payees: tuple[Payee, ...] = ()
    bank: str = "main"  # which adapter pays: see payments.bank
    number: str = ""

    def holds_on(self, days: Iterable[date]) -> bool:
        """Whether a policy year holds any of these days."""
        wanted = list(days)
        return any(period.first_day <= day <= period.last_day for period in self.cover.periods for day in wanted)

    def payee(self, role: str) -> Payee | None:
        """The payee on file for a role, if there is one."""
        return next((payee for payee in self.payees if payee.role == role), None)


class _Lost(Fact, frozen=True):
    """What a lapse took away of a year, and a reinstatement may open again."""

    first_day: date
    last_day: date
    since: date | None
    year: date  # the first day of the year it was part of


_Spans = dict[date, tuple[date, date | None]]  # first day -> last day, and `since` if it is stated


def periods_of(changes: Iterable[Change]) -> tuple[Period, ...]:
    """The policy years that the changes, in the order they were recorded, leave; by first day.

    A period with the first day of an earlier one replaces it.
    """
    spans: _Spans = {}
    lost: list[_Lost] = []
    for change in changes:
        match change.kind:
            case "period":
                assert change.last_day is not None, "a period has a last day"
                spans[change.first_day] = (change.last_day, change.since)
            case "lapse":
                lost += _cut(spans, change.first_day)
            case "cancellation":
                _cut(spans, change.first_day)
                lost = []
            case "reinstatement":
                _reopen(spans, lost, change)
                lost = []
            case "void":
                spans, lost = {}, []
    periods: list[Period] = []
    for first_day, (last_day, since) in sorted(spans.items()):
        if since is None:
            continuous = bool(periods) and periods[-1].last_day + ONE_DAY == first_day
            since = periods[-1].since if continuous else first_day
        periods.append(Period(first_day, last_day, since))
    return tuple(periods)


def _cut(spans: _Spans, day: date) -> list[_Lost]:
    """Take `day` and all that follows out of the spans; what was taken, by first day."""
    taken = []
    for first_day, (last_day, since) in sorted(spans.items()):
        if last_day >= day:
            taken.append(_Lost(max(first_day, day), last_day, since, first_day))
            del spans[first_day]
            if first_day < day:
                spans[first_day] = (day - ONE_DAY, since)
    return taken


def _reopen(spans: _Spans, lost: Sequence[_Lost], change: Change) -> None:
    """Put what was lost from the change's first day on back into the spans, but for days that are covered by now."""
    pieces = sorted(lost, key=lambda piece: piece.first_day)
    if not pieces and change.last_day is not None:
        pieces = [_Lost(change.first_day, change.last_day, None, change.first_day)]
    broken = any(piece.first_day < change.first_day <= piece.last_day for piece in pieces)
    for piece in pieces:
        first_day = max(piece.first_day, change.first_day)
        last_day = piece.last_day if change.last_day is None else min(piece.last_day, change.last_day)
        for covered_from, (covered_to, _) in sorted(spans.items()):
            if covered_from <= first_day <= covered_to:
                first_day = covered_to + ONE_DAY
            elif first_day < covered_from <= last_day:
                last_day = covered_from - ONE_DAY
        if last_day < first_day:
            continue
        year = spans.get(piece.year)
        if first_day == piece.first_day and year is not None and year[0] + ONE_DAY == first_day:
            spans[piece.year] = (last_day, year[1])  # no day was lost: the lapse is undone
        else:
            spans[first_day] = (last_day, None if broken else piece.since)


def first_day_without_cover(due_on: date, demanded_on: date | None = None) -> date:
    """The day an instalment policy is suspended: day 61 after the premium was due, or day 31 after it was demanded,
    whichever is earlier; the day itself is not counted (保险法 36, 民法典 201). Events before it are covered.
    """
    days = [due_on + timedelta(days=DAYS_AFTER_DUE + 1)]
    if demanded_on is not None:
        days.append(demanded_on + timedelta(days=DAYS_AFTER_DEMAND + 1))
    return min(days)


def check_change(known: Iterable[Change], change: Change) -> None:
    """Raises Unusable, saying what to write instead, if a change cannot follow those on record."""
    known = [each for each in known if change.person is None or each.person in (None, change.person)]
    first, last = change.first_day, change.last_day
    if last is not None and last < first:
        raise Unusable("coverage.change.last_before_first", field="last_day", first=first, last=last)
    latest = next((each for each in reversed(known) if each.kind in _ENDINGS), None)
    if latest is not None and latest.kind == "void":
        raise Unusable("coverage.change.void", field="first_day")
    periods = periods_of(known)
    if change.kind == "period":
        _check_period(periods, change)
    elif change.kind == "reinstatement":
        if any(period.first_day <= first <= period.last_day for period in periods):
            raise Unusable("coverage.change.in_force", field="first_day", day=first)
        if not any(period.first_day <= first <= period.last_day for period in periods_of([*known, change])):
            raise Unusable("coverage.change.nothing_lapsed", field="first_day", day=first)
    elif change.kind != "void" and not any(period.last_day >= first for period in periods):
        raise Unusable("coverage.change.nothing_to_end", field="first_day", day=first)


def check_lapse(policy: Policy, first_day: date) -> None:
    """Raises Unusable if cover would end before it ever began: that is a policy declared void, not a lapse."""
    begins = min((period.first_day for own in policy.periods().values() for period in own), default=first_day)
    if first_day < begins:
        raise Unusable("coverage.change.lapse_before_begin", field="from_day", day=first_day, begins=begins)


def _check_period(periods: Iterable[Period], change: Change) -> None:
    first, last = change.first_day, change.last_day
    if last is None:
        raise Unusable("coverage.change.no_last_day", field="last_day")
    if change.since is not None and change.since > first:
        raise Unusable("coverage.change.since_after_first", field="since", since=change.since, first=first)
    for period in periods:
        if period.first_day != first and period.first_day <= last and first <= period.last_day:
            raise Unusable(
                "coverage.change.overlap",
                field="first_day",
                first=first,
                last=last,
                known_first=period.first_day,
                known_last=period.last_day,
                next=period.last_day + ONE_DAY,
            )


def cover_of(insured: Insured, changes: Iterable[Change], birth: date, sex: Sex, guardian: bool) -> Cover:
    """What the adjudicator knows of one insured under one policy (FORMAT.md §3 `policy`)."""
    return Cover(
        birth,
        sex,
        insured.enrolled,
        periods_of(change for change in changes if change.person in (None, insured.person)),
        guardian,
        insured.beneficiary,
        insured.roster_first_day,
        insured.roster_last_day,
    )
