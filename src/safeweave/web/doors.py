"""Where hospitals knock: FHIR, e-bills and 医保 settlements over HTTP, HL7 v2 over MLLP.

A message is stored with fsync before it is acknowledged. A stranger's or unreadable message is answered with what is
wrong and where, and kept for repair: whole if its sender is known and it is not too large, else its beginning.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from safeweave.clock import Clock
from safeweave.database import Database, Transaction
from safeweave.errors import StoreUnavailable
from safeweave.events import Event
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, Sender, hl7v2
from safeweave.exchange.inbound import Arrived, Fault, Receipt
from safeweave.web.intake import Intake
from safeweave.worker import Worker

log = logging.getLogger("safeweave.doors")

_STATUS = {"taken": 200, "duplicate": 200, "conflict": 409, "refused": 400}
KEPT_BYTES = 64 * 1024  # of a message from a stranger, or one that is too large
BODY_SECONDS = 30.0  # how long a sender may send nothing in the middle of a message
STRANGER_SECONDS = 1.0  # how long a stranger may take for the beginning that is kept


@dataclass(frozen=True)
class Hall:
    """What stands behind every door."""

    database: Database
    worker: Worker
    limits: Limits
    clock: Clock
    body_seconds: float = BODY_SECONDS
    register: senders.Register = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "register", senders.Register(self.database))

    def receive(self, arrived: Sequence[Arrived], at_once: bool = True) -> list[Receipt]:
        """The receipts of these messages, which are stored when this returns.

        What could follow from them is done with it if `at_once`, else by the worker.
        """
        received_at = self.clock()

        def write(tx: Transaction) -> tuple[list[Receipt], Sequence[Event], datetime]:
            receipts, told = inbound.take(tx, arrived, received_at)
            return receipts, told, received_at

        return self.worker.accept(write, at_once)

    def stranger(self, raw: bytes, fault: Fault) -> Arrived:
        """A message nobody we know has sent; no more of it is kept for repair than the fault says."""
        return self.beginning(raw, inbound.unknown_sender(), fault)

    def beginning(self, raw: bytes, sender: Sender, fault: Fault) -> Arrived:
        """A message that is refused unread; no more of it is kept for repair than the fault says."""
        if len(raw) > KEPT_BYTES:
            fault = msgspec.structs.replace(fault, what=f"{fault.what}. Only its first {KEPT_BYTES} bytes are kept")
        return Arrived(raw[:KEPT_BYTES], sender, None, fault)


# ---------------------------------------------------------------- HTTP


class Answered(NamedTuple):
    """What a hospital is answered."""

    receipt: Receipt
    status: int
    headers: Mapping[str, str] = {}


class Body(NamedTuple):
    """What came of a request's body: no more of it than was asked for, how much it was, whether it came to its end."""

    raw: bytes
    size: int
    is_whole: bool


async def read_body(request: Request, most: int, seconds: float, in_all: bool = False) -> Body:
    """The body, of which `most` bytes are kept and the rest is let pass.

    It breaks off when nothing comes for `seconds`, or after that time `in_all`; once there is more than `most`, in all.
    Raises ClientDisconnect if the sender is gone.
    """
    parts, time = request.stream(), asyncio.get_running_loop().time
    raw, size, until = bytearray(), 0, time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(until):
                part = await anext(parts, None)
        except TimeoutError:
            return Body(bytes(raw), size, False)
        if part is None:
            return Body(bytes(raw), size, True)
        raw += part[: most - len(raw)]
        size += len(part)
        if size <= most and not in_all:
            until = time() + seconds


_CLOSE = {"connection": "close"}
_CHALLENGE = {"www-authenticate": 'Bearer realm="safeweave"'}  # RFC 6750 §3


def http_door(hall: Hall) -> FastAPI:
    """The HTTP door: POST /fhir, /fhir/{type}, /ebills, /settlements; GET /fhir/metadata, /health."""
    app = FastAPI(title="safeweave hospital door", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    intake = Intake(hall.receive)

    async def knock(request: Request, content_type: str) -> Answered:
        try:
            return await let_in(request, content_type)
        except StoreUnavailable as away:
            log.warning("a message could not be kept: %s", away)
            fault = Fault("the store takes nothing now and the message was not kept; send it again in some seconds")
            return Answered(Receipt("refused", fault=fault), 503, _CLOSE | {"retry-after": "5"})

    async def let_in(request: Request, content_type: str) -> Answered:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""  # RFC 7235: schemes are read in any case
        sender = await run_in_threadpool(hall.register.by_token, token) if token else None
        if intake.is_full():
            fault = Fault("more messages are waiting than can be held; send it again in a second", field="body")
            return Answered(Receipt("refused", fault=fault), 503, _CLOSE | {"retry-after": "1"})
        try:
            if sender is None:
                return await turn_away(request)
            most = hall.limits.max_bytes
            body = await read_body(request, most, hall.body_seconds)
        except ClientDisconnect:
            return Answered(Receipt("refused", fault=Fault("the connection ended in the message", field="body")), 400)
        if body.size > most:
            fault = Fault(f"the message is larger than {most} bytes; send it in smaller parts", field="body")
            receipt = await stored(hall.beginning(body.raw, sender, fault))
            return Answered(receipt, 413, {} if body.is_whole else _CLOSE)
        if not body.is_whole:
            what = f"nothing came for {hall.body_seconds:g} s after byte {body.size}; send the whole message again"
            return Answered(Receipt("refused", fault=Fault(what, field="body")), 408, _CLOSE)
        read = partial(inbound.open_message, body.raw, sender, hall.limits, content_type)
        _, receipt = await intake.receive(sender.id, body.size, read)
        return Answered(receipt, _STATUS[receipt.status])

    async def stored(arrived: Arrived) -> Receipt:
        _, receipt = await intake.receive(arrived.sender.id, len(arrived.raw), lambda: arrived)
        return receipt

    async def turn_away(request: Request) -> Answered:
        if "expect" in request.headers:  # who asks before sending (100-continue) need not send
            body = Body(b"", 0, False)
        else:
            body = await read_body(request, KEPT_BYTES, STRANGER_SECONDS, in_all=True)
        what = "the bearer token belongs to no registered sender; ask the insurer for one"
        if body.size > len(body.raw) or not body.is_whole:
            what += f". Only its first {len(body.raw)} bytes are kept"
        arrived = hall.stranger(body.raw, Fault(what, field="Authorization"))
        receipt = await stored(arrived)
        return Answered(receipt, 401, _CHALLENGE if body.is_whole else _CHALLENGE | _CLOSE)

    async def fhir(request: Request) -> Response:
        receipt, status, headers = await knock(request, "application/fhir+json")
        return Response(_outcome(receipt, status), status, headers, media_type="application/fhir+json")

    app.add_api_route("/fhir", fhir, methods=["POST"], summary="A FHIR R4 transaction bundle")
    app.add_api_route("/fhir/{resource_type}", fhir, methods=["POST", "PUT"], summary="A single FHIR R4 resource")

    @app.post("/ebills", summary="A fiscal medical e-bill (XML)")
    async def ebills(request: Request) -> Response:
        receipt, status, headers = await knock(request, "application/xml")
        return Response(_receipt_json(receipt), status, headers, media_type="application/json")

    @app.post("/settlements", summary="A 医保 settlement message (JSON)")
    async def settlements(request: Request) -> Response:
        receipt, status, headers = await knock(request, "application/json")
        return Response(_receipt_json(receipt), status, headers, media_type="application/json")

    @app.get("/fhir/metadata", summary="What this door understands")
    async def metadata() -> Response:
        return Response(msgspec.json.encode(CAPABILITIES), media_type="application/fhir+json")

    @app.get("/health", summary="Whether the node is up")
    async def health() -> dict[str, str]:
        return {"status": "up"}

    return app


CAPABILITIES: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2026-11-25",
    "kind": "instance",
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}],
            "resource": [
                {"type": name, "interaction": [{"code": "create"}, {"code": "update"}]}
                for name in ("Patient", "Encounter", "Condition", "ChargeItem", "Invoice", "Claim")
            ],
        }
    ],
}


def _receipt_json(receipt: Receipt) -> bytes:
    answer: dict[str, object] = {"status": receipt.status, "number": receipt.number, "control_id": receipt.control_id}
    if receipt.fault:
        answer["fault"] = {"what": receipt.fault.what, "line": receipt.fault.line, "field": receipt.fault.field}
    return msgspec.json.encode(answer)


_ISSUES = {401: "login", 408: "timeout", 409: "conflict", 413: "too-long", 503: "throttled"}  # FHIR R4 IssueType


def _outcome(receipt: Receipt, status: int) -> bytes:
    """The answer as an OperationOutcome (FHIR R4), with the place of a fault as its expression."""
    if receipt.fault is None:
        issue: dict[str, object] = {
            "severity": "information",
            "code": "informational",
            "diagnostics": f"{receipt.status} as number {receipt.number}; {receipt.events} events",
        }
    else:
        issue = {
            "severity": "error",
            "code": _ISSUES.get(status, "invalid"),
            "diagnostics": receipt.fault.what,
            "expression": [receipt.fault.field or f"line {receipt.fault.line}"],
        }
    return msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})


# ---------------------------------------------------------------- MLLP


_NAMES_NOBODY = Fault(
    "MSH-3 and MSH-4 name no registered sender; ask the insurer to register them", line=1, field="MSH-4"
)
_NAMES_NOTHING = Fault(
    "the message does not begin with an MSH segment that names its sender in MSH-3 and MSH-4", line=1, field="MSH"
)


def hl7_answer(hall: Hall) -> Callable[[bytes], Awaitable[bytes]]:
    """What answers each HL7 v2 message on the MLLP door with its ACK or NAK."""

    def acknowledge(arrived: inbound.Arrived, receipt: Receipt) -> bytes:
        rejected: Literal["AR", "AE"] = "AR" if arrived.sender.id == senders.UNKNOWN else "AE"
        code: Literal["AA", "AR", "AE"] = "AA" if receipt.fault is None else rejected
        return hl7v2.ack(arrived.raw, code, receipt.fault, hall.clock())

    def read(raw: bytes) -> Arrived:
        application, facility = hl7v2.sending_system(raw)
        sender = hall.register.by_hl7(application, facility)
        if sender is None:
            arrived = hall.stranger(raw, _NAMES_NOBODY if application or facility else _NAMES_NOTHING)
            return msgspec.structs.replace(arrived, acknowledge=acknowledge)
        return inbound.open_message(raw, sender, hall.limits, "x-application/hl7-v2+er7", acknowledge)

    intake = Intake(hall.receive)

    async def answer(raw: bytes) -> bytes:
        arrived, receipt = await intake.receive("/".join(hl7v2.sending_system(raw)), len(raw), partial(read, raw))
        return receipt.answer or acknowledge(arrived, receipt)

    return answer
