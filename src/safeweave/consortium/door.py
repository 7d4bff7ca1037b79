"""The door of a member for other members: sealed envelopes, where members are reached, and whether the node is up."""

import asyncio
import io
import logging
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, BinaryIO, NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from safeweave.clock import seconds_running
from safeweave.consortium import store
from safeweave.consortium.answer import PATH, Answer, answered, write_answer
from safeweave.consortium.homes import CONTACTS, Member
from safeweave.consortium.receiving import Reception
from safeweave.consortium.spool import IN_MEMORY_BYTES, spooled
from safeweave.consortium.store import Contact
from safeweave.consortium.why import Code, Refused, Why
from safeweave.database import Database
from safeweave.errors import StoreUnavailable
from safeweave.keys.envelope import HEADER_BYTES_MOST
from safeweave.ledger.ledger import ConsentFound

log = logging.getLogger("safeweave.consortium")

RETRY_SECONDS = 2
FRESH_SECONDS = 0.25  # an envelope that comes slower than that has the ledger asked again once it is here
BEGINNING_BYTES = HEADER_BYTES_MOST + 64  # of an envelope: its header is in there

_STATUS: dict[Code, int] = {
    "stranger": 403, "suspended": 403, "forged": 403, "before_suspension": 403, "no_keys": 403, "consent_unknown": 403,
    "consent_pending": 403, "consent_expired": 403, "consent_revoked": 403, "not_party": 403, "not_covered": 403,
    "expired": 410, "conflict": 409, "wrong_recipient": 421, "too_large": 413, "slow": 408, "unreadable": 400,
    "unhandled": 422, "broken_seal": 422, "not_here": 404, "full": 429, "busy": 503, "behind": 503, "store": 503,
    "ledger_silent": 503,
}  # fmt: skip


@dataclass
class _Passing:
    """How many bytes are on their way in, in this process."""

    bytes: int = 0
    lock: Lock = field(default_factory=Lock)

    def enter(self, size: int, most: int) -> bool:
        with self.lock:
            if self.bytes and self.bytes + size > most:
                return False
            self.bytes += size
            return True

    def leave(self, size: int) -> None:
        with self.lock:
            self.bytes -= size


def reception_router(reception: Reception) -> APIRouter:
    """The door: POST /envelopes with an envelope as the body; GET /envelopes/{digest} for the receipt given for it."""
    router = APIRouter()
    passing = _Passing()
    limits = reception.limits

    async def receive(request: Request) -> Response:
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else limits.envelope_bytes
        if size > limits.envelope_bytes and declared:
            return _response(answered(Why("too_large", {"most": limits.envelope_bytes})), unread=True)
        if not passing.enter(size, limits.at_once_bytes):
            return _response(answered(Why("busy", {"seconds": RETRY_SECONDS})), unread=True)
        try:
            return await take(request)
        except ClientDisconnect:
            return _response(answered(Why("slow", {"seconds": 0})))
        except (StoreUnavailable, OSError) as full:
            log.warning("an envelope could not be kept: %s", full)
            return _response(answered(Why("store", {"what": str(full)})), unread=True)
        finally:
            passing.leave(size)

    async def take(request: Request) -> Response:
        with closing(spooled(reception.folder)) as source:
            size, parts = 0, request.stream()
            greeting: asyncio.Task[Greeted] | None = None
            try:
                while True:
                    try:
                        async with asyncio.timeout(limits.silence_seconds):
                            part = await anext(parts, None)
                    except TimeoutError:
                        return _response(answered(Why("slow", {"seconds": int(limits.silence_seconds)})), unread=True)
                    if part is None:
                        break
                    size += len(part)
                    if size > limits.envelope_bytes:
                        return _response(answered(Why("too_large", {"most": limits.envelope_bytes})), unread=True)
                    await _write(source, part)
                    if greeting is None and size >= BEGINNING_BYTES:  # the ledger is asked while the rest comes
                        source.seek(0)
                        beginning = source.read(BEGINNING_BYTES)
                        source.seek(size)
                        greeting = asyncio.create_task(run_in_threadpool(_greeted, reception, io.BytesIO(beginning)))
                        greeting.add_done_callback(lambda done: done.cancelled() or done.exception())
                    if greeting and (greeting.done() or size >= IN_MEMORY_BYTES):  # who is refused gets not at the disk
                        await greeting
                greeted = await greeting if greeting else None
            except Refused as refused:
                return _response(answered(refused.why), unread=True)
            return _response(await run_in_threadpool(_taken, reception, source, greeted))

    router.add_route(PATH, receive, methods=["POST"])  # without what FastAPI puts around it

    @router.get(PATH + "/{envelope}")
    async def receipt(envelope: str) -> Response:
        """The receipt given for an envelope, for a sender that has lost the answer."""
        try:
            found = await run_in_threadpool(reception.receipt, envelope)
        except StoreUnavailable as away:
            return _response(answered(Why("store", {"what": str(away)})))
        return _response(Answer("taken", receipt=found) if found else answered(Why("not_here")))

    return router


class Greeted(NamedTuple):
    """The consent that an envelope names, and when it was asked for, on the clock that never jumps."""

    found: ConsentFound
    asked_at: float


def _greeted(reception: Reception, source: BinaryIO) -> Greeted:
    if reception.backlog() > reception.limits.waiting:
        raise Refused("busy", seconds=RETRY_SECONDS)
    source.seek(0)
    asked_at = seconds_running()
    return Greeted(reception.greet(source), asked_at)


def _taken(reception: Reception, source: BinaryIO, greeted: Greeted | None) -> Answer:
    try:
        if greeted is None or seconds_running() - greeted.asked_at > FRESH_SECONDS:
            greeted = _greeted(reception, source)
    except Refused as refused:
        return answered(refused.why)
    return reception.take(source, greeted.found)


async def _write(source: IO[bytes], part: bytes) -> None:
    if len(part) >= IN_MEMORY_BYTES // 4:
        await run_in_threadpool(source.write, part)
    else:
        source.write(part)


def _response(answer: Answer, unread: bool = False) -> Response:
    headers = {"connection": "close"} if unread else {}
    status = {"taken": 200, "held": 202}.get(answer.became) or _STATUS[answer.why.code if answer.why else "unreadable"]
    if answer.became == "later":
        headers["retry-after"] = str(RETRY_SECONDS)
    return Response(write_answer(answer), status, headers, media_type="application/json")


def contacts_router(database: Database, member: Member) -> APIRouter:
    """Where members are reached, which nobody has to believe (see `directory`), and whether the node is up."""
    router = APIRouter()

    @router.get(CONTACTS)
    def contacts() -> Response:
        with database.reading() as tx:
            known = store.contacts(tx)
        known[member.member] = Contact(member.member, member.name, member.url)
        return Response(msgspec.json.encode(list(known.values())), media_type="application/json")

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "up", "role": member.role}

    return router
