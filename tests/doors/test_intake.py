"""The intake of a door: messages that arrive together are stored together, each sender in its turn."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from safeweave.errors import StoreUnavailable
from safeweave.exchange.formats import Sender
from safeweave.exchange.inbound import Arrived, Receipt
from safeweave.web.intake import FOLLOWED_AT_ONCE, GROUP, Intake
from waiting import PATIENCE, until


@dataclass
class Store:
    """What takes the groups: it notes them, and waits at the first one until it is let go."""

    groups: list[list[str]] = field(default_factory=list)
    at_once: list[bool] = field(default_factory=list)
    chokes_on: str = ""
    is_full: bool = False
    gate: threading.Event = field(default_factory=threading.Event)

    def take(self, arrived: Sequence[Arrived], at_once: bool) -> list[Receipt]:
        names = [message.raw.decode() for message in arrived]
        if self.is_full:
            raise StoreUnavailable("the disk is full")
        if self.chokes_on in names:
            raise ValueError(self.chokes_on)
        self.groups.append(names)
        self.at_once.append(at_once)
        if len(self.groups) == 1:
            assert self.gate.wait(PATIENCE)
        return [Receipt("taken", control_id=name) for name in names]


def a_message(sender: str, name: str) -> Arrived:
    return Arrived(name.encode(), Sender(id=sender, hospital=""), None)


async def received(intake: Intake, store: Store, *messages: tuple[str, str]) -> list[str | Exception]:
    """What each was answered; all but the first arrive while the first is being stored."""

    async def one(sender: str, name: str) -> str:
        _, receipt = await intake.receive(sender, len(name), lambda: a_message(sender, name))
        return receipt.control_id

    tasks = [asyncio.create_task(one(*message)) for message in messages[:1]]
    await asyncio.to_thread(until, lambda: store.groups or store.is_full)
    tasks += [asyncio.create_task(one(*message)) for message in messages[1:]]
    await asyncio.sleep(0)  # each has knocked
    store.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [outcome if isinstance(outcome, str | Exception) else repr(outcome) for outcome in found]


def test_messages_that_arrive_while_one_is_stored_are_stored_together_after_it():
    store = Store()
    answers = asyncio.run(received(Intake(store.take), store, ("a", "1"), ("a", "2"), ("b", "3")))
    assert (answers, store.groups, store.at_once) == (["1", "2", "3"], [["1"], ["2", "3"]], [True, True])


def test_each_sender_has_its_turn_however_much_another_sends():
    store = Store()
    flood = [("flood", f"flood {number}") for number in range(GROUP + 50)]
    asyncio.run(received(Intake(store.take), store, ("a", "first"), *flood, ("calm", "calm")))
    assert store.groups[1].index("calm") == 1
    assert [len(group) for group in store.groups] == [1, GROUP, 51]


def test_what_follows_from_a_large_group_is_left_to_the_worker():
    store = Store()
    many = [("a", str(number)) for number in range(FOLLOWED_AT_ONCE + 1)]
    asyncio.run(received(Intake(store.take), store, ("a", "first"), *many))
    assert store.at_once == [True, False]


def test_one_message_that_cannot_be_stored_keeps_no_other_from_it():
    store = Store(chokes_on="3")
    answers = asyncio.run(received(Intake(store.take), store, *(("a", str(number)) for number in range(6))))
    assert [answer for answer in answers if isinstance(answer, str)] == ["0", "1", "2", "4", "5"]
    assert isinstance(answers[3], ValueError)


def test_everybody_waiting_is_told_when_the_store_takes_nothing_and_the_door_goes_on():
    store, intake = Store(is_full=True), None

    async def twice() -> None:
        nonlocal intake
        intake = Intake(store.take)
        answers = await received(intake, store, ("a", "1"), ("b", "2"))
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        store.is_full = False
        assert await received(intake, store, ("a", "3")) == ["3"]

    asyncio.run(twice())


def test_a_sender_who_hangs_up_while_waiting_disturbs_nobody():
    store = Store()

    async def hang_up() -> list[object]:
        intake = Intake(store.take)
        first = asyncio.create_task(intake.receive("a", 1, lambda: a_message("a", "1")))
        await asyncio.to_thread(until, lambda: store.groups)
        gone = asyncio.create_task(intake.receive("a", 1, lambda: a_message("a", "2")))
        stays = asyncio.create_task(intake.receive("a", 1, lambda: a_message("a", "3")))
        await asyncio.sleep(0)  # both have knocked
        gone.cancel()
        store.gate.set()
        await asyncio.wait([first, gone, stays])
        return [first.result()[1].control_id, stays.result()[1].control_id]

    assert asyncio.run(hang_up()) == ["1", "3"]
    assert store.groups == [["1"], ["2", "3"]]  # what has come is kept, although nobody waits for the answer


def test_no_more_is_read_when_too_much_is_waiting():
    store = Store()

    async def fill() -> tuple[bool, bool]:
        intake = Intake(store.take)
        waiting = []
        for size in (1, 300 * 2**20):
            waiting.append(asyncio.create_task(intake.receive("a", size, lambda: a_message("a", "1"))))
            await asyncio.to_thread(until, lambda: store.groups)
        full = intake.is_full()
        store.gate.set()
        await asyncio.gather(*waiting)
        return full, intake.is_full()

    assert asyncio.run(fill()) == (True, False)
