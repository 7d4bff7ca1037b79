"""What must hold after any number of crashes, read from the insurer's store, the bank's file and the city's truth."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from safeweave.adjudication.store import texts_of
from safeweave.database import Database, Row
from safeweave_simulator.broken import Broken
from safeweave_simulator.city import PAYING_FOR_STAYS

# A discharge is not paid by itself if a person looks first, or if the payment waits for an account; each with a reason.
_LOOKED_AT = ("referred", "refused")
_OPEN = ("reported", "admitted", "charged", "discharged", "transferred", "died", "reopened")

Rows = Callable[[str], list[Row]]


def check_money(store: Database, bank: Path) -> None:
    """The books balance; the bank booked each key once, exactly the payouts we hold for paid. Raises Broken."""
    rows = _reader(store)
    _none("every booking sums to zero", rows("select booking from journal_entry group by booking having sum(fen) <> 0"))
    _none("nothing is parked", rows("select id, kind, parked from task where parked is not null"))
    with closing(sqlite3.connect(f"file:{bank}?mode=ro", uri=True)) as books:
        booked = books.execute(
            "select key, count(*), sum(amount_fen) from entry where key <> '' group by key"
        ).fetchall()
    _none("the bank books each key once", [entry for entry in booked if entry[1] != 1])
    paid: dict[str, int] = dict(rows("select id, amount_fen from payout where state = 'paid'"))
    journal = rows("select ref, sum(fen) from journal_entry where account = 'bank' group by ref")
    _same("what we hold for paid has left the bank", {key: -fen for key, _, fen in booked}, paid)
    _same("our journal says what the bank has paid", {ref: -fen for ref, fen in journal}, paid)
    _none(
        "each determination is paid once",
        rows("select determination from payout where replaced_by is null group by determination having count(*) > 1"),
    )
    if not paid:
        raise Broken("something was paid", "nothing was")


def check_messages(store: Database, acknowledged: Collection[tuple[str, str]]) -> None:
    """Every message that was acknowledged is in the store exactly once, and so is what it told. Raises Broken."""
    rows = _reader(store)
    taken = rows("select sender, control_id from inbound_message where status = 'taken'")
    kept = Counter((sender, id) for sender, id in taken)
    _none("every acknowledged message is kept", [key for key in acknowledged if not kept[key]])
    _none("a message is kept once", [key for key, count in kept.items() if count > 1])
    told = rows("select coalesce(sum(events), 0) from inbound_message where status = 'taken'")
    merged = rows("select count(*) from inbound_message where status = 'taken' and kind like '%A40%'")
    logged = sum(len(kinds.split(",")) for (kinds,) in rows("select kind from event"))
    if logged != told[0][0] - merged[0][0]:
        raise Broken("no event is lost or doubled", (logged, told, merged))


def check_outcomes(
    store: Database, truths: Collection[Mapping[str, Any]], senders: Mapping[str, str] | None = None
) -> None:
    """Every stay has come to exactly one outcome, the one its truth allows; what moves is what was decided.

    `truths` are `City.answers`. `senders` are given where hospitals hand over only what their patients allow, under
    these ids: then nothing at all is known of a visit that nobody insures. Raises Broken.
    """
    rows = _reader(store)
    stages = {(s, v): (c, stage) for s, v, c, stage in rows("select sender, visit, id, stage from claim_case")}
    waiting = {(s, v): why for s, v, why in rows("select sender, visit, waiting from visit where waiting is not null")}
    in_force: dict[str, dict[str, int]] = {}
    decided_on: dict[str, set[str]] = {}
    for case, policy, fen, kept in rows("select case_id, policy, payable, kept from determination where in_force = 1"):
        if policy in in_force.setdefault(case, {}):
            raise Broken("one determination is in force per case and policy", (case, policy))
        in_force[case][policy] = fen
        bills = json.loads(texts_of(kept)["claim"]).get("bills", [])
        decided_on.setdefault(case, set()).update(f"{bill['code']}-{bill['number']}" for bill in bills)
    decided_under: dict[str, set[str]] = {}
    for case, number in rows("select d.case_id, p.number from determination d join policy p on p.id = d.policy"):
        decided_under.setdefault(case, set()).add(number)
    moved = Counter(dict[str, int]())
    for case, fen in rows("select case_id, amount_fen from payout where replaced_by is null"):
        moved[case] += fen
    for case, fen in rows("select case_id, amount_fen from recovery"):
        moved[case] -= fen
    unpaid: dict[str, str] = dict(rows("select case_id, reason from payout where state <> 'paid'"))
    if not truths:
        raise Broken("there are stays", "none was told")
    for truth in truths:
        visit = (senders[truth["hospital"]] if senders else truth["hospital"], truth["visit"])
        if senders and truth["expected"] == "not_insured":
            if visit in stages or visit in waiting:
                raise Broken("nobody hears of a visit that nobody insures", truth)
            continue
        if truth["expected"] in ("not_insured", "no_cover"):
            if visit in stages or visit not in waiting:
                raise Broken("a visit nobody insures waits with a reason", truth)
            continue
        if visit not in stages:
            told = [kinds for subject, kinds in rows("select subject, kind from event") if subject == "/".join(visit)]
            raise Broken("every stay of an insured person has a case", (waiting.get(visit), told, truth))
        case, stage = stages[visit]
        allowed = (*_allowed(truth["expected"]), *(_OPEN if truth["awaits_settlement"] else ()))
        if stage not in allowed or (stage == "determined" and not unpaid.get(case)):
            raise Broken("a stay ends as its truth allows", (stage, unpaid.get(case), truth))
        if (
            stage == "closed"
            and truth["expected"] == "determined"
            and decided_on.get(case, set()) - {truth["final_bill"]}
        ):
            raise Broken("what is paid is paid on the final bill", (decided_on[case], truth))
        if not senders and stage == "closed" and truth["expected"] == "determined" and truth["kind"] == "inpatient":
            covering = zip(truth["policies"], truth["products"], strict=True)
            paying = {policy for policy, product in covering if product in PAYING_FOR_STAYS}
            if undecided := paying - decided_under.get(case, set()):
                raise Broken("every policy that pays for stays has decided", (sorted(undecided), truth))
        if moved[case] != sum(in_force.get(case, {}).values()):
            raise Broken("per case, what moves is what is in force", (moved[case], in_force.get(case), truth))


def _allowed(expected: str) -> tuple[str, ...]:
    match expected:
        case "cancelled":
            return ("withdrawn", *_LOOKED_AT)
        case "open":
            return (*_OPEN, *_LOOKED_AT)
        case "reversed":
            return ("discharged", "reopened", *_LOOKED_AT)
        case _:
            return ("closed", "determined", *_LOOKED_AT)


def _none(law: str, found: Collection[object]) -> None:
    if found:
        raise Broken(law, f"{len(found)} off: {list(found)[:4]}")


def _same(law: str, found: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    _none(law, [(k, found.get(k), wanted.get(k)) for k in {*found, *wanted} if found.get(k) != wanted.get(k)])


def _reader(store: Database) -> Rows:
    def rows(sql: str) -> list[Row]:
        with store.reading() as tx:
            return tx.rows(sql)

    return rows
