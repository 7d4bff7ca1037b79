"""What an examiner does about a case: approve, adjust, refuse, ask for what is missing, propose and confirm, keep."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from starlette.responses import Response

from safeweave.adjudication.adjusting import NotAdjustable, check
from safeweave.adjudication.determination import Adjustment, Change
from safeweave.cases import clocks, requests
from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.consortium import ending
from safeweave.consortium.ending import LockedClaim
from safeweave.database import Transaction
from safeweave.errors import Conflict, Crossed, NotFound
from safeweave.events import DeterminationMade, Event
from safeweave.ids import PolicyId
from safeweave.money import Fen, fen_of, yuan_shown
from safeweave.people import Person
from safeweave.web import live
from safeweave.web.asked import Asked, Stale
from safeweave.web.pages import Routes
from safeweave.web.workbench import store
from safeweave.web.workbench.authority import Kind, may_alone
from safeweave.web.workbench.bench import MOST_WORDS, case_and_person, shown
from safeweave.web.workbench.seen import LineShown, Seen, seen
from safeweave.web.workbench.store import Act, Verdict
from safeweave.words import Language, say

routes = Routes()

VERDICTS = ("approve", "adjust", "refuse")
_AMOUNT = re.compile(r"\d{1,10}(\.\d{1,2})?")


class NotNow(Conflict):
    """What was asked cannot be done as the case stands, with why."""

    def __init__(self, why: str, **values: object) -> None:
        self._why, self._values = why, values
        super().__init__(self.said("en"))

    def said(self, language: Language) -> str:
        """Why, and what can be done instead."""
        return say(f"workbench.not_now.{self._why}", language, **self._values)


class Missing(Exception):
    """Something must be filled in, or filled in otherwise; a sentence says what."""


# ---------------------------------------------------------------- kept until sent


@routes.post("/desk/cases/{case}/draft")
def keep(asked: Asked) -> Response:
    """Keep what was typed so far; asked by the page itself while somebody types."""
    with asked.reading() as tx:
        case, _ = case_and_person(asked, tx, "referrals.decide")
    version = _kept(asked, case)
    return Response(msgspec.json.encode({"draft": version}), media_type="application/json")


def _kept(asked: Asked, case: Case) -> int:
    """Keep what was typed, while others write; the version it has now. Raises Stale."""
    with asked.site.database.transaction(beside=True) as tx:
        tx.wait_for([f"draft:{case.id}:{asked.who.id}"])
        return store.save_draft(tx, case.id, asked.who.id, _typed(asked), _draft_seen(asked), asked.now)


def _typed(asked: Asked) -> dict[str, str]:
    names = [name for name in asked.typed if name in ("note", "clause", "wanted") or name.startswith("paid|")]
    return {name: asked.field(name) for name in names}


def _draft_seen(asked: Asked) -> int | None:
    text = asked.field("_draft", 12)
    return int(text) if text.isascii() and text.isdecimal() else None


# ---------------------------------------------------------------- deciding


@routes.post("/desk/cases/{case}/decide")
def decide(asked: Asked) -> Response:
    """Do what the button says; above one's authority it is proposed to a second person."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.decide")
        keys = asked.site.adjudicator.keys_of(tx, case, asked.now)
    verdict = asked.field("verdict", 20)
    try:
        if verdict == "draft":
            _kept(asked, case)  # as often as it is sent: each may say something else
            return asked.go(f"/desk/cases/{case.id}", said="workbench.draft.kept")
        if verdict == "ask":
            return _ask(asked, case, person, keys)
        if verdict == "supplied":
            return _supplied(asked, case, person, keys)
        if verdict not in VERDICTS:
            raise Missing(asked.say("workbench.missing.verdict"))
        return _decide(asked, case, person, cast(Verdict, verdict), keys)
    except Missing as missing:
        fault = str(missing)
    except NotAdjustable as wrong:
        fault = wrong.said(asked.language)
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.decide")
        return shown(asked, tx, case, person, 400, fault, _typed(asked))


def _decide(asked: Asked, case: Case, person: Person, verdict: Verdict, keys: set[str]) -> Response:
    note, clause = asked.field("note", MOST_WORDS), asked.field("clause", 60)
    if not note:
        raise Missing(asked.say("workbench.missing.note"))
    if verdict == "adjust" and not clause:
        raise Missing(asked.say("workbench.missing.clause"))
    with asked.writing(then="/desk", beside=True, holding=keys) as tx:
        now_seen = _fresh(asked, tx, case, person)
        adjust = _adjustments(asked, now_seen, clause) if verdict == "adjust" else {}
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
    return asked.go(said="workbench.done" if alone else "workbench.proposed")


def _fresh(asked: Asked, tx: Transaction, case: Case, person: Person) -> Seen:
    """The case as it is now, if it can be decided and is what was seen. Raises NotNow, Stale."""
    found = _held(asked, tx, case)
    now_seen = seen(asked, tx, found, person)
    if now_seen.decided is not None:
        raise NotNow("decided", by=now_seen.decided.answered_name)
    if now_seen.proposal is not None:
        raise NotNow("proposed", by=now_seen.proposal.by_name)
    if found.stage != "referred":
        raise NotNow("moved", stage=asked.say(f"stages.{found.stage}"))
    if asked.field("_version", 100) != now_seen.version:
        raise Stale(now_seen.version)
    return now_seen


def _held(asked: Asked, tx: Transaction, case: Case) -> Case:
    """The case as it is now. Raises Crossed if what is to be held with it has grown since it was asked for."""
    found = case_store.cases_by_id(tx, [case.id])[case.id]
    keys = asked.site.adjudicator.keys_of(tx, found, asked.now)
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
    return "|".join(("paid", policy, change.benefit, change.period, change.bill, str(change.no)))


def _adjustments(asked: Asked, now_seen: Seen, clause: str) -> dict[PolicyId, Adjustment]:
    """The amounts that were changed, by policy. Raises Missing, NotAdjustable."""
    lines = _lines(now_seen)
    changes: dict[PolicyId, list[Change]] = {}
    for name in asked.typed:
        if not name.startswith("paid|"):
            continue
        _, policy, benefit, period, bill, no = [*name.split("|"), "", "", "", "", ""][:6]
        text = asked.field(name, 40).replace(",", "").replace("，", "").replace(" ", "")
        if not text and name in lines:
            continue
        if not _AMOUNT.fullmatch(text):
            raise Missing(asked.say("workbench.missing.amount", text=text or "–"))
        whole, _, rest = text.partition(".")
        paid = fen_of(f"{int(whole)}.{rest.ljust(2, '0')}")
        if name not in lines:
            raise NotAdjustable("no_line", line=no, bill=bill or benefit)
        if paid != lines[name].paid:
            changes.setdefault(PolicyId(policy), []).append(Change(benefit, period, bill, int(no), Fen(paid)))
    if not changes:
        raise NotAdjustable("no_change")
    adjust = {policy: Adjustment(clause, tuple(found)) for policy, found in changes.items()}
    for decided in now_seen.waiting:
        if decided.policy in adjust:
            check(adjust[decided.policy], asked.site.adjudicator.seen_by_person(decided))
    return adjust


# ---------------------------------------------------------------- what is missing


def _ask(asked: Asked, case: Case, person: Person, keys: set[str]) -> Response:
    """Ask the insured, once, for everything that is missing; the clock stands until it comes (保险法 22, 23)."""
    wanted = asked.field("wanted", MOST_WORDS)
    if not wanted:
        raise Missing(asked.say("workbench.missing.wanted"))
    with asked.writing(then=f"/desk/cases/{case.id}", beside=True, holding=keys) as tx:
        now_seen = _fresh(asked, tx, case, person)
        if not now_seen.can_ask or not clocks.pause(tx, case.id, asked.now):
            raise NotNow("asked_once")
        case_store.add_steps(
            tx, [(case.id, "supplement_asked", case.stage, f"{asked.who.name}: {wanted}")], asked.now
        )  # fmt: skip
        asked.site.post.ask(tx, now_seen.case, wanted, asked.now)
        store.drop_drafts(tx, case.id, asked.who.id)
        _tell_pages(asked, tx, case)
    return asked.go(said="workbench.asked")


def _supplied(asked: Asked, case: Case, person: Person, keys: set[str]) -> Response:
    """What was asked for has come another way, on paper say: the clock runs on."""
    with asked.writing(then=f"/desk/cases/{case.id}", beside=True, holding=keys) as tx:
        _fresh(asked, tx, case, person)
        if not clocks.resume(tx, case.id, asked.now):
            raise NotNow("not_asked")
        case_store.add_steps(tx, [(case.id, "supplement_received", case.stage, asked.who.name)], asked.now)
        _tell_pages(asked, tx, case)
    return asked.go(said="workbench.supplied")


# ---------------------------------------------------------------- the second person


@routes.post("/desk/cases/{case}/confirm")
def confirm(asked: Asked) -> Response:
    """Confirm what somebody else proposed, or give it back to them with words."""
    with asked.reading() as tx:
        case, person = case_and_person(asked, tx, "referrals.confirm")
        keys = asked.site.adjudicator.keys_of(tx, case, asked.now)
    confirms, words = asked.field("verdict", 20) == "confirm", asked.field("words", MOST_WORDS)
    with asked.writing(then="/desk", beside=True, holding=keys) as tx:
        found = _held(asked, tx, case)
        now_seen = seen(asked, tx, found, person)
        act = now_seen.proposal
        if act is None or act.id != asked.field("act", 60):
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
            fields |= {
                _name(policy, change): yuan_shown(change.paid).replace(",", "")
                for policy, each in act.adjust.items()
                for change in each.changes
            }
            store.save_draft(tx, case.id, act.by, fields, None, asked.now)
        _tell_pages(asked, tx, case)
    return asked.go(said="workbench.confirmed" if confirms else "workbench.returned")


def _tell_pages(asked: Asked, tx: Transaction, case: Case) -> None:
    """Have open pages of this case and of the queue look again."""
    for topic in (f"case:{case.id}", "desk"):
        live.notify(tx, topic, case.person, asked.now)
