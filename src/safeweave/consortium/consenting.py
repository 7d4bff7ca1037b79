"""Puts on the ledger what people allow a member and take back, so that every other member is bound by it at once.

    ConsentGiven ─> grant ─> final ─> ConsentEntered          ConsentRevoked ─> revoke ─> final ─> ConsentEntered

What is handed in is the same each time, so silence changes nothing: it is handed in again until the ledger has said it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from safeweave import consents
from safeweave.consents import Consent, ConsentId, Entry, registering
from safeweave.database import Transaction
from safeweave.errors import Conflict, Unavailable
from safeweave.events import ConsentEntered, ConsentGiven, ConsentRevoked, Event
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import Final, Ledger, Refused
from safeweave.ledger.operation import GrantConsent, RevokeConsent, operation_id, sign
from safeweave.worker import Follows, Later, Outside

FINAL_WITHIN_SECONDS = 5.0
ASKED_AGAIN_AFTER = timedelta(seconds=10)
LANE = "ledger"

Told = ConsentGiven | ConsentRevoked
Request = tuple[Told, Entry, Consent]


class ConsentDesk:
    """Enters the consents that this member keeps, over one ledger."""

    def __init__(self, ledger: Ledger, ring: Callable[[], KeyRing]) -> None:
        self.ledger, self.ring = ledger, ring

    @property
    def follows(self) -> Follows:
        """What is done about a consent that was given or taken back; what follows its entry is the member's own."""
        put = Outside(LANE, self.load, self.put)
        return {ConsentGiven: (self.register, put), ConsentRevoked: (put,)}

    def register(self, given: Sequence[ConsentGiven], tx: Transaction, now: datetime) -> list[Event]:
        """Draw the ids and salts under which these will stand on the ledger."""
        suite = self.ring().periods[-1].suite
        consents.register(tx, [ConsentId(event.consent) for event in given], suite)
        return []

    def load(self, told: Sequence[Told], tx: Transaction) -> Sequence[Request | None]:
        """What is to be entered; None for a consent that was taken back before it was registered."""
        ids = [ConsentId(event.consent) for event in told]
        entries, kept = consents.entries(tx, ids), consents.consents_by_id(tx, ids)
        return [
            (event, entries[id], kept[id].consent) if id in entries and id in kept else None
            for event, id in zip(told, ids, strict=True)
        ]

    def put(self, asked: Sequence[Request], now: datetime) -> list[Event | Later]:
        """Hand these in and tell which stand; what is not known yet is handed in again later.

        Raises Unavailable if nothing is known of any of them, Conflict for one that the ledger refuses.
        """
        if not asked:
            return []
        ring = self.ring()
        period = ring.at(self.ledger.head().height)
        key = period.signing_key()
        operations = [self._said(event, entry, consent, ring.member) for event, entry, consent in asked]
        self.ledger.submit([sign(operation, period.suite, key) for operation in operations])
        entered: list[ConsentEntered] = []
        waiting: list[Later] = []
        seconds = FINAL_WITHIN_SECONDS
        for (event, _, _), operation in zip(asked, operations, strict=True):
            match self.ledger.outcome(operation_id(operation), seconds):
                case Final():
                    entered.append(ConsentEntered(event.consent, event.person, isinstance(event, ConsentRevoked)))
                case Refused("unknown_consent") if isinstance(event, ConsentRevoked):
                    waiting.append(Later(event, now + ASKED_AGAIN_AFTER))  # its grant is still on the way
                case Refused(code, words):
                    raise Conflict(f"the ledger refuses consent {event.consent}: {code} {words}")
                case _:
                    waiting.append(Later(event, now + ASKED_AGAIN_AFTER))
                    seconds = 0.0  # what was handed in with it is not known either, or known already
        if not seconds and not entered:
            raise Unavailable("the ledger has not answered; consents wait for it")
        return [*entered, *waiting]

    def _said(self, told: Told, entry: Entry, consent: Consent, by: str) -> GrantConsent | RevokeConsent:
        if isinstance(told, ConsentRevoked):
            return registering.revoke(entry, by)
        return registering.grant(entry, consent, by)
