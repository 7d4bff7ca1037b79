"""What always holds of an insurer, read from its committed rows and from the bank's own books.

Each law computes what must be from another source than what it checks: what never changes of a row, the bank, the
hospitals' truth. `after_a_step` looks at whatever was touched since it last looked, each law at the rows it reads;
`at_any_time` looks at everything, and holds between any two transactions; `in_the_end` when all has settled.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from safeweave.adjudication.history import History
from safeweave.adjudication.holds import held
from safeweave.adjudication.replay import replay
from safeweave.adjudication.steps import decide
from safeweave.adjudication.store import by_id, released, stored, texts_of
from safeweave.clock import shanghai_day
from safeweave.coverage import opening_usage
from safeweave.coverage.usage import Usage
from safeweave.database import unpacked
from safeweave.ids import person_key
from safeweave.payments.reconcile import reconcile
from safeweave_simulator.broken import Broken
from safeweave_simulator.city import PAYING_FOR_STAYS, READING_BILLS, Truth
from safeweave_simulator.watching import WHAT
from safeweave_simulator.world import World

_IN_HOSPITAL = ("reported", "admitted", "charged", "reopened")
_AWAITING = ("discharged", "transferred", "died")
_EITHER = (*_IN_HOSPITAL, "referred", "refused", "withdrawn")  # money of an earlier decision may wait in these, or not
_OVER = ("closed", "refused", "determined", "paid", "withdrawn")

# The tables that are spread by the person over several servers, and the id that says whose each row is.
SPREAD = {
    "claim_case": "id", "case_step": "case_id", "clock": "case_id", "determination": "id", "usage_addition": "person",
    "payout": "id", "payout_timing": "payout", "recovery": "id", "journal_entry": "ref", "letter": "id",
    "message": "id",
}  # fmt: skip

Which = Collection[str] | None  # of the cases, persons, ... those that are looked at; None: all


def after_a_step(world: World) -> None:
    """Every law of what was touched since this last looked, and that nothing is parked but what is poisoned."""
    touched = world.watch.taken()
    with world.snapshot():
        _parked(world)
        _made(world, touched["decision"])
        busy = _busy(world) if touched["case"] or touched["decision"] else set()
        for what in ("case", "decision"):
            world.watch.again(what, busy & touched[what])
            touched[what] -= busy
        _look_at(world, touched)


def at_any_time(world: World) -> None:
    """The laws of money, usage, telling and clocks, for all cases of which no work is left to do inside."""
    world.watch.taken()
    with world.snapshot():
        _parked(world)
        _made(world, None)
        busy = _busy(world)
        world.watch.again("case", busy)
        world.watch.again("decision", busy)
        cases = {str(case) for (case,) in world.rows("select id from claim_case")} - busy
        _look_at(world, dict.fromkeys(WHAT) | {"case": cases, "decision": cases})
        _accounts(world)
        _telephones(world)
        _papers_waiting(world)


def _look_at(world: World, which: Mapping[str, Which]) -> None:
    """Each law of these, by what they are looked at as; what is empty is not looked at."""
    for what, law in _LAWS:
        if which[what] or which[what] is None:
            law(world, which[what])
    bookings, payouts = which["booking"], which["payout"]
    if bookings is None or payouts is None:
        _journal(world, None)
    elif bookings or payouts:
        _journal(world, {*bookings, *payouts})


def in_the_end(world: World) -> None:
    """Everything that was told has come to its one outcome."""
    at_any_time(world)
    ((left,),) = world.rows("select count(*) from task where parked is null")
    _equal("no work is left", left, 0)
    _equal("exactly what is poisoned is parked", {p[2] for p in world.parked()}, world.poisons)
    _equal("whoever answers is called again", world.rows("select lane from outsider"), [])
    _messages_taken(world)
    _told_once(world)
    _clocks_rung(world)
    _outcomes(world)
    _reconciled(world)
    _replayed(world)
    _on_the_right_day(world)
    for table, id in SPREAD.items():
        astray = [row for row in world.rows(f"select {id}, shard from {table}") if row[1] != person_key(str(row[0]))]
        _equal(f"every row of {table} lies where its id says", astray, [])


def _equal(law: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Broken(law, f"found {found}, wanted {wanted}")


def _same(law: str, found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    if found != wanted:
        keys = sorted({*found, *wanted}, key=str)
        off = [(k, found.get(k), wanted.get(k)) for k in keys if found.get(k) != wanted.get(k)]
        raise Broken(law, f"{len(off)} off, (what, found, wanted): {off[:4]}")


def _of(column: str, which: Which, before: str = "where") -> tuple[str, tuple[str, ...]]:
    """The condition that a column is one of these, with its value; nothing if all are meant."""
    if which is None:
        return "", ()
    return f" {before} {column} in (select value from json_each(?))", (json.dumps(sorted(which)),)


def _parked(world: World) -> None:
    """Only what was poisoned is parked."""
    ((parked,),) = world.rows("select count(*) from task where parked is not null")
    if parked > len(world.poisons):
        sound = [task for task in world.parked() if not world.may_be_parked(task[2])]
        _equal("nothing is parked but what is poisoned", sound, [])


def _busy(world: World) -> set[str]:
    """The cases of which work is left to do inside."""
    return {
        case
        for (payload,) in world.rows(
            "select payload from task where lane in ('', 'alone') and queue = ''"
            " and kind not in ('PayoutUnconfirmed', 'MessageTold')"  # both before and after them every law holds
        )
        for case in [json.loads(str(payload)).get("case")]
        if case
    }


# ---------------------------------------------------------------- money


def _payouts(world: World, payouts: Which) -> None:
    """The bank booked each key at most once, only keys of ours, and what we hold for paid it has booked."""
    among, values = _of("id", payouts)
    ours = {
        str(id): (state, amount, name, account)
        for id, state, amount, name, account in world.rows(
            f"select id, state, amount_fen, name, account from payout{among}", *values
        )
    }
    among, values = _of("key", payouts)
    bank = world.books._connection
    for key, amount, name, account in bank.execute(
        f"select key, amount_fen, name, account from payment{among}", values
    ):
        if key not in ours:
            raise Broken("the bank pays only what we have ordered", key)
        _equal(f"the bank holds {key} as we do", (amount, name, account), ours[key][1:])
    among, values = _of("key", payouts, "and")
    entries: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, key in bank.execute(f"select kind, key from entry where kind in ('payment', 'return'){among}", values):
        entries[key][kind] += 1
    for key, counted in entries.items():
        if counted["payment"] != 1 or counted["return"] > 1:
            raise Broken("the bank books each key at most once", (key, dict(counted)))
    for key, (state, *_) in ours.items():
        counted = entries.get(key, Counter())
        if state == "paid" and not counted["payment"]:
            raise Broken("what we hold for paid has left the bank", key)
        if state == "returned" and not counted["return"]:
            raise Broken("what we hold for returned has come back", key)
        if state in ("refused", "waiting") and counted:
            raise Broken("what we hold for refused or waiting has not left the bank", (key, state))


_OWED = ("waiting", "ordered", "refused", "returned")


def _journal(world: World, refs: Which) -> None:
    """What is booked of a payout or a recovery is what its state says, and every booking sums to zero."""
    among, values = _of("ref", refs)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for ref, account, fen in world.rows(f"select ref, account, fen from journal_entry{among}", *values):
        found[ref][account] += fen
    unbalanced = {ref: dict(accounts) for ref, accounts in found.items() if sum(accounts.values())}
    _equal("the journal sums to zero", unbalanced, {})
    among, values = _of("id", refs)
    wanted: dict[str, dict[str, int]] = {}
    for id, state, attempt, fen in world.rows(f"select id, state, attempt, amount_fen from payout{among}", *values):
        booked = Counter(claims_incurred=fen, claims_payable=-fen) if attempt == 1 else Counter[str]()
        if state not in _OWED:
            booked["claims_payable"] += fen
            booked["bank" if state == "paid" else "bank_in_transit"] -= fen
        wanted[id] = booked
    for id, fen in world.rows(f"select id, amount_fen from recovery{among}", *values):
        wanted[id] = Counter(claims_recoverable=fen, claims_incurred=-fen)
    booked_as = {id: _nonzero(found.get(id, {})) for id in wanted}
    _same("what is booked is what the states say", booked_as, {id: _nonzero(booked) for id, booked in wanted.items()})


def _accounts(world: World) -> None:
    """What came in stands where it belongs, and all of it together sums to zero."""
    ((opened, received),) = world.rows(
        "select coalesce(sum(amount_fen), 0), coalesce(sum(received_fen), 0) from recovery"
    )
    ((balance, recoverable, unallocated),) = world.rows(
        "select coalesce(sum(fen), 0), coalesce(sum(case account when 'claims_recoverable' then fen end), 0),"
        " coalesce(sum(case account when 'unallocated_receipts' then fen end), 0) from journal_entry"
    )
    _equal("the journal sums to zero", balance, 0)
    _equal("what is to come back is what has not come back", recoverable, opened - received)
    _equal("whatever comes in is known", unallocated, 0)


def _made(world: World, cases: Which) -> None:
    """A determination never changes and never goes."""
    if not cases and cases is not None:
        return
    among, values = _of("case_id", cases)
    rows = world.rows(
        f"select id, case_id, policy, person, sequence, decision, payable, supersedes, made_at, digest"
        f" from determination{among}", *values,
    )  # fmt: skip
    for id, *made in rows:
        if id not in world.made:
            world.made[id] = made
            if world.acting.clock_off:
                world.on_a_wrong_day[id] = world.acting.clock_off
        elif world.made[id] != made:
            raise Broken("a determination never changes", (id, made, world.made[id]))
    here = {row[0] for row in rows}
    gone = [id for id, (case, *_) in world.made.items() if (cases is None or case in cases) and id not in here]
    _equal("a determination never goes", gone, [])


def _decided_and_moved(world: World, cases: Which) -> None:
    """In force is what the decisions add up to; per case it sums to what was ordered less what is to come back."""
    among, values = _of("case_id", cases)
    rows = world.rows(
        "select id, case_id, policy, person, decision, payable, supersedes, in_force from determination"
        f"{among} order by made_at, id", *values,
    )  # fmt: skip
    superseded = {row[6] for row in rows if row[4] == "pay"}
    off = [(row[0], row[7]) for row in rows if bool(row[7]) != (row[4] == "pay" and row[0] not in superseded)]
    _equal("what is in force is what the decisions add up to", off, [])
    due: Counter[str] = Counter()
    under: Counter[tuple[str, str, str]] = Counter()
    for _, case, policy, person, _, payable, _, in_force in rows:
        if in_force:
            due[case] += payable
            under[case, policy, person] += 1
    twice = [key for key, count in under.items() if count > 1]
    _equal("one determination is in force per case and policy", twice, [])
    moved: Counter[str] = Counter()
    ordered: Counter[str] = Counter()
    among_these, values = _of("case_id", cases, "and")
    for case, determination, fen in world.rows(
        f"select case_id, determination, amount_fen from payout where replaced_by is null{among_these}", *values
    ):
        moved[case] += fen
        ordered[determination] += 1
    for case, fen in world.rows(f"select case_id, amount_fen from recovery{among}", *values):
        moved[case] -= fen
    twice_paid = [determination for determination, count in ordered.items() if count > 1]
    _equal("each determination is paid at most once", twice_paid, [])
    _same("per case, what moves is what is in force", _nonzero(moved), _nonzero(due))


def _nonzero(counter: Any) -> dict[Any, int]:
    return {key: value for key, value in counter.items() if value}


def _usage(world: World, persons: Which) -> None:
    """What is used up is what the determinations in force use."""
    among, values = _of("person", persons, "and")
    wanted: Counter[tuple[str, str, str, str, str]] = Counter()
    for id, policy, person in world.rows(
        f"select id, policy, person from determination where in_force = 1{among}", *values
    ):
        for scope, kind, block, amount in _uses(world, str(id)):
            wanted[policy, person, scope, kind, block] += amount
    among, values = _of("person", persons)
    found = {
        tuple(key): amount
        for *key, amount in world.rows(
            f"select policy, person, scope, kind, id, sum(amount) from usage_addition{among} group by 1, 2, 3, 4, 5"
            " having sum(amount) <> 0", *values,
        )
    }  # fmt: skip
    _same("usage is what the determinations in force use", found, _nonzero(wanted))


def _uses(world: World, determination: str) -> list[tuple[str, str, str, int]]:
    """What a stored determination says it uses; a determination never changes."""
    if determination not in world.uses:
        ((kept,),) = world.rows("select kept from determination where id = ?", determination)
        uses = json.loads(texts_of(kept)["result"]).get("uses", {})
        world.uses[determination] = [
            (scope, kind, block, amount)
            for scope, tables in uses.get("scopes", {}).items()
            for kind, used in tables.items()
            for block, amount in used.items()
        ]
    return world.uses[determination]


# ---------------------------------------------------------------- cases


def _clocks(world: World, cases: Which) -> None:
    """A statutory clock runs exactly where something is still due."""
    among, values = _of("case_id", cases, "and")
    running: dict[str, set[str]] = defaultdict(set)
    for case, kind in world.rows(f"select case_id, kind from clock where stopped_at is null{among}", *values):
        running[str(case)].add(str(kind))
    unpaid = {
        str(case)
        for (case,) in world.rows(
            f"select case_id from payout where state <> 'paid' and replaced_by is null{among}", *values
        )
    }
    among, values = _of("id", cases)
    for id, stage in world.rows(f"select id, stage from claim_case{among}", *values):
        case, kinds = str(id), running[str(id)]
        if stage == "referred" and "decision" not in kinds:
            raise Broken("a case before a person has its decision clock", case)
        if stage in _AWAITING and "papers" not in kinds:
            raise Broken("a stay that waits for papers has their clock", (case, stage))
        if stage in _OVER and kinds & {"decision", "advance", "papers"}:
            raise Broken("no clock of a decision runs for a case that is over", (case, stage, sorted(kinds)))
        if ("payment" in kinds) != (case in unpaid):
            raise Broken("the payment clock runs exactly while money is due", (case, stage, sorted(kinds)))


def _clocks_rung(world: World) -> None:
    """A clock that has run out has told so."""
    today = shanghai_day(world.now).isoformat()
    silent = world.rows(
        "select case_id, kind from clock"
        " where stopped_at is null and paused_at is null and due_on < ? and marked < 100",
        today,
    )
    _equal("a clock that has run out has told so", silent, [])


def _outcomes(world: World) -> None:
    """Every stay that was told ends in exactly one outcome, the one that its truth allows."""
    cases = {
        (str(sender), str(visit)): (str(id), str(stage))
        for sender, visit, id, stage in world.rows("select sender, visit, id, stage from claim_case")
    }
    waiting = {
        (str(sender), str(visit)): reason
        for sender, visit, reason in world.rows("select sender, visit, waiting from visit where case_id is null")
    }
    in_force: dict[str, list[tuple[str, set[str], int]]] = defaultdict(list)
    last: dict[tuple[str, str], tuple[str, set[str]]] = {}  # of a case under a policy: the last decision, on what bills
    for case, policy, decision, counts, kept, payable in world.rows(
        "select d.case_id, p.number, d.decision, d.in_force, d.kept, d.payable from determination d"
        " join policy p on p.id = d.policy order by d.sequence, d.id"
    ):
        bills = {f"{bill['code']}-{bill['number']}" for bill in json.loads(texts_of(kept)["claim"]).get("bills", ())}
        last[case, policy] = decision, bills
        if counts:
            in_force[case].append((policy, bills, payable))
    for_a_person = {str(case) for (case,) in world.rows("select case_id from determination where waiting = 1")}
    referred = {
        str(case) for (case,) in world.rows("select case_id from case_step where steps like ?", '%["case_referred",%')
    }
    unsold = {case for (case,) in world.rows("select case_id from case_step where steps like '%\"product_unknown%'")}
    unpaid = {
        str(case): str(reason)
        for case, reason in world.rows(
            "select case_id, reason from payout where state <> 'paid' and replaced_by is null"
        )
    }
    for truth in world.truths:
        visit = (truth.hospital, truth.visit)
        about = (truth.stay, truth.turn, truth.expected, *visit)
        if truth.expected in ("not_insured", "no_cover"):
            if visit in cases or not waiting.get(visit):
                raise Broken("a visit nobody insures waits with a reason", about)
            continue
        if visit not in cases and not truth.begun and waiting.get(visit) == "admission_unknown":
            continue
        if visit not in cases:
            raise Broken("every stay of an insured person has a case", (*about, waiting.get(visit)))
        case, stage = cases[visit]
        if stage not in _allowed(truth):
            raise Broken("a stay ends as its truth allows", (*about, case, stage))
        if (stage in ("determined", "paid")) != (case in unpaid) and stage not in _EITHER:
            raise Broken("a case is open exactly while its money waits", (*about, case, stage, unpaid.get(case)))
        if case in unpaid and not unpaid[case]:
            raise Broken("what is not paid says why", (*about, case))
        if stage == "referred" and case not in for_a_person | referred:
            raise Broken("a referred case waits for a person", (*about, case))
        if stage in _OVER and case in for_a_person:
            raise Broken("nothing of a case that is over waits for a person", (*about, case, stage))
        if stage == "withdrawn" and any(payable for *_, payable in in_force[case]):
            raise Broken("nothing is paid for an admission that never was", (*about, case))
        if stage in ("closed", "determined", "paid") and truth.expected in ("cancelled", "reversed"):
            by_days = {
                policy for policy, product in zip(truth.policies, truth.products, strict=True)
                if truth.expected == "reversed" and product not in READING_BILLS
            }  # fmt: skip
            left = [policy for policy, _, payable in in_force[case] if payable and last[case, policy][0] != "refuse"]
            if not by_days.issuperset(left):
                raise Broken("what was paid for nothing comes back, unless a person leaves it", (*about, case, left))
        if stage in ("closed", "determined", "paid") and truth.expected in ("determined", "referred"):
            if not all(bills == {truth.final_bill} for _, bills, _ in in_force[case]):
                raise Broken("what is paid is paid on the final bill", (*about, case, in_force[case]))
            undecided = [
                policy for policy, product in zip(truth.policies, truth.products, strict=True)
                if product in PAYING_FOR_STAYS and last.get((case, policy), ("", set()))[1] != {truth.final_bill}
            ]  # fmt: skip
            if truth.kind == "inpatient" and undecided and case not in unsold:
                raise Broken(
                    "every policy that pays for stays has decided on the final bill", (*about, case, undecided)
                )


def _allowed(truth: Truth) -> tuple[str, ...]:
    match truth.expected:
        case "cancelled":
            return ("withdrawn", "referred", "refused", "closed")
        case "open":
            return (*_IN_HOSPITAL, "referred", "refused", "closed")
        case "reversed":  # a person may pay for the days all the same, and that money waits for an account
            return ("determined", "paid", "referred", "refused", "closed")
        case _:
            return ("closed", "determined", "paid", "referred", "refused")


# ---------------------------------------------------------------- messages


def _messages_taken(world: World) -> None:
    """What was acknowledged stands in the log, once and unchanged; nothing else does."""
    kept: dict[tuple[str, str], int] = {
        (str(sender), str(control)): int(str(count))
        for sender, control, count in world.rows(
            "select sender, control_id, count(*) from inbound_message where status = 'taken' group by 1, 2"
        )
    }
    said = {(m.hospital, m.id) for m in world.messages if "garbled" not in m.what}
    _equal("every message is acknowledged in the end", said - world.acknowledged, set())
    _equal("every acknowledged message is kept", world.acknowledged - set(kept), set())
    _equal("a message is kept once", [key for key, count in kept.items() if count > 1], [])
    logged = Counter(
        bytes(event) for (payload,) in world.rows("select payload from event") for event in _events(unpacked(payload))
    )
    told = Counter(msgspec.json.encode(event) for event in world.told(kept))
    if logged != told:
        lost, doubled = told - logged, logged - told
        raise Broken("no event is lost or doubled", f"{sum(lost.values())} lost, {sum(doubled.values())} too many")


def _events(payload: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The events of a row, each to the byte."""
    return msgspec.json.decode(payload, type=list[msgspec.Raw]) if payload.startswith(b"[") else [payload]


def _papers_waiting(world: World) -> None:
    """A name leads to a visit or papers wait for it, never both; each of them lies in the log by itself."""
    joined = "awaited_name a left join visit_alias v on v.sender = a.sender and v.kind = a.kind and v.value = a.value"
    led = world.rows(f"select a.event, a.kind, a.value, v.visit from {joined} where coalesce(v.visit, '?') <> ''")
    _equal("no paper waits for a name that leads to a visit", led, [])
    alone = world.rows(
        "select kind, value from visit_alias where visit = ''"
        " and (sender, kind, value) not in (select sender, kind, value from awaited_name)"
    )
    _equal("what is waited for has a paper that waits", alone, [])
    waiting = world.rows("select distinct event from awaited_name order by event")
    aside = world.rows("select id from event where subject > '/' and subject < '0' order by id")
    _equal("a paper waits under its names exactly while it is set aside", waiting, aside)


def _messages_sent(world: World, messages: Which) -> None:
    """What we hold for delivered has reached somebody, and nothing reaches anybody that is not in our books."""
    among, values = _of("id", messages, "and")
    missing = [
        str(id)
        for (id,) in world.rows(
            f"select id from message where channel <> 'desk' and delivered_at is not null{among}", *values
        )
        if id not in world.phones.reached
    ]
    _equal("what we hold for delivered was delivered", missing, [])


def _telephones(world: World) -> None:
    """Nobody is told what is not in our books, and nothing twice."""
    ours = {str(id) for (id,) in world.rows("select id from message")}
    _equal("nobody is told what is not in our books", set(world.phones.reached) - ours, set())
    changes = Counter((m.person, m.change, m.channel) for m in world.phones.reached.values())
    _equal("each change is told once per channel", [c for c, count in changes.items() if count > 1], [])


def _told_once(world: World) -> None:
    """Every change was told to whoever can be reached, and every determination has its letter."""
    told = {str(change) for (change,) in world.rows("select change from message where channel <> 'desk'")}
    ends = {change.split(":")[1] for change in told}
    undelivered = world.rows("select id from message where channel <> 'desk' and delivered_at is null and fault = ''")
    _equal("every message is delivered, or says why not", undelivered, [])
    # A minor's guardian is told, if one with a telephone is known; nobody about somebody who has died.
    reachable = {
        str(case) for (case,) in world.rows(
            "select c.id from claim_case c join person p on p.id = c.person"
            " where p.died_on is null and p.phone <> '' and p.birth <= ?",
            world.now.replace(year=world.now.year - 18).date().isoformat(),
        )
    }  # fmt: skip
    changes = [
        *((case, f"opened:{case}") for (case,) in world.rows("select id from claim_case")),
        *((case, f"recovery:{determination}") for case, determination in world.rows(
            "select case_id, determination from recovery"
        )),
        *((case, f"{_SAID[state]}:{id}") for case, id, state in world.rows(
            "select case_id, id, state from payout where state in ('paid', 'refused', 'returned')"
        )),
    ]  # fmt: skip
    silent = [change for case, change in changes if case in reachable and change not in told]
    _equal("every change is told", silent, [])
    untold = [
        id
        for id, case in world.rows(
            "select d.id, d.case_id from determination d left join determination before on before.id = d.supersedes"
            " where d.decision = 'pay' and (before.id is null or d.payable > before.payable)"
        )
        if case in reachable and id not in ends
    ]
    _equal("every decision is told", untold, [])
    made = Counter(str(d) for (d,) in world.rows("select id from determination"))
    letters = Counter(str(d) for (d,) in world.rows("select determination from letter where determination is not null"))
    _same("every determination has one letter", dict(letters), dict(made))


_SAID = {"paid": "arrived", "refused": "account_wrong", "returned": "account_wrong"}


# ---------------------------------------------------------------- proofs


def _reconciled(world: World) -> None:
    statement = world.bank.statement(date.min, date.max)
    with world.desk.node.database.reading() as tx:
        found = reconcile(tx, statement)
    _equal("our journal agrees with the bank's statement", (found.difference_fen, found.items), (0, ()))


def _replayed(world: World) -> None:
    with world.desk.node.database.reading() as tx:
        cases = [row[0] for row in tx.rows("select id from claim_case order by id")]
        results = replay(tx, cases, lambda keys: opening_usage(tx, keys))
    faults = [fault for result in results for fault in result.faults]
    _equal("every determination comes out again as it was stored", faults, [])
    _equal("every determination is replayed", len(results), len(world.rows("select 1 from determination")))


def _on_the_right_day(world: World) -> None:
    """What was decided while a clock was a day off would have been decided the same on the right day."""
    off = world.on_a_wrong_day
    with world.desk.node.database.reading() as tx:
        asked = by_id(tx, sorted(off))  # type: ignore[arg-type]
        keys = list(dict.fromkeys((decided.policy, decided.person) for decided in asked.values()))
        chains, openings = stored(tx, keys), opening_usage(tx, keys)
        for key in keys:
            history = History(openings.get(key, Usage()))
            made = by_id(tx, [row.text("id") for row in chains[key]])  # type: ignore[misc]
            for decided in sorted(made.values(), key=lambda decided: decided.sequence):
                if by := off.get(decided.id):
                    claim = msgspec.structs.replace(decided.claim, claimed_on=decided.claim.claimed_on - by)
                    product = world.shelf[decided.product]
                    ruled = decide(product, decided.cover, history, claim, decided.overlays)
                    again = held(ruled, decided.holds, history.usage)
                    if (again.decision, again.payable) != (decided.result.decision, decided.result.payable):
                        raise Broken("a clock a day off changes no decision", (decided.id, decided.case, by))
                if decided.decision == "pay":
                    history = history.after(decided.claim, released(decided))


# Of what is touched, the law that reads it; what is booked is read of payouts, too.
_LAWS: tuple[tuple[str, Callable[[World, Which], None]], ...] = (
    ("decision", _decided_and_moved), ("case", _clocks), ("person", _usage), ("payout", _payouts),
    ("message", _messages_sent),
)  # fmt: skip
