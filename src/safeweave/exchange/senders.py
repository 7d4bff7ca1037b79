"""Who may tell us things, how they speak, and how they prove who they are."""

import hashlib
from collections.abc import Iterable

import msgspec

from safeweave.database import Transaction
from safeweave.exchange.formats import Sender

UNKNOWN = "unknown"  # the sender of messages that name nobody we know

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sender).decode


def token_digest(token: str) -> str:
    """What is stored of a bearer token."""
    return hashlib.sha256(token.encode()).hexdigest()


def save(tx: Transaction, senders: Iterable[tuple[Sender, str | None]]) -> None:
    """Register senders, each with the token it will show at the HTTP door (None: it keeps the one it has)."""
    tx.run_many(
        "insert into sender (id, profile, token_digest) values (?, ?, ?) on conflict (id) do update set"
        " profile = excluded.profile, token_digest = coalesce(excluded.token_digest, sender.token_digest)",
        [(sender.id, _encode(sender).decode(), token and token_digest(token)) for sender, token in senders],
    )


def every(tx: Transaction) -> dict[str, Sender]:
    """All registered senders by id."""
    return {row[0]: _decode(row[1]) for row in tx.rows("select id, profile from sender order by id")}


def by_token(tx: Transaction, token: str) -> Sender | None:
    """The sender this bearer token belongs to."""
    row = tx.row("select profile from sender where token_digest = ?", (token_digest(token),))
    return _decode(row[0]) if row else None


def by_hl7(senders: Iterable[Sender], application: str, facility: str) -> Sender | None:
    """The sender that MSH-3 and MSH-4 name; an application it has not registered is not looked at."""
    return next(
        (
            sender for sender in senders
            if sender.hl7_facility and sender.hl7_facility == facility
            and sender.hl7_application in ("", application)
        ),
        None,
    )  # fmt: skip
