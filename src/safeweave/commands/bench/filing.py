"""A claim that files itself in a consortium: from the hospital's own door to the insurer's payment instruction."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import httpx

from safeweave import consents, people, worker
from safeweave.asking import trusting
from safeweave.clock import now, pause, seconds_running
from safeweave.commands.bench.arriving import AUTHORISED, IDLE_PAUSE_SECONDS
from safeweave.commands.bench.baselines import percentile, seconds_of
from safeweave.commands.bench.figure import Figure
from safeweave.commands.bench.members import founded
from safeweave.commands.bench.stays import HOSPITAL, SENDER, TOKEN, Stays, stays_of
from safeweave.commands.bench.stores import HOST, Bench
from safeweave.commands.leashed import leashed
from safeweave.consents import Party, consent_of, texts
from safeweave.consents.consent import DATA_KINDS
from safeweave.consortium.homes import Home
from safeweave.database import Database, Transaction, at_of
from safeweave.errors import Unavailable
from safeweave.events import ConsentGiven
from safeweave.exchange import senders
from safeweave.exchange.formats import Sender
from safeweave.ids import PersonId
from safeweave.node import open_node
from safeweave.ports import free_port
from safeweave.settings import Settings

PATIENCE_SECONDS = 60.0
RECORD_BYTES = 4096
BETWEEN_PAPERS_SECONDS = 0.3  # so that the bill finds everything before it delivered


def filing(bench: Bench) -> list[Figure]:
    """Milliseconds, with sealed exchange, ledger, consent and the bill's reservation in them, one claim at a time."""
    count = bench.counts.filed_claims + 2  # the first two open connections and read products
    milliseconds, commits = _filed(bench.home / "filing", count)
    return [
        Figure("filed_bill_to_instruction_p50", median(milliseconds), "ms", median(commits), target=200),
        Figure("filed_bill_to_instruction_p95", percentile(milliseconds, 0.95), "ms", percentile(commits, 0.95),
               target=1000),
    ]  # fmt: skip


def _filed(folder: Path, count: int) -> tuple[list[float], list[float]]:
    commission, hospital, insurer = founded(folder)
    given = _prepared(hospital, insurer, count)
    with ExitStack() as opened:
        for home in (commission, insurer):
            opened.enter_context(_process(home))
        url = opened.enter_context(_process(hospital))
        client = opened.enter_context(
            httpx.Client(base_url=url, headers=AUTHORISED, timeout=30, trust_env=False, verify=trusting())
        )
        heard = opened.enter_context(closing(Database(insurer.folder / "safeweave.db")))
        _wait_for_consents(opened.enter_context(closing(Database(hospital.folder / "safeweave.db"))))
        sync = opened.enter_context(open(folder / "bare", "ab", buffering=0))

        def bare() -> None:
            sync.write(bytes(RECORD_BYTES))
            os.fdatasync(sync.fileno())

        sent: dict[str, datetime] = {}
        commits = []
        for number in range(count):
            for message in (given.admission(number), given.discharge(number)):
                client.post("/fhir", content=message).raise_for_status()
            pause(BETWEEN_PAPERS_SECONDS)
            sent[given.visit(number)] = now()
            client.post("/fhir", content=given.bill(number)).raise_for_status()
            _until_ordered(heard, number + 1)
            commits.append(1e3 * seconds_of(bare))
            pause(IDLE_PAUSE_SECONDS)
        instructed = _instructed(heard, count)
    took = [1e3 * (instructed[visit] - at).total_seconds() for visit, at in sent.items()]
    return took[2:], commits[2:]


def _prepared(hospital: Home, insurer: Home, count: int) -> Stays:
    """Policies at the insurer, the hospital's own system as a sender, and what every patient has allowed."""
    node = open_node(Settings(home=insurer.folder, host=HOST))
    given = stays_of(node)
    given.register(node, insurer.folder, range(count))
    member, to = hospital.member(), insurer.member()
    giver, recipient = Party(member.member, member.name), Party(to.member, to.name, "400")
    at = now()
    with closing(node), node.database.transaction() as tx:
        senders.save(tx, [(Sender(id=member.member, hospital=HOSPITAL), None)])
        ids = [id for (id,) in tx.rows("select id from person order by id")]
        insured = [person for person in people.people_by_id(tx, ids).values() if person.birth]
        _allow(tx, [person.id for person in insured], None, recipient, at)
    with closing(Database(hospital.folder / "safeweave.db")) as database, database.transaction() as tx:
        senders.save(tx, [(SENDER, TOKEN)])
        told = [people.Particulars(each.name, each.documents, each.birth, each.sex) for each in insured]
        saved = [result.person for result in people.save_people(tx, told, at) if result.person]
        _allow(tx, saved, giver, recipient, at)
    return given


def _allow(tx: Transaction, persons: Sequence[PersonId], giver: Party | None, recipient: Party, at: datetime) -> None:
    act: consents.Act = "process" if giver is None else "give"
    text = texts.newest(act)
    allowed = [
        consent_of(
            person, act, giver, recipient, "claim", DATA_KINDS, at - timedelta(days=60), at + timedelta(days=365),
            (text.version, text.digest), person, at, "screen",
        )
        for person in persons
    ]  # fmt: skip
    consents.give(tx, allowed, at)
    worker.tell(tx, [ConsentGiven(consent.id, consent.person) for consent in allowed], at)


@contextmanager
def _process(home: Home) -> Iterator[str]:
    """`safeweave ROLE serve` for this home; where the systems of its house knock."""
    http = free_port()
    environment = {
        "SAFEWEAVE_HOME": str(home.folder), "SAFEWEAVE_DATABASE": "", "SAFEWEAVE_HOST": HOST,
        "SAFEWEAVE_HTTP_PORT": str(http), "SAFEWEAVE_MLLP_PORT": str(free_port()), "SAFEWEAVE_BANK_URL": "",
    }  # fmt: skip
    member, doors = home.member(), f"http://{HOST}:{http}"
    with leashed(["safeweave.main", member.role, "serve"], home.folder / "log", environment):
        urls = [f"{member.url}/health", *([] if member.role == "commission" else [f"{doors}/health"])]
        _until(lambda: all(_is_up(url) for url in urls), f"the {member.role} of the bench did not open its doors")
        yield doors


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False, verify=trusting()).status_code == 200
    except httpx.HTTPError:
        return False


def _wait_for_consents(database: Database) -> None:
    def entered() -> bool:
        with database.reading() as tx:
            return tx.row("select 1 from task where kind = 'ConsentGiven' limit 1") is None

    _until(entered, "the consents of the bench did not come to stand on the ledger")


def _until_ordered(database: Database, count: int) -> None:
    def ordered() -> bool:
        with database.reading() as tx:
            return bool(tx.rows("select count(*) from payout")[0][0] >= count)

    _until(ordered, f"claim {count} got no payment instruction")


def _instructed(database: Database, count: int) -> dict[str, datetime]:
    """When each visit's payment instruction was committed, once all of that is written down."""
    found: dict[str, datetime] = {}

    def noted() -> bool:
        with database.reading() as tx:
            rows = tx.rows(
                "select c.visit, t.instructed_at from payout_timing t join payout p on p.id = t.payout"
                " join claim_case c on c.id = p.case_id"
            )
        found.update({visit: at_of(at) for visit, at in rows})
        return len(found) >= count

    _until(noted, "the times of the payment instructions were not written down")
    return found


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = seconds_running() + PATIENCE_SECONDS
    while not true():
        if seconds_running() > deadline:
            raise Unavailable(f"{what} within {PATIENCE_SECONDS:.0f} seconds")
        pause(0.01)
