"""Everything an examiner sees of one case, brought together from the packages that know it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from safeweave import coverage
from safeweave.adjudication import store as determinations
from safeweave.adjudication.adjusting import most_of
from safeweave.adjudication.determination import Cut, Determination
from safeweave.adjudication.store import MACHINE, Decided
from safeweave.cases import clocks, requests
from safeweave.cases import store as case_store
from safeweave.cases.case import Case
from safeweave.cases.claim import settled_bill
from safeweave.cases.clocks import ClockRow
from safeweave.cases.requests import CaseRequest
from safeweave.coverage import InsuredPolicy
from safeweave.coverage.product import Product
from safeweave.database import Transaction
from safeweave.facts import Bill, Fact, Line
from safeweave.money import Fen
from safeweave.payments import store as payouts
from safeweave.people import Person
from safeweave.telling.letter import reason
from safeweave.telling.letters import referral_reasons
from safeweave.web import accounts
from safeweave.web.asked import Asked
from safeweave.web.showing import amount_shown, told_shown
from safeweave.web.workbench import store
from safeweave.web.workbench.queue import referral_notes
from safeweave.web.workbench.store import Act, Draft
from safeweave.words import Language, knows, say

AT_WORK = timedelta(minutes=30)  # who typed something within this time is at work on a case


class CutShown(Fact, frozen=True):
    """Why an amount is not paid."""

    label: str
    amount: int
    clause: str


class LineShown(Fact, frozen=True):
    """One line under one benefit: `source` is where it stands in the evidence, `field` what a changed amount is
    called in the form."""

    source: str
    field: str
    label: str
    amount: int
    paid: Fen
    most: int
    cuts: tuple[CutShown, ...]


class PartShown(Fact, frozen=True):
    """What one benefit pays in one policy year."""

    name: str
    period: str
    payable: int
    lines: tuple[LineShown, ...]


class WaitingShown(Fact, frozen=True):
    """A determination that waits, as it is decided about."""

    id: str
    policy: str
    number: str
    product: str
    payable: int
    computed: bool
    by_hand: bool
    parts: tuple[PartShown, ...]


class ReasonShown(Fact, frozen=True):
    """Why a person looks, and what to do."""

    code: str
    label: str
    advice: str


class BillShown(Fact, frozen=True):
    """A bill as the hospital told it, with what its settlement says."""

    bill: Bill
    reversed: bool
    paid_before: bool  # in force under this case


class Moment(Fact, frozen=True):
    """Something that happened, by whom, and the rules it rests on."""

    at: datetime
    what: str
    by: str
    words: str = ""
    clauses: tuple[str, ...] = ()


class Seen(Fact, frozen=True):
    """All of it. `version` changes with whatever a decision depends on."""

    case: Case
    version: str
    waiting: tuple[Decided, ...]
    shown: tuple[WaitingShown, ...]
    reasons: tuple[ReasonShown, ...]
    bills: tuple[BillShown, ...]
    clocks: tuple[ClockRow, ...]
    paused: bool
    can_ask: bool
    requests: tuple[CaseRequest, ...]
    proposal: Act | None
    decided: Act | None  # done for the case as it stands now
    history: tuple[Moment, ...]
    clauses: tuple[str, ...]

    @property
    def decidable(self) -> bool:
        """Whether a person can decide now."""
        return self.case.stage == "referred" and self.proposal is None and self.decided is None

    @property
    def can_approve(self) -> bool:
        """Whether there is anything to approve: what the rules could not compute is paid by hand or refused."""
        return not self.shown or self.case.stay.cancelled or any(each.computed for each in self.shown)

    @property
    def payable(self) -> int:
        """What the rules would pay in all."""
        return sum(each.payable for each in self.shown)

    @property
    def borne(self) -> int:
        """What the insured bears of the bills that were not reversed."""
        return sum(
            each.bill.total - (each.bill.fund or 0) - (each.bill.other or 0) for each in self.bills if not each.reversed
        )


def seen(asked: Asked, tx: Transaction, case: Case, person: Person) -> Seen:
    """Everything about this case, as it stands in this transaction."""
    language = asked.language
    every = determinations.of_cases(tx, [case.id])
    waiting_ids = {each.id for found in determinations.waiting_of(tx, [case.id]).values() for each in found}
    waiting = tuple(each for each in every if each.id in waiting_ids)
    noted = referral_notes(tx, [case.id]).get(case.id, ())
    codes = [code for each in waiting for code in referral_reasons(each.decision, each.result.refer)] or list(noted)
    running = tuple(row for row in clocks.running_of(tx, case.id))
    paused = clocks.is_paused(tx, case.id)
    acts = store.acts_of(tx, [case.id])
    proposal = next((act for act in acts if act.state == "open"), None)
    decided = next((act for act in acts if act.state == "done" and act.version == case.version), None)
    asked_for = tuple(requests.of(tx, [case.id]))
    held = coverage.policies_of(tx, [case.person])[case.person]
    in_force = {bill.key for each in determinations.in_force_of(tx, case.id) for bill in each.claim.bills}
    steps = case_store.history(tx, case.id)
    return Seen(
        case=case,
        version=_version(case, sorted(waiting_ids), paused, proposal),
        waiting=waiting,
        shown=tuple(_waiting(asked, each, held) for each in waiting),
        reasons=tuple(_reason(code, language) for code in dict.fromkeys(codes)),
        bills=tuple(
            BillShown(settled_bill(case.stay, each), each.reversed, each.bill.key in in_force)
            for each in case.stay.bills
        ),
        clocks=running,
        paused=paused,
        can_ask=not paused and not any(step[1] == "supplement_asked" for step in steps),
        requests=asked_for,
        proposal=proposal,
        decided=decided,
        history=_history(asked, tx, case, steps, every, acts, asked_for),
        clauses=_clauses(asked.site.adjudicator.products.get(each.product) for each in waiting),
    )


def _version(case: Case, waiting: Sequence[str], paused: bool, proposal: Act | None) -> str:
    parts = (case.stage, str(paused), proposal.id if proposal else "", *waiting)
    return f"{case.version}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:12]}"


def _reason(code: str, language: Language) -> ReasonShown:
    if not knows(f"reasons.{code}.short"):
        return ReasonShown(code, code, "")
    return ReasonShown(code, reason(code, "short", language), reason(code, "examiner", language))


# ---------------------------------------------------------------- what waits


def field_of(policy: str, benefit: str, period: str, bill: str, no: int) -> str:
    """What a changed amount is called in the form."""
    return "|".join(("paid", policy, benefit, period, bill, str(no)))


def _waiting(asked: Asked, decided: Decided, held: Sequence[InsuredPolicy]) -> WaitingShown:
    product = asked.site.adjudicator.products.get(decided.product)
    result = asked.site.adjudicator.seen_by_person(decided)
    names = {b.id: _in(asked.language, b.name, b.name_en) for b in product.benefits} if product else {}
    number = next((policy.number for policy in held if policy.policy == decided.policy), decided.policy)
    return WaitingShown(
        id=decided.id, policy=decided.policy, number=number,
        product=_product(asked, decided),
        payable=result.payable, computed=bool(decided.result.benefits),
        by_hand=bool(result.benefits) and not decided.result.benefits,
        parts=_parts(asked, decided, result, names),
    )  # fmt: skip


def _parts(asked: Asked, decided: Decided, result: Determination, names: Mapping[str, str]) -> tuple[PartShown, ...]:
    items = {(bill.key, line.no): line for bill in decided.claim.bills for line in bill.lines}
    parts = []
    for benefit in result.benefits:
        rows = [row for row in result.lines if (row.benefit, row.period) == (benefit.benefit, benefit.period)]
        name = names.get(benefit.benefit, benefit.benefit)
        lines = [
            LineShown(
                f"{row.bill}:{row.no}", field_of(decided.policy, row.benefit, row.period, row.bill, row.no),
                line_name(items.get((row.bill, row.no)), row.no, asked.language), row.amount, row.paid, most_of(row),
                _cuts((cut for cut in row.cuts if decided.result.benefits or cut.reason != "adjusted"), asked.language),
            )
            for row in rows
        ]  # fmt: skip
        if not rows:
            whole = benefit.payable + sum(cut.amount for cut in benefit.cuts)
            field = field_of(decided.policy, benefit.benefit, benefit.period, "", 0)
            lines = [LineShown("", field, name, whole, benefit.payable, whole, _cuts(benefit.cuts, asked.language))]
        parts.append(PartShown(name, benefit.period, benefit.payable, tuple(lines)))
    return tuple(parts)


def _cuts(cuts: Iterable[Cut], language: Language) -> tuple[CutShown, ...]:
    return tuple(CutShown(reason(cut.reason, "short", language), cut.amount, cut.clause) for cut in cuts)


def line_name(line: Line | None, no: int, language: Language) -> str:
    """What a line is called: its number, charge class and the name printed on the bill."""
    key = f"letters.category.{line.category}" if line else ""
    kind = say(key if knows(key) else "letters.category.other", language)
    name = line.name if line else ""
    return f"{no}. {kind}" + (f" · {name}" if name and name != kind else "")


def _clauses(products: Iterable[Product | None]) -> tuple[str, ...]:
    """The clauses of these products, to choose from."""
    found = {clause for product in products if product is not None for clause in product.clauses}
    return tuple(sorted(found))


def _in(language: Language, zh: str, en: str) -> str:
    return (en if language == "en" else "") or zh


# ---------------------------------------------------------------- what happened


def _history(
    asked: Asked, tx: Transaction, case: Case, steps: Sequence[tuple[datetime, str, str, str]],
    every: Sequence[Decided], acts: Sequence[Act], asked_for: Sequence[CaseRequest],
) -> tuple[Moment, ...]:  # fmt: skip
    """The story of a case, the latest first: each decision with the clauses it rests on and the person."""
    language = asked.language
    moments = [
        Moment(at, say(f"happenings.{what}", language), "", _noted(what, note, language)) for at, what, _, note in steps
    ]
    for each in every:
        by_machine = each.decided_by == MACHINE
        codes = (
            say("letters.clauses", language).join(_reason(code, language).label for code in each.result.refer)
            if by_machine
            else ""
        )
        amount = _amount(each.payable if each.decision == "pay" else each.result.payable, language)
        decision = say(f"decisions.{each.decision}", language)
        what = say("workbench.history.decision", language, what=decision, amount=amount)
        by = say("workbench.history.rules", language, product=_product(asked, each)) if by_machine else each.decided_by
        moments.append(Moment(each.made_at, what, by, each.note or codes, _of(each.result)))
    for act in acts:
        if act.state == "done" and act.by == act.answered_by:
            continue  # decided at once: its determination says so
        moments.append(
            Moment(act.at, say(f"workbench.history.proposed.{act.verdict}", language), act.by_name, act.note,
                   (act.clause,) if act.clause else ())
        )  # fmt: skip
        if act.answered_at is not None:
            what = say(f"workbench.history.{act.state}", language)
            moments.append(Moment(act.answered_at, what, act.answered_name, act.answer))
    for request in asked_for:
        moments.append(Moment(request.asked_at, say(f"portal.request.{request.kind}", language), "", request.words))
        if request.answered_at is not None:
            what = say("workbench.history.answered", language)
            moments.append(Moment(request.answered_at, what, request.answered_by, request.answer))
    for payout in payouts.payouts_of(tx, [case.id]):
        amount = _amount(payout.amount, language)
        what = say(
            "workbench.history.payout", language, amount=amount, state=say(f"payments.state.{payout.state}", language)
        )
        moments.append(Moment(payout.settled_at or payout.ordered_at, what, ""))
    return tuple(sorted(moments, key=lambda moment: moment.at, reverse=True))


def _noted(what: str, note: str, language: Language) -> str:
    if what in ("supplement_asked", "supplement_received"):
        return told_shown(note, language)
    return "" if what == "case_referred" else note


def _product(asked: Asked, decided: Decided) -> str:
    product = asked.site.adjudicator.products.get(decided.product)
    return _in(asked.language, product.name, product.name_en) if product else decided.product


def _amount(fen: int, language: Language) -> str:
    return amount_shown(fen, language)


def _of(result: Determination) -> tuple[str, ...]:
    """The clauses that cut something in this result."""
    found = {cut.clause for row in result.lines for cut in row.cuts} | {
        cut.clause for row in result.benefits for cut in row.cuts
    }
    return tuple(sorted(found - {""}))


def at_work(asked: Asked, tx: Transaction, case: Case) -> list[tuple[str, Draft]]:
    """Who else has typed something about this case lately: (name, draft)."""
    drafts = store.others_at_work(tx, case.id, asked.who.id, asked.now - AT_WORK)
    names = accounts.accounts(tx, [each.account for each in drafts])
    return [(names[each.account].name, each) for each in drafts if each.account in names]
