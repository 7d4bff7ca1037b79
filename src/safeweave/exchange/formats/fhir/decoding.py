"""JSON to resources.

A bundle is decoded in one pass as long as all in it is as it should be; else entry by entry, which finds the place of a
fault and passes over the resources that are not read.
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

import msgspec

from safeweave.errors import Malformed
from safeweave.exchange.formats.fhir.resources import READ, Identifier, Resource
from safeweave.exchange.formats.reading import Limits
from safeweave.exchange.formats.values import instant_in

_BUNDLES = ("transaction", "batch", "collection", "message", "history", "searchset", "document")


class Entry(NamedTuple):
    """One entry of a message. `kind` is "" for a resource without type, None for an entry without resource; `resource`
    is None if its kind is not read."""

    path: str
    full_url: str
    kind: str | None
    resource: Resource | None


class Message(NamedTuple):
    """A message as decoded; a single resource is a message of one entry without path."""

    kind: str
    control_id: str
    sent_at: datetime | None
    entries: list[Entry]


if TYPE_CHECKING:
    _Known = Resource
else:
    # Tagged only here: a union goes by the first resourceType, while of a key that occurs twice the last counts.
    _Known = Union[  # noqa: UP007
        tuple(
            msgspec.defstruct(kind.__name__, [], bases=(kind,), tag_field="resourceType", tag=True, gc=False)
            for kind in READ
        )
    ]


class _KnownEntry(msgspec.Struct, gc=False):
    fullUrl: str = ""
    resource: _Known | msgspec.UnsetType = msgspec.UNSET


class _KnownBundle(msgspec.Struct, gc=False):
    """A bundle of nothing but resources that are read."""

    resourceType: Literal["Bundle"]
    id: str = ""
    type: str = ""
    identifier: Identifier = msgspec.field(default_factory=Identifier)
    timestamp: str | None = None
    entry: list[_KnownEntry] = []


class _AnyEntry(msgspec.Struct, gc=False):
    fullUrl: str = ""
    resource: msgspec.Raw = msgspec.Raw(b"")


class _Anything(msgspec.Struct, gc=False):
    """A bundle, or any resource as far as it is like one."""

    resourceType: str = ""
    id: str = ""
    type: Any = None
    identifier: msgspec.Raw = msgspec.Raw(b"")
    timestamp: Any = None
    entry: list[_AnyEntry] = []


class _Kind(msgspec.Struct, gc=False):
    resourceType: str = ""


_known_bundle = msgspec.json.Decoder(_KnownBundle)
_anything = msgspec.json.Decoder(_Anything)
_identifier = msgspec.json.Decoder(Identifier)
_kind = msgspec.json.Decoder(_Kind)
_decoders: dict[str, "msgspec.json.Decoder[Any]"] = {kind.__name__: msgspec.json.Decoder(kind) for kind in READ}


def message_in(raw: bytes, limits: Limits) -> Message:
    """The resources of a message; Malformed if it is no JSON or not what FHIR says."""
    body = _checked_text(raw)
    top = _top(body)
    if not top.resourceType:
        raise Malformed("no resourceType; send a FHIR resource or a 医保 envelope with infno", field="resourceType")
    if top.resourceType != "Bundle":
        return Message(top.resourceType, "", None, [_entry("", "", msgspec.Raw(body))])
    if top.type not in _BUNDLES:
        raise Malformed(f"a bundle of this type tells nothing; send one of {', '.join(_BUNDLES)}", field="type")
    if len(top.entry) > limits.max_entries:
        raise Malformed(f"{len(top.entry)} entries, {limits.max_entries} are allowed; send it in parts", field="entry")
    if top.timestamp is not None and not isinstance(top.timestamp, str):
        raise Malformed("no time; write it as 2026-03-06T15:20:41+08:00", field="timestamp")
    sent_at = instant_in(top.timestamp, "timestamp") if top.timestamp else None
    identifier = top.identifier
    if isinstance(identifier, msgspec.Raw):
        identifier = _decoded(_identifier, identifier, "identifier") if _is_there(identifier) else Identifier()
    return Message(
        "Bundle",
        identifier.value or top.id,
        sent_at,
        [_entry(f"entry[{index}].resource", entry.fullUrl, entry.resource) for index, entry in enumerate(top.entry)],
    )


def _top(body: bytes) -> Any:
    """The message as a `_KnownBundle` if it is one, else as `_Anything`."""
    try:
        return _known_bundle.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _decoded(_anything, body, "")


def _entry(path: str, full_url: str, resource: Resource | msgspec.UnsetType | msgspec.Raw) -> Entry:
    if isinstance(resource, Resource):
        return Entry(path, full_url, type(resource).__name__, resource)
    if resource is msgspec.UNSET or not _is_there(resource):
        return Entry(path, full_url, None, None)
    kind = _decoded(_kind, resource, path).resourceType
    decoder = _decoders.get(kind)
    return Entry(path, full_url, kind, _decoded(decoder, resource, path) if decoder else None)


def _is_there(raw: msgspec.Raw) -> bool:
    return memoryview(raw).nbytes > 0


def _decoded(decoder: "msgspec.json.Decoder[Any]", raw: bytes | msgspec.Raw, path: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as wrong:
        what, _, where = str(wrong).partition(" - at `")
        inner = where.rstrip("`").removeprefix("$").removeprefix(".")
        raise Malformed(
            f"{what.replace('`', '')}; send it as FHIR R4 says", field=".".join(p for p in (path, inner) if p)
        ) from None
    except msgspec.DecodeError as wrong:
        raise _not_json(wrong, bytes(raw), path) from None
    except RecursionError:
        raise Malformed("nested too deeply; send the resource plainly", field=path, line=1) from None


def _not_json(wrong: msgspec.DecodeError, raw: bytes, path: str) -> Malformed:
    place = re.search(r"\(byte ([0-9]+)\)", str(wrong))
    line = raw[: int(place[1])].count(b"\n") + 1 if place else raw.count(b"\n") + 1
    what = re.sub(r"\s*\(byte [0-9]+\)", "", str(wrong))
    return Malformed(f"{what}; send JSON as FHIR R4 says", field=path, line=line)


def _checked_text(raw: bytes) -> bytes:
    body = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = body[: wrong.start].count(b"\n") + 1
        raise Malformed(f"byte {wrong.start} is not UTF-8; FHIR is sent in UTF-8", line=line) from None
    if b"\\" in body and (at := body.find(b"\\u0000")) >= 0:
        raise Malformed("a NUL character; leave it out", line=body[:at].count(b"\n") + 1)
    return body
