"""From a request to an answer: who calls, how often, once each, errors as problems. All endpoints pass here."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import NotAllowed
from safeweave.web import accounts
from safeweave.web.api import clients
from safeweave.web.api.call import JSON, Answer, Call, Endpoint
from safeweave.web.api.endpoints import ENDPOINTS
from safeweave.web.api.openapi import description
from safeweave.web.api.problem import FHIR, Problem, answered, problem_of
from safeweave.web.asked import BROWSER, Asked, SignInFirst, Site, csrf_of, language_of
from safeweave.web.doors import read_body
from safeweave.web.pages import BODY_SECONDS, PER_MINUTE_OF_ADDRESS, Pace, check_origin, until_not_crossed, who_asks
from safeweave.web.security_log import Happened
from safeweave.words import say

log = logging.getLogger("safeweave.api")
_encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")

MOST_BYTES = 8 * 1024 * 1024
KEPT = timedelta(days=2)  # how long an answer is kept for its Idempotency-Key
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

REFUSALS: dict[int, Happened] = {401: "refused", 403: "refused", 429: "too_often"}  # told to the security log

# Addresses that the hospital door would take for its own, were they not ours first.
BEFORE_THE_DOOR = ("/fhir/metadata", "/fhir/Consent", "/fhir/CoverageEligibilityRequest", "/fhir/Subscription")


def add_api(app: FastAPI, site: Site, pace: Pace) -> None:
    """Add every endpoint to the app of the pages; what speaks FHIR below /api too, where no door stands before it."""
    for endpoint in ENDPOINTS:
        answer = _answering(site, pace, endpoint)
        for below in ("", "/api") if endpoint.fhir else ("",):
            app.add_api_route(below + endpoint.path, answer, methods=[endpoint.method], include_in_schema=False)
    told = msgspec.json.encode(description(ENDPOINTS))

    async def openapi(request: Request) -> Response:
        return Response(told, media_type=JSON)

    async def nowhere(request: Request) -> Response:
        fhir = request.url.path.startswith(("/fhir", "/api/fhir"))
        return answered(Problem(404), request.url.path, language_of(request, None, ""), fhir)

    app.add_api_route("/api/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    for below in ("/api/{rest:path}", "/fhir/{rest:path}"):
        app.add_api_route(below, nowhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)


def _answering(site: Site, pace: Pace, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        raw = b""
        if endpoint.method != "GET":
            try:
                read = await read_body(request, MOST_BYTES, BODY_SECONDS)
            except ClientDisconnect:
                return Response(status_code=400)
            if read.size > len(read.raw) or not read.is_whole:
                language = language_of(request, None, "")
                return answered(Problem(413), request.url.path, language, endpoint.fhir)
            raw = read.raw
        return await run_in_threadpool(_answer, site, pace, endpoint, request, raw)

    return answer


def _answer(site: Site, pace: Pace, endpoint: Endpoint, request: Request, raw: bytes) -> Response:
    now = site.clock()
    asked = Asked(site, request, language_of(request, None, ""), "", request.cookies.get(BROWSER, ""), now)
    call = Call(asked, raw)
    try:
        address = request.client.host if request.client else ""
        pace.check(f"all of {address}", PER_MINUTE_OF_ADDRESS)
        if not endpoint.open:
            _who_calls(call, endpoint)
        pace.check(call.client.id if call.client else asked.session.id if asked.session else address)
        response = _run(call, endpoint)
        asked.write_views()
    except Exception as error:
        problem = problem_of(error, asked)
        if problem is None:
            log.error("a call failed: %s %s", request.method, request.url.path, exc_info=error)
            problem = Problem(500)
        if problem.status in REFUSALS:
            asked.note("token_refused" if endpoint.form else REFUSALS[problem.status], why=problem.detail[:200])
        response = answered(problem, request.url.path, asked.language, endpoint.fhir)
    return response


def _who_calls(call: Call, endpoint: Endpoint) -> None:
    """Fill in who calls: a client by its token, or somebody who is signed in to the pages. Raises SignInFirst."""
    asked = call.asked
    scheme, _, token = asked.request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise SignInFirst
        with asked.site.database.reading() as tx:
            call.client = clients.by_token(tx, token.strip(), asked.now)
            if call.client is None:
                raise SignInFirst
            asked.account = accounts.accounts(tx, [call.client.account]).get(call.client.account)
        if asked.account is None:
            raise SignInFirst
        if not clients.allows(call.client.scopes, endpoint.scope, endpoint.method != "GET"):
            raise Problem(403, say("api.scope", asked.language), headers={
                "www-authenticate": 'Bearer realm="safeweave", error="insufficient_scope"'})  # fmt: skip
        return
    who_asks(asked)
    if asked.account is None:
        raise SignInFirst
    if endpoint.method != "GET":
        check_origin(asked.request)
        if asked.request.headers.get("x-csrf", "") != csrf_of(asked.browser, asked.session):
            raise NotAllowed("csrf")


def _run(call: Call, endpoint: Endpoint) -> Response:
    asked = call.asked
    if endpoint.form:
        call.form = parse_qs(call.raw.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=50)
    if not (endpoint.writes or endpoint.form):
        with asked.site.database.reading() as tx:
            return _response(call, endpoint, endpoint.run(call, tx))
    if endpoint.writes:
        call.check_text()
    key = asked.request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise Problem(400, say("api.key_shape", asked.language), "Idempotency-Key")
    response = until_not_crossed(lambda: _written(call, endpoint, key if endpoint.writes else ""))
    asked.site.worker.signal()
    return response


def _written(call: Call, endpoint: Endpoint, key: str) -> Response:
    """The answer to a call that changes something, or the one it was given before; all in one transaction."""
    database, keys = call.asked.site.database, set[str]()
    if endpoint.holding is not None:
        with database.reading() as tx:
            keys = {*endpoint.holding(call, tx), *([f"call:{call.asked.who.id}:{key}"] if key else [])}
    with database.transaction(beside=endpoint.holding is not None) as tx:
        tx.wait_for(keys)
        before = _answered_before(call, tx, key) if key else None
        if before is not None:
            return before
        response = _response(call, endpoint, endpoint.run(call, tx))
        if key:
            _keep(call, tx, key, response)
    return response


def _response(call: Call, endpoint: Endpoint, answer: Answer) -> Response:
    headers = dict(answer.headers)
    if answer.location:
        headers["location"] = answer.location
    following = answer.body.next if hasattr(answer.body, "next") else ""
    if following:
        address = call.asked.request.url.include_query_params(cursor=following)
        headers["link"] = f'<{address.path}?{address.query}>; rel="next"'
    body = _encoder.encode(answer.body)
    return Response(body, answer.status, headers, media_type=FHIR if endpoint.fhir else JSON)


# ---------------------------------------------------------------- once each


def _digest(call: Call) -> str:
    request = call.asked.request
    return hashlib.sha256(f"{request.method} {call.asked.path}\n".encode() + call.raw).hexdigest()


def _answered_before(call: Call, tx: Transaction, key: str) -> Response | None:
    """The answer this account was given for this key. Raises Problem if it was used for another call."""
    row = tx.row(
        "select asked, status, kind, location, body, answered_at from api_answer where account = ? and key = ?",
        (call.asked.who.id, key),
    )
    if row is None or at_of(row[5]) + KEPT < call.asked.now:
        return None
    asked, status, kind, location, body, _ = row
    if asked != _digest(call):
        raise Problem(422, say("api.key_reused", call.asked.language), "Idempotency-Key")
    headers = {"idempotency-replayed": "true"} | ({"location": location} if location else {})
    return Response(body.encode(), status, headers, media_type=kind)


def _keep(call: Call, tx: Transaction, key: str, response: Response) -> None:
    now = call.asked.now
    tx.run("delete from api_answer where answered_at < ?", (at_text(now - KEPT),))
    tx.run(
        "insert into api_answer (account, key, asked, status, kind, location, body, answered_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            call.asked.who.id, key, _digest(call), response.status_code, response.media_type or JSON,
            response.headers.get("location", ""), bytes(response.body).decode(), at_text(now),
        ),
    )  # fmt: skip
