"""What may be done about a case and when, the same for pages and API: decide, propose, ask, confirm, give back.

Each function works in a transaction that holds what `to_hold` names, and nothing of it is done if it raises.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from safeweave.adjudication.adjusting import NotAdjustable, check
from safeweave.adjudication.determination import Adjustment, Change
from safeweave.cases import clocks, requests
from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.consortium import ending
from safeweave.consortium.ending import LockedClaim
from safeweave.database import Transaction
from safeweave.errors import Conflict, Crossed, Malformed, NotFound
from safeweave.events import DeterminationMade, Event
from safeweave.facts import Fact
from safeweave.ids import PolicyId
from safeweave.money import Fen, yuan_shown
from safeweave.people import Person
from safeweave.web import live
from safeweave.web.asked import Asked, Stale
from safeweave.web.workbench import store
from safeweave.web.workbench.authority import Kind, may_alone
from safeweave.web.workbench.seen import LineShown, Seen, field_of, seen
from safeweave.web.workbench.store import Act, Verdict
from safeweave.words import Language, say

Outcome = Literal["done", "proposed", "asked", "supplied"]


class Said(Fact, frozen=True):
    """What an examiner says. `version` is that of what was seen; `paid` are the amounts by the field of their line,
    None where it was left empty."""

    verdict: str
    version: str
    note: str = ""
    clause: str = ""
    wanted: str = ""
    paid: Mapping[str, Fen | None] = {}


class NotNow(Conflict):
    """What was asked cannot be done as the case stands, with why."""

    def __init__(self, why: str, **values: object) -> None:
        self._why, self._values = why, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Why, and what can be done instead."""
        return say(f"workbench.not_now.{self._why}", language, **self._values)


class Missing(Malformed):
    """Something must be filled in, or filled in otherwise; a sentence says what."""


def to_hold(asked: Asked, tx: Transaction, case: Case) -> set[str]:
    """What a transaction that does something about this case must hold: what the machine would hold."""
    return asked.site.adjudicator.keys_of(tx, case, asked.now)


# ---------------------------------------------------------------- deciding


def decide(asked: Asked, tx: Transaction, case: Case, person: Person, said: Said) -> Outcome:
    """Do what the verdict says; above one's authority it is proposed to a second person.

    Raises Missing, NotAdjustable, NotNow, Stale; Crossed if it is to be done again.
    """
    match said.verdict:
        case "approve" | "adjust" | "refuse" as verdict:
            return _decide(asked, tx, case, person, said, verdict)
        case "ask":
            return _ask(asked, tx, case, person, said)
        case "supplied":
            return _supplied(asked, tx, case, person, said)
    raise Missing(asked.say("workbench.missing.verdict"), field="verdict")


def _decide(asked: Asked, tx: Transaction, case: Case, person: Person, said: Said, verdict: Verdict) -> Outcome:
    note, clause = said.note, said.clause
    if not note:
        raise Missing(asked.say("workbench.missing.note"), field="note")
    if verdict == "adjust" and not clause:
        raise Missing(asked.say("workbench.missing.clause"), field="clause")
    now_seen = _fresh(asked, tx, case, person, said)
    adjust = _adjustments(asked, now_seen, said) if verdict == "adjust" else {}
    asks = _asks(now_seen, verdict, adjust)
    alone = all(may_alone(asked.who.role, kind, amount) for kind, amount in asks.items())
    act = Act(
        store.new_id(), case.id, now_seen.case.version, verdict, note, clause if verdict == "adjust" else "",
        max(asks.values()), {str(policy): each for policy, each in adjust.items()}, asked.who.id, asked.who.name,
        asked.now, "done" if alone else "open", asked.who.id if alone else "", asked.who.name if alone else "",
        asked.now if alone else None,
    )  # fmt: skip
    if alone:
        _carry_out(asked, tx, act, asked.who.name, note, asked.who.role)
    store.add_act(tx, act)
    store.drop_drafts(tx, case.id, asked.who.id)
    _tell_pages(asked, tx, case)
    return "done" if alone else "proposed"


def _fresh(asked: Asked, tx: Transaction, case: Case, person: Person, said: Said) -> Seen:
    """The case as it is now, if it can be decided and is what was seen. Raises NotNow, Stale."""
    found = _held(asked, tx, case)
    now_seen = seen(asked, tx, found, person)
    if now_seen.decided is not None:
        raise NotNow("decided", by=now_seen.decided.answered_name)
    if now_seen.proposal is not None:
        raise NotNow("proposed", by=now_seen.proposal.by_name)
    if found.stage != "referred":
        raise NotNow("moved", stage=asked.say(f"stages.{found.stage}"))
    if said.version != now_seen.version:
        raise Stale(now_seen.version)
    return now_seen


def _held(asked: Asked, tx: Transaction, case: Case) -> Case:
    """The case as it is now. Raises Crossed if what is to be held with it has grown since it was asked for."""
    found = case_store.cases_by_id(tx, [case.id])[case.id]
    keys = to_hold(asked, tx, found)
    if not tx.hold(keys) >= keys:
        raise Crossed("the case concerns more people or bills than a moment ago, and others have them")
    return found


def _carry_out(asked: Asked, tx: Transaction, act: Act, by: str, note: str, role: str) -> None:
    """Have it decided, and what people asked answered. Raises NotNow, NotAdjustable."""
    try:
        ending.check_decidable(tx, act.case)
        told = asked.site.adjudicator.decide_by_person(
            tx, act.case, by, note, act.verdict == "refuse", asked.now, act.adjustments
        )
    except LockedClaim as locked:
        raise NotNow("locked", because=locked.said(asked.language)) from None
    except NotFound:
        raise NotNow("nothing") from None
    except NotAdjustable:
        raise
    except Conflict as conflict:
        raise NotNow("rules", because=str(conflict)) from None
    paid = _paid_by(told)
    if act.verdict != "refuse" and not may_alone(role, "pay", paid):  # computed again, with today's usage
        raise NotNow("above", amount=yuan_shown(paid))
    asked.tell(tx, told)
    requests.answer(tx, act.case, by, note, asked.now)


def _paid_by(told: Sequence[Event]) -> int:
    return sum(event.payable for event in told if isinstance(event, DeterminationMade) and event.decision == "pay")


def _asks(now_seen: Seen, verdict: Verdict, adjust: Mapping[PolicyId, Adjustment]) -> dict[Kind, int]:
    """How much authority a decision asks for."""
    if verdict == "approve":
        return {"pay": now_seen.payable}
    if verdict == "refuse":
        return {"refuse": now_seen.payable or now_seen.borne}
    lines = _lines(now_seen)
    differences = [
        change.paid - lines[_name(policy, change)].paid for policy, each in adjust.items() for change in each.changes
    ]
    return {"pay": now_seen.payable + sum(differences), "adjust": sum(abs(each) for each in differences)}


def _lines(now_seen: Seen) -> dict[str, LineShown]:
    return {line.field: line for each in now_seen.shown for part in each.parts for line in part.lines}


def _name(policy: str, change: Change) -> str:
    return field_of(policy, change.benefit, change.period, change.bill, change.no)


def changed_lines(act: Act) -> dict[str, Fen]:
    """What this decision pays for lines otherwise than the rules, by the field of the line."""
    return {_name(policy, change): change.paid for policy, each in act.adjust.items() for change in each.changes}


def _adjustments(asked: Asked, now_seen: Seen, said: Said) -> dict[PolicyId, Adjustment]:
    """The amounts that were changed, by policy. Raises NotAdjustable."""
    lines = _lines(now_seen)
    changes: dict[PolicyId, list[Change]] = {}
    for name, paid in said.paid.items():
        _, policy, benefit, period, bill, no = [*name.split("|"), "", "", "", "", "", ""][:6]
        if name not in lines:
            raise NotAdjustable("no_line", line=no, bill=bill or benefit)
        if paid is not None and paid != lines[name].paid:
            changes.setdefault(PolicyId(policy), []).append(Change(benefit, period, bill, int(no), paid))
    if not changes:
        raise NotAdjustable("no_change")
    adjust = {policy: Adjustment(said.clause, tuple(found)) for policy, found in changes.items()}
    for decided in now_seen.waiting:
        if decided.policy in adjust:
            check(adjust[decided.policy], asked.site.adjudicator.seen_by_person(decided))
    return adjust


# ---------------------------------------------------------------- what is missing


def _ask(asked: Asked, tx: Transaction, case: Case, person: Person, said: Said) -> Outcome:
    """Ask the insured, once, for everything that is missing; the clock stands until it comes (保险法 22, 23)."""
    if not said.wanted:
        raise Missing(asked.say("workbench.missing.wanted"), field="wanted")
    now_seen = _fresh(asked, tx, case, person, said)
    if not now_seen.can_ask or not clocks.pause(tx, case.id, asked.now):
        raise NotNow("asked_once")
    words = f"{asked.who.name}: {said.wanted}"
    case_store.add_steps(tx, [(case.id, "supplement_asked", case.stage, words)], asked.now)
    asked.site.post.ask(tx, now_seen.case, said.wanted, asked.now)
    store.drop_drafts(tx, case.id, asked.who.id)
    _tell_pages(asked, tx, case)
    return "asked"


def _supplied(asked: Asked, tx: Transaction, case: Case, person: Person, said: Said) -> Outcome:
    """What was asked for has come another way, on paper say: the clock runs on."""
    _fresh(asked, tx, case, person, said)
    if not clocks.resume(tx, case.id, asked.now):
        raise NotNow("not_asked")
    case_store.add_steps(tx, [(case.id, "supplement_received", case.stage, asked.who.name)], asked.now)
    _tell_pages(asked, tx, case)
    return "supplied"


# ---------------------------------------------------------------- the second person


def confirm(
    asked: Asked, tx: Transaction, case: Case, person: Person, proposal: str, confirms: bool, words: str
) -> None:
    """Confirm what somebody else proposed, or give it back to them with words. Raises as `decide` does."""
    found = _held(asked, tx, case)
    now_seen = seen(asked, tx, found, person)
    act = now_seen.proposal
    if act is None or act.id != proposal:
        raise NotNow("answered")
    if act.by == asked.who.id:
        raise NotNow("own")
    if confirms:
        if act.version != found.version:
            raise NotNow("since_changed")
        asks = _asks(now_seen, act.verdict, act.adjustments)
        over = [amount for kind, amount in asks.items() if not may_alone(asked.who.role, kind, amount)]
        if over:
            raise NotNow("above", amount=yuan_shown(max(over)))
        by = f"{act.by_name} / {asked.who.name}"
        _carry_out(asked, tx, act, by, act.note, asked.who.role)
    elif not words:
        raise NotNow("no_words")
    store.answer_act(tx, act.id, "done" if confirms else "returned", asked.who.id, asked.who.name, words, asked.now)
    if not confirms:  # given back as it was written
        fields = {"note": act.note, "clause": act.clause}
        fields |= {name: yuan_shown(paid).replace(",", "") for name, paid in changed_lines(act).items()}
        store.save_draft(tx, case.id, act.by, fields, None, asked.now)
    _tell_pages(asked, tx, case)


def _tell_pages(asked: Asked, tx: Transaction, case: Case) -> None:
    """Have open pages of this case and of the queue look again."""
    for topic in (f"case:{case.id}", "desk"):
        live.notify(tx, topic, case.person, asked.now)
