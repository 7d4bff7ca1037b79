"""`safeweave case`, `replay`, `letter`, `clocks`: looking at cases and deciding what the machine may not."""

import argparse
from datetime import date, timedelta
from typing import Any

from rich.markup import escape

from safeweave import cases, clock, coverage, people, telling, worker
from safeweave.adjudication import replay as replaying
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import Decided
from safeweave.cases import clocks as case_clocks
from safeweave.cases import store
from safeweave.cases.case import Case
from safeweave.cases.claim import interim_total
from safeweave.cases.store import HospitalRow
from safeweave.clock import shanghai_day
from safeweave.commands.inbox import shown_at, work_off
from safeweave.commands.money import reason_shown, state_shown
from safeweave.commands.screen import console, print_json, print_table
from safeweave.consortium import ending
from safeweave.database import Transaction
from safeweave.errors import Conflict, NotFound
from safeweave.exchange import senders
from safeweave.ids import CaseId
from safeweave.money import yuan_shown, yuan_text
from safeweave.node import Node, open_node
from safeweave.payments import store as payouts
from safeweave.settings import Settings
from safeweave.words import Language, NotHere, say


def list_cases(settings: Settings, asked: argparse.Namespace) -> int:
    """Cases, the latest first."""
    node = open_node(settings)
    with node.database.reading() as tx:
        found = store.cases_in(tx, asked.stage)
        who = people.people_by_id(tx, [case.person for case in found])
        codes = {sender.id: sender.hospital for sender in senders.every(tx).values()}
        hospitals = cases.hospitals(tx, codes.values(), shanghai_day(node.clock()))
    if asked.json:
        print_json(
            [
                {
                    "case": c.id,
                    "stage": c.stage,
                    "sender": c.sender,
                    "visit": c.visit,
                    "opened_at": c.opened_at.isoformat(),
                }
                for c in found
            ]
        )
        return 0
    print_table(
        settings.language,
        ["columns.case", "columns.stage", "columns.person", "columns.hospital", "columns.visit", "columns.opened"],
        [
            (
                c.id,
                say(f"stages.{c.stage}", settings.language),
                who[c.person].name if c.person in who else "",
                _hospital_named(hospitals.get(codes.get(c.sender, "")), settings.language) or c.sender,
                c.visit,
                shown_at(c.opened_at),
            )
            for c in found
        ],
        "cli.case.none_in_stage" if asked.stage else "cli.case.none",
        stage=" / ".join(say(f"stages.{stage}", settings.language) for stage in asked.stage),
    )
    return 0


def _hospital_named(hospital: HospitalRow | None, language: Language) -> str:
    """Its name in this language, the Chinese one if it has no other; "" for an unknown one."""
    return "" if hospital is None else (hospital.name_en if language == "en" else "") or hospital.name


def show(settings: Settings, asked: argparse.Namespace) -> int:
    """Everything about one case: history, bills, determinations with reasons, money, messages."""
    node = open_node(settings)
    with node.database.reading() as tx:
        case = find_case(tx, asked.case)
        if asked.json:
            print_json(as_json(tx, case))
            return 0
        print_case(tx, node, case, settings.language)
    return 0


def find_case(tx: Transaction, wanted: str) -> Case:
    """The case with this id, or of this visit number; NotFound says how to find it."""
    case = cases.cases_by_id(tx, [CaseId(wanted)]).get(CaseId(wanted)) or store.case_of_visit(tx, wanted)
    if case is None:
        raise NotHere("cli.not_here.case", case=wanted)
    return case


def as_json(tx: Transaction, case: Case) -> dict[str, Any]:
    """The case as one JSON object."""
    return {
        "case": case.id,
        "stage": case.stage,
        "sender": case.sender,
        "visit": case.visit,
        "history": [
            {"at": at.isoformat(), "happening": h, "stage": s, "note": n} for at, h, s, n in store.history(tx, case.id)
        ],
        "bills": [
            {"bill": seen.bill.key, "total": yuan_text(seen.bill.total), "reversed": seen.reversed}
            for seen in case.stay.bills
        ],
        "determinations": [
            {
                "id": d.id,
                "policy": d.policy,
                "decision": d.decision,
                "by": d.decided_by,
                "payable": yuan_text(d.payable),
                "refer": list(d.result.refer),
                "product": d.product,
                "engine": d.engine,
                "digest": d.digest,
            }
            for d in determinations.of_cases(tx, [case.id])
        ],
        "payouts": [
            {"key": p.id, "amount": yuan_text(p.amount), "state": p.state, "reason": p.reason}
            for p in payouts.payouts_of(tx, [case.id])
        ],
    }


def print_case(tx: Transaction, node: Node, case: Case, lang: Language) -> None:
    """The case as people read it."""
    out = console()
    who = people.people_by_id(tx, [case.person]).get(case.person)
    out.print(f"[bold]{say('cli.case.heading', lang, case=case.id)}[/bold]  {say(f'stages.{case.stage}', lang)}")
    hospital = cases.hospitals(tx, [case.stay.hospital], shanghai_day(node.clock())).get(case.stay.hospital)
    place = (hospital.name if lang == "zh" else hospital.name_en) if hospital else case.stay.hospital
    out.print(escape(f"{who.name if who else ''}  {place}  {say('columns.visit', lang)} {case.visit}"))
    if case.stay.charges and not case.stay.live_bills:
        out.print(say("cli.case.interim", lang, amount=yuan_shown(interim_total(case.stay))))
    out.print(f"\n[bold]{say('cli.case.history', lang)}[/bold]")
    for at, happening, stage, note in store.history(tx, case.id):
        out.print(
            escape(f"  {shown_at(at)}  {say(f'happenings.{happening}', lang)} → {say(f'stages.{stage}', lang)}  {note}")
        )
    for seen in case.stay.bills:
        bill, settlement = seen.bill, case.stay.settlement_of(seen.bill)
        key = "reversed" if seen.reversed else "settled" if settlement or bill.social == "settled" else "unsettled"
        parts = {
            name: yuan_shown(getattr(settlement or bill, name) or 0) for name in ("fund", "other", "account", "cash")
        }
        out.print(escape(say(f"cli.case.bill.{key}", lang, bill=bill.key, total=yuan_shown(bill.total), **parts)))
    for decided in determinations.of_cases(tx, [case.id]):
        print_determination(out, tx, node, decided, lang)
    for payout in payouts.payouts_of(tx, [case.id]):
        state = f"{state_shown(payout.state, lang)} {reason_shown(payout.reason, lang)}"
        out.print(escape(f"{say('cli.case.payout', lang)} {payout.id}  {yuan_shown(payout.amount)}  {state}"))
    for at, channel, text in telling.messages_of(tx, case.id):
        out.print(escape(f"{say('cli.case.message', lang)} {shown_at(at)} [{say(f'channels.{channel}', lang)}] {text}"))


def print_determination(out: Any, tx: Transaction, node: Node, decided: Decided, lang: Language) -> None:
    """One determination with its letter, which explains every line."""
    by = say("cli.case.machine", lang) if decided.decided_by == determinations.MACHINE else decided.decided_by
    decision = say(f"decisions.{decided.decision}", lang)
    out.print(f"\n[bold]{say('cli.case.determination', lang)}[/bold] {decided.id}  {decision}  {by}")
    text = telling.letter_text(tx, decided.id, lang)
    if text:
        out.print(escape(text))


def decide(settings: Settings, asked: argparse.Namespace) -> int:
    """Approve or refuse, as a person, what the machine referred."""
    node = open_node(settings)
    now = node.clock()
    with node.database.transaction() as tx:
        case = find_case(tx, asked.case)
        ending.check_decidable(tx, case.id)
        told = node.adjudicator.decide_by_person(tx, case.id, asked.by, asked.reason, asked.verdict == "refuse", now)
        worker.tell(tx, told, now)
    work_off(node)
    with node.database.reading() as tx:
        stage = cases.cases_by_id(tx, [case.id])[case.id].stage
    print(say("cli.case.decide.done", settings.language, case=case.id, stage=say(f"stages.{stage}", settings.language)))
    return 0


def ask(settings: Settings, asked: argparse.Namespace) -> int:
    """Ask the insured, once, for everything that is missing; the decision clock stands still meanwhile."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        case = find_case(tx, asked.case)
        if not case_clocks.pause(tx, case.id, node.clock()):
            raise Conflict(say("cli.case.ask.once", settings.language))
        store.add_steps(tx, [(case.id, "supplement_asked", case.stage, f"{asked.by}: {asked.wanted}")], node.clock())
        node.post.ask(tx, case, asked.wanted, node.clock())
    print(say("cli.case.ask.done", settings.language, case=case.id))
    return 0


def supplied(settings: Settings, asked: argparse.Namespace) -> int:
    """What was missing has come: the decision clock runs on."""
    node = open_node(settings)
    with node.database.transaction() as tx:
        case = find_case(tx, asked.case)
        if not case_clocks.resume(tx, case.id, node.clock()):
            raise Conflict(say("cli.case.supplied.not_asked", settings.language))
        store.add_steps(tx, [(case.id, "supplement_received", case.stage, "")], node.clock())
    print(say("cli.case.supplied.done", settings.language, case=case.id))
    return 0


def replay(settings: Settings, asked: argparse.Namespace) -> int:
    """Compute stored determinations again; exit 1 and say why if anything is not as it was."""
    if not asked.case and not asked.every:
        raise NotFound(say("cli.replay.which", settings.language))
    node = open_node(settings)
    results = []
    with node.database.reading() as tx:
        wanted = [find_case(tx, asked.case)] if asked.case else store.cases_in(tx, limit=10**9)
        for start in range(0, len(wanted), 500):
            part = [case.id for case in wanted[start : start + 500]]
            results += replaying.replay(tx, part, lambda keys: coverage.opening_usage(tx, keys))
    agree = sum(result.agrees for result in results)
    if asked.json:
        print_json(
            {
                "replayed": len(results),
                "agree": agree,
                "determinations": [
                    {
                        "determination": r.determination,
                        "case": r.case,
                        "stored_fen": r.stored_payable,
                        "replayed_fen": r.replayed_payable,
                        "same_engine": r.same_engine,
                        "agrees": r.agrees,
                        "faults": list(r.faults),
                    }
                    for r in results
                ],
            }
        )
    else:
        for result in results:
            for fault in result.faults:
                print(fault)
            if asked.case and result.agrees:
                amount = yuan_shown(result.stored_payable)
                print(say("cli.replay.agrees", settings.language, determination=result.determination, amount=amount))
        print(say("cli.replay.done", settings.language, agree=agree, count=len(results)))
    return 0 if agree == len(results) else 1


def letter(settings: Settings, asked: argparse.Namespace) -> int:
    """The letters of a case, as text, HTML or PDF."""
    node = open_node(settings)
    with node.database.reading() as tx:
        case = find_case(tx, asked.case)
    return telling.letter_show(node.database, case.id, asked.reader or settings.language, asked.format, asked.output)


def clocks(settings: Settings, asked: argparse.Namespace) -> int:
    """Statutory clocks that run, the most urgent first."""
    node = open_node(settings)
    today = shanghai_day(clock.now())
    before: date | None = today + timedelta(days=asked.days) if asked.days is not None else None
    with node.database.reading() as tx:
        running = case_clocks.running(tx, before)
    if asked.json:
        print_json(
            [
                {
                    "case": c.case,
                    "clock": c.kind,
                    "started_at": c.started_at.isoformat(),
                    "due_on": c.due_on.isoformat(),
                    "days_left": (c.due_on - today).days,
                    "paused": c.paused_at is not None,
                }
                for c in running
            ]
        )
        return 0
    print_table(
        settings.language,
        ["columns.due", "columns.days_left", "columns.clock", "columns.case", "columns.started"],
        [
            (
                c.due_on,
                say("cli.clocks.paused", settings.language) if c.paused_at else (c.due_on - today).days,
                say(f"clocks.{c.kind}", settings.language),
                c.case,
                shown_at(c.started_at),
            )
            for c in running
        ],
        "cli.clocks.none",
    )
    return 0
