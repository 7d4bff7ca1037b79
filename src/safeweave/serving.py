"""Opens the doors of a node, to hospitals and, if wanted, to people, and works until it is told to stop."""

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from safeweave import listening
from safeweave.errors import Conflict, StoreUnavailable
from safeweave.exchange import mllp
from safeweave.node import NOTICES_EVERY, Running
from safeweave.settings import Settings
from safeweave.web import doors
from safeweave.web.asked import Site
from safeweave.words import say

log = logging.getLogger("safeweave.serving")


def serve(
    node: Running,
    ready: Callable[[], None] = lambda: None,
    stopping: threading.Event | None = None,
    share_doors: bool = False,
) -> None:
    """Open the doors and work until interrupted, or until `stopping` is set; `ready` is called when both are open.

    With `share_doors`, other processes of ours may listen at the same ports.
    Raises Conflict if a door cannot be opened.
    """
    listening.run(_serve(node, ready, stopping or threading.Event(), share_doors))


async def _serve(node: Running, ready: Callable[[], None], stopping: threading.Event, share_doors: bool) -> None:
    settings = node.settings
    hall = doors.Hall(node.database, node.worker, node.limits, node.clock)
    app = doors.http_door(hall)
    site = node.site()
    if site is not None:
        _open_to_people(app, site)
    config = listening.http_config(app, settings.host, settings.http_port)
    http = uvicorn.Server(config)
    answer = doors.hl7_answer(hall)
    with contextlib.ExitStack() as opened:
        with _told_if_closed(settings, settings.http_port):
            knocker = listening.knocker(config, share=share_doors)
            opened.callback(knocker.close)
        with _told_if_closed(settings, settings.mllp_port):
            hl7 = await mllp.serve(settings.host, settings.mllp_port, answer, node.limits, share_port=share_doors)
        opened.pop_all()
    node.worker.start()
    serving = asyncio.create_task(http.serve(sockets=[knocker]))
    notices = asyncio.create_task(_watch_notices(node, site))
    try:
        await listening.until_told(http, serving, ready, stopping)
    finally:
        http.should_exit = True
        if site is not None:
            site.close()
        hl7.close()
        notices.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await notices
        await serving
        await asyncio.to_thread(node.worker.stop)
        node.write_times()


@contextlib.contextmanager
def _told_if_closed(settings: Settings, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError) as error:  # OverflowError: no such port
        why = error.strerror if isinstance(error, OSError) else str(error)
        key = (
            "cli.serve.in_use" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else "cli.serve.closed"
        )
        raise Conflict(say(key, settings.language, host=settings.host, port=port, why=why)) from error


# The pages are half of what is loaded, so a node without them does not load them.


def _open_to_people(app: FastAPI, site: Site) -> None:
    from safeweave.web.api.answering import BEFORE_THE_DOOR
    from safeweave.web.people import people_app

    people = people_app(site)
    for path in BEFORE_THE_DOOR:
        app.router.routes.insert(0, Route(path, people))
    app.mount("/", people)


async def _watch_notices(node: Running, site: Site | None) -> None:
    while True:
        await asyncio.sleep(NOTICES_EVERY.total_seconds())
        await asyncio.to_thread(node.look_around)
        if site is not None:
            try:
                await asyncio.to_thread(site.look_around)
            except StoreUnavailable as away:
                log.warning("the store is away: %s", away)
