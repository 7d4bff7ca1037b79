"""What is done with documents once they are opened: an insurer takes them into its cases, everybody else keeps them."""

from datetime import datetime

from safeweave import worker
from safeweave.consortium import store, tickets
from safeweave.consortium.receiving import Arrival, HandOver
from safeweave.consortium.reserving import BillDesk
from safeweave.database import Transaction
from safeweave.errors import NotAllowed, Unavailable
from safeweave.exchange import inbound, senders
from safeweave.exchange.formats import Limits

MESSAGE = "message"  # the kind of document that holds a hospital's message, in any format that hospitals speak


def take_documents(limits: Limits, desk: BillDesk) -> HandOver:
    """An insurer's: what hospitals tell is taken like what comes in by the other doors, the unreadable kept for repair.

    The member must be registered as a sender, with the institution code it speaks for. Its tickets go to the desk that
    reserves bills; NotAllowed for tickets of another hospital, or for a number that is not the bill's.
    """

    def take(tx: Transaction, arrival: Arrival, now: datetime) -> None:
        if arrival.header.kind == tickets.KIND:
            sheet = tickets.read_sheet(arrival.content.read())
            if sheet.ticket.issuer != arrival.header.sender:
                raise NotAllowed(f"member {arrival.header.sender} sends tickets of {sheet.ticket.issuer}")
            tickets.check_numbers(sheet, arrival.permit.sender)
            worker.tell(tx, desk.take_sheet(tx, sheet, now), now)
            return None
        if arrival.header.kind != MESSAGE:
            return keep(tx, arrival, now)
        sender = senders.every(tx).get(arrival.header.sender)
        if sender is None:
            raise Unavailable(
                f"member {arrival.header.sender} is no registered sender; `safeweave senders add` registers it"
            )
        arrived = inbound.open_message(arrival.content.read(), sender, limits)
        _, told = inbound.take(tx, [arrived], now)
        worker.tell(tx, told, now)
        return None

    return take


def keep(tx: Transaction, arrival: Arrival, now: datetime) -> None:
    """Everybody's: the content is kept as it came, under what `kept_under` says."""
    header = arrival.header
    store.keep_pieces(tx, kept_under(header.sender, header.exchange, header.sequence), arrival.content)


def kept_under(sender: str, exchange: str, sequence: int) -> str:
    """Where the content of an envelope is kept, for `store.pieces`."""
    return f"opened/{sender}/{exchange}/{sequence}"
