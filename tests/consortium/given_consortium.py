"""A city of members on one ledger, each with a store of its own, a door on loopback and a courier."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from ledger.given_ledger import DAY, NOON, Consortium, Person
from ledger.ledgers import Time, log_signer, served
from safeweave.asking import trusting
from safeweave.consortium import store
from safeweave.consortium.directory import Directory, endpoint_hash
from safeweave.consortium.door import reception_router
from safeweave.consortium.receiving import Arrival, Limits, Reception
from safeweave.consortium.sending import Courier
from safeweave.consortium.store import Contact, Outgoing
from safeweave.consortium.why import Why
from safeweave.database import Database, Transaction
from safeweave.keys.keyset import KeySet
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Ledger
from safeweave.ledger.operation import PutMember, SignedOperation, fresh_id
from safeweave.ports import free_port
from stores import create, place
from waiting import PATIENCE

HANDED = (
    "create table handed (id integer primary key, sender text not null, exchange text not null,"
    " sequence integer not null, content text not null)"
)


def hand_over(tx: Transaction, arrival: Arrival, now: datetime) -> None:
    """Takes a document up: it is written down, in the order of arrival."""
    header = arrival.header
    tx.run(
        "insert into handed (sender, exchange, sequence, content) values (?, ?, ?, ?)",
        (header.sender, header.exchange, header.sequence, arrival.content.read().decode()),
    )


@dataclass
class Site:
    """One member at work."""

    person: Person
    folder: Path
    ledger: Ledger
    time: Time
    port: int = field(default_factory=free_port)
    hand_over: Callable[[Transaction, Arrival, datetime], None] = hand_over
    limits: Limits = field(default_factory=Limits)
    backlog: int = 0
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=PATIENCE, trust_env=False, verify=trusting())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.open()
        with self.database.transaction() as tx:
            create(tx, HANDED)

    def open(self) -> None:
        """Begin, or begin again as after a restart."""
        self.database = Database(place(self.folder / "node.db"))
        self.directory = Directory(self.ledger, self.address_of)
        self.reception = Reception(
            self.database, self.directory, lambda: self.person.ring, self.time, self.hand_over,
            self.folder / "arriving", backlog=lambda: self.backlog, limits=self.limits,
        )  # fmt: skip
        self.courier = Courier(
            self.database, self.directory, lambda: self.person.ring, self.time, self.folder / "leaving",
            client=self.client,
        )  # fmt: skip

    def address_of(self, member: str) -> str | None:
        with self.database.reading() as tx:
            found = store.contacts(tx).get(member)
        return found.url if found else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def app(self) -> FastAPI:
        app = FastAPI()
        app.include_router(reception_router(self.reception))
        return app

    def served(self) -> AbstractContextManager[str]:
        return served(self.app, self.port)

    def put(self, to: "Site", consent: str, content: str, exchange: str = "exchange", kind: str = "record") -> str:
        with self.database.transaction() as tx:
            return self.courier.put(
                tx, to.person.id, exchange, consent, kind, io.BytesIO(content.encode()), self.time()
            )

    def works(self, rounds: int = 1, seconds: int = 400) -> None:
        """Try what is due, round after round, the time between them long enough for every pause to end."""
        for n in range(rounds):
            if n:
                self.time.passes(seconds)
            self.courier.work()

    def outgoing(self, id: str) -> Outgoing:
        with self.database.reading() as tx:
            found = store.outgoing(tx, id)
        assert found is not None
        return found

    def state(self, id: str) -> tuple[str, str]:
        """What became of a delivery, and the code of why."""
        found = self.outgoing(id)
        return found.state, found.why.code if found.why else ""

    def sealed(self, id: str) -> bytes:
        """The bytes that are sent for a delivery."""
        with self.database.reading() as tx:
            return b"".join(store.pieces(tx, id))

    def handed(self) -> list[tuple[Any, ...]]:
        """What was handed over, in order."""
        with self.database.reading() as tx:
            return tx.rows("select exchange, sequence, content from handed order by id")

    def contents(self) -> list[str]:
        return [content for _, _, content in self.handed()]

    def refused(self) -> list[tuple[str, Why]]:
        with self.database.reading() as tx:
            return [(one.sender, one.why) for one in store.refused(tx, 100)]


@dataclass
class City:
    """The consortium's ledger and two of its members, who know each other's addresses."""

    folder: Path
    time: Time = field(default_factory=Time)
    consortium: Consortium = field(default_factory=Consortium)

    def __post_init__(self) -> None:
        self.ledger = EmbeddedLedger(self.folder / "log.sqlite", log_signer(), self.time)
        self.says(self.consortium.founding())
        self.hospital = self.site("hospital", self.consortium.hospital)
        self.insurer = self.site("insurer", self.consortium.insurer)
        for site in (self.hospital, self.insurer):
            self.admit(site)

    def site(self, name: str, person: Person, **details: Any) -> Site:
        return Site(person, self.folder / name, self.ledger, self.time, **details)

    def says(self, *signed: SignedOperation) -> list[Final]:
        found = [self.ledger.outcome(id, PATIENCE) for id in self.ledger.submit(signed)]
        assert all(isinstance(outcome, Final) for outcome in found), found
        return [outcome for outcome in found if isinstance(outcome, Final)]

    def admit(self, site: Site, keys: KeySet | None = None, url: str = "") -> None:
        first, second = self.consortium.commission
        person = site.person
        self.says(
            first.signs(
                PutMember(
                    first.id, fresh_id(), person.id, person.role, keys or person.keys, endpoint_hash(url or site.url)
                ),
                [second],
            )
        )
        for one in [site]:
            self.tell_addresses(one)

    def tell_addresses(self, site: Site) -> None:
        known = [one for one in (getattr(self, "hospital", None), getattr(self, "insurer", None), site) if one]
        for each in known:
            with each.database.transaction() as tx:
                store.keep_contacts(tx, [Contact(one.person.id, one.folder.name, one.url) for one in known])

    def suspend(self, person: Person) -> None:
        self.says(self.consortium.suspends(person))

    def consent(self, by: Person | None = None, grantee: Person | None = None, **times: int) -> str:
        id = fresh_id()
        by, grantee = by or self.hospital.person, grantee or self.insurer.person
        self.says(by.grants(grantee, id, **({"expires": NOON + 30 * DAY} | times)))
        return id

    def revoke(self, consent: str) -> None:
        self.says(self.hospital.person.revokes(consent))

    def close(self) -> None:
        for site in (self.hospital, self.insurer):
            site.database.close()
            site.client.close()
        self.ledger.close()


@contextmanager
def serving(*sites: Site) -> Iterator[None]:
    """The doors of these, open until the end of the block."""
    with sites[0].served() if sites else nullcontext():
        if len(sites) > 1:
            with serving(*sites[1:]):
                yield
        else:
            yield
