"""What came and could not be placed, and mending it: messages, visits without a case, gaps, parked work."""

from starlette.responses import Response

from safeweave import outbox
from safeweave.cases.store import waiting_visits
from safeweave.consortium import locking
from safeweave.errors import Conflict, Malformed, NotFound
from safeweave.events import VisitTold
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits
from safeweave.web import live
from safeweave.web.asked import Asked
from safeweave.web.operations.around import shown
from safeweave.web.operations.room import reason_said
from safeweave.web.pages import Routes

routes = Routes()

MOST_ROWS = 100
MOST_TO_MEND = 400_000  # characters that a page shows and takes back; what is longer is mended from a file


@routes.get("/operations/inbox")
def inbox(asked: Asked) -> Response:
    """Everything that waits for repair, the latest first."""
    asked.must_ours("inbox.read")
    with asked.reading() as tx:
        messages, visits, gaps = inbound.inbox(tx), waiting_visits(tx), inbound.gaps(tx)
        unplaced, parked = inbound.unplaced(tx), outbox.parked(tx)
        return shown(
            asked, tx, "operations/inbox.html", "inbox", most=MOST_ROWS,
            messages=messages[:MOST_ROWS], messages_all=len(messages), visits=visits[:MOST_ROWS],
            visits_all=len(visits), gaps=gaps[:MOST_ROWS], unplaced=unplaced[:MOST_ROWS], parked=parked[:MOST_ROWS],
            reason=lambda code: reason_said(code, asked.language),
        )  # fmt: skip


@routes.get("/operations/inbox/{number}")
def message(asked: Asked) -> Response:
    """One message as it came, what is wrong with it and where, and a form to mend it."""
    asked.must_ours("inbox.read", f"message:{_number(asked)}")
    return _message(asked, 200, None, "")


def _message(asked: Asked, status: int, typed: str | None, fault: str) -> Response:
    number = _number(asked)
    with asked.reading() as tx:
        entry = next((each for each in inbound.inbox(tx) if each.number == number), None)
        if entry is None:
            raise NotFound("no such message waits for repair")
        sender, raw = inbound.original(tx, number)
        known = senders.every(tx)
        text = _text(raw)
        return shown(
            asked, tx, "operations/message.html", "inbox", status, entry=entry, known=sorted(known),
            chosen=asked.field("sender", 200) or (sender if sender in known else ""), fault=fault,
            text=text if typed is None else typed, too_long=len(text) > MOST_TO_MEND,
        )  # fmt: skip


@routes.post("/operations/inbox/{number}")
def mend(asked: Asked) -> Response:
    """Take a kept message again: as it came, or with what was written in its place."""
    number = _number(asked)
    asked.must_ours("inbox.repair", f"message:{number}")
    typed = (asked.fields.get("text") or [""])[0]
    with asked.reading() as tx:
        _, raw = inbound.original(tx, number)
        sender = senders.every(tx).get(asked.field("sender", 200))
    if sender is None:
        return _message(asked, 400, typed or None, asked.say("operations.inbox.no_sender"))
    mended = _bytes(raw, typed)
    with asked.writing(then="/operations/inbox") as tx:
        limits = Limits(max_bytes=asked.site.settings.max_message_bytes)
        receipt, told = inbound.repair(tx, number, mended, sender, limits, asked.now)
        asked.tell(tx, told)
        live.notify(tx, "inbox", "", asked.now)
    if receipt.status in ("taken", "duplicate"):
        return asked.go(said=f"operations.inbox.{receipt.status}")
    place = f"{receipt.fault.field or receipt.fault.line}: {receipt.fault.what}" if receipt.fault else ""
    return _message(asked, 400, typed, asked.say("operations.inbox.still", what=place))


@routes.post("/operations/visits")
def look_again(asked: Asked) -> Response:
    """Look again at visits without a case, after policies, persons or hospitals were added."""
    asked.must_ours("inbox.repair")
    with asked.writing(then="/operations/inbox") as tx:
        asked.tell(tx, [VisitTold(visit.sender, visit.visit) for visit in waiting_visits(tx)])
        locking.look_again(tx, asked.now)
        live.notify(tx, "inbox", "", asked.now)
    return asked.go(said="operations.inbox.looking")


@routes.post("/operations/parked/{task}")
def unpark(asked: Asked) -> Response:
    """Try work again that could not be done."""
    asked.must_ours("inbox.repair")
    with asked.writing(then="/operations/inbox") as tx:
        if not outbox.unpark(tx, [_number(asked, "task")], asked.now):
            raise Conflict("it is parked no more")
        live.notify(tx, "inbox", "", asked.now)
    return asked.go(said="operations.inbox.unparked")


def _number(asked: Asked, name: str = "number") -> int:
    text = asked.place(name)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound("there is no such number")
    return int(text)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _bytes(raw: bytes, typed: str) -> bytes:
    """The message to take: the bytes that came if nothing was changed, else what was typed with its own line ends."""
    text = typed.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip() or text == _text(raw):
        return raw
    if len(text) > MOST_TO_MEND:
        raise Malformed("it is too long to be mended on a page")
    return text.replace("\n", "\r" if b"\r" in raw and b"\n" not in raw else "\n").encode()
