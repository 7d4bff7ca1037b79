"""A hospital's gateway: what its own systems tell goes, sealed, to exactly those insurers that the patient allowed.

    VisitTold ─> whose visit ─> consents ─> what each lets be heard ─> tickets for its bills, and the events, sealed
    ConsentEntered ─> the visits of that person again          a bill reversed ─> BillsReversed ─> void on the ledger

The hospital's systems change nothing: they tell what they always told, at the doors of `web.doors`. Nobody's consent:
nothing leaves. Every event goes once to each insurer, whatever the order in which consents and papers come.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from typing import NamedTuple

import msgspec

from safeweave import cases, consents, ids, people
from safeweave.cases import Heard
from safeweave.consents import Ask, Consent, ConsentId, DataKind, Kept
from safeweave.consents.consent import in_order
from safeweave.consortium import tickets
from safeweave.consortium.consenting import LANE, ConsentDesk
from safeweave.consortium.disclosure import disclosed, needed
from safeweave.consortium.sending import Courier
from safeweave.consortium.taking import MESSAGE
from safeweave.database import Transaction
from safeweave.errors import Conflict, Unavailable
from safeweave.events import (
    BillsReversed,
    ConsentEntered,
    Event,
    HospitalEvent,
    PersonsMerged,
    VisitTold,
)
from safeweave.exchange.formats import visit as wire
from safeweave.ids import PersonId
from safeweave.keys.ring import KeyRing
from safeweave.ledger.ledger import Final, Head, Ledger, Refused
from safeweave.ledger.operation import Void, fresh_id, operation_id, sign
from safeweave.outbox import Logged
from safeweave.people import Particulars
from safeweave.worker import Follows, Later, Outside

TICKET_VALID = timedelta(days=366)
LEDGER_AGAIN_AFTER = timedelta(seconds=5)
FINAL_WITHIN_SECONDS = 5.0
_ASK_AGAIN = ("incomplete", "expired", "retake")  # the person can mend this by saying yes anew


class HandedOver(NamedTuple):
    """What one delivery told one insurer of a visit."""

    recipient: str
    exchange: str
    consent: str
    kinds: frozenset[DataKind]
    events: frozenset[int]
    bills: dict[str, str]


class _Way(NamedTuple):
    """How something of a visit goes to an insurer: under which consent, as the ledger knows it, in which exchange."""

    person: PersonId
    visit: tuple[str, str]
    consent: Consent
    entry: str
    exchange: str


class Gateway:
    """Hands over what one hospital tells. `seen` gives the newest head of the ledger known here, asking nobody."""

    def __init__(
        self, ledger: Ledger, ring: Callable[[], KeyRing], courier: Courier, seen: Callable[[], Head | None]
    ) -> None:
        self.ledger, self.ring, self.courier, self.seen = ledger, ring, courier, seen

    @property
    def follows(self) -> Follows:
        """What follows what in a hospital's gateway."""
        return {
            **ConsentDesk(self.ledger, self.ring).follows,
            PersonsMerged: (cases.link_records,),
            VisitTold: (self.hear,),
            ConsentEntered: (self.hear_again,),
            BillsReversed: (Outside(LANE, self.load, self.void),),
        }

    # ------------------------------------------------------------ hearing

    def hear(self, told: Sequence[VisitTold], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Hand over what these visits have told and the patients allow; the visits are held by whoever runs this."""
        heard, out = cases.listen(told, tx, now)
        learnt, busy = _learnt(tx, [each for each in heard if each.waiting == "person_unknown"], now)
        if learnt:
            known, more = cases.listen([VisitTold(*each.key) for each in learnt], tx, now)
            new = {each.key for each in learnt}
            heard, out = [*(each for each in heard if each.key not in new), *known], [*out, *more]
        out += [Later(VisitTold(*each.key), now + LEDGER_AGAIN_AFTER) for each in busy]
        cases.remember(heard, tx, now)
        known_as = [(each, each.person) for each in heard if each.person is not None]
        if not known_as:
            return out
        tx.run_many(
            "insert into patient_visit (person, sender, visit) values (?, ?, ?) on conflict do nothing",
            [(person, *each.key) for each, person in known_as],
        )
        kept = consents.consents_of(tx, {person for _, person in known_as})
        before = _handed_over(tx, [each.key for each, _ in known_as])
        for each, person in known_as:
            out += self._hand_over(tx, each, person, kept.get(person, []), before.get(each.key, []), now)
            out += self._reversed(tx, each, person, before.get(each.key, []))
        return out

    def hear_again(self, entered: Sequence[ConsentEntered], tx: Transaction, now: datetime) -> list[Event]:
        """The visits of whoever allowed something anew."""
        stands = consents.entries(tx, [ConsentId(event.consent) for event in entered if not event.revoked])
        self.courier.hurry(tx, [entry.entry for entry in stands.values()], now)
        persons = sorted({event.person for event in entered if not event.revoked})
        rows = tx.rows("select sender, visit from patient_visit where person in ? order by sender, visit", (persons,))
        return [VisitTold(sender, visit) for sender, visit in rows]

    def _hand_over(
        self, tx: Transaction, heard: Heard, person: PersonId, kept: Sequence[Kept], before: Sequence[HandedOver],
        now: datetime,
    ) -> list[Event | Later]:  # fmt: skip
        me = self.ring().member
        mine = [each.consent for each in kept if each.consent.act == "give" and each.consent.giving_member == me]
        events = [(logged, event) for logged in heard.log if isinstance(event := logged.event, HospitalEvent)]
        kinds = in_order(needed([event for _, event in events]))
        visit = f"{heard.stay.hospital}/{heard.key[1]}"
        recipients = sorted({consent.recipient.member for consent in mine if _concerns(consent, heard)})
        asks = [Ask(person, "give", me, recipient, "claim", kinds, now, visit) for recipient in recipients]
        answers = list(zip(asks, consents.allowed(tx, asks) if kinds else [], strict=False))
        consents.note_askings(tx, [(ask, answer) for ask, answer in answers if answer.reason in _ASK_AGAIN], now)
        out: list[Event | Later] = []
        for ask, answer in answers:
            under = answer.consent or (answer.nearest if answer.reason == "incomplete" else None)
            consent = next((each for each in mine if each.id == under), None)
            entry = consents.entries(tx, [consent.id]).get(consent.id) if consent else None
            if consent is None or entry is None:
                continue
            own = [each for each in before if each.recipient == ask.recipient]
            exchange = next((each.exchange for each in own if each.consent == entry.entry), None) or fresh_id()
            way = _Way(person, heard.key, consent, entry.entry, exchange)

            numberless = _without_ticket(heard, consent, own)
            if numberless and (head := self.seen()):
                sheet = self._sheet(numberless, consent.recipient.member, head, now)
                numbers = {bill.key: bill.nullifier for bill in sheet.bills}
                self._queue(tx, way, tickets.KIND, tickets.write_sheet(sheet), (), numbers, now)
            elif numberless:
                out.append(Later(VisitTold(*heard.key), now + LEDGER_AGAIN_AFTER))
            if new := _untold(events, consent, own):
                id = ids.fresh("told")
                message = wire.write(id, now, heard.key[1], tuple([event for _, event in new]))
                self._queue(tx, way, MESSAGE, message, [logged.number for logged, _ in new], {}, now, id)
        return out

    def _queue(
        self, tx: Transaction, way: "_Way", kind: str, content: bytes, numbers: Iterable[int], bills: dict[str, str],
        now: datetime, id: str = "",
    ) -> None:  # fmt: skip
        recipient = way.consent.recipient.member
        delivery = self.courier.put(tx, recipient, way.exchange, way.entry, kind, BytesIO(content), now, id)
        tx.run(
            "insert into hand_over (id, person, sender, visit, recipient, exchange, consent, kinds, events, bills)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                delivery, way.person, *way.visit, recipient, way.exchange, way.entry, _json(way.consent.kinds),
                _json(sorted(numbers)), _json(bills),
            ),
        )  # fmt: skip

    def _sheet(self, bills: Sequence[tickets.BillNumber], holder: str, head: Head, now: datetime) -> tickets.Sheet:
        ring = self.ring()
        until = int((now + TICKET_VALID).timestamp())
        return tickets.issued(ring.member, ring.at(head.height), bills, holder, until)

    # ------------------------------------------------------------ bills that were reversed

    def _reversed(
        self, tx: Transaction, heard: Heard, person: PersonId, before: Sequence[HandedOver]
    ) -> list[BillsReversed]:
        """Bills that are reversed, of which somebody holds a ticket; each once."""
        given = {bill: number for each in before if each.recipient for bill, number in each.bills.items()}
        told = {bill for each in before if not each.recipient for bill in each.bills}
        gone = {
            seen.bill.key: given[seen.bill.key]
            for seen in heard.stay.bills
            if seen.reversed and seen.bill.key in given and seen.bill.key not in told
        }
        if not gone:
            return []
        tx.run(
            "insert into hand_over (id, person, sender, visit, recipient, exchange, consent, kinds, events, bills)"
            " values (?, ?, ?, ?, '', '', '', '[]', '[]', ?)",
            (ids.fresh("void"), person, *heard.key, _json(gone)),
        )
        return [BillsReversed(*heard.key, tuple(sorted(gone.values())))]

    def load(self, told: Sequence[BillsReversed], tx: Transaction) -> list[Void]:
        """What is to be said on the ledger, the same each time."""
        return [
            Void(self.ring().member, hashlib.sha256("/".join(event.nullifiers).encode()).hexdigest(), event.nullifiers)
            for event in told
        ]

    def void(self, asked: Sequence[Void], now: datetime) -> list[Event]:
        """Say that no part of these bills can be claimed any more. Raises Unavailable until it is final."""
        period = self.ring().at(self.ledger.head().height)
        key = period.signing_key()
        self.ledger.submit([sign(operation, period.suite, key) for operation in asked])
        for operation in asked:
            outcome = self.ledger.outcome(operation_id(operation), FINAL_WITHIN_SECONDS)
            if isinstance(outcome, Refused):
                raise Conflict(f"the ledger refuses that bills are reversed: {outcome.code} {outcome.words}")
            if not isinstance(outcome, Final):
                raise Unavailable("the ledger has not answered; reversed bills wait for it")
        return []


def _learnt(tx: Transaction, unknown: Sequence[Heard], now: datetime) -> tuple[list[Heard], list[Heard]]:
    """Those of these visits whose patient is in the register now; and those that another transaction learns of.

    A hospital knows its patients: whoever it describes with a checked identity document is entered.
    """
    found: list[tuple[Heard, Particulars]] = []
    for each in unknown:
        assert each.stay.person is not None
        if (told := people.particulars_of(each.stay.person)) is not None:
            found.append((each, told))
    keys = {each.key: {f"patient {held.number}" for held in told.documents} for each, told in found}
    held = tx.hold({key for own in keys.values() for key in own})
    mine = [(each, told) for each, told in found if keys[each.key] <= held]
    saved = people.save_people(tx, [told for _, told in mine], now)
    learnt = [each for (each, _), result in zip(mine, saved, strict=True) if not result.conflict]
    return learnt, [each for each, _ in found if not keys[each.key] <= held]


def _concerns(consent: Consent, heard: Heard) -> bool:
    """Whether a visit falls under a consent: the one it is for, or for a standing one any that was not over before."""
    stay = heard.stay
    over_at = stay.discharged_at or stay.visited_at
    return bool(consent.visit) or over_at is None or over_at >= consent.begins_at


def _handed_over(tx: Transaction, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[HandedOver]]:
    """What was handed over of these visits and was not stopped or refused on its way."""
    found: dict[tuple[str, str], list[HandedOver]] = {}
    for sender, visit, recipient, exchange, consent, kinds, events, bills in tx.rows(
        "select h.sender, h.visit, h.recipient, h.exchange, h.consent, h.kinds, h.events, h.bills from hand_over h"
        " left join outgoing o on o.id = h.id"
        " where (h.sender, h.visit) in ? and coalesce(o.state, '') not in ('stopped', 'refused')",
        (list(keys),),
    ):
        found.setdefault((sender, visit), []).append(
            HandedOver(
                recipient, exchange, consent, frozenset(msgspec.json.decode(kinds)),
                frozenset(msgspec.json.decode(events)), msgspec.json.decode(bills),
            )
        )  # fmt: skip
    return found


def _untold(
    events: Sequence[tuple[Logged, HospitalEvent]], consent: Consent, own: Sequence[HandedOver]
) -> list[tuple[Logged, HospitalEvent]]:
    """What this consent lets be told and was not told yet, or with less than it allows now."""
    new = []
    for logged, event in events:
        told = disclosed(event, consent.kinds)
        wanted = needed([event]) & set(consent.kinds)
        if told and not any(logged.number in each.events and wanted <= each.kinds for each in own):
            new.append((logged, told))
    return new


def _without_ticket(heard: Heard, consent: Consent, own: Sequence[HandedOver]) -> list[tickets.BillNumber]:
    given = {bill for each in own for bill in each.bills}
    return [
        (seen.bill.code, seen.bill.number)
        for seen in heard.stay.live_bills
        if "bill" in consent.kinds and seen.bill.key not in given
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
