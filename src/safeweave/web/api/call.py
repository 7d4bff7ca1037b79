"""One call of the API: who calls in which role, what it says, and what an endpoint answers.

An endpoint is a function `(call, tx) -> Answer`. One that `writes` runs in one transaction with the note of its answer,
so that the same call with the same Idempotency-Key is answered again and works once. One that says what it is `holding`
runs beside others that write, waits for that first, and runs again if it was crossed.
"""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from safeweave.database import Transaction
from safeweave.errors import Malformed, NotAllowed
from safeweave.facts import Fact
from safeweave.people import Person
from safeweave.web.access import Scope, Standing, role_that_may
from safeweave.web.api.problem import FHIR
from safeweave.web.asked import Asked

T = TypeVar("T")
JSON = "application/json"
MOST_ITEMS, ITEMS = 200, 50
Method = Literal["GET", "POST", "DELETE"]


class Answer(NamedTuple):
    """What is answered: a value that becomes JSON, a status, and where a thing that was made is."""

    body: Any
    status: int = 200
    location: str = ""
    headers: Mapping[str, str] = {}


class Client(Fact, frozen=True):
    """A machine that may call, and the scopes it has now."""

    id: str
    account: str
    scopes: tuple[str, ...]


class Parameter(NamedTuple):
    """Something that stands behind the question mark: its name, JSON schema, and whether it must be there."""

    name: str
    schema: Mapping[str, Any]
    required: bool = False


PAGED = (
    Parameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": ITEMS}),
    Parameter("cursor", {"type": "string", "maxLength": 400}),
)


@dataclass
class Call:
    """One call."""

    asked: Asked
    raw: bytes
    client: Client | None = None
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)

    # ------------------------------------------------------------ what is said

    def body(self, kind: type[T]) -> T:
        """The body, decoded. Raises Malformed with the field that is wrong."""
        try:
            return msgspec.json.decode(self.raw or b"{}", type=kind)
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at `$")
            raise Malformed(what, field=place.rstrip("`").lstrip(".")) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(str(error)) from None

    def check_text(self) -> None:
        """Refuse a body of JSON with U+0000, which no store of ours can hold. Raises Malformed with the field."""
        if b"\\u0000" not in self.raw:
            return
        try:
            place = _place_of_nul(msgspec.json.decode(self.raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # it is no JSON, and is refused as that
        if place is not None:
            raise Malformed("U+0000 stands in a text; leave it out", field=place)

    @property
    def limit(self) -> int:
        """How many items are asked for. Raises Malformed."""
        text = self.asked.query("limit") or self.asked.query("_count") or str(ITEMS)
        if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MOST_ITEMS):
            raise Malformed(f"limit is a number from 1 to {MOST_ITEMS}", field="limit")
        return int(text)

    @property
    def cursor(self) -> tuple[str, ...] | None:
        """The place after which items are asked for; None for the beginning. Raises Malformed."""
        text = self.asked.query("cursor")
        if not text:
            return None
        try:
            found = msgspec.json.decode(base64.urlsafe_b64decode(text.encode() + b"=="), type=tuple[str, ...])
        except (ValueError, msgspec.MsgspecError):
            raise _no_cursor() from None
        return found

    @property
    def behind(self) -> tuple[datetime, str] | None:
        """The instant and id behind which items are asked for, where a cursor names these. Raises Malformed."""
        if self.cursor is None:
            return None
        try:
            at, id = self.cursor
            return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z"), id
        except ValueError:
            raise _no_cursor() from None

    def page(self, items: Sequence[T], key: Callable[[T], Sequence[str]]) -> tuple[list[T], str]:
        """The items of this page, and the cursor of the next one; "" if it is the last.

        `items` are all of them, newest or first ones first, each with a `key` of its own.
        """
        rest, after = list(items), self.cursor
        if after is not None:
            keys = [tuple(key(item)) for item in rest]
            if after not in keys:
                raise Malformed("what the cursor names is gone; begin anew without it", field="cursor")
            rest = rest[keys.index(after) + 1 :]
        shown = rest[: self.limit]
        return shown, cursor_of(key(shown[-1])) if len(rest) > len(shown) else ""

    # ------------------------------------------------------------ permission

    def must(self, tx: Transaction, action: str, person: Person, thing: str = "", told: bool = False) -> None:
        """As on a page: go on only if the table allows it, and note that they looked."""
        self.asked.must(tx, action, person, thing, told)

    def must_as_sender(self, tx: Transaction, action: str, thing: str = "") -> str:
        """Go on only if a hospital calls, as one of the senders we know, and it may; its sender. Raises NotAllowed."""
        account = self.asked.who
        scopes = frozenset[Scope]({"sender"} if account.sender else ())
        role = role_that_may(action, (Standing("hospital", scopes),)) if account.role == "hospital" else None
        if role is None:
            raise NotAllowed(action)
        return account.sender


def _no_cursor() -> Malformed:
    return Malformed("the cursor is none that was given here; begin anew without it", field="cursor")


def _place_of_nul(value: object, place: str = "") -> str | None:
    """Where U+0000 stands in this value, as `entry[0].note`; None if it stands nowhere."""
    match value:
        case str():
            return place if "\0" in value else None
        case dict():
            inside = [(each, f"{place}.{name}".lstrip(".")) for name, each in value.items()]
            if any("\0" in name for name in value):
                return place
        case list():
            inside = [(each, f"{place}[{n}]") for n, each in enumerate(value)]
        case _:
            return None
    return next((found for each, where in inside if (found := _place_of_nul(each, where)) is not None), None)


def cursor_of(key: Sequence[str]) -> str:
    """A cursor that names the item with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


Run = Callable[[Call, Transaction], Answer]
Holding = Callable[[Call, Transaction], Collection[str]]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint, and everything the description of the API says about it."""

    method: Method
    path: str
    run: Run
    summary: str  # a key of words/api.toml
    answers: Any = None  # the type of the body; None: a FHIR resource
    takes: Any = None
    query: tuple[Parameter, ...] = ()
    status: int = 200
    open: bool = False  # to everybody
    scope: str = ""  # the FHIR resource a scope must name; "" for the API's own
    form: bool = False  # what it takes is a form, as OAuth has it
    kind: str = JSON
    holding: Holding | None = None  # the locks it needs, read before it begins; None: it writes alone

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET" and not self.form

    @property
    def fhir(self) -> bool:
        """Whether it speaks FHIR."""
        return self.kind == FHIR


class Endpoints:
    """The endpoints of one file."""

    def __init__(self) -> None:
        self.found: list[Endpoint] = []

    def get(self, path: str, summary: str, answers: Any = None, **more: Any) -> Callable[[Run], Run]:
        """An endpoint that shows."""
        return self._at("GET", path, summary, answers, more)

    def post(self, path: str, summary: str, answers: Any = None, **more: Any) -> Callable[[Run], Run]:
        """An endpoint that changes something."""
        return self._at("POST", path, summary, answers, more)

    def delete(self, path: str, summary: str, answers: Any = None, **more: Any) -> Callable[[Run], Run]:
        """An endpoint that takes something away."""
        return self._at("DELETE", path, summary, answers, more)

    def _at(
        self, method: Method, path: str, summary: str, answers: Any, more: Mapping[str, Any]
    ) -> Callable[[Run], Run]:
        def noted(run: Run) -> Run:
            self.found.append(Endpoint(method, path, run, f"api.{summary}", answers, **more))
            return run

        return noted
