"""Where hospitals knock: FHIR, e-bills and 医保 settlements over HTTP, HL7 v2 over MLLP.

A message is stored with fsync before it is acknowledged. A stranger's or unreadable message is answered with what is
wrong and where, and kept for repair.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from safeweave.clock import Clock
from safeweave.database import Database, Transaction
from safeweave.events import Event
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits, hl7v2
from safeweave.exchange.inbound import Arrived, Fault, Receipt
from safeweave.worker import Worker

_STATUS = {"taken": 200, "duplicate": 200, "conflict": 409, "refused": 400}


@dataclass(frozen=True)
class Hall:
    """What stands behind every door."""

    database: Database
    worker: Worker
    limits: Limits
    clock: Clock

    def receive(self, arrived: Arrived, received_at: datetime, answer: inbound.Answer | None = None) -> Receipt:
        """The receipt of one message, which is stored when this returns, with what could follow from it at once."""

        def write(tx: Transaction) -> tuple[Receipt, Sequence[Event], datetime]:
            receipts, told = inbound.take(tx, [arrived], received_at, answer)
            return receipts[0], told, received_at

        return self.worker.accept(write)

    def stranger(self, raw: bytes, fault: Fault) -> Arrived:
        """A message nobody we know has sent, to be kept for repair."""
        return Arrived(raw, inbound.unknown_sender(), None, fault)


# ---------------------------------------------------------------- HTTP


def http_door(hall: Hall) -> FastAPI:
    """The HTTP door: POST /fhir, /fhir/{type}, /ebills, /settlements; GET /fhir/metadata, /health."""
    app = FastAPI(title="safeweave hospital door", version="1", docs_url="/docs", redoc_url=None)

    async def knock(request: Request, content_type: str) -> tuple[Receipt, int]:
        raw = bytearray()
        async for part in request.stream():
            raw += part
            if len(raw) > hall.limits.max_bytes:
                what = f"the message is larger than {hall.limits.max_bytes} bytes; send it in smaller parts"
                return Receipt("refused", fault=Fault(what, field="body")), 413
        received_at = hall.clock()
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""  # RFC 7235: schemes are read in any case
        return await run_in_threadpool(take, bytes(raw), token, content_type, received_at)

    def take(raw: bytes, token: str, content_type: str, received_at: datetime) -> tuple[Receipt, int]:
        with hall.database.reading() as tx:
            sender = senders.by_token(tx, token) if token else None
        if sender is None:
            fault = Fault(
                "the bearer token belongs to no registered sender; ask the insurer for one", field="Authorization"
            )
            return hall.receive(hall.stranger(raw, fault), received_at), 401
        receipt = hall.receive(inbound.open_message(raw, sender, hall.limits, content_type), received_at)
        return receipt, _STATUS[receipt.status]

    async def fhir(request: Request) -> Response:
        receipt, status = await knock(request, "application/fhir+json")
        return Response(_outcome(receipt), status, media_type="application/fhir+json")

    app.add_api_route("/fhir", fhir, methods=["POST"], summary="A FHIR R4 transaction bundle")
    app.add_api_route("/fhir/{resource_type}", fhir, methods=["POST", "PUT"], summary="A single FHIR R4 resource")

    @app.post("/ebills", summary="A fiscal medical e-bill (XML)")
    async def ebills(request: Request) -> Response:
        receipt, status = await knock(request, "application/xml")
        return Response(_receipt_json(receipt), status, media_type="application/json")

    @app.post("/settlements", summary="A 医保 settlement message (JSON)")
    async def settlements(request: Request) -> Response:
        receipt, status = await knock(request, "application/json")
        return Response(_receipt_json(receipt), status, media_type="application/json")

    @app.get("/fhir/metadata", summary="What this door understands")
    async def metadata() -> Response:
        return Response(msgspec.json.encode(CAPABILITIES), media_type="application/fhir+json")

    @app.get("/health", summary="Whether the node is up")
    async def health() -> dict[str, str]:
        return {"status": "up"}

    return app


CAPABILITIES = {
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


def _outcome(receipt: Receipt) -> bytes:
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
            "code": "conflict" if receipt.status == "conflict" else "invalid",
            "diagnostics": receipt.fault.what,
            "expression": [receipt.fault.field or f"line {receipt.fault.line}"],
        }
    return msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})


# ---------------------------------------------------------------- MLLP


def hl7_answer(hall: Hall) -> Callable[[bytes], Awaitable[bytes]]:
    """What answers each HL7 v2 message on the MLLP door with its ACK or NAK."""

    def acknowledge(arrived: inbound.Arrived, receipt: Receipt) -> bytes:
        rejected: Literal["AR", "AE"] = "AR" if arrived.sender.id == senders.UNKNOWN else "AE"
        code: Literal["AA", "AR", "AE"] = "AA" if receipt.fault is None else rejected
        return hl7v2.ack(arrived.raw, code, receipt.fault, hall.clock())

    def answer(raw: bytes) -> bytes:
        received_at = hall.clock()
        application, facility = hl7v2.sending_system(raw)
        with hall.database.reading() as tx:
            sender = senders.by_hl7(senders.every(tx).values(), application, facility)
        if sender is None:
            fault = Fault("MSH-3 and MSH-4 name no registered sender; ask the insurer to register them", field="MSH-4")
            arrived = hall.stranger(raw, fault)
        else:
            arrived = inbound.open_message(raw, sender, hall.limits, "x-application/hl7-v2+er7")
        receipt = hall.receive(arrived, received_at, acknowledge)
        return receipt.answer or acknowledge(arrived, receipt)

    async def answer_without_blocking(raw: bytes) -> bytes:
        return await run_in_threadpool(answer, raw)

    return answer_without_blocking
