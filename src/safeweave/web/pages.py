"""The pages for people as one app beside the doors: every request passes here on its way to a page and back.

What is done for every page: who asks (session), the form and its CSRF token, how often, errors as pages, the rows that
say who looked, cookies and secure headers. `asked.py` is what a page sees of it.
"""

import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeweave import people
from safeweave.clock import seconds_running
from safeweave.database.waits import noting
from safeweave.errors import Conflict, Crossed, Malformed, NotAllowed, NotFound, StoreUnavailable, Unavailable
from safeweave.web import accounts, live, papers
from safeweave.web.accounts import PERSON, Session
from safeweave.web.asked import (
    BROWSER,
    SESSION,
    SIZE,
    SIZES,
    Asked,
    Hidden,
    Page,
    SentBefore,
    SignInFirst,
    Site,
    Stale,
    TooLong,
    TooMany,
    csrf_of,
    is_ours,
    language_of,
)
from safeweave.web.cookies import HostCookies
from safeweave.web.doors import read_body
from safeweave.web.papers import Upload

log = logging.getLogger("safeweave.pages")

MOST_BYTES = 16 * 1024 * 1024  # of a form: what somebody pasted is read, so that it can be given back
MOST_UPLOADED = 3 * papers.MOST_BYTES + 1024 * 1024  # of a form with files
BODY_SECONDS = 30.0
PER_MINUTE = 600  # requests of one session, or of one address without one
PER_MINUTE_OF_ADDRESS = 6000  # of all sessions behind one address, such as an office
YEAR = 365 * 24 * 3600

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), publickey-credentials-get=(self)",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Route(NamedTuple):
    """One page: how and where it is asked for, what answers, and whether one must be signed in."""

    method: str
    path: str
    page: Page
    open: bool = False
    files: bool = False  # whether its form may carry files


class Routes:
    """The pages of one part, such as the portal. A part makes one and `pages_app` takes them all."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def get(self, path: str, open: bool = False) -> Callable[[Page], Page]:
        """A page that shows; `open` ones are shown to everybody, others to whoever is signed in."""
        return self._at("GET", path, open)

    def post(self, path: str, open: bool = False, files: bool = False) -> Callable[[Page], Page]:
        """What a form, perhaps with files, is sent to; its CSRF token is checked before."""
        return self._at("POST", path, open, files)

    def _at(self, method: str, path: str, open: bool, files: bool = False) -> Callable[[Page], Page]:
        def noted(page: Page) -> Page:
            self.routes.append(Route(method, path, page, open, files))
            return page

        return noted


def pages_app(
    site: Site, parts: Sequence[Routes], beside: Callable[[FastAPI, Site, "Pace"], None] = lambda app, site, pace: None
) -> FastAPI:
    """The app with the pages of these parts and what stands beside them; mounted behind the doors' own addresses."""
    app = FastAPI(title="safeweave pages", docs_url=None, redoc_url=None, openapi_url=None)
    pace = Pace()
    app.mount("/static", StaticFiles(directory=Path(str(files("safeweave.web").joinpath("static")))))
    for part in parts:
        for route in part.routes:
            app.add_api_route(
                route.path, _answering(site, pace, route), methods=[route.method], include_in_schema=False
            )
    beside(app, site, pace)
    app.add_api_route("/events", _events(site), methods=["GET"], include_in_schema=False)
    app.add_api_route("/events/since", _events_since(site), methods=["GET"], include_in_schema=False)

    async def no_page(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        nowhere = Route("GET", request.url.path, _error_page(404 if status in (404, 405) else status), True)
        return await _answering(site, pace, nowhere, body=False)(request)

    app.add_exception_handler(HTTPException, no_page)
    https = site.settings.pages_url.startswith("https:")
    app.add_middleware(SecureHeaders, https=https)
    if https:
        app.add_middleware(HostCookies)
    return app


class SecureHeaders:
    """Adds the secure headers to every answer, also of static files and errors, and how long it took us.

    Server-Timing (W3C): `total`, and in it the longest `wait` for another transaction, in milliseconds.
    """

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self.app = app
        self.headers = {
            **HEADERS,
            **({"strict-transport-security": f"max-age={YEAR}; includeSubDomains"} if https else {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = seconds_running()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                took = 1e3 * (seconds_running() - began)
                headers.append("server-timing", f"total;dur={took:.1f}, wait;dur={1e3 * waits.longest:.3f}")
                static = scope["path"].startswith("/static/")
                headers.setdefault("cache-control", "public, max-age=3600" if static else "no-store")
            await send(message)

        with noting() as waits:
            await self.app(scope, receive, sending if scope["type"] == "http" else send)


class Pace:
    """How often somebody has asked in the present minute, in this process."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def check(self, who: str, most: int = PER_MINUTE) -> None:
        """Count one more. Raises TooMany."""
        minute = int(seconds_running() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        self._counts[who] = self._counts.get(who, 0) + 1
        if self._counts[who] > most:
            raise TooMany(60)


# ---------------------------------------------------------------- one request


def _answering(site: Site, pace: Pace, route: Route, body: bool = True) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        sent = Sent({}, [])
        if route.method == "POST" and body:
            known = route.files and await run_in_threadpool(audience, site, request) is not None
            most = MOST_UPLOADED if known else MOST_BYTES  # nobody unknown has so much of ours
            try:
                read = await read_body(request, most, BODY_SECONDS)
            except ClientDisconnect:
                return Response(status_code=400)
            if read.size > len(read.raw):
                sent = Sent({}, [], TooMuch(route.files))
            elif not read.is_whole:
                sent = Sent({}, [], BrokeOff())
            elif route.files and request.headers.get("content-type", "").startswith("multipart/form-data"):
                sent = await _parts(request, read.raw)
            else:
                sent = Sent(await run_in_threadpool(_fields, read.raw), [])
        return await run_in_threadpool(_answer, site, pace, route, request, sent)

    return answer


class TooMuch(Exception):
    """More was sent than is taken; whether there were `files` in it."""

    def __init__(self, files: bool) -> None:
        super().__init__(files)
        self.files = files


class BrokeOff(Exception):
    """Not everything that was to be sent has come."""


class Sent(NamedTuple):
    """What a form said, or why it could not be read."""

    fields: dict[str, list[str]]
    files: list[Upload]
    fault: Exception | None = None


class _InMemory(MultiPartParser):
    """Files stay in memory until they are encrypted: none of them ever lies on a disk in the clear."""

    spool_max_size = MOST_UPLOADED


async def _parts(request: Request, raw: bytes) -> Sent:
    """The fields and files of a form (RFC 7578)."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield raw

    fields: dict[str, list[str]] = {}
    files: list[Upload] = []
    try:
        form = await _InMemory(
            request.headers, stream(), max_files=20, max_fields=100, max_part_size=MOST_BYTES
        ).parse()
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(Upload(value.filename or "", await value.read()))
            else:
                fields.setdefault(name, []).append(value)
        await form.close()
    except MultiPartException as error:
        return Sent({}, [], Malformed(str(error)))
    return Sent(fields, files)


def _fields(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=1000, errors="replace")
    except (ValueError, UnicodeDecodeError):
        return {}


def _answer(site: Site, pace: Pace, route: Route, request: Request, sent: Sent) -> Response:
    """The page's answer, whatever happens; runs in a thread."""
    now = site.clock()
    browser = request.cookies.get(BROWSER, "")
    asked = Asked(site, request, language_of(request, None, ""), _size(request), browser, now, sent.fields, sent.files)
    if len(browser) < 32:
        asked.browser = asked.cookies[BROWSER] = secrets.token_urlsafe(32)
    over: Session | None = None
    try:
        address = request.client.host if request.client else ""
        pace.check(f"all of {address}", PER_MINUTE_OF_ADDRESS)
        over = who_asks(asked)
        pace.check(asked.session.id if asked.session else address)
        response = _guarded(asked, route, over, sent.fault)
        asked.write_views()
    except SentBefore as before:
        response = RedirectResponse(before.leads_to, 303)
    except SignInFirst as first:
        then = first.then or (asked.path if route.method == "GET" else "/")
        said = "pages.sign_in.again" if first.then else "pages.over" if over is not None else ""
        response = asked.go(f"/sign-in?then={quote(then)}", said=said)
    except Exception as error:
        response = _told(asked, error)
    _set_cookies(asked, response)
    return response


def _guarded(asked: Asked, route: Route, over: Session | None, fault: Exception | None) -> Response:
    if fault is not None:
        raise fault
    if route.method == "POST":
        check_origin(asked.request)
        if asked.account is None and over is not None and not route.open:
            return _sign_in_again(asked, over)
        sent = (asked.fields.get("_csrf") or [asked.request.headers.get("x-csrf", "")])[0]
        if not secrets.compare_digest(sent.encode(), asked.csrf.encode()):
            raise NotAllowed("csrf")
    if not route.open and asked.account is None:
        raise SignInFirst
    response = until_not_crossed(lambda: route.page(asked))
    if asked.fields.get("_kept") and response.status_code == 303 and asked.account is not None:
        with asked.site.database.transaction(beside=True) as tx:
            accounts.drop_form(tx, asked.account.id)
    return response


def until_not_crossed(answer: Callable[[], Response]) -> Response:
    """What is answered; once more if others had what it wanted to change. Raises Crossed the third time."""
    for _ in range(2):
        with suppress(Crossed):
            return answer()
    return answer()


def check_origin(request: Request) -> None:
    """A form of another site is not taken, whatever it carries (Fetch Metadata, W3C)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("csrf")


def who_asks(asked: Asked) -> Session | None:
    """Fill in who asks; the session if it is over."""
    token = asked.request.cookies.get(SESSION, "")
    if not token:
        return None
    with asked.site.database.reading() as tx:
        session = accounts.session_of(tx, token, asked.now)
        if session is None:
            asked.cookies[SESSION] = None
            return None
        if session.is_over(asked.now):
            return session
        found = accounts.accounts(tx, [session.account]).get(session.account)
        if found is None:
            return session
        if found.role == PERSON and found.person is not None:
            asked.person = people.people_by_id(tx, [found.person]).get(found.person)
        asked.changes_until = live.latest(tx)
    asked.account, asked.session = found, session
    asked.language = language_of(asked.request, found, asked.person.language if asked.person else "")
    if asked.now >= session.seen_at + accounts.SEEN_EVERY and asked.request.url.path != "/events":
        with asked.site.database.transaction(beside=True) as tx:
            held = accounts.touch(tx, session, token, asked.now)
        if held != token:
            asked.cookies[SESSION] = held
    return None


def _sign_in_again(asked: Asked, over: Session) -> Response:
    """The session was over when a form was sent: what it says is kept, and given back after signing in again."""
    sent = (asked.fields.get("_csrf") or [""])[0]
    if secrets.compare_digest(sent.encode(), csrf_of(asked.browser, over).encode()):
        kept = {name: list(values) for name, values in asked.typed.items()}
        with asked.site.database.transaction(beside=True) as tx:
            accounts.keep_form(tx, over.account, asked.path, kept, asked.now)
        return asked.go("/sign-in?then=/again", said="pages.kept")
    return asked.go("/sign-in")


def _size(request: Request) -> str:
    size = request.cookies.get(SIZE, "")
    return size if size in SIZES else ""


def _set_cookies(asked: Asked, response: Response) -> None:
    secure = asked.site.settings.pages_url.startswith("https:") or asked.request.url.scheme == "https"
    lasting = {SESSION: None, "sw_said": 60, "sw_attempt": 1800}
    for name, value in asked.cookies.items():
        if value is None:
            response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=secure)
        else:
            age = lasting.get(name, YEAR)
            response.set_cookie(name, value, max_age=age, path="/", httponly=True, samesite="lax", secure=secure)


# ---------------------------------------------------------------- errors as pages


def _told(asked: Asked, error: Exception) -> Response:
    """The page for an error."""
    match error:
        case Hidden():
            asked.note("refused", why=error.action)
            return error_page(asked, 404)
        case NotFound():
            return error_page(asked, 404)
        case NotAllowed():
            asked.note("refused", why=str(error))
            return error_page(asked, 403)
        case Stale():
            return error_page(asked, 409, typed=asked.typed, version=error.version)
        case Conflict():
            return error_page(asked, 409, typed=asked.typed, what=asked.said(error))
        case Malformed():
            return error_page(asked, 400, typed=asked.typed, what=asked.said(error))
        case TooLong():
            asked.note("too_large")
            return error_page(asked, 413, typed=asked.typed, most=error.most, characters=error.characters)
        case TooMuch():
            return error_page(asked, 413, with_files=error.files)
        case BrokeOff():
            return error_page(asked, 408)
        case TooMany():
            asked.note("too_often")
            response = error_page(asked, 429)
            response.headers["retry-after"] = str(error.seconds)
            return response
        case StoreUnavailable() | Unavailable():
            log.warning("a page could not be made: %s", error)
            response = error_page(asked, 503, typed=asked.typed)
            response.headers["retry-after"] = "5"
            return response
        case _:
            log.error("a page failed: %s %s", asked.request.method, asked.request.url.path, exc_info=error)
            return error_page(asked, 500, typed=asked.typed)


def error_page(asked: Asked, status: int, **values: Any) -> Response:
    """The page for a status, in the reader's language, with what was typed so that nothing is lost."""
    shown = {"typed": {}, "what": "", "most": 0, "characters": 0, "version": "", "with_files": False, **values}
    return asked.page("error.html", status, number=status, **shown)


def _error_page(status: int) -> Page:
    return lambda asked: error_page(asked, status)


# ---------------------------------------------------------------- what changes


def audience(site: Site, request: Request) -> live.Audience | None:
    """Whose changes this browser is told of; None if nobody is signed in."""
    with site.database.reading() as tx:
        now = site.clock()
        session = accounts.session_of(tx, request.cookies.get(SESSION, ""), now)
        if session is None or session.is_over(now):
            return None
        found = accounts.accounts(tx, [session.account]).get(session.account)
        return None if found is None else accounts.audience_of(tx, found, now)


def _events(site: Site) -> Callable[[Request], Awaitable[Response]]:
    async def events(request: Request) -> Response:
        resume = live.since(request.headers.get("last-event-id", "") or request.query_params.get("after", ""))
        if await run_in_threadpool(audience, site, request) is None:
            return Response(status_code=204)  # an EventSource then does not come back

        async def stream() -> Any:
            yield b"retry: 2000\n\n"
            async for tick in site.feed.listen(lambda: audience(site, request), resume):
                yield live.as_event(tick)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    return events


def _events_since(site: Site) -> Callable[[Request], Awaitable[Response]]:
    async def events_since(request: Request) -> Response:
        answer = await run_in_threadpool(_changed, site, request)
        if answer is None:
            return Response(status_code=204)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return events_since


def _changed(site: Site, request: Request) -> dict[str, Any] | None:
    """For browsers without a stream: the place now, and the topics that changed since the one they name."""
    whose = audience(site, request)
    if whose is None:
        return None
    place = live.since(request.query_params.get("after", ""))
    with site.database.reading() as tx:
        now = live.latest(tx)
        found = [tick for _, _, tick in live.after(tx, place)] if place is not None else []
    if len(found) >= live.MOST_AT_ONCE:
        return {"place": str(now), "topics": ["*"]}
    topics = {topic for tick in whose.of(live.by_person(found)) for topic in tick.topics}
    return {"place": str(now), "topics": sorted(topics)}


__all__ = ["Routes", "error_page", "is_ours", "pages_app"]
