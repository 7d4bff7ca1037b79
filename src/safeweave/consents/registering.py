"""A consent on the ledger: under a random id, as two salted commitments and its times, and nothing else.

The id, the nonces and the salts are drawn once and kept, so that what is sent again is the same operation. Whoever is
shown the consent and its salts can check that it is the one; once the salts are destroyed, nobody can.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from safeweave.consents.consent import Act, Consent, ConsentId, DataKind, Purpose
from safeweave.errors import Malformed
from safeweave.facts import Fact
from safeweave.keys.commitment import commitment, new_salt, opens
from safeweave.ledger.ledger import ConsentFound, ConsentRecord, Ledger
from safeweave.ledger.operation import GrantConsent, RevokeConsent, fresh_id

_KIND = "safeweave/consent"
_SCOPE_KIND = "safeweave/consent-scope"


class Scope(Fact, frozen=True):
    """What a consent covers, without whose it is: fit to be shown to the commission."""

    act: Act
    giver: str
    recipient: str
    purpose: Purpose
    kinds: tuple[DataKind, ...]
    text_version: str
    text_digest: str


class Salts(Fact, frozen=True):
    """What opens the two commitments. Never written anywhere but in the store and sealed envelopes."""

    salt: bytes
    scope_salt: bytes


class Entry(Fact, frozen=True):
    """How a consent stands on the ledger: `entry` is its id there."""

    consent: ConsentId
    entry: str
    suite: str
    commitment: str
    scope_commitment: str
    grant_nonce: str
    revoke_nonce: str


def scope_of(consent: Consent) -> Scope:
    """What this consent covers."""
    return Scope(
        consent.act,
        consent.giving_member,
        consent.recipient.member,
        consent.purpose,
        consent.kinds,
        consent.text_version,
        consent.text_digest,
    )


def new_salts() -> Salts:
    """Salts for one consent; never use them for another."""
    return Salts(new_salt(), new_salt())


def new_entry(consent: Consent, salts: Salts, suite: str = "std-1") -> Entry:
    """A fresh entry for this consent. Raises keys' UnknownSuite."""
    return Entry(
        consent.id,
        fresh_id(),
        suite,
        commitment(_KIND, salts.salt, consent, suite).hex(),
        commitment(_SCOPE_KIND, salts.scope_salt, scope_of(consent), suite).hex(),
        fresh_id(),
        fresh_id(),
    )


def grant(entry: Entry, consent: Consent, by: str) -> GrantConsent:
    """What the member that heard the person's yes says on the ledger; always the same for one entry.

    Raises Malformed if a member of the consent has no id of the ledger.
    """
    said = GrantConsent(
        by, entry.grant_nonce, entry.entry, entry.commitment, consent.recipient.member, entry.scope_commitment,
        *_times(consent),
    )  # fmt: skip
    return _sound(said)


def revoke(entry: Entry, by: str) -> RevokeConsent:
    """What the giver or the recipient says when the person has said no; always the same for one entry and author."""
    return _sound(RevokeConsent(by, entry.revoke_nonce, entry.entry))


_T = TypeVar("_T", GrantConsent, RevokeConsent)


def _sound(said: _T) -> _T:
    """The operation, every field as the ledger wants it."""
    try:
        return msgspec.convert(msgspec.to_builtins(said), type(said))
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$.")
        raise Malformed(what, field=field.rstrip("`")) from None


def _times(consent: Consent) -> tuple[int, int]:
    return _seconds(max(consent.begins_at, consent.given_at)), _seconds(consent.ends_at)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


# ---------------------------------------------------------------- reading back


def states(ledger: Ledger, entries: Mapping[ConsentId, Entry]) -> dict[ConsentId, ConsentFound]:
    """What the ledger says of each of these, all at one head. Raises Unavailable if it does not answer."""
    head = ledger.head()
    return {consent: ledger.consent(entry.entry, head) for consent, entry in entries.items()}


def is_as_noted(record: ConsentRecord, entry: Entry, consent: Consent) -> bool:
    """Whether what stands on the ledger is what this entry and consent say, so that nobody put down another."""
    return (
        record.consent,
        record.commitment,
        record.grantee,
        record.scope_commitment,
        record.not_before,
        record.expires,
    ) == (entry.entry, entry.commitment, consent.recipient.member, entry.scope_commitment, *_times(consent))


def is_of(record: ConsentRecord, consent: Consent, salts: Salts, suite: str = "std-1") -> bool:
    """Whether what stands on the ledger is this consent, for somebody who was shown it and its salts."""
    return (
        opens(bytes.fromhex(record.commitment), _KIND, salts.salt, consent, suite)
        and is_of_scope(record, scope_of(consent), salts.scope_salt, suite)
        and (record.grantee, record.not_before, record.expires) == (consent.recipient.member, *_times(consent))
    )


def is_of_scope(record: ConsentRecord, scope: Scope, scope_salt: bytes, suite: str = "std-1") -> bool:
    """Whether what stands on the ledger covers this, for somebody who may not know whose it is."""
    return opens(bytes.fromhex(record.scope_commitment), _SCOPE_KIND, scope_salt, scope, suite)
