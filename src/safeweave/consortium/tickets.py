"""Tickets: a hospital's word that an insurer may reserve its bills, with the proof that each bill has just one number.

The number of a bill (its nullifier) is the output of the hospital's VRF for it (RFC 9381): only the hospital can
compute it, and it cannot give two. Tickets travel sealed beside the bills; the ledger sees numbers only.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from safeweave.database import Transaction, at_text
from safeweave.errors import Malformed, NotAllowed
from safeweave.keys import vrf
from safeweave.keys.canonical import canonical
from safeweave.keys.ring import Period
from safeweave.ledger.bundle import NullifierProof
from safeweave.ledger.ledger import MemberRecord
from safeweave.ledger.operation import Count, Id, Part, Said, Ticket, issue_ticket

KIND = "tickets"  # of the sealed documents that carry them
_NULLIFIER = "safeweave/nullifier/1"

BillNumber = tuple[str, str]  # code and number of a bill


class NumberedBill(Said):
    """One bill with its number on the ledger and the proof of that."""

    code: str
    number: str
    nullifier: Id
    proof: bytes

    @property
    def key(self) -> str:
        """The bill key `code-number`."""
        return f"{self.code}-{self.number}"


class Sheet(Said):
    """A ticket for bills of one hospital, in the order in which it names them."""

    form: Count
    ticket: Ticket
    bills: tuple[NumberedBill, ...]


def alpha_of(issuer: str, bill: BillNumber) -> bytes:
    """What a hospital's VRF is asked for one of its bills: expense benefits only, so that is what it says."""
    return canonical([_NULLIFIER, "indemnity", issuer, *bill])


def issued(
    issuer: str, period: Period, bills: Sequence[BillNumber], holder: str, expires: int, parts: Sequence[Part] = ()
) -> Sheet:
    """A sheet for these bills of the hospital `issuer`, which `holder` may reserve until `expires` of the ledger.

    `parts` are 1 unless a rest of a bill is to be claimed (each part opens once the one before is settled).
    """
    numbered = []
    for code, number in bills:
        proof = vrf.prove(period.vrf, alpha_of(issuer, (code, number)))
        numbered.append(NumberedBill(code, number, vrf.output(proof)[:32].hex(), proof))
    items = list(zip([bill.nullifier for bill in numbered], parts or [1] * len(bills), strict=True))
    return Sheet(1, issue_ticket(issuer, holder, items, expires, period.suite, period.signing_key()), tuple(numbered))


def write_sheet(sheet: Sheet) -> bytes:
    """The sheet as JSON."""
    return msgspec.json.encode(sheet)


def read_sheet(raw: bytes) -> Sheet:
    """A sheet from JSON; Malformed with the place of the fault."""
    try:
        sheet = msgspec.json.decode(raw, type=Sheet)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no sheet of tickets: {error}") from None
    if [bill.nullifier for bill in sheet.bills] != list(sheet.ticket.nullifiers):
        raise Malformed("the bills are not those that the ticket names", field="bills")
    return sheet


def check_numbers(sheet: Sheet, issuer: MemberRecord) -> None:
    """NotAllowed unless every number is what a key of its hospital gives for that bill.

    The ledger checks the ticket itself; this nobody but the two can, since the ledger knows no bill.
    """
    keys = {period.keys.vrf for period in issuer.periods}
    for bill in sheet.bills:
        alpha = alpha_of(sheet.ticket.issuer, (bill.code, bill.number))
        if not any((beta := vrf.verify(key, bill.proof, alpha)) and beta[:32].hex() == bill.nullifier for key in keys):
            raise NotAllowed(f"the number of bill {bill.key} is not what a key of {issuer.member} gives for it")


# ---------------------------------------------------------------- kept by the insurer


def keep(tx: Transaction, sheet: Sheet, now: datetime) -> None:
    """Keep what may be reserved; a later ticket for the same part of a bill takes the place of an earlier one."""
    ticket = msgspec.json.encode(sheet.ticket)
    tx.run_many(
        "insert into bill_ticket (bill, part, issuer, nullifier, ticket, proof, taken_at) values (?, ?, ?, ?, ?, ?, ?)"
        " on conflict (bill, part) do update set issuer = excluded.issuer, nullifier = excluded.nullifier,"
        " ticket = excluded.ticket, proof = excluded.proof, taken_at = excluded.taken_at",
        [
            (bill.key, part, sheet.ticket.issuer, bill.nullifier, ticket, bill.proof, at_text(now))
            for bill, part in zip(sheet.bills, sheet.ticket.parts, strict=True)
        ],
    )


class KeptTicket(Said):
    """What is kept for one bill: the last part that may be reserved."""

    bill: str
    part: Part
    nullifier: Id
    ticket: Ticket
    proof: bytes

    def nullifier_proof(self) -> NullifierProof:
        """The proof of the bill's number, for a proof bundle."""
        code, _, number = self.bill.partition("-")
        return NullifierProof(
            self.ticket.issuer, self.nullifier, alpha_of(self.ticket.issuer, (code, number)), self.proof
        )


def kept(tx: Transaction, bills: Iterable[str]) -> dict[str, KeptTicket]:
    """The tickets of these bill keys, of each the last part; those without one are left out."""
    found: dict[str, KeptTicket] = {}
    for bill, part, nullifier, ticket, proof in tx.rows(
        "select bill, part, nullifier, ticket, proof from bill_ticket where bill in ? order by bill, part",
        (list(bills),),
    ):
        found[bill] = KeptTicket(bill, part, nullifier, msgspec.json.decode(ticket, type=Ticket), bytes(proof))
    return found
