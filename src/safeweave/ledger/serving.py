"""The doors of the ledger. That of the log is for other members: hand in, ask, read, prove; whoever reads can check all
but the state reads. That of a witness is for the operator.

Answers are JSON of the values in `ledger.py`; entries travel as they are in the log, each with its path to the root.
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from safeweave.errors import Malformed, SafeweaveError, StoreUnavailable, Unavailable
from safeweave.ledger.body import limited_body
from safeweave.ledger.checkpoint import decode_hash, encode_hash, read_checkpoint
from safeweave.ledger.cosigning import Behind
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Head, Outcome
from safeweave.ledger.operation import SignedOperation, operation_id
from safeweave.ledger.store import LogDamaged
from safeweave.ledger.wire import (
    MOST_ENTRIES,
    MOST_OPERATIONS,
    ConsentTold,
    EntriesTold,
    EntryTold,
    HeadTold,
    OutcomeTold,
)
from safeweave.ledger.witness import MOST_PATH, NotGrown, NotSigned, UnknownLog, Witness

MOST_BYTES = 8 * 1024 * 1024
MOST_WITNESSED_BYTES = 64 * 1024
LONGEST_WAIT = 5.0  # seconds that one question may wait for an operation to be final
SIZE_TYPE = "text/x.tlog.size"


_operations = msgspec.json.Decoder(list[SignedOperation])


def ledger_router(ledger: EmbeddedLedger) -> APIRouter:
    """The routes of a log; put them under any prefix."""
    router = APIRouter()

    async def answer(work: Callable[[], Any]) -> Response:
        return await run_in_threadpool(answered, work)

    def answered(work: Callable[[], Any]) -> Response:
        try:
            value = work()
        except Malformed as fault:
            return _no(400, fault)
        except (Unavailable, StoreUnavailable) as fault:
            return _no(503, fault)
        except LogDamaged as fault:
            return _no(500, fault)
        return Response(msgspec.json.encode(value), media_type="application/json")

    @router.post("/operations")
    async def submit(request: Request) -> Response:
        try:
            body = await limited_body(request, MOST_BYTES)
        except Malformed as fault:
            return _no(400, fault)

        def work() -> list[str]:
            try:
                signed = _operations.decode(body)
            except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Malformed(f"these are no signed operations: {error}") from None
            if len(signed) > MOST_OPERATIONS:
                raise Malformed(f"more than {MOST_OPERATIONS} operations; hand in fewer at once")
            ledger.submit(signed)
            return [operation_id(one.operation) for one in signed]

        return await answer(work)

    @router.get("/operations/{id}")
    async def outcome(id: str, seconds: float = 0.0) -> Response:
        def work() -> OutcomeTold:
            found: Outcome = ledger.outcome(_hex(id), min(max(seconds, 0.0), LONGEST_WAIT))
            return OutcomeTold(found, ledger.prove(id) if isinstance(found, Final) else None)

        return await answer(work)

    @router.get("/operations/{id}/proof")
    async def proof(id: str) -> Response:
        return await answer(lambda: ledger.prove(_hex(id)))

    async def head(request: Request) -> Response:
        def work() -> HeadTold:
            old = _number(request, "old") or 0
            found = ledger.head()
            path = ledger.consistency(old, found.height) if old <= found.height else []
            return HeadTold(found, tuple(encode_hash(hash) for hash in path))

        return answered(work)

    @router.get("/consistency")
    async def consistency(old: Annotated[int, Query(ge=0)], size: Annotated[int, Query(ge=0)]) -> Response:
        return await answer(lambda: [encode_hash(hash) for hash in ledger.consistency(old, size)])

    @router.get("/entries")
    async def entries(after: Annotated[int, Query(ge=-1)], limit: Annotated[int, Query(ge=1)] = 100) -> Response:
        def work() -> EntriesTold:
            note = ledger.checkpoint()
            size = read_checkpoint(note).size
            found = ledger.entries(after, min(limit, MOST_ENTRIES, max(size - after - 1, 0)))
            told = [
                EntryTold(raw.decode(), tuple(encode_hash(hash) for hash in ledger.inclusion(after + 1 + n, size)))
                for n, raw in enumerate(found)
            ]
            return EntriesTold(note.text(), tuple(told))

        return await answer(work)

    @router.get("/members/{id}")
    async def member(id: str, height: int | None = None, time: int = 0) -> Response:
        return await answer(lambda: ledger.member(_hex(id), _at(height, time)))

    async def consent(request: Request) -> Response:
        def work() -> ConsentTold:
            at, old = _at(_number(request, "height"), _number(request, "time") or 0), _number(request, "old") or 0
            found = ledger.consent(_hex(request.path_params["id"]), at)
            between = (found.record.by, found.record.grantee) if found.record else ()
            members = [member for id in dict.fromkeys(between) if (member := ledger.member(id, found.head))]
            path = ledger.consistency(old, found.head.height) if at is None and old <= found.head.height else []
            return ConsentTold(found, tuple(members), tuple(encode_hash(hash) for hash in path))

        return answered(work)

    @router.get("/anchors/{root}")
    async def anchor(root: str) -> Response:
        return await answer(lambda: ledger.find_anchor(_hex(root)))

    @router.get("/nullifiers/{issuer}/{nullifier}/{part}")
    async def nullifier(issuer: str, nullifier: str, part: int) -> Response:
        return await answer(lambda: ledger.nullifier(_hex(issuer), _hex(nullifier), _part(part)))

    @router.get("/membership")
    async def membership() -> Response:
        return await answer(ledger.membership)

    @router.get("/roots")
    async def roots() -> Response:
        return await answer(ledger.roots)

    @router.get("/standing")
    async def standing() -> Response:
        return await answer(ledger.standing)

    # Asked for with every record that is sent: answered where they are asked, for a thread would take longer than the
    # few rows they read, and without what FastAPI puts around a question.
    router.add_route("/head", head)
    router.add_route("/consents/{id}", consent)
    return router


def witness_router(witness: Witness) -> APIRouter:
    """The door of a witness: POST /add-checkpoint (C2SP tlog-witness)."""
    router = APIRouter()

    @router.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        try:
            old, path, note = _grown_in(await limited_body(request, MOST_WITNESSED_BYTES))
            line = await run_in_threadpool(witness.add, note, old, path)
        except Behind as behind:
            return Response(f"{behind.size}\n", 409, media_type=SIZE_TYPE)
        except (UnknownLog, NotSigned, NotGrown, Malformed, StoreUnavailable) as fault:
            return Response(f"{fault}\n", _WITNESS_STATUS[type(fault)], media_type="text/plain")
        return Response(line, media_type="text/plain")

    return router


_WITNESS_STATUS: dict[type, int] = {
    UnknownLog: 404,
    NotSigned: 403,
    NotGrown: 422,
    Malformed: 400,
    StoreUnavailable: 503,
}


def _grown_in(body: bytes) -> tuple[int, list[bytes], str]:
    try:
        head, gap, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise Malformed("the request is not text") from None
    old, *hashes = head.split("\n")
    if not gap or not old.startswith("old ") or not old[4:].isdecimal() or len(old) > 20 or len(hashes) > MOST_PATH:
        raise Malformed("the request does not begin with `old SIZE` and a proof")
    return int(old[4:]), [decode_hash(hash) for hash in hashes], note


def _at(height: int | None, time: int) -> Head | None:
    return None if height is None else Head(height, "", time)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 15:
        raise Malformed(f"{name} is a whole number, not {text!r:.40}")
    return int(text)


def _hex(id: str) -> str:
    if len(id) != 64 or set(id) - set("0123456789abcdef"):
        raise Malformed(f"{id!r} is no id of 64 hex digits")
    return id


def _part(part: int) -> int:
    if not 1 <= part < 2**16:
        raise Malformed(f"{part} is no part of a bill")
    return part


def _no(status: int, fault: SafeweaveError) -> Response:
    return Response(msgspec.json.encode({"fault": str(fault)}), status, media_type="application/json")
