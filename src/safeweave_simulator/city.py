"""A city from one seed: its hospitals, its people and their policies, and everything its hospitals send.

The same seed, day and sizes give the same messages, byte for byte. What was really true is kept beside the stream, so
that a test can compare it with what an insurer made of the messages.
"""

import hashlib
import heapq
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec

from safeweave.money import yuan_text
from safeweave_simulator.faults import DELIVERY, garble
from safeweave_simulator.hospital import make_hospitals
from safeweave_simulator.messages import (
    Door,
    Message,
    ebill_message,
    fhir_message,
    hl7_message,
    yibao_id,
    yibao_message,
)
from safeweave_simulator.patients import Person, make_person
from safeweave_simulator.registers import hospital_rows, policy_rows, sender_rows, write_jsonl
from safeweave_simulator.stays import (
    CHANCES,
    SHARES,
    Course,
    Happening,
    NextStay,
    at_shanghai,
    draw_turn,
    plan_stay,
    plan_visit,
)
from safeweave_simulator.story import opening_person

Expected = Literal["determined", "referred", "not_insured", "no_cover", "cancelled", "open", "reversed"]

# Stays that settle within the simulated days begin at least this long before their end.
_LAST_ADMISSION_DAYS_AGO = 9
_STRANGERS_FROM = 1_000_000
_REFERRED_TURNS = ("impossible_date", "unknown_code")
READING_BILLS = {"hospital-expense-2020", "million-medical-2025"}  # an allowance pays by days, whatever the bill says
PAYING_FOR_STAYS = {*READING_BILLS, "daily-allowance-2022"}  # for every one in hospital, not only after an accident


class Truth(msgspec.Struct):
    """What was really true of one stay, as far as the messages sent so far can tell.

    `expected`: "determined", the insurer must come to exactly one determination in force under each policy, on
    `final_bill`; "referred", the same, and under one policy at least a person must look; "not_insured", the patient
    holds no policy; "no_cover", none of theirs covers the first day; "cancelled", the admission never was; "open", not
    discharged or not billed yet; "reversed", the only bill was taken back.
    """

    stay: int
    hospital: str
    visit: str
    turn: str
    kind: str
    person: int
    document: str
    policies: tuple[str, ...]
    products: tuple[str, ...]
    minor_without_guardian: bool
    admitted_on: str
    begun: bool = False  # whether the hospital has told of the admission or the visit yet
    discharged_on: str = ""
    disposition: str = ""
    cancelled: bool = False
    settled: bool = False
    settled_bills: list[str] = []
    awaits_settlement: bool = False  # the final bill was told before its 医保 settlement, which comes late
    bills: dict[str, str] = {}
    final_bill: str = ""
    final_total: str = ""
    faults: list[str] = []
    insured: bool = True
    expected: Expected = "open"


class City:
    """One invented city.

    `today` is the real day: every stay lies within the `days` days before it, inside the policies' periods. `people`
    insured persons live there; a stream takes at most about one stay per person, else ValueError.
    """

    def __init__(
        self,
        seed: int,
        hospitals: int = 5,
        people: int = 2000,
        *,
        today: date,
        days: int = 35,
        shares: Mapping[str, float] = SHARES,
        delivery: Mapping[str, float] = DELIVERY,
    ) -> None:
        if days <= _LAST_ADMISSION_DAYS_AGO + 1:
            raise ValueError(f"a city needs more than {_LAST_ADMISSION_DAYS_AGO + 1} simulated days, not {days}")
        self.seed, self.today, self.days = seed, today, days
        self.first_day = today - timedelta(days=days)
        self.hospitals = make_hospitals(seed, hospitals)
        self.shares, self.delivery = dict(shares), dict(delivery)
        self.truth: dict[int, Truth] = {}
        self._people = people
        self._weights = [{3: 5, 2: 3, 1: 1}[h.level] if h.public else 1 for h in self.hospitals]
        self.person: Callable[[int], Person] = cache(self._person)

    def _person(self, no: int) -> Person:
        return make_person(
            self.seed, no, insured=no < _STRANGERS_FROM, first=self.first_day, last=self.today + timedelta(days=10)
        )

    # ------------------------------------------------------------ what the insurer knows beforehand

    def insured(self) -> Iterator[Person]:
        """Everybody who holds a policy."""
        return map(self.person, range(1, self._people + 1))

    def tokens(self) -> dict[str, str]:
        """The bearer token of each hospital."""
        return {
            hospital.code: hashlib.sha256(f"{self.seed}/token/{hospital.code}".encode()).hexdigest()[:40]
            for hospital in self.hospitals
        }

    def policies(self) -> list[dict[str, Any]]:
        """The lines of policies.jsonl, the heroine of the opening story first."""
        return policy_rows([opening_person(self.today), *self.insured()])

    def hospital_rows(self) -> list[dict[str, Any]]:
        """The lines of hospitals.jsonl."""
        return hospital_rows(self.hospitals)

    def senders(self) -> list[dict[str, str]]:
        """The lines of senders.jsonl: who may send; `tokens` has the bearer token of each."""
        return sender_rows(self.hospitals)

    def write(self, folder: Path) -> None:
        """Write policies.jsonl, hospitals.jsonl, senders.jsonl and tokens.json for an insurer to import."""
        folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / "policies.jsonl", self.policies())
        write_jsonl(folder / "hospitals.jsonl", self.hospital_rows())
        write_jsonl(folder / "senders.jsonl", self.senders())
        (folder / "tokens.json").write_text(json.dumps(self.tokens(), indent=1) + "\n", encoding="utf-8")

    # ------------------------------------------------------------ what the hospitals send

    @property
    def name(self) -> str:
        """What tells this city from others: seed, day and sizes."""
        return (
            f"seed {self.seed}, {self.today}, {self.days} days, {len(self.hospitals)} hospitals, {self._people} people"
        )

    def stream(self, stays: int) -> Iterator[Message]:
        """Every message of `stays` stays (and those that follow from them), in the order in which they are sent.

        `truth` grows with the messages taken. Starting a new stream begins the city anew. ValueError if there are too
        few people for so many stays.
        """
        if stays > self._people:
            raise ValueError(f"{stays} stays need as many insured people; this city has {self._people}")
        self.truth = {}
        return _Stream(self, stays).messages()

    def answers(self) -> list[dict[str, Any]]:
        """The truth of every stay told so far, as plain values, by number."""
        return [msgspec.to_builtins(self.truth[number]) for number in sorted(self.truth)]

    def write_answers(self, path: Path) -> None:
        """Write the answer key as JSON."""
        path.write_text(json.dumps(self.answers(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


class _Stream:
    """One run through the simulated days: a heap of what is created and what is delivered, by time."""

    def __init__(self, city: City, stays: int) -> None:
        self.city, self.stays = city, stays
        self.random = Random(f"{city.seed}/stream")
        self.free_from: dict[int, date] = {}
        self.next_stay = 1
        self.sequences: dict[str, int] = {}
        self.heap: list[tuple[datetime, int, Course, int, Message | None]] = []
        self.entered = 0
        self.end = at_shanghai(city.today, 0, 0)

    def messages(self) -> Iterator[Message]:
        admission_days = self.city.days - _LAST_ADMISSION_DAYS_AGO
        for index in range(self.city.days + 1):
            day = self.city.first_day + timedelta(days=index)
            if index < admission_days:
                share = self.stays * (index + 1) // admission_days - self.stays * index // admission_days
                for _ in range(share):
                    self.begin(day)
            yield from self.until(min(self.end, at_shanghai(day + timedelta(days=1), 0, 0)))

    def begin(self, day: date) -> None:
        """Somebody goes to hospital on that day."""
        city, random = self.city, self.random
        number = self.next_stay
        self.next_stay += 1
        turn = draw_turn(random, city.shares)
        hospital = random.choices(city.hospitals, city._weights)[0]
        person = self.somebody(day, number)
        if turn == "outpatient":
            course = plan_visit(city.seed, number, person, hospital, day)
        else:
            others = [other for other in city.hospitals if other is not hospital and other.level >= 2]
            if turn == "transfer" and not others:
                turn = "clean"
            elsewhere = random.choice(others or city.hospitals)
            course = plan_stay(city.seed, number, person, hospital, day, turn, elsewhere=elsewhere)
        self.enter(course, person)
        if course.follows:
            self.follow(course.follows)

    def follow(self, following: NextStay) -> None:
        number = self.next_stay
        self.next_stay += 1
        day = following.admitted_at.date()
        course = plan_stay(
            self.city.seed, number, following.person, following.hospital, day, "clean",
            elsewhere=following.hospital, last=following,
        )  # fmt: skip
        self.enter(course, following.person)

    def somebody(self, day: date, number: int) -> Person:
        """A stranger, or an insured person who is not in hospital."""
        if self.random.random() < CHANCES["unknown_person"]:
            return self.city.person(_STRANGERS_FROM + number)
        start = self.random.randrange(self.city._people)
        for step in range(self.city._people):
            no = (start + step) % self.city._people + 1
            if self.free_from.get(no, day) <= day:
                return self.city.person(no)
        raise ValueError(
            f"everybody is ill: make a city of more than {self.city._people} people for {self.stays} stays"
        )

    def enter(self, course: Course, person: Person) -> None:
        last = max(happening.at for happening in course.happenings).date()
        never_again = course.turn in ("death", "never_discharged")
        self.free_from[person.no] = date.max if never_again else last + timedelta(days=3)
        for index, happening in enumerate(course.happenings):
            self.push(happening.at + timedelta(seconds=5 + index), course, index, None)

    def push(self, at: datetime, course: Course, index: int, message: Message | None) -> None:
        self.entered += 1
        heapq.heappush(self.heap, (at, self.entered, course, index, message))

    def until(self, end: datetime) -> Iterator[Message]:
        while self.heap and self.heap[0][0] < end:
            at, _, course, index, message = heapq.heappop(self.heap)
            if message is None:
                self.create(at, course, index)
            else:
                self.note(course, course.happenings[index], message)
                yield message

    # ------------------------------------------------------------ one happening

    def create(self, at: datetime, course: Course, index: int) -> None:
        """The hospital writes its message or messages; they go out now, or later if something goes wrong."""
        happening = course.happenings[index]
        random = Random(f"{self.city.seed}/delivery/{course.no}/{index}")
        for place, door in enumerate(_doors(happening, course.turn)):
            message = self.write(at + timedelta(seconds=2 * place), happening, door, course.no, index * 2 + place)
            sent_at = message.at
            if course.turn == "garbled" and index == course.no % len(course.happenings):
                self.push(sent_at, course, index, garble(message, random))
                sent_at += timedelta(minutes=random.randint(2, 9))
            roll = random.random()
            if roll < self.city.delivery["duplicate"]:
                again = msgspec.structs.replace(message, what=f"{message.what}, again")
                self.push(sent_at + timedelta(minutes=random.randint(1, 600)), course, index, again)
            elif roll < self.city.delivery["duplicate"] + self.city.delivery["reordered"]:
                sent_at += timedelta(minutes=random.randint(10, 70))
            elif roll < sum(self.city.delivery.values()):
                sent_at += timedelta(minutes=random.randint(400, 800))
            if sent_at > message.at + timedelta(minutes=9):
                message = msgspec.structs.replace(message, what=f"{message.what}, late")
            self.push(sent_at, course, index, message)

    def write(self, at: datetime, happening: Happening, door: Door, stay: int, number: int) -> Message:
        hospital = happening.stay.hospital.code
        control_id = f"S{self.city.seed}-{stay:06d}-{number:03d}"
        if door == "mllp":
            self.sequences[hospital] = self.sequences.get(hospital, 0) + 1
            body = hl7_message(happening, control_id, self.sequences[hospital], at)
        elif door == "fhir":
            body = fhir_message(happening, control_id, at)
        elif door == "yibao":
            control_id = yibao_id(happening.stay, number, at)
            body = yibao_message(happening, control_id, at)
        else:
            assert happening.bill is not None
            control_id = "-".join(happening.red or (happening.bill.code, happening.bill.number))
            listed = happening.bill.settlement is None or int(happening.stay.hospital.code[-1]) % 2 == 1
            body = ebill_message(happening, listed=listed)
        return Message(at, hospital, door, control_id, happening.kind, stay, body)

    def note(self, course: Course, happening: Happening, message: Message) -> None:
        """Keep the truth up to date with a message that is now sent."""
        truth = self.city.truth.get(course.no)
        if truth is None:
            truth = self.city.truth[course.no] = _new_truth(course, happening)
        fault = message.what.partition(", ")[2]
        if fault:
            truth.faults.append(f"{message.id}: {fault}")
        if fault in ("garbled", "again"):
            return
        stay, bill = happening.stay, happening.bill
        match happening.kind:
            case "admitted" | "visited":
                truth.begun = True
            case "discharged":
                assert stay.discharged_at is not None
                truth.discharged_on, truth.disposition = stay.discharged_at.date().isoformat(), stay.disposition
            case "admission_cancelled":
                truth.cancelled = True
            case "billed" if bill and message.door in ("ebill", "fhir"):
                # What is reversed stays reversed, even if its issue is told late.
                if truth.bills.setdefault(bill.key, "issued") == "issued":
                    truth.final_bill, truth.final_total = bill.key, yuan_text(bill.total)
                    truth.settled = bill.settlement is not None
            case "settled" if bill:
                truth.settled_bills.append(bill.key)
            case "reversed" if bill:
                truth.bills[bill.key] = "reversed"
                if truth.final_bill == bill.key:
                    truth.final_bill = truth.final_total = ""
            case _:
                pass
        comes_alone = stay.hospital.speech != "fhir"
        truth.awaits_settlement = comes_alone and truth.settled and truth.final_bill not in truth.settled_bills
        truth.expected = _expected(truth)


def _doors(happening: Happening, turn: str) -> tuple[Door, ...]:
    """Which doors a happening goes through: bills and settlements by HTTP, all else by how the hospital speaks."""
    speech = happening.stay.hospital.speech
    if speech == "fhir":
        if happening.kind in ("settled", "settlement_cancelled"):
            return ()
        twice = turn == "two_doors" and happening.kind == "billed"
        return ("fhir", "ebill") if twice else ("fhir",)
    match happening.kind:
        case "settled" | "settlement_cancelled":
            return ("yibao",)
        case "billed":
            return ("ebill", "fhir") if turn == "two_doors" else ("ebill",)
        case "reversed":
            return ("ebill",)
        case _:
            return ("mllp",)


def _new_truth(course: Course, happening: Happening) -> Truth:
    stay, person = happening.stay, happening.stay.person
    day = stay.admitted_at.date()
    covering = [policy for policy in person.policies if policy.covers(day)]
    return Truth(
        stay=course.no,
        hospital=stay.hospital.code,
        visit=stay.visit,
        turn=course.turn,
        kind="inpatient" if stay.inpatient else "outpatient",
        person=person.no,
        document=person.documents[0].number,
        policies=tuple(policy.number for policy in covering),
        products=tuple(policy.product for policy in covering),
        minor_without_guardian=person.age_on(day) < 18 and person.guardian is None,
        admitted_on=day.isoformat(),
        insured=bool(person.policies),
    )


def _expected(truth: Truth) -> Expected:
    if not truth.insured:
        return "not_insured"
    if not truth.policies:
        return "no_cover"
    if truth.cancelled:
        return "cancelled"
    if not truth.final_bill:
        return "reversed" if truth.bills and truth.turn == "reversed_only" else "open"
    if truth.kind == "inpatient" and not truth.discharged_on:
        return "open"
    reads_bills = truth.kind == "inpatient" and not READING_BILLS.isdisjoint(truth.products)
    return "referred" if truth.turn in _REFERRED_TURNS or (truth.turn == "total_off" and reads_bills) else "determined"
