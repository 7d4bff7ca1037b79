"""A whole insurer node and everything around it in one thread, on one virtual clock, from one seed.

Ours is the real code over a real SQLite file; the hospitals are a `City`, the bank is its real books. Whatever happens
next is drawn: a message comes late, twice or not at all, the bank says nothing, the process is killed at a statement.
"""

import copy
import functools
import heapq
import sqlite3
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec

from safeweave import ids, outbox, payments, worker
from safeweave.adjudication import Adjudicator, product_files
from safeweave.cases.store import HospitalRow, save_hospitals, waiting_visits
from safeweave.coverage.importer import import_file
from safeweave.database import Database, Transaction
from safeweave.errors import Conflict, NotFound, StoreUnavailable
from safeweave.events import Event, HospitalEvent, PayoutConfirmed, VisitTold
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Sender
from safeweave.exchange.inbound import Arrived, Receipt
from safeweave.ids import CaseId, PayoutId
from safeweave.money import Fen
from safeweave.node import Node, assembled
from safeweave.payments import Receipt as MoneyIn
from safeweave.settings import Settings
from safeweave.telling import Post
from safeweave_simulator.bank_books import BankBooks, Fault
from safeweave_simulator.city import City, Truth
from safeweave_simulator.faults import garble
from safeweave_simulator.messages import CONTENT_TYPES, Door, Message
from safeweave_simulator.mishaps import Killed, Mishaps, Where
from safeweave_simulator.outsiders import Broken, DirectBank, Phones
from safeweave_simulator.registers import write_jsonl
from safeweave_simulator.stays import SHARES

DAYS = 22  # what hospitals tell begins and ends within these
WORLDS_A_CITY = 4  # neighbouring seeds live through the same city in other ways
SETTLING_DAYS = (*[1] * 12, *[7] * 9)  # then time passes in these steps until every clock has rung
_OPENING_FEN = 100_000_000_000
_EVERY_TURN = {turn: 2.0 * share for turn, share in SHARES.items()}  # uneventful stays are no test


@functools.lru_cache(maxsize=1)
def _city_of(seed: int, stays: int) -> tuple[City, list[Message]]:
    """A city and everything its hospitals send."""
    random = Random(f"{seed}/city")
    today = date(2026, 2, 1) + timedelta(days=random.randrange(320))
    city = City(seed, random.randint(2, 6), stays + 25, today=today, days=DAYS, shares=_EVERY_TURN)
    return city, list(city.stream(stays))


@functools.lru_cache(maxsize=1000)
def _opened(door: Door, body: bytes, sender: Sender) -> Arrived:
    """The message as it was read; reading touches no store, so that a repetition need not be read again."""
    return inbound.open_message(body, sender, Limits(), CONTENT_TYPES[door])


def draw_ids_with(random_bits: Callable[[int], int]) -> None:
    """Fresh ids are drawn with this from now on."""
    vars(ids)["secrets"] = SimpleNamespace(randbits=random_bits)


@functools.cache
def _adjudicator() -> Adjudicator:
    return Adjudicator(product_files(None))


class World:
    """One seed's world. `run` lets it live to its end; `step` is what a law is checked after."""

    def __init__(self, seed: int, stays: int, folder: Path) -> None:
        self.seed, self.stays, self.folder = seed, stays, folder
        self.random = random = Random(f"{seed}/simulation")
        draw_ids_with(Random(f"{seed}/ids").getrandbits)
        self.city, self.messages = _city_of(seed // WORLDS_A_CITY, stays)
        self.truths: list[Truth] = list(self.city.truth.values())
        self.now = self.messages[0].at
        self.clock_off = timedelta()  # by which the node's clock is wrong
        self._clockmaker = Random(f"{seed}/clock")
        self.mishaps = Mishaps(Random(f"{seed}/mishaps"))
        self.books = BankBooks(":memory:", _OPENING_FEN)
        self.bank = DirectBank(self.books, self.mishaps, Random(f"{seed}/bank"), self.clock, self._is_unconfirmed)
        self.phones = Phones(self.mishaps, Random(f"{seed}/phones"))
        self.sent: dict[tuple[str, str], Arrived] = {}  # every readable message that came in, by sender and id
        self.acknowledged: set[tuple[str, str]] = set()  # what hospitals may forget
        self.money_in: list[MoneyIn] = []  # stands at the bank, and a clerk has not booked it yet
        self.poisons: set[str] = set()  # subjects of events that no handler can handle
        self.steps: deque[str] = deque(maxlen=60)
        self.did: Counter[str] = Counter()
        self.step_number = 0
        self.uses: dict[str, list[tuple[str, str, str, int]]] = {}  # what each determination uses, once read
        self.decided: list[dict[str, Any]] = []  # every DeterminationMade of the log
        self.decided_until = 0  # up to this event
        self._version = 0
        self._wire: list[tuple[datetime, int, Message]] = []
        self._sent = 0
        self._late_policies: list[list[dict[str, object]]] = []
        self._senders = {
            h.code: Sender(id=h.code, hospital=h.code, hl7_application="HIS", hl7_facility=h.code)
            for h in self.city.hospitals
        }
        self.mood = Mood(random)
        self.node = self._begin()
        self.looking = sqlite3.connect(folder / "safeweave.db", isolation_level=None)
        self.looking.execute("pragma query_only = on")
        self._register()
        for message in self.messages:
            self._send(message, message.at)

    def clock(self) -> datetime:
        """What time it is."""
        return self.now

    def node_clock(self) -> datetime:
        """What the node's clock shows; it may be a day off."""
        return self.now + self.clock_off

    def close(self) -> None:
        """Nothing of it is needed any more."""
        self.looking.close()
        self.node.close()
        self.books.close()

    def note(self, what: str) -> None:
        """Remember a step, by ids and codes only."""
        self.steps.append(f"{self.step_number:5d} {self.now:%m-%d %H:%M:%S} {what}")

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What has been committed."""
        return self.looking.execute(sql, values).fetchall()

    def has_changed(self) -> bool:
        """Whether anything was committed since this was last asked."""
        ((version,),) = self.rows("pragma data_version")
        before, self._version = self._version, int(str(version))
        return before != self._version

    # ------------------------------------------------------------ the node

    def _begin(self) -> Node:
        """A new process over the same file."""
        self.mishaps.begin_again()
        settings = Settings(home=self.folder, batch=self.mood.batch)
        database = Database(settings.database, self.mishaps.connections())
        adjudicator = copy.copy(_adjudicator())
        adjudicator._kept = set()
        post = Post({"sms": self.phones, "email": self.phones, "wechat": self.phones})
        return assembled(settings, database, adjudicator, {"main": self.bank}, post, self.node_clock)

    def begin_again(self) -> None:
        """The process is gone, wherever it was; another one opens its file."""
        self.node.close()
        while True:
            try:
                self.node = self._begin()
                return
            except (
                sqlite3.OperationalError,
                StoreUnavailable,
            ):  # the disk is still full; whoever starts it tries again
                self.now += timedelta(seconds=10)

    def _register(self) -> None:
        city, random = self.city, self.random
        by_person: dict[str, list[dict[str, object]]] = {}
        for row in city.policies()[1:]:
            by_person.setdefault(str(row["insureds"][0]["person"]["documents"]), []).append(row)
        early: list[dict[str, object]] = []
        for policies in by_person.values():
            if random.random() < self.mood.late_policies:
                self._late_policies.append(policies)
            else:
                early += policies
        self._import(early)
        with self.node.database.transaction() as tx:
            save_hospitals(
                tx, [HospitalRow(h.code, h.name, h.name_en, h.level, h.public, h.region) for h in city.hospitals]
            )
            senders.save(tx, [(sender, None) for sender in self._senders.values()])

    def _import(self, policies: Sequence[dict[str, object]]) -> None:
        file = self.folder / "policies.jsonl"
        write_jsonl(file, policies)
        report = import_file(self.node.database, file, self.now)
        if report.faults:
            raise Broken("the city's policies can be imported", report.faults[0].remark)

    def _is_unconfirmed(self, key: str) -> bool:
        return self.rows("select 1 from payout where id = ? and state = 'unconfirmed'", key) != []

    # ------------------------------------------------------------ one step

    def step(self) -> None:
        """Something happens; whatever of ours it kills is started again."""
        self.step_number += 1
        if self._clockmaker.random() < self.mood.clock_jumps:
            self.clock_off = timedelta(days=self._clockmaker.choice((-1, 0, 0, 1)))
            self.note(f"clock: {self.clock_off.days} days off")
        names, weights = self.mood.names, self.mood.weights
        (name,) = self.random.choices(names, weights)
        self.does(name, getattr(self, f"_{name}"))

    def does(self, name: str, act: Callable[[], str | None]) -> None:
        """Let this happen, and start again what it kills."""
        try:
            told = act()
        except Killed:
            self.did["killed"] += 1
            told = "killed"
            self.begin_again()
        except Exception as error:
            # A loop of the node logs this and goes on; a door answers with an error; a person tries again.
            told = f"failed: {type(error).__name__} {error}"
            if "disk full" not in self.mishaps.seen:
                raise Broken("nothing fails by itself", "".join(traceback.format_exception(error)[-3:])) from error
        self.mishaps.seen.clear()
        if told is not None:
            self.did[name] += 1
            self.note(f"{name}: {told}")

    @property
    def is_over(self) -> bool:
        """Whether the hospitals have nothing more to say."""
        return not self._wire

    # ------------------------------------------------------------ hospitals

    def _send(self, message: Message, at: datetime) -> None:
        self._sent += 1
        heapq.heappush(self._wire, (at, self._sent, message))

    def _deliver(self) -> str | None:
        """The next message comes in, or goes astray; what is not acknowledged is sent again."""
        if not self._wire:
            return None
        at, _, message = heapq.heappop(self._wire)
        self.now = max(self.now, at)
        random, mood = self.random, self.mood
        label = f"{message.hospital} {message.door} {message.what} {message.id}"
        if "garbled" in message.what:  # the right one follows it, so nobody sends this again
            return f"{label} {self._take([message])[0].status}"
        roll = random.random()
        if roll < mood.lost:
            self._send(message, self.now + timedelta(minutes=random.randint(1, 30)))
            return f"{label} lost"
        if roll < mood.lost + mood.late:
            self._send(message, self.now + timedelta(hours=random.randint(1, 80)))
            return f"{label} late"
        together = [message]
        while self._wire and len(together) < mood.together and self._wire[0][0] <= self.now + mood.waits:
            if "garbled" in self._wire[0][2].what:
                break
            together.append(heapq.heappop(self._wire)[2])
        self.now = max(self.now, *(each.at for each in together))
        taken = False
        try:
            if random.random() < mood.garbled:
                broken = garble(message, random)
                self._take([msgspec.structs.replace(broken, id=f"{broken.id}{self.step_number}")])
            receipts = self._take(together)
            taken = True
        finally:
            if not taken:
                for each in together:
                    self._send(each, self.now + timedelta(minutes=random.randint(1, 10)))
        for each, receipt in zip(together, receipts, strict=True):
            if receipt.status == "refused" and self.clock_off < timedelta():  # what it tells lies in the future
                self._send(each, self.now + timedelta(hours=random.randint(1, 30)))
            elif receipt.status not in ("taken", "duplicate"):
                raise Broken("every message of a hospital can be read", (each.id, receipt.status, receipt.fault))
            elif random.random() < mood.duplicate:
                self._send(each, self.now + timedelta(minutes=random.randint(1, 3000)))
        return f"{label} +{len(together) - 1} {receipts[0].status}"

    def _take(self, messages: Sequence[Message]) -> list[Receipt]:
        """Receipts, as a door gives them (`Worker.accept`) or as a file of messages is taken (`worker.tell`)."""
        arrived = [_opened(m.door, m.body, self._senders[m.hospital]) for m in messages]
        self.sent |= {(each.sender.id, each.reading.control_id): each for each in arrived if each.reading}

        def write(tx: Transaction) -> tuple[list[Receipt], Sequence[Event], datetime]:
            now = self.node_clock()
            receipts, told = inbound.take(tx, arrived, now)
            return receipts, told, now

        if self.random.random() < self.mood.through_outbox:
            with self.node.database.transaction() as tx:
                receipts, told, now = write(tx)
                worker.tell(tx, told, now)
        else:
            receipts = self.node.worker.accept(write)
        for each, receipt in zip(arrived, receipts, strict=True):
            if receipt.status in ("taken", "duplicate"):
                self.acknowledged.add((each.sender.id, receipt.control_id))
        return receipts

    # ------------------------------------------------------------ the node works

    def _work(self) -> str | None:
        done = self.node.worker.work()
        return f"{done}" if done else None

    def _call(self) -> str | None:
        lane = self.random.choice(self.node.worker.lanes)
        done = self.node.worker.call_out(lane)
        return f"{lane} {done}" if done else None

    def _notices(self) -> str | None:
        read = self.node.read_notices()
        return f"{read}" if read else None

    def _pause(self) -> str | None:
        self.now += timedelta(seconds=self.random.choice((1, 5, 30, 300, 3600)))
        return None

    def _away(self) -> str:
        """Nobody works for some time; what hospitals send waits."""
        away = timedelta(hours=self.random.randint(2, 60))
        self.now += away
        return f"{away}"

    # ------------------------------------------------------------ mishaps

    def _doom(self) -> str:
        where: Where = self.random.choice(("anywhere", "anywhere", "outside"))
        moments = self.random.randint(0, 60 if where == "anywhere" else 4)
        self.mishaps.kill_in(moments, where)
        return f"{where} in {moments}"

    def _fill_disk(self) -> str:
        writes = self.random.choice((1, 1, 2, 5, 12))
        self.mishaps.fill_disk(writes)
        return f"{writes} writes"

    def _restart(self) -> str:
        self.begin_again()
        return ""

    def _poison(self) -> str | None:
        """An event comes in that no handler can handle: the bank speaks of a payment that is not ours."""
        if self.poisons or not self.mood.is_poisoned:
            return None
        subject = CaseId(f"case_poison{self.seed}")
        event = PayoutConfirmed(PayoutId(f"pay_poison{self.seed}"), subject, Fen(1), self.now)
        with self.node.database.transaction() as tx:
            worker.tell(tx, [event], self.now)
        self.poisons.add(subject)
        return subject

    # ------------------------------------------------------------ people

    def _person(self) -> str | None:
        """Somebody at a desk does the next thing: decides, pays again, receives money, imports a policy."""
        return self.random.choice((self._decides, self._decides, self._pays_again, self._gets_back, self._imports))()

    def _decides(self) -> str | None:
        waiting = self.rows("select distinct case_id from determination where waiting = 1 order by case_id")
        if not waiting:
            return None
        case = CaseId(str(self.random.choice(waiting)[0]))
        refuse = self.random.random() < 0.3
        try:
            with self.node.database.transaction() as tx:
                told = self.node.adjudicator.decide_by_person(tx, case, "reviewer", "seen", refuse, self.now)
                worker.tell(tx, told, self.now)
        except (Conflict, NotFound) as no:
            return f"{case} {type(no).__name__}"
        return f"{case} {'refused' if refuse else 'released'}"

    def _pays_again(self) -> str | None:
        failed = self.rows(
            "select id from payout where state in ('refused', 'returned') and replaced_by is null order by id"
        )
        if not failed:
            return None
        payout = PayoutId(str(self.random.choice(failed)[0]))
        with self.node.database.transaction() as tx:
            worker.tell(tx, payments.pay_again(tx, payout, self.now), self.now)
        return f"pays {payout} again"

    def _gets_back(self) -> str | None:
        """Money arrives at the bank for a recovery, and a clerk books what has arrived, once or twice."""
        coming = {receipt.recovery for receipt in self.money_in}
        is_open = self.rows("select id, amount_fen - received_fen from recovery where received_fen < amount_fen")
        for recovery, fen in is_open:
            if recovery not in coming:
                part = Fen(self.random.choice((fen, max(fen // 2, 1))))
                reference = self.books.receive(part, str(recovery), self.now)
                self.money_in.append(MoneyIn(reference, str(recovery), part))
        if not self.money_in:
            return None
        self.book_money_in()
        again, self.money_in = self.money_in[:1], []
        with self.node.database.transaction() as tx:
            payments.receive_recoveries(tx, again, self.now)
        return f"{again[0].recovery} {again[0].amount}"

    def book_money_in(self) -> None:
        """Book what stands at the bank."""
        with self.node.database.transaction() as tx:
            payments.receive_recoveries(tx, self.money_in, self.now)

    def _imports(self) -> str | None:
        if not self._late_policies:
            return None
        self._import(self._late_policies[-1])
        policies = self._late_policies.pop()
        self.hear_waiting_again()
        return f"{policies[0]['number']}"

    def hear_waiting_again(self) -> None:
        """As `safeweave policies import` does after an import."""
        with self.node.database.transaction() as tx:
            worker.tell(tx, [VisitTold(visit.sender, visit.visit) for visit in waiting_visits(tx)], self.now)

    # ------------------------------------------------------------ the end

    def settle(self, after_each: Callable[[], None]) -> None:
        """Nothing goes wrong any more, everybody catches up, and time passes until every clock has rung."""
        self.mishaps.end()
        self.clock_off = timedelta()
        self.bank.out_of_reach = self.bank.silent = self.phones.silent = 0.0
        self.books.clear_faults()
        self.begin_again()
        self.mood.calm()
        while not self.is_over:
            self.does("deliver", self._deliver)
        while self._late_policies:
            self.does("person", self._imports)
        self.hear_waiting_again()
        for days in SETTLING_DAYS:
            self.now += timedelta(days=days)
            self.catch_up()
            after_each()
        if self.mood.desk_is_cleared:
            for _ in range(200):
                if self._decides() is None:
                    break
                self.catch_up()
            while self._pays_again() is not None:
                self.catch_up()
        while self._gets_back() is not None:
            pass
        self.now += timedelta(days=15)
        self.catch_up()

    def catch_up(self) -> None:
        """Everything that is due is done, and what is told meanwhile."""
        rounds = 0

        def is_restless() -> bool:
            nonlocal rounds
            rounds += 1
            return rounds > 5000

        while not is_restless():
            self.node.worker.drain(until=is_restless)
            if not self.node.read_notices():
                break
        if rounds > 5000:
            raise Broken("the node comes to rest", f"after {rounds} rounds at {self.now}")

    def told(self, kept: Iterable[tuple[str, str]]) -> list[HospitalEvent]:
        """Every event of these messages, as the log must hold it."""
        return [
            msgspec.structs.replace(
                event, sender=arrived.sender.id, told_at=arrived.reading.sent_at,
                hospital=event.hospital or arrived.sender.hospital,
            )
            for arrived in map(self.sent.__getitem__, kept) if arrived.reading
            for event in arrived.reading.events
        ]  # fmt: skip

    def parked(self) -> list[tuple[int, str, str, str]]:
        """What was set aside."""
        with self.node.database.reading() as tx:
            return outbox.parked(tx)


class Mood:
    """How one seed's world behaves: drawn once, so that some worlds are calm and others are not."""

    def __init__(self, random: Random) -> None:
        hard = random.choice((0.3, 1.0, 2.0))
        self.lost, self.late, self.garbled = 0.02 * hard, 0.03 * hard, 0.02 * hard
        self.duplicate = 0.04 * hard
        self.together, hours = random.choice(((1, 0), (5, 2), (10, 12), (60, 24)))  # messages taken at once
        self.waits = timedelta(hours=hours)  # until they are sent together
        self.through_outbox = random.choice((0.0, 0.2, 0.2, 1.0))
        self.batch = random.choice((2, 10, 50, 500, 500))
        self.late_policies = random.choice((0.0, 0.1, 0.3))
        self.clock_jumps = 0.02 if hard > 1 else 0.0
        self.is_poisoned = random.random() < 0.3
        self.desk_is_cleared = random.random() < 0.5
        self.bank_hard = random.choice((0.3, 1.0, 3.0))
        chances = {
            "deliver": 100.0, "work": 40, "call": random.choice((5, 40)), "notices": random.choice((1, 8)), "pause": 8,
            "away": 0.4 * hard, "person": random.choice((1.0, 6.0)), "doom": 4 * hard, "fill_disk": 2 * hard,
            "restart": 0.3, "poison": 0.5,
        }  # fmt: skip
        self.names, self.weights = list(chances), list(chances.values())

    def calm(self) -> None:
        """Messages come as they are sent."""
        self.lost = self.late = self.garbled = self.duplicate = 0.0


def trouble_at_the_bank(world: World) -> None:
    """From now on the bank misbehaves as this world's mood has it."""
    hard, seed = world.mood.bank_hard, world.seed
    shares = {
        "silent": 200, "silent_before": 200, "refused": 100, "booked_later": 400, "returned_later": 200,
        "duplicate_notice": 500,
    }  # fmt: skip
    for kind, share in shares.items():
        minutes = 60_000 * world.random.choice((1, 90, 3000))
        world.books.add_fault(Fault(kind, int(share * hard), seed, None, 1, "", minutes))  # type: ignore[arg-type]
    world.bank.out_of_reach, world.bank.silent = 0.05 * hard, 0.03 * hard
    world.phones.silent, world.phones.impossible = 0.03 * hard, 0.01 * hard
