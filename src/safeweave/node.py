"""A node built from its parts: store, flow, worker. An insurer's is whole here.

Its doors stand in `serving.py`: a command that opens none does not load what they need, nearly half of its start.
"""

import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from safeweave import cases, clock, worker
from safeweave.adjudication import Adjudicator, DecidingAgain, product_files, read_overlays
from safeweave.clock import Clock
from safeweave.consortium import ending
from safeweave.database import Database
from safeweave.errors import StoreUnavailable
from safeweave.events import Event, PayoutOrdered
from safeweave.exchange.formats import Limits
from safeweave.flow import ALONE, Consortium, flow
from safeweave.keys.resting import Rest
from safeweave.overview import note_instructed
from safeweave.payments import Bank, BankDesk
from safeweave.payments.banks.book import BookBank
from safeweave.payments.banks.files import FileBank
from safeweave.payments.banks.sandbox import SandboxBank
from safeweave.payments.iso20022 import Debtor
from safeweave.settings import Settings
from safeweave.telling import Post
from safeweave.web.asked import Site
from safeweave.web.notices.subscribers import Subscribers
from safeweave.worker import Timer, Worker

log = logging.getLogger("safeweave.node")

NOTICES_EVERY = timedelta(seconds=2)


@dataclass
class Running:
    """A store with a worker, behind the doors at which hospitals' systems knock."""

    settings: Settings
    database: Database
    worker: Worker
    limits: Limits
    clock: Clock

    def look_around(self) -> None:
        """What is done every few seconds."""

    def write_times(self) -> None:
        """Write down what was remembered of times."""

    def site(self) -> Site | None:
        """What stands behind the pages for people; None: there are none here."""
        return None

    def close(self) -> None:
        """Let go of the store."""
        self.database.close()


@dataclass
class Node(Running):
    """An insurer's node: the parts that commands work with."""

    adjudicator: Adjudicator
    desk: BankDesk
    post: Post
    again: DecidingAgain
    bills: Consortium | None = None
    instructed: list[tuple[str, datetime]] = field(default_factory=list)

    def read_notices(self) -> int:
        """How many things the banks told us since the last time (returned payments, confirmations).

        Of all nodes over one store, one asks.
        """
        if not self.worker.has_slot("notices"):
            return 0
        with self.database.reading() as tx:
            cursors = self.desk.notice_cursors(tx)
        notices = self.desk.fetch(cursors)
        if not notices:
            return 0
        now = self.clock()
        with self.database.transaction() as tx:
            worker.tell(tx, self.desk.take(notices, tx, now), now)
        self.worker.signal()
        return len(notices)

    def note_times(self, told: Sequence[Event], at: datetime) -> None:
        """Remember when payment instructions were committed, to be written down when there is time."""
        self.instructed += [(event.payout, at) for event in told if isinstance(event, PayoutOrdered)]

    def write_times(self) -> None:
        """Write down what `note_times` remembered."""
        instructed, self.instructed = self.instructed, []
        if not instructed:
            return
        try:
            with self.database.transaction(beside=True) as tx:
                note_instructed(tx, instructed)
        except StoreUnavailable:
            self.instructed = instructed + self.instructed
            raise

    def look_around(self) -> None:
        """What is done every few seconds; what cannot be done now is tried again then, and the rest is done."""
        for what, job in (
            ("the banks' notices", self.read_notices),
            ("the times of payment instructions", self.write_times),
            ("the figures for the pages", self._keep_tally),
        ):
            try:
                job()
            except StoreUnavailable as away:
                log.warning("the store is away: %s", away)
            except Exception:
                log.exception("%s could not be taken; this is tried again", what)

    def _keep_tally(self) -> None:
        if self.settings.pages:
            from safeweave.web.operations import tally  # what belongs to pages is loaded where there are pages

            tally.keep_up(self.database, self.clock())

    def site(self) -> Site | None:
        """What stands behind the pages for people, if they are to be served."""
        if not self.settings.pages:
            return None
        return Site(self.database, self.worker, self.adjudicator, self.again, self.post, self.settings, self.clock)


def open_node(
    settings: Settings, now: Clock = clock.now, bills: Callable[[Adjudicator], Consortium] | None = None
) -> Node:
    """The node of these settings; its store is made if it is not there. Malformed if a product file is.

    In a consortium, `bills` makes what holds bills on its ledger.
    """
    _collect_seldom()
    database = Database(settings.store)
    overlays = read_overlays(settings.overlays) if settings.overlays else ()
    adjudicator = Adjudicator(product_files(settings.products), overlays)
    banks: dict[str, Bank] = {"book": BookBank(database)}
    if settings.bank_url:
        banks["main"] = SandboxBank(settings.bank_url)
    elif settings.bank_folder:
        debtor = Debtor(settings.company, settings.bank_account, settings.bank_code)
        outbox, inbox = settings.bank_folder / "outbox", settings.bank_folder / "inbox"
        banks["main"] = FileBank("main", database, outbox, inbox, debtor, now)
    post = Post.from_settings(settings)
    return assembled(settings, database, adjudicator, banks, post, now, bills and bills(adjudicator))


def _collect_seldom() -> None:
    """A batch makes hundreds of thousands of objects that are in no cycle: looking for cycles among them is in vain."""
    gc.set_threshold(50_000, 20, 20)


def assembled(
    settings: Settings,
    database: Database,
    adjudicator: Adjudicator,
    banks: Mapping[str, Bank],
    post: Post,
    now: Clock,
    bills: Consortium | None = None,
) -> Node:
    """The node of these parts; in a consortium, `bills` are held on its ledger."""
    desk = BankDesk(banks, cases.payees)
    again = DecidingAgain(adjudicator, ending.locked)
    subscribers = Subscribers(settings, Rest(settings.keys_at_rest, settings.keys_passphrase), now)
    follows = flow(adjudicator, desk, post, again, bills, subscribers)
    timers: list[Timer] = [cases.ring_clocks, desk.release_waiting, subscribers.hear]
    if bills is not None:
        timers += [bills.renew, bills.look_around]
    limits = Limits(max_bytes=settings.max_message_bytes)
    running = Worker(database, follows, now, timers=timers, alone=ALONE, batch=settings.batch)
    running.calls = dict.fromkeys(running.lanes, settings.calls)
    node = Node(settings, database, running, limits, now, adjudicator, desk, post, again, bills)
    running.committed = node.note_times
    return node


def work(node: Node, stopping: threading.Event) -> None:
    """Work without doors until `stopping` is set."""
    node.worker.start()
    try:
        while not stopping.wait(NOTICES_EVERY.total_seconds()):
            node.look_around()
    finally:
        node.worker.stop()
        node.write_times()
