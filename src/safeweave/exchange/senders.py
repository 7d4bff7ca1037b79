"""Who may tell us things, how they speak, and how they prove who they are."""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from safeweave.clock import seconds_running
from safeweave.database import Database, Transaction
from safeweave.exchange.formats import Sender

UNKNOWN = "unknown"  # the sender of messages that name nobody we know
ID = re.compile(r"[\w.-]{1,64}")  # an id stands before the "/" of a visit's subject
FRESH_SECONDS = 2.0

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


def speaking_alike(senders: Iterable[Sender], new: Sender) -> Sender | None:
    """Another sender whose HL7 messages could not be told from those of the new one."""
    return next(
        (
            sender for sender in senders
            if sender.id != new.id and new.hl7_facility and sender.hl7_facility == new.hl7_facility
            and ("" in (sender.hl7_application, new.hl7_application) or sender.hl7_application == new.hl7_application)
        ),
        None,
    )  # fmt: skip


class Known(msgspec.Struct, frozen=True):
    """All senders at one moment, by the digest of their token and by HL7 facility."""

    read_at_seconds: float
    by_digest: dict[str, Sender]
    by_facility: dict[str, list[Sender]]


class Register:
    """The senders as doors ask for them: known for two seconds, and read anew when somebody unknown knocks.

    So a known sender costs no statement, a new one is heard at once, and a token that was taken away counts for two
    seconds more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Known | None = None

    def by_token(self, token: str) -> Sender | None:
        """The sender this bearer token belongs to."""
        digest = token_digest(token)
        return self._fresh().by_digest.get(digest) or self._read().by_digest.get(digest)

    def by_hl7(self, application: str, facility: str) -> Sender | None:
        """The sender that MSH-3 and MSH-4 name."""
        for known in (self._fresh, self._read):
            found = by_hl7(known().by_facility.get(facility, ()), application, facility)
            if found is not None:
                return found
        return None

    def _fresh(self) -> Known:
        known = self._known
        return known if known and seconds_running() - known.read_at_seconds < FRESH_SECONDS else self._read()

    def _read(self) -> Known:
        now = seconds_running()
        by_digest: dict[str, Sender] = {}
        by_facility: dict[str, list[Sender]] = {}
        with self._database.reading() as tx:
            for profile, digest in tx.rows("select profile, token_digest from sender order by id"):
                sender = _decode(profile)
                if digest:
                    by_digest[digest] = sender
                by_facility.setdefault(sender.hl7_facility, []).append(sender)
        self._known = Known(now, by_digest, by_facility)
        return self._known
