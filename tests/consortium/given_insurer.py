"""A hospital that sends sealed, and a whole insurer that takes it: one ledger, two stores, doors on loopback."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from consents.given_consents import consent as consent_of
from consortium.given_consortium import City
from given import CLEAN_STAY, HOSPITAL, House, a_bill
from given import Time as HouseTime
from ledger.given_ledger import DAY
from ledger.ledgers import Time
from safeweave import consents, worker
from safeweave.consents import Consent, ConsentId, Party, Revocation
from safeweave.consortium import ending, locking, tickets
from safeweave.consortium.anchoring import Anchoring
from safeweave.consortium.insuring import InsurerDesk
from safeweave.consortium.locking import Opened
from safeweave.consortium.receiving import Reception
from safeweave.consortium.sending import Courier
from safeweave.consortium.taking import MESSAGE, take_documents
from safeweave.database import Transaction
from safeweave.events import ConsentGiven, ConsentRevoked, HospitalEvent
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender, visit
from safeweave.ids import PersonId
from safeweave.node import open_node

MESSAGES = ("identity", "admission", "diagnosis", "bill", "settlement")


class Shared(Time):
    """The clock of a house, as a city moves it."""

    def __init__(self, time: HouseTime) -> None:
        self.time = time

    def __call__(self) -> datetime:
        return self.time()

    def passes(self, seconds: int) -> None:
        self.time.pass_(seconds)


class Pair:
    """A hospital and an insurer, members of one consortium."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.city = City(folder, Shared(house.time))
        self.hospital, self.insurer = self.city.hospital, self.city.insurer
        self.entry = self.city.consent(expires=int(house.time().timestamp()) + 400 * DAY)
        house.node.close()
        house.node = open_node(house.node.settings, house.time, self._desk)
        site = self.insurer
        site.database.close()
        site.database = house.node.database
        take = take_documents(house.node.limits, self.desk)
        site.reception = Reception(
            site.database, site.directory, lambda: site.person.ring, house.time, take, folder / "arriving"
        )
        site.courier = Courier(
            site.database, site.directory, lambda: site.person.ring, house.time, folder / "leaving", client=site.client
        )
        with site.database.transaction() as tx:
            senders.save(tx, [(Sender(id=self.hospital.person.id, hospital=HOSPITAL), None)])
        self.city.tell_addresses(site)
        self.told = 0
        ((id,),) = house.rows("select id from person")
        self.person = PersonId(id)

    def _desk(self, adjudicator: Any) -> InsurerDesk:
        self.desk = InsurerDesk(self.city.ledger, lambda: self.insurer.person.ring, adjudicator.reimburses)
        return self.desk

    # ---- what the hospital sends

    def sends(self, *events: HospitalEvent, exchange: str = "stay", entry: str = "") -> list[str]:
        """Each event in an envelope of its own, over the wire; what became of each document."""
        for event in events:
            self.told += 1
            raw = visit.write(f"told-{self.told}", self.house.time(), event.visit, (event,))
            self.hospital.put(self.insurer, entry or self.entry, raw.decode(), exchange, MESSAGE)
        return self.delivers()

    def sends_document(self, kind: str, content: str, exchange: str = "stay", entry: str = "") -> list[str]:
        self.hospital.put(self.insurer, entry or self.entry, content, exchange, kind)
        return self.delivers()

    def sends_tickets(self, *bills: Any) -> None:
        numbers = [(bill.code, bill.number) for bill in bills or [a_bill()]]
        issuer = self.city.consortium.hospital
        until = int(self.house.time().timestamp()) + 90 * DAY
        sheet = tickets.issued(issuer.id, issuer.period, numbers, self.insurer.person.id, until)
        self.sends_document(tickets.KIND, tickets.write_sheet(sheet).decode())

    def sends_a_clean_stay(self) -> None:
        self.sends_tickets()
        self.sends(*CLEAN_STAY)

    def delivers(self) -> list[str]:
        with self.insurer.served():
            self.hospital.works()
        self.house.works()
        return [document.state for document in self.documents()]

    def answers(self) -> list[str]:
        """What the insurer has answered until now, as the hospital has it."""
        with self.hospital.served():
            self.insurer.works()
        return self.hospital.contents()

    # ---- what the person says

    def allows(
        self, *kinds: str, act: str = "process", days: float = 90, of: PersonId | None = None, **told: Any
    ) -> ConsentId:
        """The person says yes, from now on."""
        insurer = Party(self.insurer.person.id, "示例人寿", "400-000-0001")
        hospital = Party(self.hospital.person.id, "示例市第一医院", "0571-00000001")
        now = self.house.time()
        given: dict[str, Any] = {
            "act": act,
            "giver": None if act == "process" else insurer,
            "recipient": insurer if act == "process" else hospital,
            "kinds": kinds or MESSAGES,
            "begins_at": now,
            "given_at": now,
            "given_by": of or self.person,
            "ends_at": now + timedelta(days=days),
            **told,
        }
        return self.notes(consent_of(of or self.person, **given))

    def notes(self, consent: Consent) -> ConsentId:
        with self.house.node.database.transaction() as tx:
            consents.give(tx, [consent], self.house.time())
            worker.tell(tx, [ConsentGiven(consent.id, consent.person)], self.house.time())
        self.house.works()
        return consent.id

    def revokes(self, consent: ConsentId, told: bool = True) -> None:
        now = self.house.time()
        with self.house.node.database.transaction() as tx:
            consents.revoke(tx, [Revocation(consent, now, self.person, "screen")], now)
            worker.tell(tx, [ConsentRevoked(consent, self.person)] if told else [], now)
        self.house.time.pass_(2)
        self.house.works()

    def chooses(self, consent: ConsentId, choice: Any) -> None:
        with self.house.node.database.transaction() as tx:
            told = ending.choose(tx, consent, choice, self.person, self.house.time())
            worker.tell(tx, told, self.house.time())
        self.house.works()

    # ---- what came of it

    def documents(self) -> list[Opened]:
        ids = [id for (id,) in self.house.rows("select id from opened_document order by opened_at, sequence")]
        return self.asks(lambda tx: [locking.document(tx, id) for id in ids])

    def why(self) -> list[str]:
        """The reason for which each document is locked."""
        return [document.why.reason if document.why else "" for document in self.documents()]

    def cases(self) -> list[tuple[str, str]]:
        return [(case.visit, case.stage) for case in self.house.cases()]

    def reads(self) -> list[tuple[str, tuple[str, ...], ConsentId | None]]:
        """What was read of the person: for which document, which kinds, under which consent."""
        found = self.asks(lambda tx: consents.reads_of(tx, self.person))
        return [(read.reason, read.kinds, read.consent) for read in found]

    def messages(self) -> list[str]:
        """The occasions the person was told of, each once, as they came."""
        return list(dict.fromkeys(row[0] for row in self.house.rows("select occasion from message order by told_at")))

    def asks(self, question: Callable[[Transaction], Any]) -> Any:
        return self.house.asks(question)

    def operations(self) -> list[str]:
        """The kinds of operations that this insurer has put on the ledger."""
        me = self.insurer.person.id
        return [event.kind for event in self.city.ledger.events(-1, 1000) if event.by == me]

    def anchors(self) -> None:
        self.house.time.pass_(5)
        assert Anchoring(
            self.insurer.database, self.city.ledger, lambda: self.insurer.person.ring, self.house.time
        ).work()

    def close(self) -> None:
        self.hospital.database.close()
        self.hospital.client.close()
        self.insurer.client.close()
        self.city.ledger.close()


def read(answers: Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(answer) for answer in answers]
