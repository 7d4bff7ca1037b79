"""Passkeys (W3C Web Authentication, level 2) kept and checked: for whoever's browser has them, beside codes."""

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
import webauthn
from starlette.requests import Request
from webauthn.helpers import base64url_to_bytes, options_to_json, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Malformed, NotAllowed
from safeweave.facts import Fact
from safeweave.settings import Settings

GOOD_FOR = timedelta(minutes=5)


class Passkey(Fact, frozen=True):
    """A passkey somebody can sign in with."""

    id: str
    name: str
    added_at: datetime
    used_at: datetime | None


def passkeys_of(tx: Transaction, account: str) -> list[Passkey]:
    """The passkeys of an account, oldest first."""
    return [
        Passkey(id, name, at_of(added), used and at_of(used))
        for id, name, added, used in tx.rows(
            "select id, name, added_at, used_at from passkey where account = ? order by added_at, id", (account,)
        )
    ]


def remove(tx: Transaction, account: str, id: str) -> None:
    """Take away one passkey of this account."""
    tx.run("delete from passkey where id = ? and account = ?", (id, account))


def _origin(settings: Settings, request: Request) -> tuple[str, str]:
    """Where the pages are, and the name that passkeys belong to."""
    origin = settings.pages_url.rstrip("/") or f"{request.url.scheme}://{request.headers.get('host', '')}"
    return origin, urlsplit(origin).hostname or "localhost"


def begin_adding(tx: Transaction, settings: Settings, request: Request, account: str, name: str, now: datetime) -> str:
    """What a browser needs to make a passkey, as JSON; good for five minutes."""
    _, party = _origin(settings, request)
    known = [PublicKeyCredentialDescriptor(base64url_to_bytes(each.id)) for each in passkeys_of(tx, account)]
    options = webauthn.generate_registration_options(
        rp_id=party,
        rp_name=settings.company,
        user_id=account.encode(),
        user_name=name,
        exclude_credentials=known,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    _note(tx, options.challenge, account, now)
    return options_to_json(options)


def add(
    tx: Transaction, settings: Settings, request: Request, account: str, made: str, name: str, now: datetime
) -> None:
    """Keep the passkey a browser made. Raises Malformed for anything else."""
    origin, party = _origin(settings, request)
    try:
        challenge = _challenge(made)
        if _take(tx, challenge, now) != account:
            raise NotAllowed("this passkey was not asked for, or too long ago")
        checked = webauthn.verify_registration_response(
            credential=made, expected_challenge=challenge, expected_rp_id=party, expected_origin=origin,
            require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, msgspec.MsgspecError, ValueError, KeyError, TypeError) as fault:
        raise Malformed("this is no passkey made for these pages", field="credential") from fault
    tx.run(
        "insert into passkey (id, account, public_key, counter, name, added_at) values (?, ?, ?, ?, ?, ?)"
        " on conflict (id) do nothing",
        (
            _text(checked.credential_id), account, checked.credential_public_key, checked.sign_count, name or "-",
            at_text(now),
        ),
    )  # fmt: skip


def begin_signing_in(tx: Transaction, settings: Settings, request: Request, now: datetime) -> str:
    """What a browser needs to show a passkey, as JSON; the same for everybody, good for five minutes."""
    _, party = _origin(settings, request)
    options = webauthn.generate_authentication_options(
        rp_id=party, user_verification=UserVerificationRequirement.REQUIRED
    )
    _note(tx, options.challenge, "", now)
    return options_to_json(options)


def account_shown(tx: Transaction, settings: Settings, request: Request, shown: str, now: datetime) -> str | None:
    """The account whose passkey a browser showed; None if it is no passkey of ours, or shown too late."""
    origin, party = _origin(settings, request)
    try:
        challenge = _challenge(shown)
        if _take(tx, challenge, now) != "":
            return None
        id = parse_authentication_credential_json(shown).id
        row = tx.row("select account, public_key, counter from passkey where id = ?", (id,))
        if row is None:
            return None
        checked = webauthn.verify_authentication_response(
            credential=shown, expected_challenge=challenge, expected_rp_id=party, expected_origin=origin,
            credential_public_key=bytes(row[1]), credential_current_sign_count=row[2], require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, msgspec.MsgspecError, ValueError, KeyError, TypeError):
        return None
    tx.run("update passkey set counter = ?, used_at = ? where id = ?", (checked.new_sign_count, at_text(now), id))
    return str(row[0])


def _challenge(credential: str) -> bytes:
    """The challenge that a browser's answer says it answers."""
    client = msgspec.json.decode(credential)["response"]["clientDataJSON"]
    return base64url_to_bytes(msgspec.json.decode(base64url_to_bytes(client))["challenge"])


def _note(tx: Transaction, challenge: bytes, account: str, now: datetime) -> None:
    tx.run(
        "insert into passkey_challenge (challenge, account, made_at) values (?, ?, ?)",
        (_text(challenge), account, at_text(now)),
    )


def _take(tx: Transaction, challenge: bytes, now: datetime) -> str | None:
    """Who the challenge was made for; it is good once."""
    row = tx.row("select account, made_at from passkey_challenge where challenge = ?", (_text(challenge),))
    tx.run("delete from passkey_challenge where challenge = ?", (_text(challenge),))
    return None if row is None or now >= at_of(row[1]) + GOOD_FOR else str(row[0])


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
