"""How a stay goes, from admission to the last word about its bill: facts and times only, no wire format.

`SHARES` says how often each turn of events comes; every stay takes at most one, so most stays are uneventful.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Literal

import msgspec
from msgspec.structs import replace

from safeweave.clock import SHANGHAI
from safeweave_simulator.bills import (
    ILLNESSES,
    VISITS,
    Bill,
    FeeLine,
    Illness,
    Item,
    WardStay,
    bill_of,
    fits,
    inpatient_lines,
    line_of,
    outpatient_lines,
    refund_of,
    settle,
)
from safeweave_simulator.hospital import Hospital, Ward
from safeweave_simulator.patients import Document, Person

# The share of stays that take each turn; what is left over (about three quarters) is uneventful.
SHARES: dict[str, float] = {
    "outpatient": 0.06,  # no stay at all: an outpatient visit, its settlement and its bill
    "correction": 0.03,  # A08: the main diagnosis is replaced during the stay
    "credit_lines": 0.03,  # part of a charge is taken back by a negative line
    "ward_change": 0.02,  # A02: some nights in intensive care or in a paid ward
    "leave": 0.02,  # A21, A22: a leave of absence
    "readmission": 0.02,  # a second stay for the same illness within weeks
    "transfer": 0.015,  # discharged to another hospital, admitted there the same day
    "admission_cancelled": 0.01,  # A11
    "discharge_cancelled": 0.01,  # A13 before there is a bill, discharged again a day later
    "reissued_dearer": 0.008,  # A13 after the bill: reversed, discharged again, reissued with more lines
    "reissued_cheaper": 0.008,  # the bill is reversed and reissued with fewer lines
    "reissued_late": 0.008,  # the same days later, when the first bill has been paid
    "reversed_only": 0.004,  # the bill is reversed and no other follows
    "death": 0.004,
    "zero_bill": 0.004,
    "never_discharged": 0.01,  # still there when the simulated days end
    "total_off": 0.006,  # the e-bill's total is 0.01 yuan away from its items
    "impossible_date": 0.006,  # the discharge is dated before the admission
    "unknown_code": 0.006,  # a main diagnosis that is in no code set
    "garbled": 0.02,  # one message arrives truncated or in a wrong encoding; the right one follows
    "two_doors": 0.01,  # the bill comes through the HTTP door twice, in two messages
}

# What happens to a person outside of any turn.
CHANCES = {
    "unknown_person": 0.05,  # the patient holds no policy
    "not_using_social": 0.03,  # enrolled in 医保, but this stay was not settled with it
    "aided": 0.03,  # 医疗救助 helps the enrolled of scheme 390
    "emergency": 0.2,
    "second_diagnosis": 0.35,
}

Turn = str
HappeningKind = Literal[
    "admitted",
    "visited",
    "updated",
    "moved",
    "left",
    "returned",
    "charged",
    "discharged",
    "admission_cancelled",
    "discharge_cancelled",
    "settled",
    "settlement_cancelled",
    "billed",
    "reversed",
]

SECOND_DIAGNOSES = (("I10", "原发性高血压"), ("E78.500", "高脂血症"), ("E11.900", "2型糖尿病"), ("D64.900", "贫血"))
_ILLNESSES_OF_TURN = {
    "readmission": tuple(illness for illness in ILLNESSES if illness.chronic),
    "ward_change": tuple(illness for illness in ILLNESSES if illness.intensive or illness.operation),
}
UNKNOWN_DIAGNOSIS = ("ZZ9.9-LOCAL", "院内自编诊断")


class Stay(msgspec.Struct, frozen=True):
    """One stay or visit as its hospital knows it at one moment."""

    no: int
    hospital: Hospital
    person: Person
    visit: str  # 住院号 or 门诊号
    record: str  # 病历号
    medical_visit: str  # mdtrt_id
    inpatient: bool
    diagnoses: tuple[tuple[str, str], ...]
    ward: Ward
    bed: int
    admitted_at: datetime
    discharged_at: datetime | None = None
    disposition: str = ""
    transferred_to: Hospital | None = None
    emergency: bool = False
    accident_on: date | None = None
    treatment: str = ""
    intensive_hours: int = 0
    left_at: datetime | None = None

    @property
    def document(self) -> Document:
        """The document the patient showed."""
        return self.person.documents[0]


class Happening(msgspec.Struct, frozen=True):
    """Something that happened at `at` in a stay, with what is told of it."""

    kind: HappeningKind
    at: datetime
    stay: Stay
    lines: tuple[FeeLine, ...] = ()
    bill: Bill | None = None
    settlement_no: str = ""
    red: tuple[str, str] | None = None
    false_total: int = 0  # fen by which the e-bill's printed total is wrong


class Course(msgspec.Struct, frozen=True):
    """A planned stay: its turn and everything that happens, in order of time."""

    no: int
    turn: Turn
    happenings: tuple[Happening, ...]
    follows: "NextStay | None" = None


class NextStay(msgspec.Struct, frozen=True):
    """A further stay that this one makes certain: a readmission, or the second half of a transfer."""

    person: Person
    illness: Illness
    hospital: Hospital
    admitted_at: datetime


def at_shanghai(day: date, hour: int, minute: int, second: int = 0) -> datetime:
    """The aware instant of a Shanghai wall-clock time."""
    return datetime.combine(day, time(hour, minute, second), SHANGHAI)


def draw_turn(random: Random, shares: Mapping[str, float]) -> Turn:
    """One turn by its share; "clean" for what is left over."""
    roll = random.random()
    for turn, share in shares.items():
        roll -= share
        if roll < 0:
            return turn
    return "clean"


def _choose(illnesses: Sequence[Illness], person: Person, day: date, random: Random) -> Illness:
    fitting = [illness for illness in illnesses if fits(illness, person, day)]
    fitting = fitting or [illness for illness in ILLNESSES if fits(illness, person, day)]
    return random.choices(fitting, [illness.weight for illness in fitting])[0]


class _Planner:
    """Lays one stay out in time; every draw comes from the stay's own random numbers, so stays do not touch others."""

    def __init__(self, seed: int, no: int, person: Person, hospital: Hospital, turn: Turn, random: Random) -> None:
        self.seed, self.no, self.person, self.hospital, self.turn, self.random = (
            seed,
            no,
            person,
            hospital,
            turn,
            random,
        )
        self.happenings: list[Happening] = []
        self.bills = 0
        self.settlements = 0

    def tell(self, kind: HappeningKind, at: datetime, stay: Stay, **more: object) -> None:
        self.happenings.append(Happening(kind, at, stay, **more))  # type: ignore[arg-type]

    def minutes(self, low: int, high: int) -> timedelta:
        return timedelta(minutes=self.random.randint(low, high), seconds=self.random.randrange(60))

    def begin(self, illness: Illness, admitted_at: datetime, *, inpatient: bool) -> Stay:
        random = self.random
        ward = self.hospital.ward("ordinary", illness.department)
        diagnoses: tuple[tuple[str, str], ...] = ((illness.icd, illness.name),)
        second = random.choice(SECOND_DIAGNOSES)
        if (
            random.random() < CHANCES["second_diagnosis"]
            and second[0] != illness.icd
            and self.person.age_on(admitted_at.date()) > 30
        ):
            diagnoses += (second,)
        if self.turn == "unknown_code":
            diagnoses = (UNKNOWN_DIAGNOSIS, *diagnoses[1:])
        day = admitted_at.date()
        letter = "I" if inpatient else "O"
        return Stay(
            no=self.no,
            hospital=self.hospital,
            person=self.person,
            visit=f"{letter}{day:%Y%m%d}{self.seed % 100:02d}{self.no:06d}",
            record=f"B{self.seed % 100:02d}{self.person.no:07d}",
            medical_visit=f"{self.hospital.region}{self.seed % 100:02d}{self.no:010d}",
            inpatient=inpatient,
            diagnoses=diagnoses,
            ward=ward,
            bed=random.randint(1, 48),
            admitted_at=admitted_at,
            emergency=illness.accident or random.random() < CHANCES["emergency"],
            accident_on=day if illness.accident else None,
        )

    def close(
        self,
        stay: Stay,
        lines: Sequence[FeeLine],
        *,
        social: bool,
        after: datetime,
        replaces: tuple[str, str] | None = None,
        false_total: int = 0,
    ) -> tuple[Bill, str, datetime]:
        """Settlement and bill for these lines, some minutes after `after`; the bill, the settlement id, and when."""
        random = self.random
        settled_at = after + self.minutes(8, 50)
        issued_at = settled_at + self.minutes(1, 12)
        kind: Literal["inpatient", "outpatient"] = "inpatient" if stay.inpatient else "outpatient"
        settlement = (
            settle(lines, stay.person, stay.hospital, kind, aided=random.random() < CHANCES["aided"])
            if social
            else None
        )
        self.bills += 1
        bill = bill_of(
            lines,
            settlement,
            kind=kind,
            number=f"{self.seed % 100:02d}{self.no:07d}{self.bills}",
            issued_at=issued_at,
            random=random,
            replaces=replaces,
        )
        self.settlements += 1
        settlement_no = f"{stay.medical_visit}{self.settlements:02d}"
        if settlement:
            self.tell("settled", settled_at, stay, bill=bill, settlement_no=settlement_no)
        self.tell("billed", issued_at, stay, bill=bill, settlement_no=settlement_no, false_total=false_total)
        return bill, settlement_no, issued_at

    def undo_bill(self, stay: Stay, bill: Bill, settlement_no: str, at: datetime) -> None:
        """The settlement is cancelled and the bill reversed by a red one."""
        self.bills += 1
        red = (bill.code, f"{self.seed % 100:02d}{self.no:07d}{self.bills}")
        if bill.settlement:
            self.tell("settlement_cancelled", at, stay, bill=bill, settlement_no=settlement_no)
        self.tell("reversed", at + self.minutes(1, 5), stay, bill=bill, settlement_no=settlement_no, red=red)


def plan_visit(
    seed: int, no: int, person: Person, hospital: Hospital, day: date, shares: Mapping[str, float] = SHARES
) -> Course:
    """An outpatient visit on that day."""
    random = Random(f"{seed}/stay/{no}")
    planner = _Planner(seed, no, person, hospital, "outpatient", random)
    illness = _choose(VISITS, person, day, random)
    at = at_shanghai(day, random.randint(8, 16), random.randrange(60), random.randrange(60))
    treatment = {"N18.500": "dialysis", "C50.900": "oncology"}.get(illness.icd, "")
    stay = replace(planner.begin(illness, at, inpatient=False), treatment=treatment)
    planner.tell("visited", at, stay)
    lines = outpatient_lines(illness, at, random)
    social = bool(person.social) and random.random() >= CHANCES["not_using_social"]
    planner.close(stay, lines, social=social, after=at)
    return Course(no, "outpatient", tuple(planner.happenings))


def plan_stay(
    seed: int,
    no: int,
    person: Person,
    hospital: Hospital,
    day: date,
    turn: Turn,
    *,
    elsewhere: Hospital,
    last: NextStay | None = None,
) -> Course:
    """A stay that begins on that day and takes that turn; `last`: it continues an earlier one.

    `elsewhere` is where a transfer goes. The course's `follows` names the further stay it makes certain.
    """
    random = Random(f"{seed}/stay/{no}")
    planner = _Planner(seed, no, person, hospital, turn, random)
    if last:
        illness, admitted_at = last.illness, last.admitted_at
    else:
        illness = _choose(_ILLNESSES_OF_TURN.get(turn, ILLNESSES), person, day, random)
        admitted_at = at_shanghai(day, random.randint(7, 20), random.randrange(60), random.randrange(60))
    first_day = admitted_at.date()
    nights = random.randint(*illness.days)
    discharged_at = at_shanghai(first_day + timedelta(days=nights), random.randint(13, 16), random.randrange(60))
    if random.random() < 0.02:  # in and out on one day
        nights, discharged_at = 0, admitted_at + timedelta(hours=random.randint(1, 3), minutes=random.randrange(60))
        if discharged_at.date() != first_day:
            nights = 1
    stay = planner.begin(illness, admitted_at, inpatient=True)
    planner.tell("admitted", admitted_at, stay)

    if turn == "admission_cancelled":
        planner.tell("admission_cancelled", admitted_at + planner.minutes(30, 600), stay)
        return Course(no, turn, tuple(planner.happenings))

    wards = [WardStay("ordinary", first_day, max(1, nights))]
    if turn == "ward_change" and nights >= 2:
        special = hospital.ward("icu" if illness.intensive else "vip")
        if special.kind != "ordinary":
            move = random.randint(1, nights - 1)
            back = random.randint(move, nights) if special.kind == "icu" else nights
            ordinary = stay.ward
            moved_at = at_shanghai(first_day + timedelta(days=move), 10, random.randrange(60))
            stay = replace(stay, ward=special, bed=random.randint(1, 20))
            planner.tell("moved", moved_at, stay)
            wards = [
                WardStay("ordinary", first_day, move),
                WardStay(special.kind, first_day + timedelta(days=move), back - move),
                WardStay("ordinary", first_day + timedelta(days=back), nights - back),
            ]
            if special.kind == "icu":
                stay = replace(stay, intensive_hours=(back - move) * 24)
                if back < nights:
                    stay = replace(stay, ward=ordinary, bed=random.randint(1, 48))
                    planner.tell("moved", at_shanghai(first_day + timedelta(days=back), 9, random.randrange(60)), stay)
    if turn == "leave" and nights >= 3:
        away = random.randint(1, nights - 2)
        left_at = at_shanghai(first_day + timedelta(days=away), 12, random.randrange(60))
        planner.tell("left", left_at, replace(stay, left_at=left_at))
        back_at = at_shanghai(first_day + timedelta(days=away + 1), 18, random.randrange(60))
        planner.tell("returned", back_at, replace(stay, left_at=left_at))
    if turn == "correction":
        others = [
            i
            for i in ILLNESSES
            if i is not illness and i.department == illness.department and fits(i, person, first_day)
        ]
        right = random.choice(others) if others else illness
        if not right.accident and not illness.accident:
            stay = replace(stay, diagnoses=((right.icd, right.name), *stay.diagnoses[1:]))
        noticed_at = min(admitted_at + planner.minutes(120, 900), discharged_at - timedelta(minutes=20))
        planner.tell("updated", max(noticed_at, admitted_at + timedelta(minutes=1)), stay)

    lines = list(inpatient_lines(illness, wards, admitted_at, discharged_at, random))
    if turn == "zero_bill":
        free = Item("001109000010009", "义诊床位", "01", "日", 0, "甲", local="010009")
        lines = [line_of(1, free, admitted_at, max(1, nights) * 10_000, days=max(1, nights))]
    if turn == "credit_lines":
        back_line = random.choice([line for line in lines if not line.days])
        units = back_line.count // 10_000
        at = max(back_line.at, discharged_at - planner.minutes(30, 180)) if nights else back_line.at
        lines.append(refund_of(back_line, len(lines) + 1, at, random.randint(1, units) * 10_000))

    by_day: dict[date, list[FeeLine]] = {}
    for line in lines:
        by_day.setdefault(line.at.date(), []).append(line)
    for charged_on, charged in sorted(by_day.items()):
        at = min(at_shanghai(charged_on, 23, 40), max(discharged_at - timedelta(minutes=5), max(x.at for x in charged)))
        planner.tell("charged", at, stay, lines=tuple(charged))

    if turn == "never_discharged":
        return Course(no, turn, tuple(planner.happenings))

    social = bool(person.social) and random.random() >= CHANCES["not_using_social"]
    disposition = {"death": "5", "transfer": "2"}.get(turn, "1" if random.random() < 0.97 else "4")
    stay = replace(stay, disposition=disposition, discharged_at=discharged_at)
    if turn == "transfer":
        stay = replace(stay, transferred_to=elsewhere)
    if turn == "impossible_date":
        stay = replace(stay, discharged_at=admitted_at - timedelta(days=1))
    planner.tell("discharged", discharged_at, stay)

    follows = None
    if turn == "discharge_cancelled":
        back_at = discharged_at + planner.minutes(20, 90)
        planner.tell("discharge_cancelled", back_at, replace(stay, discharged_at=None, disposition=""))
        stay, lines, discharged_at = _one_more_day(planner, stay, lines)
        planner.tell("discharged", discharged_at, stay)
    bill, settlement_no, issued_at = planner.close(
        stay,
        lines,
        social=social,
        after=discharged_at,
        false_total=random.choice((-1, 1)) if turn == "total_off" else 0,
    )
    if turn == "reissued_dearer":
        back_at = issued_at + planner.minutes(20, 90)
        planner.undo_bill(stay, bill, settlement_no, back_at)
        planner.tell(
            "discharge_cancelled", back_at + planner.minutes(6, 10), replace(stay, discharged_at=None, disposition="")
        )
        stay, lines, discharged_at = _one_more_day(planner, stay, lines)
        planner.tell("discharged", discharged_at, stay)
        planner.close(stay, lines, social=social, after=discharged_at, replaces=(bill.code, bill.number))
    elif turn in ("reissued_cheaper", "reissued_late"):
        wait = planner.minutes(30, 120) if turn == "reissued_cheaper" else timedelta(days=random.randint(3, 6))
        planner.undo_bill(stay, bill, settlement_no, issued_at + wait)
        kept = (
            _without_a_drug(lines) if turn == "reissued_cheaper" or random.random() < 0.5 else _with_a_drug(lines, stay)
        )
        planner.close(stay, kept, social=social, after=issued_at + wait, replaces=(bill.code, bill.number))
    elif turn == "reversed_only":
        planner.undo_bill(stay, bill, settlement_no, issued_at + timedelta(days=random.randint(1, 4)))
    if turn == "readmission" and last is None:
        again = discharged_at.date() + timedelta(days=random.randint(2, 12))
        follows = NextStay(person, illness, hospital, at_shanghai(again, random.randint(8, 18), random.randrange(60)))
    if turn == "transfer" and last is None:
        follows = NextStay(person, illness, elsewhere, discharged_at + planner.minutes(40, 120))
    return Course(no, turn, tuple(sorted(planner.happenings, key=lambda happening: happening.at)), follows)


def _one_more_day(planner: _Planner, stay: Stay, lines: list[FeeLine]) -> tuple[Stay, list[FeeLine], datetime]:
    """The stay a day longer, with the lines that day adds; they are charged in a message of their own."""
    assert stay.discharged_at is not None
    begun = stay.discharged_at
    discharged_at = begun + timedelta(days=1)
    bed = next(line for line in lines if line.days)
    drug = next(line for line in lines if line.item.category == "09" and not line.refund_of)
    more = [
        line_of(len(lines) + 1, bed.item, begun + timedelta(hours=3), 10_000, days=1, ward=bed.ward),
        line_of(len(lines) + 2, drug.item, begun + timedelta(hours=4), 20_000, ward=bed.ward),
    ]
    planner.tell(
        "charged", begun + timedelta(hours=8), replace(stay, discharged_at=None, disposition=""), lines=tuple(more)
    )
    return replace(stay, discharged_at=discharged_at), [*lines, *more], discharged_at


def _without_a_drug(lines: Sequence[FeeLine]) -> list[FeeLine]:
    """The lines without one drug line, numbered anew."""
    left_out = max((line for line in lines if line.item.category == "09"), key=lambda line: line.amount)
    return [replace(line, no=no) for no, line in enumerate((x for x in lines if x is not left_out), 1)]


def _with_a_drug(lines: Sequence[FeeLine], stay: Stay) -> list[FeeLine]:
    """The lines and one more of a drug that was forgotten."""
    drug = next(line for line in lines if line.item.category == "09")
    return [*lines, line_of(len(lines) + 1, drug.item, stay.admitted_at, 10 * 10_000)]
