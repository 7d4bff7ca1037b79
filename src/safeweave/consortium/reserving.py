"""Bills are held on the ledger before anything is decided about them, so that no two insurers pay one.

    CaseReady ─> reserve ─> final ─> CaseCleared ─> determination ─> ... ─> CaseSettled ─> settle what was paid for,
                    │                                                                      release the rest
                    └ silence: asked again, nothing is decided; held by another: a person looks, with that reason

Every operation is kept before it is handed in, and the same one is handed in until the ledger has answered.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from safeweave import cases
from safeweave.adjudication import store as decisions
from safeweave.adjudication.turns import paid_by_bill
from safeweave.consortium import tickets
from safeweave.consortium.tickets import KeptTicket, Sheet
from safeweave.database import Transaction, at_of, at_text
from safeweave.errors import Unavailable
from safeweave.events import (
    BillsAnswered,
    BillsPut,
    CaseCleared,
    CaseReady,
    CaseSettled,
    ClaimChosen,
    DeterminationMade,
    Event,
    NothingClaimed,
    TicketsAwaited,
)
from safeweave.ids import CaseId, person_key
from safeweave.keys.commitment import commitment, new_salt
from safeweave.keys.ring import KeyRing
from safeweave.ledger.bundle import Bundle, Opening, build
from safeweave.ledger.ledger import Final, Ledger, Refused, Unknown
from safeweave.ledger.operation import (
    Item,
    Operation,
    Release,
    Reserve,
    Settle,
    fresh_id,
    operation_bytes,
    operation_id,
)
from safeweave.ledger.operation import sign as signed
from safeweave.worker import Later

log = logging.getLogger("safeweave.consortium")

HELD_SECONDS = 30 * 24 * 3600  # a person has as long to decide (保险法 23); see `renew`
RENEWED_BEFORE = timedelta(days=5)
TICKETS_WITHIN = timedelta(days=1)  # after the last paper; then a person looks
LOOKED_ONCE_MORE_AFTER = timedelta(seconds=10)  # longer than a transaction lasts
ASKED_AGAIN_AFTER = timedelta(seconds=10)
FINAL_WITHIN_SECONDS = 5.0
COMMITTED = "claim"  # the kind of commitment a reservation carries

Kind = Literal["reserve", "settle", "release"]
_REASONS = {  # what the ledger answers for a bill that is not ours to pay -> a code of words/reasons.toml
    "HELD": "claimed_elsewhere",
    "SPENT": "claimed_elsewhere",
    "VOID": "bill_not_held",
    "CLOSED": "bill_not_held",
    "NO_TICKET": "bill_not_held",
}
_OURS = ("RESERVED", "MINE")
_operations = msgspec.json.Decoder(Operation)
_items = msgspec.json.Decoder(dict[str, Item])


class BillDesk:
    """Reserves, settles and releases the bills of cases, over one ledger.

    `reimburses` says of products whether one of them pays by the bill: only then do bills take a number.
    """

    def __init__(
        self, ledger: Ledger, ring: Callable[[], KeyRing], reimburses: Callable[[Collection[str]], bool]
    ) -> None:
        self.ledger, self.ring, self.reimburses = ledger, ring, reimburses

    # ------------------------------------------------------------ before deciding

    def prepare(self, ready: Sequence[CaseReady], tx: Transaction, now: datetime) -> list[Event | Later]:
        """Put reservations of the bills of these cases on their way; CaseCleared where there is nothing to reserve."""
        told: list[Event | Later] = []
        found = cases.cases_by_id(tx, [event.case for event in ready])
        policies = cases.insured_policies(tx, {case.person for case in found.values()}, now)
        for case in found.values():
            products = [policy.product for policy in policies.get(case.person, ())]
            bills = [seen.bill.key for seen in case.stay.live_bills]
            if case.stay.cancelled or not self.reimburses(products):
                bills = []
            held, settled = self._standing(tx, case.id)
            bills = [bill for bill in bills if bill not in held and bill not in settled]
            if not bills:
                told.append(CaseCleared(case.id))
                continue
            known = tickets.kept(tx, bills)
            if set(bills) <= known.keys():
                tx.run("delete from ticket_wait where case_id = ?", (case.id,))
                told.append(self._reservation(tx, case.id, list(known.values()), now))
            else:
                told += self._waits(tx, case.id, set(bills) - known.keys(), now)
        return told

    def prepare_again(self, awaited: Sequence[TicketsAwaited], tx: Transaction, now: datetime) -> list[Event | Later]:
        """The same for cases that wait for tickets; a person looks at one that has waited for a day."""
        told: list[Event | Later] = []
        ids = list(dict.fromkeys(event.case for event in awaited))
        waiting: dict[CaseId, str] = dict(
            tx.rows("select case_id, min(since) from ticket_wait where case_id in ? group by case_id", (ids,))
        )
        late = [case for case in ids if case in waiting and at_of(waiting[case]) + TICKETS_WITHIN <= now]
        late = self._without_tickets(tx, late) if late else []
        for case in late:
            tx.run("delete from ticket_wait where case_id = ?", (case,))
            told.append(CaseCleared(case, ("bill_without_ticket",)))
        again = [CaseReady(case) for case in ids if case in waiting and case not in late]
        return told + self.prepare(again, tx, now)

    def _waits(self, tx: Transaction, case: CaseId, missing: Collection[str], now: datetime) -> list[Later]:
        """What is told when a case waits. Tickets taken at this moment do not see it wait: they are looked for once."""
        new = tx.run_many(
            "insert into ticket_wait (case_id, bill, since) values (?, ?, ?) on conflict (case_id, bill) do nothing",
            [(case, bill, at_text(now)) for bill in sorted(missing)],
        )
        looks = [LOOKED_ONCE_MORE_AFTER, TICKETS_WITHIN] if new else [TICKETS_WITHIN]
        return [Later(TicketsAwaited(case), now + look) for look in looks]

    def _without_tickets(self, tx: Transaction, waiting: Sequence[CaseId]) -> list[CaseId]:
        """Those of these cases that wait for a ticket which is not there."""
        rows = tx.rows("select bill, case_id from ticket_wait where case_id in ?", (waiting,))
        known = tickets.kept(tx, {bill for bill, _ in rows})
        return sorted({case for bill, case in rows if bill not in known})

    def take_sheet(self, tx: Transaction, sheet: Sheet, now: datetime) -> list[Event]:
        """Keep a hospital's tickets (after `tickets.check_numbers`), and go on with the cases that wait for them."""
        tickets.keep(tx, sheet, now)
        rows = tx.rows(
            "select distinct case_id from ticket_wait where bill in ? order by case_id",
            ([bill.key for bill in sheet.bills],),
        )
        return [TicketsAwaited(case) for (case,) in rows]

    def _reservation(self, tx: Transaction, case: CaseId, known: Sequence[KeptTicket], now: datetime) -> BillsPut:
        _, committed = self._claim(tx, case)
        given = {msgspec.json.encode(each.ticket): each.ticket for each in known}
        operation = Reserve(self.ring().member, fresh_id(), tuple(given.values()), committed, HELD_SECONDS)
        items = {each.bill: Item(each.ticket.issuer, each.nullifier, each.part) for each in known}
        return self._put(tx, case, "reserve", operation, items, now)

    def _claim(self, tx: Transaction, case: CaseId) -> tuple[bytes, str]:
        """The salt and the commitment under which the ledger knows this case."""
        row = tx.row("select salt, commitment from ledger_claim where case_id = ?", (case,))
        if row is not None:
            return bytes(row[0]), row[1]
        salt = new_salt()
        committed = commitment(COMMITTED, salt, {"case": case}).hex()
        tx.run("insert into ledger_claim (case_id, salt, commitment) values (?, ?, ?)", (case, salt, committed))
        return salt, committed

    def _put(
        self, tx: Transaction, case: CaseId, kind: Kind, operation: Operation, items: Mapping[str, Item], now: datetime
    ) -> BillsPut:
        id = operation_id(operation)
        tx.run(
            "insert into bill_operation (id, case_id, kind, operation, items, state, made_at)"
            " values (?, ?, ?, ?, ?, 'open', ?)",
            (id, case, kind, operation_bytes(operation), msgspec.json.encode(items).decode(), at_text(now)),
        )
        return BillsPut(case, id)

    # ------------------------------------------------------------ the ledger

    def load(self, events: Sequence[BillsPut], tx: Transaction) -> list[tuple[CaseId, Operation] | None]:
        """The operations that are still to be answered."""
        open_: dict[str, bytes] = dict(
            tx.rows(
                "select id, operation from bill_operation where state = 'open' and id in ?",
                ([event.operation for event in events],),
            )
        )
        return [
            (event.case, _operations.decode(open_[event.operation])) if event.operation in open_ else None
            for event in events
        ]

    def put(self, asked: Sequence[tuple[CaseId, Operation]], now: datetime) -> list[Event | Later]:
        """Hand these operations in and tell what became of them; what is not known yet is asked for again.

        Raises Unavailable if nothing is known of any of them.
        """
        period = self.ring().at(self.ledger.head().height)
        key = period.signing_key()
        self.ledger.submit([signed(operation, period.suite, key) for _, operation in asked])
        told: list[Event | Later] = []
        unknown: list[Later] = []
        seconds = FINAL_WITHIN_SECONDS
        for case, operation in asked:
            id = operation_id(operation)
            match self.ledger.outcome(id, seconds):
                case Final(receipt):
                    results: dict[str, str] = {_key(each.item): each.result for each in receipt.results}
                    told.append(BillsAnswered(case, id, results, receipt.number, receipt.height, receipt.time))
                case Refused(code, words):
                    log.warning("the ledger refuses an operation on the bills of case %s: %s %s", case, code, words)
                    told.append(BillsAnswered(case, id, refused=code))
                case Unknown():
                    unknown.append(Later(BillsPut(case, id), now + ASKED_AGAIN_AFTER))
                    seconds = 0.0  # what was handed in with it is not known either, or known already
        if unknown and not told:
            raise Unavailable("the ledger has not answered; nothing is decided without it")
        return [*told, *unknown]

    def note(self, answered: Sequence[BillsAnswered], tx: Transaction, now: datetime) -> list[Event]:
        """Keep what the ledger answered; a case whose bills are ours goes on, and so does one whose bills are not."""
        told: list[Event] = []
        rows = {
            row[0]: row
            for row in tx.rows(
                "select id, case_id, kind, items from bill_operation where state = 'open' and id in ?",
                ([event.operation for event in answered],),
            )
        }
        for event in answered:
            if event.operation not in rows:
                continue  # answered before
            _, case, kind, raw = rows[event.operation]
            items = _items.decode(raw)
            results = {bill: event.results.get(_key(item), "") for bill, item in items.items()}
            state = "refused" if event.refused else "final"
            until = at_text(now + timedelta(seconds=HELD_SECONDS)) if kind == "reserve" and state == "final" else None
            tx.run(
                "update bill_operation set state = ?, results = ?, why = ?, number = ?, held_until = ? where id = ?",
                (
                    state, msgspec.json.encode(results).decode(), event.refused or None,
                    None if event.refused else event.number, until, event.operation,
                ),
            )  # fmt: skip
            if kind == "reserve" and not self._is_renewal(tx, case, event.operation):
                reasons = {_REASONS.get(result, "bill_not_held") for result in results.values() if result not in _OURS}
                told.append(CaseCleared(case, tuple(sorted(reasons))))
        return told

    def _is_renewal(self, tx: Transaction, case: CaseId, operation: str) -> bool:
        return tx.row("select 1 from bill_operation where id = ? and renews = 1", (operation,)) is not None

    # ------------------------------------------------------------ after deciding

    def settle(
        self,
        over: Sequence[CaseSettled | NothingClaimed | DeterminationMade | ClaimChosen],
        tx: Transaction,
        now: datetime,
    ) -> list[Event]:
        """Settle the bills that these cases paid for and release the others; cases that are not over are left.

        What was to be held for longer is not: the ledger may hear of the release first.
        """
        told: list[Event] = []
        ended = [e.case for e in over if not isinstance(e, DeterminationMade) or e.decision == "refuse"]
        for case in dict.fromkeys(ended):
            tx.run(
                "update bill_operation set state = 'over' where case_id = ? and state = 'open' and renews = 1", (case,)
            )
            ours, _ = self._standing(tx, case)
            if not ours:
                continue
            paid: dict[str, int] = {}
            own: dict[str, int] = {}
            for decided in decisions.in_force_of(tx, case):
                for bill, amount in paid_by_bill(decisions.released(decided)).items():
                    paid[bill] = paid.get(bill, 0) + amount
                own |= {bill.key: bill.total - (bill.fund or 0) - (bill.other or 0) for bill in decided.claim.bills}
            member = self.ring().member
            for kind, bills in _sorted_out(ours, paid, own).items():
                if not bills:
                    continue
                items = {bill: ours[bill] for bill in bills}
                if kind == "release":
                    operation: Operation = Release(member, fresh_id(), tuple(items.values()))
                else:
                    operation = Settle(member, fresh_id(), tuple(items.values()), kind == "split")
                told.append(self._put(tx, case, "release" if kind == "release" else "settle", operation, items, now))
        return told

    def _standing(self, tx: Transaction, case: CaseId) -> tuple[dict[str, Item], dict[str, Item]]:
        """The bills that this case holds, and those it has settled."""
        held: dict[str, Item] = {}
        settled: dict[str, Item] = {}
        for kind, raw, results in tx.rows(
            "select kind, items, results from bill_operation where case_id = ? and state in ('open', 'final')"
            " order by made_at, number",
            (case,),
        ):
            items = _items.decode(raw)
            if kind == "reserve":
                answers = msgspec.json.decode(results) if results else {}
                held |= {bill: item for bill, item in items.items() if answers.get(bill) in _OURS}
                continue
            settled |= items if kind == "settle" else {}
            held = {bill: item for bill, item in held.items() if bill not in items}
        return held, settled

    def renew(self, tx: Transaction, now: datetime) -> list[Event]:
        """Hold for longer what a person still decides about; this is a timer."""
        due = tx.rows(
            "select o.case_id from bill_operation o where o.held_until is not null and o.held_until < ?",
            (at_text(now + RENEWED_BEFORE),),
        )
        told: list[Event] = []
        key_of: dict[CaseId, str] = {case: person_key(case) for (case,) in due}
        held = tx.hold(set(key_of.values()))
        for case in sorted(case for case, key in key_of.items() if key in held):  # of the others at the next look
            tx.run("update bill_operation set held_until = null where case_id = ?", (case,))
            ours, _ = self._standing(tx, case)
            known = [each for each in tickets.kept(tx, ours).values() if each.bill in ours]
            if known:
                put = self._reservation(tx, case, known, now)
                tx.run("update bill_operation set renews = 1 where id = ?", (put.operation,))
                told.append(put)
        return told

    # ------------------------------------------------------------ proving

    def bundle(self, tx: Transaction, case: CaseId) -> Bundle:
        """What proves, off line, what was reserved and settled for this case, and for which case it was."""
        rows = tx.rows(
            "select id, items from bill_operation where case_id = ? and state = 'final' order by number", (case,)
        )
        row = tx.row("select salt, commitment from ledger_claim where case_id = ?", (case,))
        openings = [Opening(row[1], COMMITTED, bytes(row[0]), {"case": case})] if row else []
        bills = {bill for _, items in rows for bill in _items.decode(items)}
        proofs = [each.nullifier_proof() for each in tickets.kept(tx, sorted(bills)).values()]
        return build(self.ledger, [id for id, _ in rows], openings, nullifiers=proofs)


def _key(item: Item) -> str:
    return f"{item.issuer}/{item.nullifier}/{item.part}"


def _sorted_out(
    ours: Mapping[str, Item], paid: Mapping[str, int], own: Mapping[str, int]
) -> dict[Literal["split", "whole", "release"], list[str]]:
    """The bills that leave a rest to be claimed elsewhere, those that do not, and those that paid nothing."""
    out: dict[Literal["split", "whole", "release"], list[str]] = {"split": [], "whole": [], "release": []}
    for bill in ours:
        amount = paid.get(bill, 0)
        out["release" if not amount else "split" if amount < own.get(bill, 0) else "whole"].append(bill)
    return out
