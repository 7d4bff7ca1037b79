"""What changes reaches every open page that may know of it, once, in order, and again after a lost line."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from given import CLEAN_STAY, House, admitted
from pages.given_pages import Browser, account_for, person_named, staff
from people.given_people import SAMPLE_MALE
from safeweave.ids import PersonId
from safeweave.web import accounts, live
from safeweave.web.asked import Site
from safeweave.web.live import Audience, Feed, Since, Tick
from waiting import PATIENCE

EVERYBODY = Audience(everybody=True)


async def gather(feed: Feed, whose: Audience, after: Since | None, do: Callable[[], Any], count: int) -> list[Tick]:
    """The next `count` ticks that say something, once the stream is open and `do` was done."""
    found: list[Tick] = []
    async with asyncio.timeout(PATIENCE):
        stream = feed.listen(lambda: whose, after)
        async for tick in stream:
            if tick is None:
                continue
            if not tick.topics:
                await asyncio.to_thread(do)
                continue
            found.append(tick)
            if len(found) == count:
                break
        await stream.aclose()  # type: ignore[attr-defined]
    return found


_NOTICE = "insert into page_notice (id, topic, person, noticed_at) values (?, ?, '', '2026-03-10T04:00:00.000000Z')"


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


@pytest.fixture
def feed(site: Site):
    yield site.feed
    site.feed.close()


def test_a_step_of_a_case_is_told_to_those_it_is_about(house, feed, person):
    ticks = run(gather(feed, Audience(frozenset({person})), None, lambda: house.hears(admitted()), 1))
    assert ticks[0].topics == (f"case:{house.case().id}", f"person:{person}", "cases")


def test_what_is_about_somebody_else_is_not_told(house, site, feed, person):
    house.insures("P-8", name="测试丙", document=SAMPLE_MALE)
    other = person_named(house, "测试丙")

    def both() -> None:
        house.hears(admitted())
        with site.database.transaction() as tx:
            live.notify(tx, f"account:{other}", other, house.time())

    ticks = run(gather(feed, Audience(frozenset({other})), None, both, 1))
    assert [tick.topics for tick in ticks] == [(f"account:{other}", f"person:{other}")]


def test_a_line_that_was_lost_goes_on_where_it_was(house, site, feed, person):
    with site.database.reading() as tx:
        before = live.latest(tx)
    house.hears(*CLEAN_STAY)
    steps = house.rows("select count(*) from case_step")[0][0]
    whole = run(gather(feed, EVERYBODY, before, lambda: None, steps))
    place = live.since(whole[2].number)
    assert place is not None
    rest = run(gather(feed, EVERYBODY, place, lambda: None, steps - 3))
    assert [tick.number for tick in rest] == [tick.number for tick in whole[3:]]


def test_two_processes_tell_the_same(house, site, feed, person):
    other = Feed(site.database)

    async def both() -> tuple[list[Tick], list[Tick]]:
        ready = threading.Event()

        async def second() -> list[Tick]:
            return await gather(other, EVERYBODY, None, ready.set, 1)

        def is_admitted() -> None:
            assert ready.wait(PATIENCE)
            house.hears(admitted())

        task = asyncio.create_task(second())
        first = await gather(feed, EVERYBODY, None, is_admitted, 1)
        return first, await task

    first, second = run(both())
    other.close()
    assert [tick.topics for tick in first] == [tick.topics for tick in second]


def test_a_stream_ends_with_the_session(site, feed):
    async def listen() -> list[Any]:
        return [tick async for tick in feed.listen(lambda: None, None)]

    assert run(listen()) == []
    assert feed.streams == 0


def test_closing_ends_every_stream(site, feed):
    async def listen() -> int:
        seen = 0
        async for _ in feed.listen(lambda: EVERYBODY, None):
            seen += 1
            await asyncio.to_thread(feed.close)
        return seen

    assert run(listen()) == 1
    assert feed.streams == 0


def test_a_browser_too_slow_to_follow_is_told_to_ask_for_everything():
    async def slow() -> tuple[list[Any], int]:
        reader = live._Reader(asyncio.get_running_loop(), EVERYBODY)
        reader.tell([Tick(f"{n}.0", ("cases",)) for n in range(live.WAITING + 50)])
        held = []
        while not reader.queue.empty():
            held.append(reader.queue.get_nowait())
        return held, live.WAITING

    held, most = run(slow())
    assert live.EVERYTHING in held
    assert len(held) <= most + 1


def test_a_browser_without_streams_asks_what_changed(house, mine, person):
    place = mine.opens("/events/since").json()["place"]
    house.hears(admitted())
    told = mine.opens(f"/events/since?after={place}").json()
    assert f"case:{house.case().id}" in told["topics"]
    assert mine.opens(f"/events/since?after={told['place']}").json()["topics"] == []
    assert mine.opens("/events/since?after=forged").json()["topics"] == []


def test_nobody_is_told_anything_without_signing_in(site):
    stranger = Browser(site)
    assert stranger.opens("/events").status_code == 204
    assert stranger.opens("/events/since").status_code == 204


def test_whose_changes_one_follows_is_as_the_permissions_say(house, site, person):
    def whose(account: accounts.Account) -> Audience:
        return house.asks(lambda tx: accounts.audience_of(tx, account, house.time()))

    assert whose(account_for(site, person)) == Audience(frozenset({person}))
    assert whose(staff(site, "agent", licence="A-1")) == Audience()
    assert whose(staff(site, "hospital")) == Audience()
    assert whose(staff(site, "commission")) == Audience()
    assert whose(staff(site, "examiner")) == EVERYBODY


def test_an_event_is_written_as_the_standard_says():
    assert live.as_event(Tick("7.2", ("cases",))) == b'id: 7.2\ndata: ["cases"]\n\n'
    assert live.as_event(None).startswith(b":")
    assert msgspec.json.decode(b'["cases"]') == ["cases"]
    assert live.since("7.2") == Since(7, 2)
    assert live.since("7") is None
    assert live.since("7.-2") is None


def test_a_step_committed_late_is_told_all_the_same(house: House, site: Site, feed: Feed, person: PersonId):
    """Numbers are taken before they are committed, so a higher one may be there first."""
    house.hears(admitted())

    def late() -> None:
        with site.database.transaction() as tx:
            tx.run(_NOTICE, (50, "second"))

    async def both() -> list[Tick]:
        found = []
        async with asyncio.timeout(PATIENCE):
            stream = feed.listen(lambda: EVERYBODY, None)
            async for tick in stream:
                if tick is None or tick.topics == ():
                    await asyncio.to_thread(late)
                elif "second" in tick.topics:
                    found.append(tick)
                    with site.database.transaction() as tx:
                        tx.run(_NOTICE, (49, "first"))
                elif "first" in tick.topics:
                    found.append(tick)
                    break
            await stream.aclose()  # type: ignore[attr-defined]
        return found

    assert [tick.topics[0] for tick in run(both())] == ["second", "first"]
