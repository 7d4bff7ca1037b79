"""Policies, payees and usage, as functions over a transaction; everything written is an addition with its instant."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from safeweave import ids, people
from safeweave.coverage.policy import (
    Change,
    Insured,
    InsuredPolicy,
    Payee,
    Policy,
    check_change,
    check_lapse,
    cover_of,
    first_day_without_cover,
)
from safeweave.coverage.usage import NO_USAGE, TABLES, Usage
from safeweave.coverage.usage import usage_of as summed
from safeweave.database import Transaction, at_text
from safeweave.errors import NotFound
from safeweave.facts import Fact
from safeweave.ids import DeterminationId, PersonId, PolicyId
from safeweave.people import Person
from safeweave.people.identity import Unusable

InsuredKey = tuple[PolicyId, PersonId]
PayeeKey = tuple[PolicyId, PersonId, str]

OPENING = DeterminationId("opening")  # what was used before a policy came here


def policy_id(number: str) -> PolicyId:
    """The id that always belongs to a policy number."""
    return PolicyId(ids.derived("policy", number))


# ---------------------------------------------------------------- reading


def policies_of(
    tx: Transaction,
    person_ids: Collection[PersonId],
    on: date | None = None,
    persons: Mapping[PersonId, Person] | None = None,
) -> dict[PersonId, list[InsuredPolicy]]:
    """What each person was promised, by policy number; one statement whatever the batch, beside reading the persons.

    Every policy is listed, in force or not: which of its years holds an event is for adjudication to say. `on` is the
    day on which a minor's guardian must be on file (the claim's `claimed_on`); without it only guardianships without an
    end count. A person without policies has an empty list; `InsuredPolicy.person` is the present id of a merged person.
    """
    who = people.guarded(people.people_by_id(tx, person_ids) if persons is None else persons, on)
    found: dict[PersonId, list[InsuredPolicy]] = {person: [] for person in person_ids}
    present = sorted({person for person, *_ in who.values()})
    if not present:
        return found
    heads: dict[PersonId, dict[PolicyId, tuple[str, str, str, Insured]]] = {}
    changes: dict[tuple[PolicyId, PersonId | None], list[tuple[int, Change]]] = {}
    payees: dict[InsuredKey, dict[str, Payee]] = {}
    for what, seq, policy, person, *rest in tx.rows(_PROMISED, (present,)):
        if what == "change":
            changes.setdefault((policy, person), []).append((seq, _change(person, *rest[:5])))
        elif what == "insured":
            number, product, bank, *terms = rest
            heads.setdefault(person, {})[policy] = number, product, bank, _insured((person, *terms))
        else:
            payees.setdefault((policy, person), {})[rest[0]] = Payee(*rest[:4])
    for asked, (person, birth, sex, guardian) in who.items():
        for policy, (number, product, bank, insured) in heads.get(person, {}).items():
            own, for_all = changes.get((policy, person), ()), changes.get((policy, None), ())
            ordered = sorted([*own, *for_all], key=_first) if own and for_all else own or for_all
            cover = cover_of(insured, [change for _, change in ordered], birth, sex, guardian)
            paid_to = tuple(payees.get((policy, person), {}).values())
            found[asked].append(InsuredPolicy(policy, person, product, cover, paid_to, bank, number))
        found[asked].sort(key=_number)
    return found


def _number(policy: InsuredPolicy) -> str:
    return policy.number


def _first(change: tuple[int, Change]) -> int:
    return change[0]


# Of each insured person the terms, what changed for all or for them, and whom to pay; in the order it was recorded.
_PROMISED = """
with promised as (select distinct policy, person from insured_change where person in ?)
select 'insured' as what, i.seq, i.policy, i.person, p.number, p.product, p.bank, i.relation,
       cast(i.enrolled as text), i.beneficiary, i.roster_first_day, i.roster_last_day
  from promised m join insured_change i on i.policy = m.policy and i.person = m.person join policy p on p.id = m.policy
union all
select 'change', seq, policy, null, kind, first_day, last_day, since, reason, null, null, null
  from policy_change where policy in (select policy from promised) and person is null
union all
select 'change', c.seq, c.policy, c.person, c.kind, c.first_day, c.last_day, c.since, c.reason, null, null, null
  from promised m join policy_change c on c.policy = m.policy and c.person = m.person
union all
select 'payee', y.seq, y.policy, y.person, y.role, y.name, y.account, y.bank_code, null, null, null, null
  from promised m join payee_change y on y.policy = m.policy and y.person = m.person
order by what, seq
"""


def payees(tx: Transaction, keys: Sequence[PayeeKey]) -> dict[PayeeKey, Payee]:
    """The payee on file for each (policy, insured person, role), in one statement; a key without one is left out."""
    if not keys:
        return {}
    wanted = sorted(set(keys))
    return {
        (policy, person, role): Payee(role, name, account, bank_code)
        for policy, person, role, name, account, bank_code in tx.rows(
            "select policy, person, role, name, account, bank_code from payee_change"
            " where (policy, person, role) in ? order by seq",
            (wanted,),
        )
    }


def policies_by_number(tx: Transaction, numbers: Collection[str]) -> dict[str, Policy]:
    """The policies with all their insured persons and changes; an unknown number is left out. Three statements."""
    wanted = sorted(set(numbers))
    if not wanted:
        return {}
    heads = {
        row[0]: row[1:]
        for row in tx.rows("select id, number, product, holder, bank from policy where number in ?", (wanted,))
    }
    within = sorted(heads)
    insureds: dict[PolicyId, dict[PersonId, Insured]] = {}
    changes: dict[PolicyId, list[Change]] = {}
    if within:
        for policy, *row in tx.rows(
            "select policy, person, relation, enrolled, beneficiary, roster_first_day, roster_last_day "
            "from insured_change where policy in ? and moved_to is null order by seq",
            (within,),
        ):
            insureds.setdefault(policy, {})[row[0]] = _insured(row)
        for policy, *row in tx.rows(
            "select policy, person, kind, first_day, last_day, since, reason "
            "from policy_change where policy in ? order by seq",
            (within,),
        ):
            changes.setdefault(policy, []).append(_change(*row))
    return {
        number: Policy(
            id, number, product, holder, bank, tuple(insureds.get(id, {}).values()), tuple(changes.get(id, ()))
        )
        for id, (number, product, holder, bank) in heads.items()
    }


def policy_history(tx: Transaction, policy: PolicyId) -> list[tuple[str, str, PersonId | None, str]]:
    """What was ever recorded of a policy, oldest first: instant, kind of addition, person, what it says."""
    rows = tx.rows(
        """
        select added_at, kind, person, first_day || coalesce(' .. ' || last_day, '') || case reason when '' then ''
               else ' ' || reason end, seq from policy_change where policy = ?
        union all
        select added_at, 'insured', person, relation, seq from insured_change where policy = ?
        union all
        select added_at, 'payee', person, role, seq from payee_change where policy = ?
        order by 1, 5
        """,
        (policy, policy, policy),
    )
    return [(at, kind, person, text) for at, kind, person, text, _ in rows]


def persons_under(tx: Transaction, number: str) -> list[PersonId]:
    """Everybody who is or was insured under the policy with this number, by id."""
    rows = tx.rows("select distinct person from insured_change where policy = ? order by person", (policy_id(number),))
    return [person for (person,) in rows]


def all_payees(tx: Transaction, policies: Collection[PolicyId]) -> dict[InsuredKey, tuple[Payee, ...]]:
    """The latest payees of everybody insured under the policies."""
    within = sorted(policies)
    found: dict[InsuredKey, dict[str, Payee]] = {}
    if within:
        for policy, person, *rest in tx.rows(
            "select policy, person, role, name, account, bank_code from payee_change where policy in ? order by seq",
            (within,),
        ):
            found.setdefault((policy, person), {})[rest[0]] = Payee(*rest)
    return {key: tuple(payees.values()) for key, payees in found.items()}


def policy_numbers(tx: Transaction, after: str = "", limit: int = 1000) -> list[str]:
    """The next policy numbers after one, in order: how everything is walked without loading it at once."""
    return [
        row[0] for row in tx.rows("select number from policy where number > ? order by number limit ?", (after, limit))
    ]


def _insured(row: Sequence[Any]) -> Insured:
    person, relation, enrolled, beneficiary, roster_first, roster_last = row
    return Insured(person, bool(int(enrolled)), relation, beneficiary, _day_of(roster_first), _day_of(roster_last))


def _change(
    person: PersonId | None, kind: Any, first_day: str, last_day: str | None, since: str | None, reason: str
) -> Change:
    return Change(kind, date.fromisoformat(first_day), _day_of(last_day), _day_of(since), reason, person)


# ---------------------------------------------------------------- writing


class Head(Fact, frozen=True):
    """A policy's head as a file states it."""

    number: str
    product: str
    holder: PersonId | None = None
    bank: str = "main"


class OnRecord(msgspec.Struct):
    """What is on record of some policies, as far as it concerns some persons."""

    heads: dict[str, Head] = {}
    insureds: dict[InsuredKey, Insured] = {}
    payees: dict[InsuredKey, dict[str, Payee]] = {}
    opening: dict[InsuredKey, dict[tuple[str, str, str], int]] = {}  # usage from before, by scope, kind and id
    openings: dict[InsuredKey, int] = {}  # how often it was stated
    changes: dict[tuple[PolicyId, PersonId | None], list[tuple[int, Change]]] = {}
    added: int = 1 << 62

    def changes_of(self, policy: PolicyId, persons: Iterable[PersonId]) -> list[Change]:
        """The changes for everybody and those for these persons, in the order they were recorded."""
        found = [each for person in {None, *persons} for each in self.changes.get((policy, person), ())]
        return [change for _, change in sorted(found, key=lambda each: each[0])]

    def add_change(self, policy: PolicyId, change: Change) -> None:
        """Count a change that is about to be written."""
        self.added += 1
        self.changes.setdefault((policy, change.person), []).append((self.added, change))


def record_of(tx: Transaction, numbers: Collection[str], persons: Collection[InsuredKey]) -> OnRecord:
    """What is on record of the policies, and of these persons under them."""
    found = OnRecord()
    wanted = sorted(numbers)
    policies: list[PolicyId] = []
    for id, number, product, holder, bank in tx.rows(
        "select id, number, product, holder, bank from policy where number in ?", (wanted,)
    ):
        policies.append(id)
        found.heads[number] = Head(number, product, holder, bank)
    if not policies:
        return found
    for seq, policy, person, *rest in tx.rows(
        "select seq, policy, person, kind, first_day, last_day, since, reason from policy_change "
        "where policy in ? and person is null order by seq",
        (policies,),
    ):
        found.changes.setdefault((policy, person), []).append((seq, _change(person, *rest)))
    known = set(policies)
    where, everyone = "where (policy, person) in ?", sorted(key for key in persons if key[0] in known)
    if not everyone:
        return found
    for seq, policy, person, *rest in tx.rows(
        f"select seq, policy, person, kind, first_day, last_day, since, reason from policy_change {where} order by seq",
        (everyone,),
    ):
        found.changes.setdefault((policy, person), []).append((seq, _change(person, *rest)))
    for policy, *row in tx.rows(
        "select policy, person, relation, enrolled, beneficiary, roster_first_day, roster_last_day "
        f"from insured_change {where} order by seq",
        (everyone,),
    ):
        found.insureds[policy, row[0]] = _insured(row)
    for policy, person, role, *rest in tx.rows(
        f"select policy, person, role, name, account, bank_code from payee_change {where} order by seq", (everyone,)
    ):
        found.payees.setdefault((policy, person), {})[role] = Payee(role, *rest)
    for policy, person, scope, kind, used, amount, times in tx.rows(
        "select policy, person, scope, kind, id, sum(amount), count(distinct determination) from usage_addition "
        f"{where} and (determination = ? or determination like ?) group by policy, person, scope, kind, id",
        (everyone, OPENING, f"{OPENING}.%"),
    ):
        found.opening.setdefault((policy, person), {})[scope, kind, used] = amount
        found.openings[policy, person] = max(times, found.openings.get((policy, person), 0))
    return found


def add_policies(tx: Transaction, heads: Sequence[Head], now: datetime) -> int:
    """Add the policies that are new; how many were. The known ones must agree: see `differing_heads`."""
    return tx.run_many(
        "insert into policy (id, number, product, holder, bank, added_at) values (?, ?, ?, ?, ?, ?) "
        "on conflict (number) do nothing",
        [(policy_id(head.number), head.number, head.product, head.holder, head.bank, at_text(now)) for head in heads],
    )


def add_changes(tx: Transaction, changes: Iterable[tuple[PolicyId, Change]], now: datetime) -> int:
    """Add dated changes as they are, in order (check them with `policy.check_change` first); how many."""
    at = at_text(now)
    return tx.run_many(
        "insert into policy_change (policy, person, kind, first_day, last_day, since, reason, added_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (policy, c.person, c.kind, _text(c.first_day), _text(c.last_day), _text(c.since), c.reason, at)
            for policy, c in changes
        ],
    )


def add_insureds(tx: Transaction, insureds: Iterable[tuple[PolicyId, Insured]], now: datetime) -> int:
    """Add what is now on file of insured persons, and lead their policy numbers to them; how many."""
    at = at_text(now)
    return tx.run_many(
        "insert into insured_change (policy, person, relation, enrolled, beneficiary, roster_first_day, "
        "roster_last_day, added_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                policy,
                i.person,
                i.relation,
                int(i.enrolled),
                i.beneficiary,
                _text(i.roster_first_day),
                _text(i.roster_last_day),
                at,
            )
            for policy, i in insureds
        ],
    )


def add_payees(tx: Transaction, payees: Iterable[tuple[PolicyId, PersonId, Payee]], now: datetime) -> int:
    """Add payees; the latest for a role counts. How many."""
    at = at_text(now)
    return tx.run_many(
        "insert into payee_change (policy, person, role, name, account, bank_code, added_at) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        [(policy, person, p.role, p.name, p.account, p.bank_code, at) for policy, person, p in payees],
    )


def renew(
    tx: Transaction, number: str, first_day: date, last_day: date, now: datetime, *, person: PersonId | None = None
) -> Change:
    """Add a policy year, for everybody insured or for one; without a gap it keeps `since`."""
    return _add(tx, number, Change("period", first_day, last_day, person=person), now)


def lapse(
    tx: Transaction,
    number: str,
    now: datetime,
    *,
    from_day: date | None = None,
    due_on: date | None = None,
    demanded_on: date | None = None,
    reason: str = "",
) -> Change:
    """End the cover on `from_day`, or on the day that follows from an unpaid premium (保险法 36).

    Raises Unusable if no day is given, or if `from_day` is earlier than the law allows for that premium.
    """
    earliest = None if due_on is None else first_day_without_cover(due_on, demanded_on)
    first_day = from_day or earliest
    if first_day is None:
        raise Unusable("coverage.change.no_lapse_day", field="from_day")
    if earliest is not None and first_day < earliest:
        raise Unusable(
            "coverage.change.lapse_too_early", field="from_day", day=first_day, due=due_on, earliest=earliest
        )
    return _add(tx, number, Change("lapse", first_day, reason=reason), now)


def reinstate(
    tx: Transaction, number: str, first_day: date, now: datetime, *, last_day: date | None = None, reason: str = ""
) -> Change:
    """Open the cover that lapsed again from `first_day`, to the end of its year or to `last_day`."""
    return _add(tx, number, Change("reinstatement", first_day, last_day, reason=reason), now)


def cancel(
    tx: Transaction, number: str, first_day: date, now: datetime, *, void: bool = False, reason: str = ""
) -> Change:
    """End the policy: from `first_day` on, or (`void`: cooling-off, rescission) as if it had never been."""
    return _add(tx, number, Change("void" if void else "cancellation", first_day, reason=reason), now)


def _add(tx: Transaction, number: str, change: Change, now: datetime) -> Change:
    policy = policies_by_number(tx, [number]).get(number)
    if policy is None:
        raise NotFound(f"there is no policy {number}; import it first, or compare the number")
    record = record_of(tx, [number], [(policy.id, insured.person) for insured in policy.insureds])
    everybody: list[PersonId | None] = [insured.person for insured in policy.insureds] or [None]
    for person in everybody if change.person is None else [change.person]:
        check_change(record.changes_of(policy.id, [person] if person else []), change)
    if change.kind == "lapse":
        check_lapse(policy, change.first_day)
    add_changes(tx, [(policy.id, change)], now)
    return change


def merge_persons(tx: Transaction, survivor: PersonId, retired: PersonId, now: datetime) -> PersonId:
    """Make two persons one (`people.merge_persons`, with its errors) and give the survivor the other's policies.

    What the retired person was promised, is paid and has used is added under the surviving id; the old rows stay. A
    policy that insures both keeps the survivor's own terms, with the usage of both.
    """
    known = people.people_by_id(tx, [survivor, retired])
    kept = people.merge_persons(tx, survivor, retired, now)
    if known[retired].id == kept:
        return kept  # merged before
    tx.flush(_ADD_USAGE)
    retired, at = known[retired].id, at_text(now)
    other = "(select policy from insured_change where person = ?)"
    tx.run(
        "insert into usage_addition (policy, person, shard, determination, scope, kind, id, amount, reverses) "
        "select policy, ?, ?, case when determination like 'opening%' then determination || '.' || person "
        "else determination end, scope, kind, id, amount, reverses from usage_addition where person = ? "
        "on conflict do nothing",
        (kept, ids.person_key(kept), retired),
    )
    tx.run(
        "insert into policy_change (policy, person, kind, first_day, last_day, since, reason, added_at) "
        "select policy, ?, kind, first_day, last_day, since, reason, ? from policy_change "
        f"where person = ? and policy not in {other} order by seq",
        (kept, at, retired, kept),
    )
    tx.run(
        "insert into payee_change (policy, person, role, name, account, bank_code, added_at) "
        "select policy, ?, role, name, account, bank_code, ? from payee_change "
        f"where person = ? and policy not in {other} order by seq",
        (kept, at, retired, kept),
    )
    tx.run(
        "insert into insured_change (policy, person, relation, enrolled, beneficiary, roster_first_day, "
        "roster_last_day, added_at) "
        "select policy, ?, relation, enrolled, beneficiary, roster_first_day, roster_last_day, ? "
        f"from insured_change where person = ? and policy not in {other} order by seq",
        (kept, at, retired, kept),
    )
    tx.run("update insured_change set moved_to = ? where person = ?", (kept, retired))
    return kept


# ---------------------------------------------------------------- usage


class UsageRow(Fact, frozen=True):
    """What one determination used of one deductible, limit, benefit's days or grade; fen or a number."""

    policy: PolicyId
    person: PersonId
    determination: DeterminationId
    scope: str
    kind: str
    id: str
    amount: int


def usage_rows(policy: PolicyId, person: PersonId, determination: DeterminationId, used: Usage) -> list[UsageRow]:
    """The rows that keep what a determination used."""
    return [
        UsageRow(policy, person, determination, scope, kind, id, amount)
        for scope, each in used.rows()
        for kind in TABLES
        for id, amount in getattr(each, kind).items()
    ]


def add_usage(tx: Transaction, rows: Iterable[UsageRow]) -> None:
    """Add what determinations used, when the transaction commits.

    Raises Crossed then, and nothing is written, if a determination's usage is there already: nothing is counted twice.
    """
    used = [
        (r.policy, r.person, ids.person_key(r.person), r.determination, r.scope, r.kind, r.id, r.amount) for r in rows
    ]
    tx.queue(_ADD_USAGE, used, every=True)


_ADD_USAGE = (
    "insert into usage_addition (policy, person, shard, determination, scope, kind, id, amount) "
    "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
)


def usage_of(tx: Transaction, keys: Sequence[InsuredKey]) -> dict[InsuredKey, Usage]:
    """What each (policy, insured person) has used so far, reversals included; one statement. Every key is answered."""
    tx.flush(_ADD_USAGE)
    found: dict[InsuredKey, list[tuple[str, str, str, int]]] = {}
    if keys:
        wanted = sorted(set(keys))
        for policy, person, kind, scope, id, amount in tx.rows(
            """
            select policy, person, kind, scope, id, sum(amount) from usage_addition
             where (policy, person) in ?
             group by policy, person, kind, scope, id
            """,
            (wanted,),
        ):
            found.setdefault((policy, person), []).append((kind, scope, id, amount))
    return {key: summed(found[key]) if key in found else NO_USAGE for key in keys}


def opening_usage(tx: Transaction, keys: Sequence[InsuredKey]) -> dict[InsuredKey, Usage]:
    """What each (policy, insured person) had used when the policy was imported; a key without any is left out."""
    found: dict[InsuredKey, list[tuple[str, str, str, int]]] = {}
    if keys:
        wanted = sorted(set(keys))
        for policy, person, kind, scope, id, amount in tx.rows(
            """
            select policy, person, kind, scope, id, sum(amount) from usage_addition
             where determination like 'opening%' and (policy, person) in ?
             group by policy, person, kind, scope, id
            """,
            (wanted,),
        ):
            found.setdefault((policy, person), []).append((kind, scope, id, amount))
    return {key: summed(rows) for key, rows in found.items()}


def reverse_usage(tx: Transaction, determinations: Collection[DeterminationId], by: DeterminationId) -> int:
    """Take back exactly what the determinations used, in the name of `by`; how many rows. Twice changes nothing."""
    undone = sorted(set(determinations))
    if not undone:
        return 0
    tx.flush(_ADD_USAGE)
    return tx.run(
        """
        insert into usage_addition (policy, person, shard, determination, scope, kind, id, amount, reverses)
        select policy, person, shard, ?, scope, kind, id, -sum(amount), undone
          from (select policy, person, shard, scope, kind, id, amount, determination as undone from usage_addition
                 where determination in ? and reverses = ''
                union all
                select policy, person, shard, scope, kind, id, amount, reverses from usage_addition
                 where reverses in ? and reverses <> '') as made
         group by policy, person, shard, scope, kind, id, undone having sum(amount) <> 0
        """,
        (by, undone, undone),
    )


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day_of(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
