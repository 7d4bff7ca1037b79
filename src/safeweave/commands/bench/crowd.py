"""A store with many closed cases, cases that wait on the desk, and everybody who looks at them, each signed in."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from math import exp
from random import Random
from typing import NamedTuple

from safeweave import consents
from safeweave.clock import shanghai_day
from safeweave.commands.bench.baselines import plain_sqlite
from safeweave.commands.bench.embedded import fill_embedded
from safeweave.commands.bench.feeders import take
from safeweave.commands.bench.figure import Engine
from safeweave.commands.bench.filling import fill
from safeweave.commands.bench.stays import LARGE, Stays, name_of
from safeweave.commands.bench.stores import Bench, Store, connected
from safeweave.consents import Party, consent_of, texts
from safeweave.consents.consent import DATA_KINDS
from safeweave.database import Transaction
from safeweave.errors import InvariantBroken
from safeweave.ids import DeterminationId, PersonId, person_key
from safeweave.node import Node
from safeweave.telling.letters import letter_id
from safeweave.web import accounts
from safeweave.web.access import Role
from safeweave.web.audit import View, note_views
from safeweave.web.operations import tally

OVER_DAYS = 365  # the closed cases
REFERRED_SHARE = 100  # one of so many cases waits on the desk, and at least two for each examiner
EXAMINERS = 50
INSURED = 40  # who are signed in
DIRECTORS = 8
CONSENTS = 2_000
VIEWS_EACH = 2  # of each case
AT_ONCE = 2_000
SEED = 7


class Insured(NamedTuple):
    """An insured person who is signed in, and a closed case of theirs."""

    token: str
    person: str
    case: str
    decision: str


class Crowd(NamedTuple):
    """Who is signed in, by the token each browser holds, and what waits."""

    insured: Sequence[Insured]
    examiners: Sequence[str]
    directors: Sequence[str]
    referred: Sequence[str]  # cases on the desk
    visits: Sequence[str]  # numbers to search for
    names: Sequence[str]


@contextmanager
def crowded(bench: Bench, engine: Engine, cases: int) -> Iterator[tuple[Store, Crowd]]:
    """A store with that many closed cases over a year, cases that wait, consents and views, all counted."""
    with bench.store(engine, "pages") as store:
        with closing(store.node()):
            pass  # makes the tables
        if engine == "postgresql":
            fill(bench, store, cases, OVER_DAYS)
        else:
            fill_embedded(bench, store, cases, OVER_DAYS)
        _time_instructions(store)
        with closing(store.node()) as node:
            crowd = _gathered(node, store, max(2 * EXAMINERS, cases // REFERRED_SHARE))
            tally.keep_up(node.database, node.clock(), cases)
        yield store, crowd


def _time_instructions(store: Store) -> None:
    """Say of each clone's instruction when it was committed, which feeders do not: after 1 ms to a minute."""
    into = "insert into payout_timing (payout, shard, instructed_at) select id, shard,"
    if store.engine == "postgresql":
        with connected(store.database) as connection:
            connection.execute(f"{into} ordered_at + make_interval(secs => exp(random() * 11 - 7)) from payout")
        return
    random = Random(SEED)

    def later(at: str) -> str:
        moved = datetime.fromisoformat(at) + timedelta(seconds=exp(random.random() * 11 - 7))
        return f"{moved:%Y-%m-%dT%H:%M:%S.%f}Z"

    with plain_sqlite(store.home / "safeweave.db") as embedded:
        embedded.create_function("later", 1, later)
        embedded.execute(f"{into} later(ordered_at) from payout")


def _gathered(node: Node, store: Store, referred: int) -> Crowd:
    given, at = Stays(shanghai_day(node.clock()), LARGE), node.clock()
    given.register(node, store.home, range(referred))
    for first in range(0, referred, AT_ONCE // 4):
        take(node, [given.whole(number) for number in range(first, min(first + AT_ONCE // 4, referred))])
        node.worker.drain()
    with node.database.reading() as tx:
        closed = tx.rows("select c.id, c.person, c.visit, d.id from claim_case c join determination d"
                         " on d.case_id = c.id where c.stage = 'closed'")  # fmt: skip
        waiting = [case for (case,) in tx.rows("select id from claim_case where stage = 'referred' order by id")]
    if len(waiting) != referred:
        raise InvariantBroken(f"{referred} large bills were fed and {len(waiting)} cases wait for a person")
    random = Random(SEED)
    some = random.sample(closed, min(INSURED, len(closed)))
    for start in range(0, min(CONSENTS, len(closed)), AT_ONCE):
        with node.database.transaction() as tx:
            _allow(tx, [PersonId(person) for _, person, *_ in closed[start : start + AT_ONCE]], at)
    with node.database.transaction() as tx:
        examiners = [_staff(tx, "senior" if n % 5 == 4 else "examiner", n, at) for n in range(EXAMINERS)]
        directors = [_staff(tx, "director", n, at) for n in range(DIRECTORS)]
        insured = [
            Insured(_signed_in(tx, accounts.account_of(tx, person, at).id, at), person, case, decision)
            for case, person, _, decision in some
        ]
        for each in insured:  # a clone's letter stands under its template's id
            id = letter_id(DeterminationId(each.decision))
            tx.run("update letter set id = ?, shard = ? where determination = ?", (id, person_key(id), each.decision))
        names = [account.id for account in accounts.with_roles(tx, ["examiner", "senior"])]
    views = [(person, case) for case, person, *_ in closed for _ in range(VIEWS_EACH)]
    for start in range(0, len(views), AT_ONCE):
        with node.database.transaction() as tx:
            note_views(tx, [
                View(person, random.choice(names), "examiner", "referrals.read", case, at)
                for person, case in views[start : start + AT_ONCE]
            ])  # fmt: skip
    if store.engine == "postgresql":
        with connected(store.database) as connection:
            connection.execute("vacuum analyze")
    return Crowd(insured, examiners, directors, waiting, [visit for _, _, visit, _ in some],
                 [name_of(number) for number in range(10)])  # fmt: skip


def _staff(tx: Transaction, role: Role, number: int, at: datetime) -> str:
    return _signed_in(tx, accounts.add_account(tx, role, f"{role} {number}", at).id, at)


def _signed_in(tx: Transaction, account: str, at: datetime) -> str:
    return accounts.begin_session(tx, account, "bench", at)


def _allow(tx: Transaction, persons: Sequence[PersonId], at: datetime) -> None:
    text, to = texts.newest("process"), Party("insurer", "示例保险", "400")
    consents.give(tx, [
        consent_of(
            person, "process", None, to, "claim", DATA_KINDS, at - timedelta(days=60), at + timedelta(days=365),
            (text.version, text.digest), person, at, "screen",
        )
        for person in persons
    ], at)  # fmt: skip


__all__ = ["Crowd", "crowded"]
