"""The pages for people over a large store: how long the server takes, for one reader and with fifty examiners at work,
what the first page weighs, how soon an open page is told of a change.
"""

import asyncio
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from random import Random
from statistics import median
from urllib.parse import quote, urljoin

from safeweave.clock import now, seconds_running
from safeweave.commands.bench.baselines import percentile
from safeweave.commands.bench.browsing import Answer, Browser
from safeweave.commands.bench.crowd import SEED, Crowd, crowded
from safeweave.commands.bench.figure import Engine, Figure
from safeweave.commands.bench.knocking import serving
from safeweave.commands.bench.stores import Bench, Store, connected
from safeweave.database import Database
from safeweave.web import live

FIRST_PAGES = ("/sign-in", "/", "/desk", "/operations")
LIVE_PATIENCE_SECONDS = 60.0
THINKING_SECONDS = 2.0  # on average between two clicks of one examiner
SAME_CASES = 5  # that all examiners open one time in five
LOOK_EVERY_SECONDS = 0.01  # for who waits for a lock
_ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_IMPORTED = re.compile(r'(?:from|import|url\(|Worker\()\s*["\']([^"\')]+)["\']')

Times = Mapping[str, Sequence[Answer]]  # by kind of page


def pages(bench: Bench) -> list[Figure]:
    """Server times, waits for locks, bytes of the first page and delays of live updates of each engine."""
    return [figure for engine in bench.engines for figure in _pages(bench, engine)]


def _pages(bench: Bench, engine: Engine) -> list[Figure]:
    counts, processes = bench.counts, bench.feeders if engine == "postgresql" else 1
    with crowded(bench, engine, counts.pages_cases) as (store, crowd), serving(store, processes, pages=True):
        weighed = asyncio.run(_weighed(store, crowd))
        asyncio.run(_one_by_one(store, crowd, 2))  # reads templates and products
        alone = _p95(asyncio.run(_one_by_one(store, crowd, counts.page_requests)))
        delays = asyncio.run(_delays(store, crowd, counts.live_updates))
        with _longest_wait(store) as waits:
            busy = asyncio.run(_at_work(store, crowd, counts.crowd_seconds))
        waits += [answer.waited for some in busy.values() for answer in some]
    together = _p95(busy)
    return [
        Figure("page_p95", max(alone.values()), "ms", target=150, engine=engine, parts=alone),
        Figure("page_p95_fifty_examiners", max(together.values()), "ms", target=150, engine=engine, parts=together),
        Figure("lock_wait_fifty_examiners", max(waits), "ms", target=100, engine=engine),
        Figure("first_page_bytes", max(weighed.values()), "bytes", target=150_000, engine=engine, parts=weighed),
        Figure("live_update_p50", median(delays), "ms", engine=engine),
        Figure("live_update_p95", percentile(delays, 0.95), "ms", target=1_000, engine=engine),
    ]


def _p95(times: Times) -> dict[str, float]:
    found = {kind: percentile([answer.took for answer in some], 0.95) for kind, some in times.items()}
    return dict(sorted(found.items(), key=lambda each: -each[1]))


# ---------------------------------------------------------------- one reader


def _kinds(crowd: Crowd) -> dict[str, Iterator[tuple[str, str]]]:
    """For each kind of page: who asks, and for what, one after the other."""

    def own(path: str) -> Iterator[tuple[str, str]]:
        return cycle([(each.token, path.format(**each._asdict())) for each in crowd.insured])

    def of(tokens: Sequence[str], *paths: str) -> Iterator[tuple[str, str]]:
        return zip(cycle(tokens), cycle(paths), strict=False)

    director, examiner, insured = crowd.directors, crowd.examiners, crowd.insured
    return {
        "portal_home": own("/people/{person}"),
        "portal_stay": own("/stays/{case}"),
        "portal_decision": own("/decisions/{decision}"),
        "portal_policies": own("/people/{person}/policies"),
        "portal_messages": own("/people/{person}/messages"),
        "portal_consents": own("/people/{person}/consents"),
        "portal_reads": own("/people/{person}/reads"),
        "desk_queue": of(examiner, "/desk", "/desk?page=2", "/desk?skill=money"),
        "desk_case": of(examiner, *(f"/desk/cases/{case}" for case in crowd.referred)),
        "desk_search_name": of(examiner, *(f"/desk/search?q={quote(name)}" for name in crowd.names)),
        "desk_search_number": of(examiner, *(f"/desk/search?q={visit}" for visit in crowd.visits)),
        "operations_1": of(director, "/operations?days=1"),
        "operations_30": of(director, "/operations?days=30"),
        "operations_90": of(director, "/operations?days=90"),
        "operations_inbox": of(director, "/operations/inbox"),
        "operations_health": of(director, "/operations/health"),
        "api_stays": of(director, *(f"/api/people/{each.person}/stays" for each in insured)),
        "api_stay": of(director, *(f"/api/stays/{each.case}" for each in insured)),
        "api_figures": of(director, "/api/figures?days=30"),
        "api_explanations": of(director, *(f"/fhir/ExplanationOfBenefit?patient={each.person}" for each in insured)),
    }


async def _one_by_one(store: Store, crowd: Crowd, each: int) -> Times:
    """So many requests of each kind, one at a time."""
    browsers: dict[str, Browser] = {}
    found: dict[str, list[Answer]] = {}
    for kind, asked in _kinds(crowd).items():
        for _, (token, path) in zip(range(each), asked, strict=False):
            browser = browsers.setdefault(token, Browser(store.http_port, token))
            found.setdefault(kind, []).append(await browser.get(path))
    for browser in browsers.values():
        browser.close()
    return found


async def _weighed(store: Store, crowd: Crowd) -> dict[str, float]:
    """Bytes of the pages where people begin, with everything they load, as they are sent."""
    found = {}
    for path in FIRST_PAGES:
        token = {"/": crowd.insured[0].token, "/desk": crowd.examiners[0], "/operations": crowd.directors[0]}
        browser = Browser(store.http_port, token.get(path, ""))
        page = await browser.get(path, 200, 303)
        while page.status == 303:
            page = await browser.get(page.head["location"], 200, 303)
        bytes_, waiting, seen = len(page.body), _ASSET.findall(page.text), set[str]()
        while waiting:
            asset = waiting.pop()
            if asset not in seen:
                seen.add(asset)
                answer = await browser.get(asset)
                bytes_ += len(answer.body)
                waiting += [urljoin(asset, name) for name in _IMPORTED.findall(answer.text) if "/" in name]
        browser.close()
        found[path] = float(bytes_)
    return found


# ---------------------------------------------------------------- live


async def _delays(store: Store, crowd: Crowd, count: int) -> list[float]:
    """Milliseconds from a commit of another process until an open page is told of it."""
    random, delays = Random(SEED), []
    with closing(Database(store.settings.store)) as database:
        browser = Browser(store.http_port, crowd.examiners[0])
        async with browser.stream() as events:
            for number in range(count):
                await asyncio.sleep(random.random())  # at any moment of the server's own turns
                topic = f"bench {number}"
                committed = await asyncio.to_thread(_noticed, database, topic)
                async with asyncio.timeout(LIVE_PATIENCE_SECONDS):
                    async for event in events:
                        if topic.encode() in event:
                            break
                delays.append(1e3 * (seconds_running() - committed))
    return delays


def _noticed(database: Database, topic: str) -> float:
    with database.transaction() as tx:
        live.notify(tx, topic, "", now())
    return seconds_running()


# ---------------------------------------------------------------- fifty examiners


async def _at_work(store: Store, crowd: Crowd, seconds: float) -> Times:
    """What every request of all examiners got, who open, draft and approve cases beside each other for so long."""
    found: dict[str, list[Answer]] = defaultdict(list)
    until = seconds_running() + seconds
    share = max(1, (len(crowd.referred) - SAME_CASES) // len(crowd.examiners))
    same = crowd.referred[:SAME_CASES]
    await asyncio.gather(*(
        _examiner(Browser(store.http_port, token), Random(n), same,
                  crowd.referred[SAME_CASES + n * share : SAME_CASES + (n + 1) * share], until, found)
        for n, token in enumerate(crowd.examiners)
    ))  # fmt: skip
    return found


async def _examiner(
    browser: Browser, random: Random, same: Sequence[str], own: Sequence[str], until: float,
    found: dict[str, list[Answer]],
) -> None:  # fmt: skip
    """One examiner: the queue, a case, two drafts of it, approve; what somebody else decided meanwhile is refused."""

    async def think() -> bool:
        await asyncio.sleep(random.expovariate(1 / THINKING_SECONDS))
        return seconds_running() < until

    mine = cycle(own)
    while await think():
        case = random.choice(same) if random.random() < 0.2 else next(mine)
        found["desk_queue"].append(await browser.get("/desk"))
        if not await think():
            break
        page = await browser.get(f"/desk/cases/{case}")
        found["desk_case"].append(page)
        fields = page.inputs
        if "_version" not in fields:
            continue
        for words in ("费用与病历相符", "费用与病历相符，同意"):
            if not await think():
                return browser.close()
            draft = {"_csrf": fields["_csrf"], "_draft": fields["_draft"], "note": words}
            kept = await browser.post(f"/desk/cases/{case}/draft", draft, 409)
            found["desk_draft"].append(kept)
            fields["_draft"] = str(int(fields["_draft"]) + 1)
        if not await think():
            break
        decision = {**fields, "verdict": "approve", "note": "费用与病历相符，同意"}
        found["desk_approve"].append(await browser.post(f"/desk/cases/{case}/decide", decision, 400, 409))
    browser.close()


@contextmanager
def _longest_wait(store: Store) -> Iterator[list[float]]:
    """On a server: how long, in milliseconds, transactions of any process waited for locks of any kind."""
    waits, done = [0.0], threading.Event()
    if store.engine != "postgresql":
        yield waits
        return

    def look() -> None:
        sql = (
            "select coalesce(max(extract(epoch from clock_timestamp() - waitstart)), 0) from pg_locks"
            " where waitstart is not null"
        )
        with connected(store.database) as connection:
            while not done.wait(LOOK_EVERY_SECONDS):
                row = connection.execute(sql).fetchone()
                waits.append(1e3 * float(row[0]) if row else 0.0)

    thread = threading.Thread(target=look, name="locks", daemon=True)
    thread.start()
    try:
        yield waits
    finally:
        done.set()
        thread.join()
