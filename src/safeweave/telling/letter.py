"""The letter that explains a determination: every amount, every cut with its reason and clause, and what one can do.

`LetterFacts` is what is kept; `letter` turns it into headed sections of words in one language. Pages, plain text and
PDF only lay those out (`page.py`, `pdf.py`), so all of them say the same. Sources: FORMAT.md §4-§6; Insurance Law
articles 23-26 (decide in 30 days, pay in 10, refusal notice with reasons in 3); Personal Information Protection Law
article 24 (an automated decision is explained on request, and a person may be asked for).
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

from safeweave.adjudication.determination import BenefitResult, Cut, LineResult
from safeweave.adjudication.reasons import CUT_REASONS, Payee
from safeweave.errors import InvariantBroken
from safeweave.facts import ClaimKind, Fact
from safeweave.ids import CaseId, DeterminationId, LetterId
from safeweave.money import ZERO, Fen, yuan_shown
from safeweave.words import Language, knows, say

LetterKind = Literal["paid", "paid_zero", "referred", "refused", "supplement", "recovery", "unchanged"]
MINUS = "\u2212"
_ADJUSTING: tuple[LetterKind, ...] = ("supplement", "recovery", "unchanged")

# ---------------------------------------------------------------- what a letter is made from


class Named(Fact):
    """A name in both languages; where English is missing the Chinese one stands."""

    zh: str
    en: str = ""

    def in_(self, language: Language) -> str:
        return (self.en if language == "en" else "") or self.zh


class LineShown(Fact):
    """What a bill line is called."""

    no: int
    category: str  # charge class "01".."14"
    name: str = ""  # as printed on the bill


class BillShown(Fact):
    """A bill as far as the letter shows it; `account` is what the personal medical-insurance account paid."""

    key: str
    lines: tuple[LineShown, ...]
    account: Fen = ZERO


class BenefitShown(Fact):
    """A benefit of the product: its id, kind (FORMAT.md §2) and name."""

    id: str
    kind: str
    name: Named


class PayeeShown(Fact):
    """Who is paid; of the account only the bank's name and the last four digits."""

    kind: Payee = "insured"
    name: str = ""
    bank: str = ""
    last4: str = ""


class DeductibleShown(Fact):
    """A deductible after this claim: its amount, and what has been met of it in the year, or by this claim."""

    basis: Literal["year", "claim"]
    total: Fen
    used: Fen


class Contacts(Fact):
    """Whom to turn to; what a deployment does not know it leaves empty, and the letter leaves it out."""

    insurer: Named = Named("保险公司", "Your insurer")
    phone: str = ""
    objection_days: int = 30
    hotline: str = "12378"
    hotline_name: Named | None = None
    mediation: Named | None = None


class LetterFacts(Fact, kw_only=True):
    """Everything one letter says, whatever the language; kept as it was on the day."""

    id: LetterId
    case: CaseId
    kind: LetterKind
    made_on: date
    insured: str
    product: Named = Named("")
    policy: str
    event: ClaimKind
    event_on: date | None = None
    discharged_on: date | None = None
    determination: DeterminationId | None = None
    hospital: Named | None = None
    addressee: str = ""  # if another than the insured is written to
    died: bool = False
    payable: Fen = ZERO
    payee: PayeeShown = PayeeShown()
    benefits: tuple[BenefitShown, ...] = ()
    bills: tuple[BillShown, ...] = ()
    results: tuple[BenefitResult, ...] = ()
    lines: tuple[LineResult, ...] = ()
    duplicates: tuple[str, ...] = ()
    refer: tuple[str, ...] = ()
    overlays: tuple[Named, ...] = ()
    deductibles: tuple[DeductibleShown, ...] = ()
    paid_before: Fen | None = None  # by the determination this one supersedes
    due_on: date | None = None  # until when a referred claim is decided
    note: str = ""  # what a person wrote for the insured
    decided_by: str = ""  # how the person who decided is named to the insured, such as a staff number
    contacts: Contacts = Contacts()


def kind_of(decision: str, payable: Fen, adjustment: Fen | None = None) -> LetterKind:
    """Which letter a determination is told by; a proposed refusal is told as referred, for only a person refuses."""
    if decision == "refuse":
        return "refused"
    if decision != "pay":
        return "referred"
    if adjustment is not None:
        return "supplement" if adjustment > 0 else "recovery" if adjustment < 0 else "unchanged"
    return "paid" if payable else "paid_zero"


# ---------------------------------------------------------------- what a letter says


class Sum(Fact):
    """One row of a calculation; `why` is the reason in a sentence."""

    label: str
    amount: str
    why: str = ""
    total: bool = False


class Item(Fact):
    """One bill line: what it is, what it cost, the cuts as (label, amount below zero), and what is left and paid."""

    label: str
    amount: str
    paid: str
    cuts: tuple[tuple[str, str], ...] = ()
    total: bool = False


class Section(Fact):
    """A heading with, in this order, paragraphs, a calculation, bill lines and points; each may be empty."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    sums: tuple[Sum, ...] = ()
    items: tuple[Item, ...] = ()
    points: tuple[str, ...] = ()
    sums_foot: str = ""


class Letter(Fact):
    """A letter in words, ready to be laid out; `headline` is the one amount that matters, or ""."""

    id: LetterId
    language: Language
    kind: LetterKind
    sender: str
    title: str
    headline_label: str
    headline: str
    about: tuple[tuple[str, str], ...]
    greeting: str
    opening: tuple[str, ...]
    sections: tuple[Section, ...]
    closing: str
    made_on: str
    footer: str


def letter(facts: LetterFacts, language: Language) -> Letter:
    """The letter in one language.

    Raises InvariantBroken if the amounts do not add up: a letter never shows a sum that a reader finds wrong.
    """
    _check(facts)
    voice = _Voice(facts, language)
    amount = abs(facts.payable - facts.paid_before) if facts.kind in _ADJUSTING and facts.paid_before else facts.payable
    sections: list[Section | None]
    if facts.kind == "referred":
        sections = [voice.referral(), voice.next_steps()]
    else:
        sections = [voice.refusal()] if facts.kind == "refused" else []
        sections += [
            voice.adjustment(),
            *voice.calculations(),
            voice.altogether(),
            voice.deductible(),
            voice.overlays(),
        ]
        sections.append(voice.payment() if facts.kind in ("paid", "supplement") else None)
        sections.append(voice.recovery() if facts.kind == "recovery" else None)
    sections.append(voice.rights())
    headed = knows(f"letters.headline.{facts.kind}")
    mourning = facts.died or facts.event == "death"
    return Letter(
        id=facts.id,
        language=language,
        kind=facts.kind,
        sender=facts.contacts.insurer.in_(language),
        title=voice.say(f"title.{facts.kind}"),
        headline_label=voice.say(f"headline.{facts.kind}") if headed else "",
        headline=voice.yuan(amount) if headed else "",
        about=voice.about(),
        greeting=voice.say("greeting", name=facts.addressee or facts.insured),
        opening=(
            voice.say("wish.mourning" if mourning else f"wish.{facts.event}"),
            voice.say(f"opening.{facts.kind}", amount=shown(amount)),
        ),
        sections=tuple(section for section in sections if section),
        closing=voice.say("closing_mourning" if mourning else "closing"),
        made_on=voice.day(facts.made_on),
        footer=voice.say("footer", letter=facts.id),
    )


def reason(
    code: str, use: Literal["short", "insured", "examiner"], language: Language, amount: int = 0, clause: str = ""
) -> str:
    """What a reason code means: a label, a sentence for the insured, or what an examiner does about it.

    `clause` is one clause or several, joined; KeyError if the code has no words. Below zero a cut pays more: a code
    that a person may use either way has a sentence for that, and the amount stands there without its sign.
    """
    named = say("letters.clause", language, clause=clause) if clause else ""
    key = f"reasons.{code}.{use}"
    if amount < 0 and knows(f"{key}_more"):
        key, amount = f"{key}_more", -amount
    return say(key, language, amount=shown(amount), clause=named)


def shown(fen: int) -> str:
    """An amount with a real minus sign."""
    return yuan_shown(fen).replace("-", MINUS)


def _check(facts: LetterFacts) -> None:
    for line in facts.lines:
        if line.amount != line.paid + sum(cut.amount for cut in line.cuts):
            raise InvariantBroken(f"letter {facts.id}: line {line.no} of bill {line.bill} does not add up")
    for result in facts.results:
        rows = _rows(facts, result)
        if rows and sum(line.paid for line in rows) != result.payable:
            raise InvariantBroken(
                f"letter {facts.id}: the lines of benefit {result.benefit} do not sum to what it pays"
            )
    if facts.results and sum(result.payable for result in facts.results) != facts.payable:
        raise InvariantBroken(f"letter {facts.id}: the benefits do not sum to {yuan_shown(facts.payable)}")


def _rows(facts: LetterFacts, result: BenefitResult) -> list[LineResult]:
    return [line for line in facts.lines if (line.benefit, line.period) == (result.benefit, result.period)]


def _summed(cuts: Iterable[Cut], language: Language) -> list[tuple[str, int, str]]:
    """(reason, amount, clauses) of these cuts, one per reason, in the order they are computed in."""
    comma = say("letters.clauses", language)
    amounts: dict[str, int] = {}
    clauses: dict[str, dict[str, None]] = {}
    for cut in cuts:
        amounts[cut.reason] = amounts.get(cut.reason, 0) + cut.amount
        if cut.clause:
            clauses.setdefault(cut.reason, {})[cut.clause] = None
    order: dict[str, int] = {code: place for place, code in enumerate(CUT_REASONS)}
    return [
        (code, amounts[code], comma.join(clauses.get(code, ())))
        for code in sorted(amounts, key=lambda code: order.get(code, len(order)))
    ]


class _Voice:
    """The parts of one letter in one language."""

    def __init__(self, facts: LetterFacts, language: Language) -> None:
        self.facts = facts
        self.language = language
        self.benefits = {benefit.id: benefit for benefit in facts.benefits}
        self.items = {(bill.key, line.no): line for bill in facts.bills for line in bill.lines}

    def say(self, key: str, **values: object) -> str:
        return say(f"letters.{key}", self.language, **values)

    def yuan(self, fen: int) -> str:
        return self.say("yuan", amount=shown(fen))

    def day(self, day: date) -> str:
        return self.say("day", year=day.year, month=day.month, day=day.day, month_name=_MONTHS[day.month - 1])

    def about(self) -> tuple[tuple[str, str], ...]:
        facts = self.facts
        rows = [
            ("insured", facts.insured),
            ("product", facts.product.in_(self.language)),
            ("policy", facts.policy),
            ("hospital", facts.hospital.in_(self.language) if facts.hospital else ""),
        ]
        if facts.event_on and facts.event == "inpatient" and facts.discharged_on:
            first, last = self.day(facts.event_on), self.day(facts.discharged_on)
            rows.append(("stay", self.say("span", first=first, last=last)))
        elif facts.event_on:
            rows.append((facts.event, self.day(facts.event_on)))
        rows.append(("told" if facts.kind == "referred" else "decided", self.day(facts.made_on)))
        rows.append(("case", facts.case))
        return tuple((self.say(f"about.{key}"), value) for key, value in rows if value)

    # ------------------------------------------------------------ amounts

    def calculations(self) -> list[Section | None]:
        sections: list[Section | None] = []
        for result in self.facts.results:
            rows = _rows(self.facts, result)
            if rows:
                sections.append(self._by_bill(result, rows))
                sections.append(Section(self.say("items.heading"), items=self._items(rows)))
            elif result.cuts or result.days is not None or result.grade is not None or result.payable:
                sections.append(self._fixed(result))
        if self.facts.duplicates:
            bills = self.say("clauses").join(self.facts.duplicates)
            sections.append(Section(self.say("duplicates.heading"), (self.say("duplicates", bills=bills),)))
        return sections

    def _heading(self, result: BenefitResult) -> str:
        name = self._benefit(result.benefit)
        if len({other.period for other in self.facts.results if other.benefit == result.benefit}) > 1 and result.period:
            name = self.say("sums.year", benefit=name, day=self.day(date.fromisoformat(result.period)))
        return self.say("sums.heading", benefit=name)

    def _benefit(self, id_: str) -> str:
        return self.benefits[id_].name.in_(self.language) if id_ in self.benefits else id_

    def _kind(self, result: BenefitResult) -> str:
        return self.benefits[result.benefit].kind if result.benefit in self.benefits else ""

    def _by_bill(self, result: BenefitResult, rows: Sequence[LineResult]) -> Section:
        bills = list(dict.fromkeys(line.bill for line in rows))
        overflow = self._kind(result) == "overflow"
        start = Sum(
            self.say("sums.overflow" if overflow else "sums.charged"),
            shown(sum(line.amount for line in rows)),
            self.say("sums.charged_bills", bills=self.say("clauses").join(bills)),
        )
        account = sum(bill.account for bill in self.facts.bills if bill.key in bills)
        told = account > 0 and result.payable > 0 and not overflow
        return Section(
            self._heading(result),
            sums=(start, *self._cuts(cut for line in rows for cut in line.cuts), self._pays(result)),
            sums_foot=self.say("sums.account", amount=shown(account)) if told else "",
        )

    def _fixed(self, result: BenefitResult) -> Section:
        kind = "allowance" if result.days is not None else "lump_sum"
        grade = f"letters.grade.{result.grade}"
        graded = (say(grade, self.language) if knows(grade) else result.grade) if result.grade else ""
        start = Sum(
            self.say(f"sums.{kind}"),
            shown(result.payable + sum(cut.amount for cut in result.cuts)),
            self.say("sums.grade", grade=graded) if graded else "",
        )
        pays = self._pays(result, "" if result.days is None else self.say("sums.days", days=result.days))
        return Section(self._heading(result), sums=(start, *self._cuts(result.cuts), pays))

    def _cuts(self, cuts: Iterable[Cut]) -> tuple[Sum, ...]:
        """One row per reason; refunds that cancel out show in the lines only, whole-benefit reasons of 0.00 stay."""
        return tuple(
            Sum(
                self.say("sums.less", label=reason(code, "short", self.language)),
                shown(-amount),
                reason(code, "insured", self.language, amount, clauses),
            )
            for code, amount, clauses in _summed(cuts, self.language)
            if not (code == "netted" and amount == 0)
        )

    def _pays(self, result: BenefitResult, why: str = "") -> Sum:
        return Sum(self.say("sums.pays"), shown(result.payable), why, total=True)

    def _items(self, rows: Sequence[LineResult]) -> tuple[Item, ...]:
        items = [
            Item(
                self._item(line),
                shown(line.amount),
                shown(line.paid),
                tuple(self._cut(code, amount, clauses) for code, amount, clauses in _summed(line.cuts, self.language)),
            )
            for line in rows
        ]
        total = Item(
            self.say("items.total"),
            shown(sum(line.amount for line in rows)),
            shown(sum(line.paid for line in rows)),
            total=True,
        )
        return (*items, total)

    def _item(self, line: LineResult) -> str:
        item = self.items.get((line.bill, line.no))
        category = f"letters.category.{item.category}" if item else ""
        kind = say(category if knows(category) else "letters.category.other", self.language)
        name = item.name if item else ""
        return f"{line.no}. {kind}" + (f" · {name}" if name and name != kind else "")

    def _cut(self, code: str, amount: int, clauses: str) -> tuple[str, str]:
        clause = self.say("clause", clause=clauses) if clauses else ""
        return reason(code, "short", self.language) + clause, shown(-amount)

    def altogether(self) -> Section | None:
        """The benefits summed, and the difference to what was paid before; None where one benefit says it all."""
        facts = self.facts
        paying = [result for result in facts.results if result.payable]
        if facts.paid_before is None and len(paying) < 2:
            return None
        sums = []
        if len(paying) > 1:
            sums += [Sum(self._benefit(result.benefit), shown(result.payable)) for result in paying]
            sums.append(Sum(self.say("all.pays"), shown(facts.payable), total=True))
        if facts.paid_before is not None:
            sums.append(Sum(self.say("all.now"), shown(facts.payable)))
            sums.append(Sum(self.say("all.before"), shown(-facts.paid_before)))
            if facts.kind in _ADJUSTING:
                sums.append(Sum(self.say(f"all.{facts.kind}"), shown(facts.payable - facts.paid_before), total=True))
        return Section(self.say("all.heading"), sums=tuple(sums))

    def deductible(self) -> Section | None:
        said = []
        for each in self.facts.deductibles:
            left = max(each.total - each.used, 0)
            form = "claim" if each.basis == "claim" else "year" if left else "year_met"
            said.append(
                self.say(f"deductible.{form}", total=shown(each.total), used=shown(each.used), left=shown(left))
            )
        return Section(self.say("deductible.heading"), tuple(said)) if said else None

    def overlays(self) -> Section | None:
        if not self.facts.overlays:
            return None
        names = tuple(overlay.in_(self.language) for overlay in self.facts.overlays)
        return Section(self.say("overlays.heading"), (self.say("overlays.thanks"),), points=names)

    # ------------------------------------------------------------ people

    def payment(self) -> Section:
        payee, phone = self.facts.payee, self.facts.contacts.phone
        name = payee.name or (self.facts.insured if payee.kind == "insured" else "")
        who = self.say(f"payee.{payee.kind}", name=name) if name else self.say(f"payee_unnamed.{payee.kind}")
        points = [self.say("pay.to", payee=who)]
        if payee.last4:
            gap = " " if self.language == "en" or payee.bank[-1:].isascii() else ""
            bank = payee.bank + gap if payee.bank else ""
            points += [self.say("pay.account", bank=bank, last4=payee.last4), self.say("pay.when")]
        else:
            points.append(self.say("pay.no_account", phone=phone) if phone else self.say("pay.no_account_silent"))
        return Section(self.say("pay.heading"), points=tuple(points))

    def recovery(self) -> Section:
        return Section(self.say("next.heading"), (self.say("next.recovery"),))

    def referral(self) -> Section:
        points = [reason(code, "insured", self.language) for code in self.facts.refer]
        return Section(self.say("why.referred"), self._note(), points=tuple(points))

    def adjustment(self) -> Section | None:
        """Why a person pays otherwise than the rules; None if nobody does."""
        if self.facts.kind == "refused" or not self.facts.note:
            return None
        paragraphs = [*self._note(), self.say("why.decided_by", person=self.facts.decided_by)]
        return Section(self.say("why.adjusted"), tuple(paragraphs))

    def refusal(self) -> Section:
        cuts = [cut for line in self.facts.lines for cut in line.cuts]
        cuts += [cut for result in self.facts.results for cut in result.cuts]
        points = [
            reason(code, "insured", self.language, amount, clauses)
            for code, amount, clauses in _summed(cuts, self.language)
            if code != "netted"
        ]
        paragraphs = list(self._note())
        if self.facts.decided_by:
            paragraphs.append(self.say("why.decided_by", person=self.facts.decided_by))
        return Section(self.say("why.refused"), tuple(paragraphs), points=tuple(points))

    def _note(self) -> tuple[str, ...]:
        return (self.say("why.note", note=self.facts.note),) if self.facts.note else ()

    def next_steps(self) -> Section:
        points = [self.say("next.examiner")]
        if self.facts.due_on:
            points.append(self.say("next.due", day=self.day(self.facts.due_on)))
        points += [self.say("next.once"), self.say("next.advance")]
        return Section(self.say("next.heading"), points=tuple(points))

    def rights(self) -> Section:
        contacts = self.facts.contacts
        refused = self.facts.kind == "refused"
        points = []
        if self.facts.kind != "referred":
            points.append(self.say("rights.person" if refused or self.facts.decided_by else "rights.machine"))
            how = self.say("rights.how", phone=contacts.phone) if contacts.phone else ""
            points.append(self.say("rights.objection", days=contacts.objection_days, how=how))
        points.append(
            self.say(
                "rights.outside",
                hotline=contacts.hotline,
                hotline_name=self._or(contacts.hotline_name, "contact.hotline"),
                mediation=self._or(contacts.mediation, "contact.mediation"),
            )
        )
        if refused:
            points += [self.say("rights.notice"), self.say("rights.limitation")]
        return Section(self.say("rights.heading"), points=tuple(points))

    def _or(self, name: Named | None, key: str) -> str:
        return name.in_(self.language) if name else self.say(key)


_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
