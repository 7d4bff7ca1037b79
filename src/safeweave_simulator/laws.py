"""What always holds of a node, read from its committed rows and from the bank's own books.

Each law computes what must be from another source than what it checks: the log of events, the bank, the hospitals'
truth. `at_every_step` is cheap; `at_any_time` holds between any two transactions; `in_the_end` when all has settled.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec

from safeweave.adjudication.replay import replay
from safeweave.clock import shanghai_day
from safeweave.coverage import opening_usage
from safeweave.payments.reconcile import reconcile
from safeweave_simulator.city import Truth
from safeweave_simulator.outsiders import Broken
from safeweave_simulator.world import World

_encode = msgspec.json.Encoder(order="deterministic").encode
_HOSPITAL_KINDS = (
    "AdmissionReported", "OutpatientVisited", "VisitUpdated", "LeaveBegan", "LeaveEnded", "ChargesPosted",
    "PatientDischarged", "AdmissionCancelled", "DischargeCancelled", "BillIssued", "BillReversed",
    "SettlementReported", "SettlementCancelled", "MessageNoted",
)  # fmt: skip
_IN_HOSPITAL = ("reported", "admitted", "charged", "reopened")
_AWAITING = ("discharged", "transferred", "died")
_OVER = ("closed", "refused", "determined", "paid", "withdrawn")


def at_every_step(world: World) -> None:
    """The books balance, and only what was poisoned is parked."""
    ((balance, parked),) = world.rows(
        "select (select coalesce(sum(fen), 0) from journal_entry), (select count(*) from task where parked is not null)"
    )
    _equal("the journal sums to zero", balance, 0)
    if parked > len(world.poisons):
        raise Broken("nothing is parked but what is poisoned", [p for p in world.parked() if p[2] not in world.poisons])


def at_any_time(world: World) -> None:
    """The laws of money, usage, telling and clocks, for all cases of which no work is left to do inside."""
    busy = {
        case
        for kind, payload in world.rows(
            "select e.kind, e.payload from task t join event e on e.id = t.event where t.lane = '' and t.parked is null"
        )
        for case in [json.loads(str(payload)).get("case")]
    }
    determinations = _determinations(world)
    _bank_and_payouts(world)
    _journal(world)
    _decided_and_moved(world, determinations, busy)
    _usage(world, determinations)
    _clocks(world, busy)
    _messages_sent(world)


def in_the_end(world: World) -> None:
    """Everything that was told has come to its one outcome."""
    at_every_step(world)
    at_any_time(world)
    ((left,),) = world.rows("select count(*) from task where parked is null")
    _equal("no work is left", left, 0)
    _equal("exactly what is poisoned is parked", {p[2] for p in world.parked()}, world.poisons)
    _messages_taken(world)
    _told_once(world)
    _clocks_rung(world)
    _outcomes(world)
    _reconciled(world)
    _replayed(world)


def _equal(law: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Broken(law, f"found {found}, wanted {wanted}")


def _same(law: str, found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    if found != wanted:
        keys = sorted({*found, *wanted}, key=str)
        off = [(k, found.get(k), wanted.get(k)) for k in keys if found.get(k) != wanted.get(k)]
        raise Broken(law, f"{len(off)} off, (what, found, wanted): {off[:4]}")


# ---------------------------------------------------------------- money


def _bank_and_payouts(world: World) -> None:
    """The bank booked each key at most once, only keys of ours, and what we hold for paid it has booked."""
    ours = {
        str(id): (state, amount, name, account)
        for id, state, amount, name, account in world.rows("select id, state, amount_fen, name, account from payout")
    }
    held = world.books._connection.execute("select key, amount_fen, name, account from payment").fetchall()
    for key, amount, name, account in held:
        if key not in ours:
            raise Broken("the bank pays only what we have ordered", key)
        _equal(f"the bank holds {key} as we do", (amount, name, account), ours[key][1:])
    entries: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, key in world.books._connection.execute("select kind, key from entry where kind in ('payment', 'return')"):
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
    twice = world.rows("select determination from payout where replaced_by is null group by 1 having count(*) > 1")
    _equal("each determination is paid at most once", twice, [])


def _journal(world: World) -> None:
    """Each account is what the states of payouts and recoveries say."""
    by_state: Counter[str] = Counter()
    ordered = 0
    for state, replaced, attempt, amount in world.rows("select state, replaced_by, attempt, amount_fen from payout"):
        ordered += amount if attempt == 1 else 0
        if state == "paid" or replaced is None:
            by_state[str(state)] += amount
    ((opened, received),) = world.rows(
        "select coalesce(sum(amount_fen), 0), coalesce(sum(received_fen), 0) from recovery"
    )
    wanted = {
        "bank": received - by_state["paid"],
        "bank_in_transit": -by_state["unconfirmed"],
        "claims_payable": -sum(by_state[state] for state in ("waiting", "ordered", "refused", "returned")),
        "claims_incurred": ordered - opened,
        "claims_recoverable": opened - received,
        "unallocated_receipts": 0,
    }
    found = dict(world.rows("select account, sum(fen) from journal_entry group by account"))
    _same("each account is what the states say", {a: found.get(a, 0) for a in wanted}, wanted)


def _determinations(world: World) -> dict[str, dict[str, Any]]:
    """What the log says was decided, and which of it is in force: each "pay" takes the place of what it supersedes."""
    new = world.rows(
        "select payload from event where kind = 'DeterminationMade' and id > ? order by id", world.decided_until
    )
    world.decided += [json.loads(str(payload)) for (payload,) in new]
    ((last,),) = world.rows("select coalesce(max(id), 0) from event")
    world.decided_until = int(str(last))
    made: dict[str, dict[str, Any]] = {}
    for event in world.decided:
        if event["determination"] in made:
            raise Broken("each determination is told once", event["determination"])
        made[event["determination"]] = event | {"in_force": event["decision"] == "pay"}
        if event["decision"] == "pay" and event.get("supersedes"):
            made[event["supersedes"]]["in_force"] = False
    return made


def _decided_and_moved(world: World, made: dict[str, dict[str, Any]], busy: set[Any]) -> None:
    """In force is what the log adds up to; per case it sums to what was ordered less what is to come back."""
    stored = {
        str(id): (case, bool(in_force), payable)
        for id, case, in_force, payable in world.rows("select id, case_id, in_force, payable from determination")
    }
    wanted = {id: (e["case"], e["in_force"], e["payable"]) for id, e in made.items()}
    _same("what is in force is what the log adds up to", stored, wanted)
    due: Counter[str] = Counter()
    under: Counter[tuple[str, str, str]] = Counter()
    for event in made.values():
        if event["in_force"]:
            due[event["case"]] += event["payable"]
            under[event["case"], event["policy"], event["person"]] += 1
    twice = [key for key, count in under.items() if count > 1]
    _equal("one determination is in force per case and policy", twice, [])
    moved: Counter[str] = Counter()
    for case, fen in world.rows("select case_id, amount_fen from payout where replaced_by is null"):
        moved[str(case)] += fen
    for case, fen in world.rows("select case_id, amount_fen from recovery"):
        moved[str(case)] -= fen
    for counter in (due, moved):
        for case in busy:
            counter.pop(case, None)
    _same("per case, what moves is what is in force", _nonzero(moved), _nonzero(due))


def _nonzero(counter: Counter[Any]) -> dict[Any, int]:
    return {key: count for key, count in counter.items() if count}


def _usage(world: World, made: dict[str, dict[str, Any]]) -> None:
    """The additions of each policy sum to what the determinations in force use."""
    wanted: Counter[tuple[str, str, str, str, str]] = Counter()
    for id, event in made.items():
        if event["in_force"]:
            for scope, kind, block, amount in _uses(world, id):
                wanted[event["policy"], event["person"], scope, kind, block] += amount
    found = {
        tuple(key): amount
        for *key, amount in world.rows(
            "select policy, person, scope, kind, id, sum(amount) from usage_addition group by 1, 2, 3, 4, 5"
            " having sum(amount) <> 0"
        )
    }
    _same("usage is what the determinations in force use", found, _nonzero(wanted))


def _uses(world: World, determination: str) -> list[tuple[str, str, str, int]]:
    """What a stored determination says it uses; a determination never changes."""
    if determination not in world.uses:
        ((uses,),) = world.rows("select result -> '$.uses' from determination where id = ?", determination)
        world.uses[determination] = [
            (scope, kind, block, amount)
            for scope, tables in json.loads(str(uses or "{}")).get("scopes", {}).items()
            for kind, used in tables.items()
            for block, amount in used.items()
        ]
    return world.uses[determination]


# ---------------------------------------------------------------- cases


def _clocks(world: World, busy: set[Any]) -> None:
    """A statutory clock runs exactly where something is still due."""
    running: dict[str, set[str]] = defaultdict(set)
    for case, kind in world.rows("select case_id, kind from clock where stopped_at is null"):
        running[str(case)].add(str(kind))
    unpaid = {
        str(case) for (case,) in world.rows("select case_id from payout where state <> 'paid' and replaced_by is null")
    }
    for id, stage in world.rows("select id, stage from claim_case"):
        case, kinds = str(id), running[str(id)]
        if case in busy:
            continue
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
    in_force: dict[str, list[Any]] = defaultdict(list)
    for case, claim, payable in world.rows(
        "select case_id, claim, payable from determination where in_force = 1 order by id"
    ):
        in_force[str(case)].append((json.loads(str(claim)), payable))
    for_a_person = {str(case) for (case,) in world.rows("select case_id from determination where waiting = 1")}
    referred = {str(case) for (case,) in world.rows("select subject from event where kind = 'CaseReferred'")}
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
        if visit not in cases:
            raise Broken("every stay of an insured person has a case", (*about, waiting.get(visit)))
        case, stage = cases[visit]
        if stage not in _allowed(truth):
            raise Broken("a stay ends as its truth allows", (*about, case, stage))
        if (stage in ("determined", "paid")) != (case in unpaid) and stage not in ("referred", "refused", "withdrawn"):
            raise Broken("a case is open exactly while its money waits", (*about, case, stage, unpaid.get(case)))
        if case in unpaid and not unpaid[case]:
            raise Broken("what is not paid says why", (*about, case))
        if stage == "referred" and case not in for_a_person | referred:
            raise Broken("a referred case waits for a person", (*about, case))
        if stage in _OVER and case in for_a_person:
            raise Broken("nothing of a case that is over waits for a person", (*about, case, stage))
        if stage == "withdrawn" and sum(payable for _, payable in in_force[case]):
            raise Broken("nothing is paid for an admission that never was", (*about, case))
        if stage in ("closed", "determined", "paid") and truth.expected in ("determined", "referred"):
            bills = {tuple(_bill_keys(claim)) for claim, _ in in_force[case]}
            if bills - {(truth.final_bill,)}:
                raise Broken("what is paid is paid on the final bill", (*about, case, bills))


def _bill_keys(claim: dict[str, Any]) -> Iterable[str]:
    return (f"{bill['code']}-{bill['number']}" for bill in claim.get("bills", ()))


def _allowed(truth: Truth) -> tuple[str, ...]:
    match truth.expected:
        case "cancelled":
            return ("withdrawn", "referred", "refused", "closed")
        case "open":
            return (*_IN_HOSPITAL, "referred", "refused", "closed")
        case "reversed":
            return ("referred", "refused", "closed")
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
    marks = ", ".join("?" * len(_HOSPITAL_KINDS))
    logged = Counter(
        str(payload)
        for (payload,) in world.rows(f"select payload from event where kind in ({marks})", *_HOSPITAL_KINDS)
    )
    told = Counter(msgspec.json.encode(event).decode() for event in world.told(kept))
    if logged != told:
        lost, doubled = told - logged, logged - told
        raise Broken("no event is lost or doubled", f"{sum(lost.values())} lost, {sum(doubled.values())} too many")


def _messages_sent(world: World) -> None:
    """Nothing reaches a person that is not in our books, and nothing we hold for delivered has not reached them."""
    ours = {
        str(id): (str(change), str(channel), delivered is not None)
        for id, change, channel, delivered in world.rows(
            "select id, change, channel, delivered_at from message where channel <> 'desk'"
        )
    }
    strange = set(world.phones.reached) - set(ours)
    _equal("nobody is told what is not in our books", strange, set())
    missing = [id for id, (_, _, delivered) in ours.items() if delivered and id not in world.phones.reached]
    _equal("what we hold for delivered was delivered", missing, [])
    changes = Counter((m.person, m.change, m.channel) for m in world.phones.reached.values())
    _equal("each change is told once per channel", [c for c, count in changes.items() if count > 1], [])


_CHANGES = {
    "CaseOpened": ("opened", "case"), "PayoutConfirmed": ("arrived", "payout"),
    "RecoveryOpened": ("recovery", "determination"), "PayoutRefused": ("account_wrong", "payout"),
    "PayoutReturned": ("account_wrong", "payout"),
}  # fmt: skip


def _told_once(world: World) -> None:
    """Every change was told to whoever can be reached, and every determination has its letter."""
    told = {
        str(change): str(case)
        for change, case in world.rows("select change, case_id from message where channel <> 'desk'")
    }
    ends = {change.split(":")[1] for change in told}
    undelivered = world.rows("select id from message where channel <> 'desk' and delivered_at is null and fault = ''")
    _equal("every message is delivered, or says why not", undelivered, [])
    reachable = {str(case) for case in told.values() if case} & {
        str(case) for (case,) in world.rows(
            "select c.id from claim_case c join person p on p.id = c.person where p.died_on is null"
        )
    }  # fmt: skip
    moved = {str(id): str(case) for id, case in world.rows("select id, case_id from payout")}
    for kind, payload in world.rows(
        f"select kind, payload from event where kind in ({', '.join('?' * (len(_CHANGES) + 1))})",
        *_CHANGES, "DeterminationMade",
    ):  # fmt: skip
        event = json.loads(str(payload))
        if event["case"] not in reachable:
            continue
        if kind == "DeterminationMade":
            if event["decision"] == "pay" and event.get("adjustment", 1) > 0 and event["determination"] not in ends:
                raise Broken("every decision is told", event["determination"])
            continue
        occasion, subject = _CHANGES[str(kind)]
        if subject == "payout" and event["payout"] not in moved:
            continue
        if f"{occasion}:{event[subject]}" not in told:
            raise Broken("every change is told", (kind, event[subject]))
    made = Counter(str(d) for (d,) in world.rows("select id from determination"))
    letters = Counter(str(d) for (d,) in world.rows("select determination from letter where determination is not null"))
    _same("every determination has one letter", dict(letters), dict(made))


# ---------------------------------------------------------------- proofs


def _reconciled(world: World) -> None:
    statement = world.bank.statement(date.min, date.max)
    with world.node.database.reading() as tx:
        found = reconcile(tx, statement)
    _equal("our journal agrees with the bank's statement", (found.difference_fen, found.items), (0, ()))


def _replayed(world: World) -> None:
    with world.node.database.reading() as tx:
        cases = [row[0] for row in tx.rows("select id from claim_case order by id")]
        results = replay(tx, cases, lambda keys: opening_usage(tx, keys))
    faults = [fault for result in results for fault in result.faults]
    _equal("every determination comes out again as it was stored", faults, [])
    _equal("every determination is replayed", len(results), len(world.rows("select 1 from determination")))
