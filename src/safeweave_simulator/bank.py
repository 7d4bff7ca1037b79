"""The sandbox bank: a process of its own with one account, an HTTP face and faults on demand.

    python -m safeweave_simulator.bank --port 8091 --data bank.sqlite [--seed 7] [--delay-ms 20] [--opening 1000000.00]

    POST /payments        {"payments": [{key, amount_fen, name, account, bank_code, purpose}]}, or a pain.001.001.09,
                          answered by a pain.002.001.10; a single payment whose key holds other content gets 409
    GET  /payments/{key}  what became of it; 404 if never seen. GET /payments?key=a&key=b asks for many
    GET  /statement       ?day=2026-03-06 or ?first=..&last=..; JSON, or camt.053.001.08 with Accept: application/xml
    GET  /notices         ?after=N: confirmations and returns, in order; one may be told twice under the same id
    GET  /balance, GET /health
    POST /faults          {kind, share or keys, seed, times, reason, ms}; DELETE /faults ends them
    POST /accounts        {account, name, closed}: a payee's account whose name is checked
    POST /receipts        {amount_fen, text}: somebody pays in

A payment is known by its key: the same content is answered as before, other content never. Nothing it answered is
forgotten when it is killed.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from safeweave.errors import Malformed
from safeweave.money import Fen, fen_of
from safeweave.payments import iso20022
from safeweave.payments.bank import Outcome, StatementEntry
from safeweave_simulator.bank_books import FAULTS, Answer, BankBooks, Fault, Payment

OUR_CLIENT = iso20022.Debtor("示例保险股份有限公司", "3310010000000000001", "102332000001")


def _now() -> datetime:
    return datetime.now(UTC)


class _Silence(Response):
    """An answer that breaks off: the caller learns nothing from it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


def bank_app(books: BankBooks, *, seed: int = 0, delay_ms: int = 0, clock: Callable[[], datetime] = _now) -> FastAPI:
    """The bank's HTTP face over these books; `seed` picks the keys that a fault with a share hits."""
    app = FastAPI(title="Sandbox bank", docs_url=None, redoc_url=None, openapi_url=None)

    async def answered(
        request: Request, answer: Answer, respond: Callable[[list[dict[str, Any]]], Response]
    ) -> Response:
        waited = 0
        while waited < answer.delay_ms + delay_ms:
            step = min(50, answer.delay_ms + delay_ms - waited)
            await asyncio.sleep(step / 1000)
            waited += step
            if await request.is_disconnected():
                break
        return _Silence() if answer.silent else respond(answer.results)

    @app.post("/payments")
    async def pay(request: Request) -> Response:
        body = await request.body()
        if "xml" in request.headers.get("content-type", ""):
            return await pay_by_file(request, body)
        try:
            payments = [_payment(item) for item in json.loads(body)["payments"]]
        except (ValueError, KeyError, TypeError) as fault:
            return JSONResponse({"error": f"not a list of payments: {fault}"}, 400)
        if len({payment.key for payment in payments}) != len(payments):
            return JSONResponse({"error": "one key stands in the order twice"}, 400)

        def respond(results: list[dict[str, Any]]) -> Response:
            alone_in_conflict = len(results) == 1 and results[0]["status"] == "conflict"
            return JSONResponse({"results": results}, 409 if alone_in_conflict else 200)

        return await answered(request, books.order(payments, clock()), respond)

    async def pay_by_file(request: Request, body: bytes) -> Response:
        try:
            order = iso20022.read_order(body)
        except Malformed as fault:
            return JSONResponse({"error": str(fault)}, 400)
        payments = [Payment(i.key, i.amount, i.name, i.account, i.bank_code, i.purpose) for i in order.instructions]
        now = clock()

        def respond(results: list[dict[str, Any]]) -> Response:
            outcomes = [(result["key"], _outcome(result)) for result in results]
            report = iso20022.write_statuses(f"ST-{order.message}"[:35], order.message, now, outcomes)
            return Response(report, media_type="application/xml")

        return await answered(request, books.order(payments, now), respond)

    @app.get("/payments")
    async def ask_many(request: Request) -> Response:
        return JSONResponse({"results": books.results(request.query_params.getlist("key"), clock())})

    @app.get("/payments/{key}")
    async def ask(key: str) -> Response:
        (result,) = books.results([key], clock())
        return JSONResponse(result, 404 if result["status"] == "unknown" else 200)

    @app.get("/statement")
    async def statement(request: Request) -> Response:
        query = request.query_params
        try:
            first = date.fromisoformat(query.get("day") or query["first"])
            last = date.fromisoformat(query.get("day") or query["last"])
        except (KeyError, ValueError):
            return JSONResponse({"error": "say ?day=2026-03-06, or ?first= and ?last="}, 400)
        opening, lines = books.statement(first, last, clock())
        if "xml" in request.headers.get("accept", ""):
            entries = [_entry(line) for line in lines]
            name = f"STMT-{first:%Y%m%d}-{last:%Y%m%d}"
            xml = iso20022.write_statement(name, OUR_CLIENT, clock(), first, last, Fen(opening), entries)
            return Response(xml, media_type="application/xml")
        closing = opening + sum(line["amount_fen"] for line in lines)
        return JSONResponse({"opening_fen": opening, "closing_fen": closing, "entries": lines})

    @app.get("/notices")
    async def notices(after: int = 0) -> Response:
        return JSONResponse({"notices": books.notices(after, clock())})

    @app.get("/balance")
    async def balance() -> Response:
        return JSONResponse(books.balance(clock()))

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.post("/faults")
    async def add_fault(request: Request) -> Response:
        try:
            fault = _fault(json.loads(await request.body()), seed)
        except (ValueError, KeyError, TypeError) as wrong:
            return JSONResponse({"error": f"not a fault: {wrong}"}, 400)
        books.add_fault(fault)
        return JSONResponse({"kind": fault.kind, "share_bp": fault.share_bp, "keys": fault.keys}, 201)

    @app.delete("/faults")
    async def clear_faults() -> Response:
        books.clear_faults()
        return Response(status_code=204)

    @app.post("/accounts")
    async def open_account(request: Request) -> Response:
        account = json.loads(await request.body())
        books.open_account(str(account["account"]), str(account["name"]), bool(account.get("closed", False)))
        return Response(status_code=201)

    @app.post("/receipts")
    async def receive(request: Request) -> Response:
        receipt = json.loads(await request.body())
        amount = receipt["amount_fen"]
        if type(amount) is not int or amount <= 0:
            return JSONResponse({"error": "amount_fen is whole fen above zero"}, 400)
        return JSONResponse({"id": books.receive(amount, str(receipt.get("text", "")), clock())}, 201)

    return app


def _payment(item: dict[str, Any]) -> Payment:
    payment = Payment(
        str(item["key"]), item["amount_fen"], str(item["name"]), str(item["account"]), str(item.get("bank_code", "")),
        str(item.get("purpose", "")),
    )  # fmt: skip
    if type(payment.amount_fen) is not int or payment.amount_fen <= 0:
        raise ValueError("amount_fen is whole fen above zero")
    if not 0 < len(payment.key) <= 35 or not payment.name or not payment.account:
        raise ValueError("a payment has a key of at most 35 characters, a name and an account")
    return payment


def _fault(item: dict[str, Any], seed: int) -> Fault:
    kind = item["kind"]
    if kind not in FAULTS:
        raise ValueError(f"kind is one of {', '.join(FAULTS)}")
    share = item.get("share", 1)
    if not 0 <= share <= 1:
        raise ValueError("share is from 0 to 1")
    keys = item.get("keys")
    return Fault(
        kind, round(share * 10_000), int(item.get("seed", seed)), None if keys is None else tuple(map(str, keys)),
        int(item.get("times", 1)), str(item.get("reason", "")), int(item.get("ms", 0)),
    )  # fmt: skip


def _entry(line: dict[str, Any]) -> StatementEntry:
    booked_on = date.fromisoformat(line["booked_on"])
    return StatementEntry(line["id"], line["kind"], line["key"], Fen(line["amount_fen"]), booked_on, line["reason"])


def _outcome(result: dict[str, Any]) -> Outcome:
    at = datetime.fromisoformat(result["booked_at"]) if result["booked_at"] else None
    match result["status"]:
        case "booked":
            return Outcome("booked", at)
        case "accepted":
            return Outcome("pending")
        case "conflict":
            return Outcome("conflict", reason="AM05")
        case _:
            return Outcome("refused", reason=result["reason"])


def main() -> None:
    """Run the bank until it is stopped; the first line it prints says where it listens."""
    parser = argparse.ArgumentParser(prog="safeweave_simulator.bank", description="A bank to pay through in tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--data", type=Path, required=True, help="the bank's file; made if it is not there")
    parser.add_argument("--seed", type=int, default=0, help="picks the payments that faults with a share hit")
    parser.add_argument("--delay-ms", type=int, default=0, help="how long every answer to an order takes")
    parser.add_argument("--opening", type=fen_of, default=fen_of("100000000.00"), help="opening balance in yuan")
    given = parser.parse_args()
    given.data.parent.mkdir(parents=True, exist_ok=True)
    # Named as TCP, because asyncio turns Nagle's 40 ms wait off only on sockets that say so.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((given.host, given.port))
    listening.listen(128)  # from here on callers wait instead of being turned away
    print(f"http://{given.host}:{listening.getsockname()[1]}", flush=True)
    app = bank_app(BankBooks(given.data, given.opening), seed=given.seed, delay_ms=given.delay_ms)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
