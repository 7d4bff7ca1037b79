"""An insurer's desk in the consortium: its bills on the ledger, the consents it lives on, and what it tells of itself.

ConsentGiven, ConsentRevoked ─> what was locked is asked about again, and so are the claims under way
a consent ends ─> ConsentEnded ─> the person is told and chooses ─> ClaimChosen ─> the claim ends here
CaseReady, BillsAnswered ─> nothing is cleared for a decision whose consent has ended
DeterminationMade ─> its commitment is anchored, and the hospital hears of it
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from safeweave import cases, consents, people
from safeweave.adjudication import store as decisions
from safeweave.consents import ConsentId
from safeweave.consortium import answering, ending, locking
from safeweave.consortium.reserving import BillDesk
from safeweave.consortium.taking import open_again
from safeweave.database import Transaction
from safeweave.errors import Conflict
from safeweave.events import (
    BillsAnswered,
    CaseCleared,
    CaseReady,
    ClaimChosen,
    ConsentGiven,
    ConsentRenewed,
    ConsentRevoked,
    DeterminationMade,
    DocumentDue,
    Event,
    TicketsAwaited,
)
from safeweave.exchange.formats import Limits
from safeweave.ids import CaseId
from safeweave.keys.ring import KeyRing
from safeweave.ledger.bundle import Bundle, build
from safeweave.ledger.ledger import Ledger
from safeweave.worker import Later

LOOKED_AT_ONCE = 100  # locked documents


class InsurerDesk(BillDesk):
    """Holds bills on the ledger, and decides nothing that no consent covers."""

    def __init__(
        self,
        ledger: Ledger,
        ring: Callable[[], KeyRing],
        reimburses: Callable[[Collection[str]], bool],
        limits: Limits | None = None,
    ) -> None:
        super().__init__(ledger, ring, reimburses)
        self.limits = limits or Limits()

    # ------------------------------------------------------------ nothing is decided without consent

    def prepare(self, ready: Sequence[CaseReady], tx: Transaction, now: datetime) -> list[Event | Later]:
        """As `BillDesk.prepare`, for the cases whose consent holds; the others wait until it is given again."""
        told, locked = self._reviewed(tx, [event.case for event in ready], now)
        return [*told, *super().prepare([event for event in ready if event.case not in locked], tx, now)]

    def prepare_again(self, awaited: Sequence[TicketsAwaited], tx: Transaction, now: datetime) -> list[Event | Later]:
        """As `BillDesk.prepare_again`, for the same cases."""
        told, locked = self._reviewed(tx, [event.case for event in awaited], now)
        return [*told, *super().prepare_again([event for event in awaited if event.case not in locked], tx, now)]

    def note(self, answered: Sequence[BillsAnswered], tx: Transaction, now: datetime) -> list[Event]:
        """As `BillDesk.note`: what was reserved stays held, but is decided only if the consent still holds."""
        noted = super().note(answered, tx, now)
        told, locked = self._reviewed(tx, [event.case for event in noted if isinstance(event, CaseCleared)], now)
        return told + [event for event in noted if not isinstance(event, CaseCleared) or event.case not in locked]

    def _reviewed(
        self, tx: Transaction, ids: Sequence[CaseId], now: datetime
    ) -> tuple[list[Event], Collection[CaseId]]:
        """What has changed of the consents of these cases, and the cases that may not be decided.

        A stay that never was is taken back all the same: that uses nothing of it.
        """
        heads = cases.heads(tx, ids)
        told = ending.review(
            tx, self.ring().member, ending.of_visits(tx, {(head.sender, head.visit) for head in heads.values()}), now
        )
        locked = ending.locked(tx, ids)
        never_were = {id for id, case in cases.cases_by_id(tx, locked).items() if case.stay.cancelled}
        return told, locked.keys() - never_were

    # ------------------------------------------------------------ consents that come and go

    def consents_given(self, given: Sequence[ConsentGiven], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Take what these open, and go on with the claims that waited; one not yet in force is told again then."""
        known = consents.consents_by_id(tx, [ConsentId(event.consent) for event in given])
        begin = {id: max(kept.consent.begins_at, kept.consent.given_at) for id, kept in known.items()}
        later = [
            Later(event, begin[ConsentId(event.consent)])
            for event in given if begin.get(ConsentId(event.consent), now) > now
        ]  # fmt: skip
        known_as = people.people_by_id(tx, {event.person for event in given}).values()
        persons = {id for person in known_as for id in (person.id, *person.former_ids)}
        opened = open_again(tx, locking.locked_of(tx, persons), self.ring, self.limits, now)
        return [*opened, *ending.review(tx, self.ring().member, ending.of_persons(tx, persons), now), *later]

    def consents_revoked(self, revoked: Sequence[ConsentRevoked], tx: Transaction, now: datetime) -> list[Event]:
        """Lock the claims that lived on these."""
        used = ending.of_persons(tx, {event.person for event in revoked})
        return ending.review(tx, self.ring().member, used, now)

    def documents_due(self, due: Sequence[DocumentDue], tx: Transaction, now: datetime) -> list[Event]:
        """Ask again about these, and about what one of them makes clear."""
        found = [document for event in due if (document := locking.document(tx, event.document)) is not None]
        return open_again(tx, found, self.ring, self.limits, now)

    def look_around(self, tx: Transaction, now: datetime) -> list[Event]:
        """Consents that are over, and locked documents to be asked about again; this is a timer."""
        locking.destroy(tx, now)
        told = ending.review(tx, self.ring().member, ending.due(tx, now), now)
        return told + [DocumentDue(id) for id in locking.due(tx, now, LOOKED_AT_ONCE)]

    def go_on(self, renewed: Sequence[ConsentRenewed], tx: Transaction, now: datetime) -> list[Event]:
        """Decide what had everything but its consent."""
        heads = cases.heads(tx, [event.case for event in renewed])
        return [CaseReady(head.id) for head in heads.values() if head.stage == "verified"]

    def let_go(self, chosen: Sequence[ClaimChosen], tx: Transaction, now: datetime) -> list[Event]:
        """Take what waited for a person off the desk: the claim has ended here."""
        waiting = [each.id for event in chosen for each in decisions.waiting_for_a_person(tx, event.case)]
        decisions.retire(tx, [], waiting)
        tx.run("delete from ticket_wait where case_id in ?", ([event.case for event in chosen],))
        return []

    # ------------------------------------------------------------ after deciding

    def answer(self, made: Sequence[DeterminationMade], tx: Transaction, now: datetime) -> list[Event]:
        """Anchor these determinations, and tell their hospitals what the person allows."""
        ring = self.ring()
        answering.anchor(tx, made, ring.member, ring.periods[-1].suite, now)
        return []

    def bundle(self, tx: Transaction, case: CaseId) -> Bundle:
        """What proves a claim off line: the consents its papers came under, its bills, and what was decided.

        A determination is in it once its anchor is final. Raises Conflict while none is.
        """
        bills = super().bundle(tx, case)
        proved = answering.proved(tx, case)
        if not proved.documents:
            raise Conflict(f"no determination of case {case} stands on the ledger yet; try again in some seconds")
        return build(
            self.ledger,
            [
                *answering.grants_of(tx, self.ledger, case),
                *[proof.receipt.operation for proof in bills.operations],
                *proved.operations,
            ],
            [*bills.openings, *proved.openings],
            proved.documents,
            bills.nullifiers,
        )
