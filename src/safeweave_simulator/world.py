"""A whole insurer and everything around it in one thread at a time, on one virtual clock, from one seed.

Ours is the real code over a real SQLite file, in one to three processes; the hospitals are a `City`, the bank is its
real books. Whatever happens next is drawn: a message comes late, twice or not at all, the bank says nothing, a process
is killed at a statement or waits there while another goes on.
"""

import functools
import heapq
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from safeweave import ids, outbox, payments, worker
from safeweave.cases.store import HospitalRow, save_hospitals, waiting_visits
from safeweave.coverage.importer import import_file
from safeweave.database import Database, at_text
from safeweave.events import AdmissionReported, HospitalEvent, PayoutConfirmed, VisitTold, VisitUpdated
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Sender
from safeweave.exchange.inbound import Arrived, Receipt
from safeweave.ids import CaseId, PayoutId
from safeweave.money import Fen
from safeweave.outbox import INSIDE
from safeweave.payments import Receipt as MoneyIn
from safeweave.worker import OPENS_AFTER
from safeweave_simulator import examiner
from safeweave_simulator.bank_books import BankBooks
from safeweave_simulator.broken import Broken
from safeweave_simulator.city import City, Truth
from safeweave_simulator.faults import garble
from safeweave_simulator.messages import CONTENT_TYPES, Door, Message
from safeweave_simulator.mishaps import Disk, Killed, Mishaps, Where
from safeweave_simulator.mood import Mood
from safeweave_simulator.outsiders import DirectBank, Phones, Trouble
from safeweave_simulator.processes import Act, Poisoned, Process, Shelf
from safeweave_simulator.registers import write_jsonl
from safeweave_simulator.stays import SHARES
from safeweave_simulator.store_file import STORE, StoreFile
from safeweave_simulator.watching import AT_THE_BANK, Watch, watch

DAYS = 22  # what hospitals tell begins and ends within these
WORLDS_A_CITY = 10  # neighbouring seeds live through the same city in other ways
SETTLING_DAYS = (1, 1, 2, 4, 7, 7, 14, 20, 20)  # then time passes in these steps until every clock has rung
_OPENING_FEN = 100_000_000_000
_EVERY_TURN = {turn: 2.0 * share for turn, share in SHARES.items()}  # uneventful stays are no test
_BY_A_NODE = ("deliver", "work", "call", "notices")


class Place(NamedTuple):
    """A city, everything its hospitals send, and an insurer's store that knows its people."""

    city: City
    messages: list[Message]
    senders: dict[str, Sender]
    store: bytes
    late_policies: list[list[dict[str, object]]]  # of persons whose policies are not imported yet


@functools.lru_cache(maxsize=1)
def _place(seed: int, stays: int) -> Place:
    random = Random(f"{seed}/city")
    today = date(2026, 2, 1) + timedelta(days=random.randrange(320))
    city = City(seed, random.randint(2, 6), stays + 25, today=today, days=DAYS, shares=_EVERY_TURN)
    messages = list(city.stream(stays))
    speak = {h.code: Sender(h.code, h.code, hl7_application="HIS", hl7_facility=h.code) for h in city.hospitals}
    by_person: dict[str, list[dict[str, object]]] = {}
    for row in city.policies()[1:]:
        by_person.setdefault(str(row["insureds"][0]["person"]["documents"]), []).append(row)
    share = random.choice((0.0, 0.05, 0.2))
    late = [policies for policies in by_person.values() if random.random() < share]
    early = [row for policies in by_person.values() if policies not in late for row in policies]
    draw_ids_with(Random(f"{seed}/ids").getrandbits)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / STORE
        with closing(Database(path)) as database:
            _import(database, Path(folder), early, messages[0].at)
            with database.transaction() as tx:
                save_hospitals(
                    tx, [HospitalRow(h.code, h.name, h.name_en, h.level, h.public, h.region) for h in city.hospitals]
                )
                senders.save(tx, [(sender, None) for sender in speak.values()])
        return Place(city, messages, speak, path.read_bytes(), late)


def _import(database: Database, folder: Path, policies: Sequence[dict[str, object]], now: datetime) -> None:
    file = folder / "policies.jsonl"
    write_jsonl(file, policies)
    report = import_file(database, file, now)
    if report.faults:
        raise Broken("the city's policies can be imported", report.faults[0].remark)


@functools.lru_cache(maxsize=2000)
def _opened(door: Door, body: bytes, sender: Sender) -> Arrived:
    """The message as it was read; reading touches no store, so that a repetition need not be read again."""
    return inbound.open_message(body, sender, Limits(), CONTENT_TYPES[door])


def draw_ids_with(random_bits: Callable[[int], int]) -> None:
    """Fresh ids are drawn with this from now on."""
    vars(ids)["secrets"] = SimpleNamespace(randbits=random_bits)


class World:
    """One seed's world: `step` is what the laws are checked after, `settle` lets it come to its end."""

    def __init__(self, seed: int, stays: int, store: StoreFile) -> None:
        self.seed, self.stays, self.store = seed, stays, store
        self.random = random = Random(f"{seed}/simulation")
        self.city, self.messages, self._senders, fresh, late = _place(seed // WORLDS_A_CITY, stays)
        draw_ids_with(Random(f"{seed}/ids").getrandbits)
        store.begin(fresh)
        self._late_policies = list(late)
        self.truths: list[Truth] = list(self.city.truth.values())
        self.now = self.messages[0].at.astimezone(UTC)
        self.mood = Mood(random)
        self.watch = Watch()
        self.disk = Disk()
        self.shelf = Shelf()
        self.trouble = Trouble()
        self.books = BankBooks(":memory:", _OPENING_FEN)
        watch(self.books._connection, AT_THE_BANK, self.watch.note)
        for fault in self.mood.faults(seed, random):
            self.books.add_fault(fault)
        self.mood.trouble(self.trouble)
        self.desk = self._process("desk")
        self.nodes = [self._process(f"node {number}") for number in range(1, self.mood.nodes + 1)]
        self.acting = self.desk
        self.looking = store.looking
        self._clockmaker = Random(f"{seed}/clock")
        self.sent: dict[tuple[str, str], Arrived] = {}  # every readable message that came in, by sender and id
        self.acknowledged: set[tuple[str, str]] = set()  # what hospitals may forget
        self.money_in: list[MoneyIn] = []  # stands at the bank, and a clerk has not booked it yet
        self.poisons: set[str] = set()  # subjects of events that no handler can handle
        self.made: dict[str, list[Any]] = {}  # what never changes of each determination, once seen
        self.on_a_wrong_day: dict[str, timedelta] = {}  # determinations made by a clock that was so far off
        self.uses: dict[str, list[tuple[str, str, str, int]]] = {}  # what each determination uses, once read
        self.steps: deque[tuple[int, datetime, str]] = deque(maxlen=60)
        self.did: Counter[str] = Counter()
        self.step_number = 0
        self._version = 0
        self._wire = [(message.at.astimezone(UTC), number, message) for number, message in enumerate(self.messages)]
        heapq.heapify(self._wire)
        self._entered = len(self._wire)

    def _process(self, name: str) -> Process:
        mishaps = Mishaps(Random(f"{self.seed}/{name}"), self.disk, self.watch)
        mishaps.is_beside, mishaps.refuses = self.mood.is_beside, self.mood.refuses
        if name == "desk":
            self.bank, self.phones = self._outside(mishaps)
        return Process(name, self.store, self.mood.batch, mishaps, self.clock, self.shelf, self.bank, self.phones)

    def _outside(self, mishaps: Mishaps) -> tuple[DirectBank, Phones]:
        bank = DirectBank(
            self.books, self.trouble, mishaps, Random(f"{self.seed}/bank"), self.clock, self._is_unconfirmed,
            self._may_call,
        )  # fmt: skip
        return bank, Phones(self.trouble, mishaps, Random(f"{self.seed}/phones"))

    def clock(self) -> datetime:
        """What time it is."""
        return self.now

    def close(self) -> None:
        """Nothing of it is needed any more."""
        for process in (self.desk, *self.nodes):
            if process.turn.is_paused:
                self._kill(process)
            process.close()
        self.books.close()

    def note(self, what: str) -> None:
        """Remember a step, by ids and codes only."""
        self.steps.append((self.step_number, self.now, what))

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What has been committed."""
        return self.looking.execute(sql, values).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read meanwhile was committed at one moment."""
        self.looking.execute("begin")
        try:
            yield
        finally:
            self.looking.execute("rollback")

    def has_changed(self) -> bool:
        """Whether anything was committed since this was last asked."""
        ((version,),) = self.rows("pragma data_version")
        before, self._version = self._version, int(str(version))
        return before != self._version

    def _is_unconfirmed(self, key: str) -> bool:
        return self.rows("select 1 from payout where id = ? and state = 'unconfirmed'", key) != []

    def _may_call(self, now: datetime) -> int:
        """How many calls of the bank our own record of its silence allows at that time."""
        for failures, open_until in self.rows("select failures, open_until from outsider where lane = 'bank/main'"):
            if str(open_until) > at_text(now):
                return 0
            if failures >= OPENS_AFTER:
                return 1
        return self.mood.batch

    # ------------------------------------------------------------ one step

    def step(self) -> None:
        """Something happens; whatever of ours it kills is started again."""
        self.step_number += 1
        if self._clockmaker.random() < self.mood.clock_jumps:
            process = self._clockmaker.choice(self.nodes)
            if not process.turn.is_paused:
                process.clock_off = timedelta(days=self._clockmaker.choice((-1, 0, 0, 1)))
                self.note(f"clock of {process.name}: {process.clock_off.days} days off")
        (name,) = self.random.choices(self.mood.names, self.mood.weights)
        paused = [process for process in self.nodes if process.turn.is_paused]
        if paused and (len(paused) == len(self.nodes) or self.random.random() < 0.3):
            self._goes_on(self.random.choice(paused))
        elif name not in _BY_A_NODE:
            self.does(self.desk, name, getattr(self, f"_{name}"))
        else:
            process = self.random.choice([process for process in self.nodes if not process.turn.is_paused])
            act = functools.partial(getattr(self, f"_{name}"), process)
            self.does(process, name, act, self._pause_in())

    def _pause_in(self) -> tuple[int, Where] | None:
        if self.random.random() >= self.mood.pauses:
            return None
        where: Where = self.random.choice(("anywhere", "outside"))
        return self.random.randint(0, 12 if where == "anywhere" else 2), where

    def does(self, process: Process, name: str, act: Act, pause_in: tuple[int, Where] | None = None) -> None:
        """Let a process do this, and start it again if that kills it."""
        process.act = name
        self._come_to(process, lambda: process.acts(act, pause_in))

    def _goes_on(self, process: Process) -> None:
        """Let a process do the rest of what it has paused in, or pause again."""
        pause_in = self._pause_in() if self.random.random() < 0.5 else None
        if pause_in:
            process.mishaps.pause_in(*pause_in, process.turn.pause)
        self.did["went on"] += 1
        self._come_to(process, process.turn.go_on)

    def _come_to(self, process: Process, going: Act) -> None:
        self.acting, mishaps = process, process.mishaps
        try:
            told = going()
        except Killed:
            self.did["killed"] += 1
            told = "killed"
            process.begin_again()
        except Exception as error:
            # A loop of the node logs this and goes on; a door answers with an error; a person tries again.
            told = f"failed: {type(error).__name__} {error}"
            if "disk full" not in mishaps.seen and not (isinstance(error, Poisoned) and self.shelf.poisoned):
                raise Broken("nothing fails by itself", "".join(traceback.format_exception(error)[-4:])) from error
        if process.turn.is_paused:
            self.note(f"{process.name} {process.act}: paused")
            return
        mishaps.seen.clear()
        mishaps.stop_pausing()
        if told is not None:
            self.did[process.act] += 1
            self.note(f"{process.name} {process.act}: {told}")

    def _kill(self, process: Process) -> None:
        """It dies where it has paused."""
        process.mishaps.dead = True
        self._come_to(process, process.turn.go_on)

    @property
    def is_over(self) -> bool:
        """Whether the hospitals have nothing more to say."""
        return not self._wire

    # ------------------------------------------------------------ hospitals

    def _send(self, message: Message, at: datetime) -> None:
        self._entered += 1
        heapq.heappush(self._wire, (at, self._entered, message))

    def _deliver(self, process: Process) -> str | None:
        """The next message comes in, or goes astray; what is not acknowledged is sent again."""
        if not self._wire:
            return None
        at, _, message = heapq.heappop(self._wire)
        self.now = max(self.now, at)
        random, mood = self.random, self.mood
        label = f"{message.hospital} {message.door} {message.what} {message.id}"
        if "garbled" in message.what:  # the right one follows it, so nobody sends this again
            return f"{label} {self._take(process, [message])[0].status}"
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
        self.now = max(self.now, *(each.at.astimezone(UTC) for each in together))
        taken = False
        try:
            if random.random() < mood.garbled:
                broken = garble(message, random)
                self._take(process, [msgspec.structs.replace(broken, id=f"{broken.id}{self.step_number}")])
            receipts = self._take(process, together)
            taken = True
        finally:
            if not taken:
                for each in together:
                    self._send(each, self.now + timedelta(minutes=random.randint(1, 10)))
        for each, receipt in zip(together, receipts, strict=True):
            if receipt.status == "refused":  # it lies in the future by the clock of that node: it is told again
                self._send(each, self.now + timedelta(hours=random.randint(1, 30)))
            elif random.random() < mood.duplicate:
                self._send(each, self.now + timedelta(minutes=random.randint(1, 3000)))
        return f"{label} +{len(together) - 1} {receipts[0].status}"

    def _take(self, process: Process, messages: Sequence[Message], at_once: bool | None = None) -> list[Receipt]:
        """Receipts, as a door gives them, or as a file of messages is taken."""
        arrived = [_opened(m.door, m.body, self._senders[m.hospital]) for m in messages]
        self.sent |= {(each.sender.id, each.reading.control_id): each for each in arrived if each.reading}
        before, is_slow = set(self.acknowledged), process.clock_off < timedelta()
        if at_once is None:
            at_once = self.random.random() >= self.mood.through_outbox
        if at_once or self.random.random() < 0.5:
            receipts = process.hall.receive(arrived, at_once)
        else:
            now = process.clock()
            with process.node.database.transaction() as tx:
                receipts, told = inbound.take(tx, arrived, now)
                worker.tell(tx, told, now)
        for message, each, receipt in zip(messages, arrived, receipts, strict=True):
            key = each.sender.id, receipt.control_id
            if receipt.status in ("taken", "duplicate"):
                self.acknowledged.add(key)
            if key in before and receipt.status != "duplicate":
                raise Broken("what was acknowledged is known when it comes again", (*key, receipt.status))
            is_slow = is_slow or process.clock_off < timedelta()
            if receipt.status not in ("taken", "duplicate") and "garbled" not in message.what and not is_slow:
                raise Broken("every message of a hospital can be read", (*key, receipt.status, receipt.fault))
        return receipts

    def _resend(self) -> str | None:
        """A hospital sends everything again that it has ever sent."""
        hospital = self.random.choice(self.city.hospitals).code
        again = [m for m in self.messages if m.hospital == hospital and (hospital, m.id) in self.acknowledged]
        for message in again:
            self._send(message, self.now + timedelta(seconds=self.random.randint(1, 3000)))
        return f"{hospital} {len(again)}" if again else None

    def _flood(self) -> str | None:
        """A hospital tells the same stays again and again under new numbers, faster than it is worked off."""
        hospital = self.random.choice(self.city.hospitals).code
        known = [
            message for message in self.messages
            if message.door == "mllp" and message.hospital == hospital and (hospital, message.id) in self.acknowledged
            and (reading := self.sent[hospital, message.id].reading)
            and all(isinstance(event, AdmissionReported | VisitUpdated) for event in reading.events)
        ]  # fmt: skip
        if not known:
            return None
        for part in range(5):
            flood = []
            for message in known[-20:]:
                id = f"{message.id}F{self.step_number}{part}"
                flood.append(
                    msgspec.structs.replace(message, id=id, body=message.body.replace(message.id.encode(), id.encode()))
                )
            self._take(self.desk, flood, at_once=False)
        return f"{hospital} {5 * len(known[-20:])}"

    # ------------------------------------------------------------ the node works

    def _work(self, process: Process) -> str | None:
        now = process.clock()
        before = self._due_inside(now)
        if not before and self.random.random() < 0.6:
            return None  # it sleeps: only the timers could find something
        step, is_alone = self.step_number, not self.mood.refuses
        done = process.node.worker.work()
        is_alone = is_alone and step == self.step_number  # else it was paused, and others came meanwhile
        if before and done and is_alone and len(before) <= self.mood.batch:
            after = self._due_inside(now)
            starved = [queue for queue, due in before.items() if due <= after.get(queue, set())]
            if starved:
                raise Broken("a flood of one sender leaves the others their share", (starved, before, after, done))
        return f"{done}" if done else None

    def _due_inside(self, now: datetime) -> dict[str, set[tuple[int, str]]]:
        due: dict[str, set[tuple[int, str]]] = {}
        for queue, id, payload in self.rows(
            "select queue, id, payload from task where lane = ? and due_at <= ? and parked is null",
            INSIDE, at_text(now),
        ):  # fmt: skip
            due.setdefault(queue, set()).add((id, payload))
        return due

    def _call(self, process: Process, lane: str = "") -> str | None:
        lanes = [str(lane) for (lane,) in self.rows("select distinct lane from task where lane not in ('', 'alone')")]
        lane = lane or self.random.choice(sorted(lanes) or process.node.worker.lanes)
        done = process.node.worker.call_out(lane)
        if lane == "bank/main" and not self._may_call(process.clock()):
            self.did["circuit open"] += 1
        return f"{lane} {done}" if done else None

    def _notices(self, process: Process) -> str | None:
        read = process.node.read_notices()
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
        process = self.random.choice((*self.nodes, self.desk))
        if process.turn.is_paused and self.random.random() < 0.5:
            self._kill(process)
            return f"{process.name} where it waits"
        where: Where = self.random.choice(("anywhere", "anywhere", "outside"))
        moments = self.random.randint(0, 60 if where == "anywhere" else 4)
        process.mishaps.kill_in(moments, where)
        return f"{process.name} {where} in {moments}"

    def _fill_disk(self) -> str:
        self.disk.full_for = self.random.choice((1, 1, 2, 5, 12))
        return f"{self.disk.full_for} writes"

    def _restart(self) -> str:
        process = self.random.choice((*self.nodes, self.desk))
        if not process.turn.is_paused:
            process.begin_again()
        return process.name

    def _shut(self) -> str:
        """The bank says nothing for a day, and is called all the same."""
        self.trouble.shut_until = self.now + timedelta(days=1)
        process = self.random.choice(self.nodes)
        for _ in range(0 if process.turn.is_paused else 12):
            self.now += timedelta(seconds=self.random.choice((0, 1, 30, 400)))
            self.does(process, "call", functools.partial(self._call, process, "bank/main"))
        return f"{self.trouble.shut_until}"

    def _poison(self) -> str | None:
        """Something comes in that cannot be handled, or a product is gone or cannot be used for some days."""
        kind, self.mood.poisons = self.mood.poisons, None
        if kind == "event":  # the bank speaks of a payment that is not ours
            subject = CaseId(f"case_poison{self.seed}")
            event = PayoutConfirmed(PayoutId(f"pay_poison{self.seed}"), subject, Fen(1), self.now)
            try:
                with self.desk.node.database.transaction() as tx:
                    worker.tell(tx, [event], self.now)
            finally:
                if self.rows("select 1 from task where key = ?", outbox.key_of(event)):
                    self.poisons.add(subject)
            return subject
        products = sorted({product for truth in self.truths for product in truth.products})
        if kind == "product":
            self.shelf.poisoned = self.random.choice(products)
            return self.shelf.poisoned
        if kind == "missing":
            return self.shelf.pop(self.random.choice(products)).id
        if kind == "channel":
            waiting = [str(id) for (id,) in self.rows("select id from message where delivered_at is null order by id")]
            self.trouble.choking_on.update(waiting[-1:])
            return f"{waiting[-1:]}"
        return None

    def may_be_parked(self, subject: str) -> bool:
        """Whether something of this case, visit or message cannot be handled now."""
        if subject in self.poisons | self.trouble.choking_on:
            return True
        if not self.shelf.poisoned:
            return False
        visits = {f"{sender}/{visit}" for sender, visit in self.rows(
            "select sender, visit from claim_case where id = ?", subject
        )} | {subject}  # fmt: skip
        concerned = {truth.person for truth in self.truths if f"{truth.hospital}/{truth.visit}" in visits}
        return any(
            self.shelf.poisoned == policy.product for no in concerned for policy in self.city.person(no).policies
        )

    def _mend(self) -> str | None:
        """What could not be handled can be; somebody has it tried again."""
        self.shelf.mend()
        self.trouble.choking_on.clear()
        with self.desk.node.database.transaction() as tx:
            again = [task for task, _, subject, _ in outbox.parked(tx) if subject not in self.poisons]
            return f"{outbox.unpark(tx, again, self.now)}"

    # ------------------------------------------------------------ people

    def _person(self) -> str | None:
        """Somebody at a desk does the next thing: decides, pays again, receives money, imports a policy."""
        return self.random.choice((self._decides, self._decides, self._pays_again, self._gets_back, self._imports))()

    def _before_a_person(self) -> list[CaseId]:
        return [CaseId(str(case)) for (case,) in self.rows(
            "select case_id from determination where waiting = 1"
            " union select id from claim_case where stage = 'referred' order by 1"
        )]  # fmt: skip

    def _decides(self) -> str | None:
        waiting = self._before_a_person()
        return self._decides_on(self.random.choice(waiting)) if waiting else None

    def _decides_on(self, case: CaseId) -> str:
        what = examiner.decides(self.desk.node, case, self.random, self.now)
        self.did[f"examiner: {what}"] += 1
        return f"{case} {what}"

    def _pays_again(self) -> str | None:
        failed = self.rows(
            "select id from payout where state in ('refused', 'returned') and replaced_by is null order by id"
        )
        if not failed:
            return None
        payout = PayoutId(str(self.random.choice(failed)[0]))
        with self.desk.node.database.transaction() as tx:
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
        with self.desk.node.database.transaction() as tx:
            payments.receive_recoveries(tx, again, self.now)
        return f"{again[0].recovery} {again[0].amount}"

    def book_money_in(self) -> None:
        """Book what stands at the bank."""
        with self.desk.node.database.transaction() as tx:
            payments.receive_recoveries(tx, self.money_in, self.now)

    def _imports(self) -> str | None:
        if not self._late_policies:
            return None
        _import(self.desk.node.database, self.store.folder, self._late_policies[-1], self.now)
        policies = self._late_policies.pop()
        self._hear_waiting_again()
        return f"{policies[0]['number']}"

    def _hear_waiting_again(self) -> None:
        """As `safeweave policies import` does after an import."""
        with self.desk.node.database.transaction() as tx:
            worker.tell(tx, [VisitTold(visit.sender, visit.visit) for visit in waiting_visits(tx)], self.now)

    # ------------------------------------------------------------ the end

    def settle(self, after_each: Callable[[], None]) -> None:
        """Nothing goes wrong any more, everybody catches up, and time passes until every clock has rung."""
        self.disk.full_for = 0
        self.mood.calm()
        self.trouble.end()
        self.books.clear_faults()
        for process in (self.desk, *self.nodes):
            process.mishaps.end()
            process.mishaps.refuses = 0.0
            process.clock_off = timedelta()
            while process.turn.is_paused:
                self._goes_on(process)
        node = self.random.choice(self.nodes)
        node.begin_again()
        for other in self.nodes:
            if other is not node:
                other.node.close()  # it is killed, and nobody starts it again
        self.does(self.desk, "mend", self._mend)
        while not self.is_over:
            self.does(node, "deliver", functools.partial(self._deliver, node))
        while self._late_policies:
            self.does(self.desk, "person", self._imports)
        self._hear_waiting_again()
        for days in SETTLING_DAYS:
            self.now += timedelta(days=days)
            self.catch_up(node)
            after_each()
        if self.mood.desk_is_cleared:
            before, waiting = list[CaseId](), self._before_a_person()
            while waiting != before:
                for case in waiting:
                    self._decides_on(case)
                self.catch_up(node)
                before, waiting = waiting, self._before_a_person()
            while [said for said in [self._pays_again() for _ in range(8)] if said]:
                self.catch_up(node)
        while self._gets_back() is not None:
            pass
        self.now += timedelta(days=15)
        self.catch_up(node)

    def catch_up(self, process: Process) -> None:
        """Everything that is due is done, and what is told meanwhile."""
        self.acting, node = process, process.node
        for _ in range(2000):
            if node.worker.work():
                continue
            due = self.rows("select distinct lane from task where parked is null and due_at <= ?", at_text(self.now))
            lanes = [lane for (lane,) in due if lane in node.worker.lanes]
            if not sum([node.worker.call_out(lane) for lane in lanes]) and not node.read_notices():
                return
        raise Broken("the node comes to rest", f"not at {self.now}")

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
        """What was set aside: (task, kind of event, whose story it belongs to, why)."""
        return [
            (id, kind, outbox.subject_of(outbox.event_from(kind, payload)), why)
            for id, kind, payload, why in self.rows(
                "select id, kind, payload, parked from task where parked is not null"
            )
        ]
