"""Which letter a determination gets, what of it is kept, and how it is shown again at any later time.

A letter's row holds what may change afterwards (names, the hospital, the account, whom to call); bills, amounts and
clauses are read from the determination and its product version, which never change. So it always reads the same.
"""

import sys
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from safeweave import cases
from safeweave.adjudication import store as determinations
from safeweave.adjudication.store import MACHINE, Decided
from safeweave.cases.clocks import due_day
from safeweave.clock import shanghai_day
from safeweave.coverage.product import Product, parse_product
from safeweave.database import Database, Transaction
from safeweave.errors import NotFound
from safeweave.events import CaseReferred, DeterminationMade
from safeweave.facts import Claim, ClaimKind, Overlay
from safeweave.ids import CaseId, DeterminationId, LetterId, PersonId, derived
from safeweave.money import Fen
from safeweave.people import Person
from safeweave.telling import store
from safeweave.telling.letter import (
    BenefitShown,
    BillShown,
    Contacts,
    DeductibleShown,
    Letter,
    LetterFacts,
    LineShown,
    Named,
    PayeeShown,
    kind_of,
    letter,
)
from safeweave.telling.page import html, text
from safeweave.telling.store import LetterRow
from safeweave.words import Language, say

Format = Literal["text", "html", "pdf"]

# ---------------------------------------------------------------- writing


@lru_cache(maxsize=1000)
def letter_id(determination: DeterminationId) -> LetterId:
    """The id of the one letter about a determination."""
    return LetterId(derived("letter", determination, of=determination))


def write_letters(
    tx: Transaction,
    made: Sequence[DeterminationMade],
    persons: dict[PersonId, Person],
    contacts: Contacts,
    now: datetime,
) -> None:
    """Keep the letter of each determination, in the language of the person it is about."""
    found = determinations.by_id(tx, [event.determination for event in made])
    payees = cases.payees(tx, [(event.policy, event.person, event.payee) for event in made])
    files = cases.heads(tx, [event.case for event in made])
    today = shanghai_day(now)
    hospitals = cases.hospitals(tx, {file.hospital for file in files.values()}, today)
    numbers = cases.insured_policies(tx, {event.person for event in made}, now)
    number_of = {policy.policy: policy.number for each in numbers.values() for policy in each}
    rows = []
    for event in made:
        decided, person = found[event.determination], persons.get(event.person)
        payee = payees.get((event.policy, event.person, event.payee))
        hospital = hospitals.get(files[event.case].hospital) if event.case in files else None
        by_person = (
            decided.decision == "refuse" or decided.result.adjusted is not None or decided.result.restores is not None
        )
        kind = kind_of(event.decision, event.payable, event.adjustment)
        facts = LetterFacts(
            id=letter_id(event.determination),
            case=event.case,
            determination=event.determination,
            kind=kind,
            made_on=today,
            insured=person.name if person else "",
            policy=number_of.get(event.policy, ""),
            event=decided.claim.kind,
            hospital=Named(hospital.name, hospital.name_en) if hospital else None,
            payable=event.payable,
            payee=PayeeShown(event.payee, payee.name if payee else "", last4=payee.account[-4:] if payee else ""),  # type: ignore[arg-type]
            refer=referral_reasons(event.decision, decided.result.refer) if kind == "referred" else (),
            paid_before=None if event.adjustment is None else Fen(event.payable - event.adjustment),
            due_on=due_day("decision", today) if kind == "referred" else None,
            note=decided.note if by_person else "",
            decided_by="" if decided.decided_by == MACHINE else decided.decided_by,
            contacts=contacts,
        )
        rows.append(LetterRow(facts, person.language if person else "zh", now))
    store.add_letters(tx, rows)


def write_referral_letters(
    tx: Transaction,
    referred: Sequence[CaseReferred],
    persons: dict[PersonId, Person],
    contacts: Contacts,
    now: datetime,
) -> None:
    """Keep the letter of each case that was referred before anything could be determined."""
    files = cases.cases_by_id(tx, [event.case for event in referred])
    today = shanghai_day(now)
    hospitals = cases.hospitals(tx, {file.stay.hospital for file in files.values()}, today)
    rows = []
    for event in referred:
        file = files[event.case]
        person, stay = persons.get(file.person), file.stay
        hospital = hospitals.get(stay.hospital)
        began_at = stay.admitted_at or stay.visited_at
        kind: ClaimKind = "outpatient" if stay.kind == "outpatient" else "inpatient"
        facts = LetterFacts(
            id=LetterId(derived("letter", event.case, *event.reasons, today, of=event.case)),
            case=event.case,
            kind="referred",
            made_on=today,
            insured=person.name if person else "",
            policy="",
            event=kind,
            event_on=shanghai_day(began_at) if began_at else None,
            discharged_on=shanghai_day(stay.discharged_at) if stay.discharged_at else None,
            hospital=Named(hospital.name, hospital.name_en) if hospital else None,
            died=stay.died,
            refer=event.reasons,
            due_on=due_day("decision", today),
            contacts=contacts,
        )
        rows.append(LetterRow(facts, person.language if person else "zh", now))
    store.add_letters(tx, rows)


def referral_reasons(decision: str, refer: Sequence[str]) -> tuple[str, ...]:
    """Why a person looks: a refusal the rules propose is a reason of its own, for only a person refuses."""
    return (*(("refusal_needs_person",) if decision == "refuse-proposed" else ()), *refer)


# ---------------------------------------------------------------- showing


def letter_facts(tx: Transaction, kept: LetterFacts) -> LetterFacts:
    """The whole of a kept letter: with bills, amounts and clauses of its determination."""
    if kept.determination is None:
        return kept
    decided = determinations.by_id(tx, [kept.determination])[kept.determination]
    body = determinations.kept_product(tx, decided.product_digest)
    product = _product(decided.product_digest, body) if body is not None else None
    return composed(kept, decided, product)


def composed(kept: LetterFacts, decided: Decided, product: Product | None) -> LetterFacts:
    """The kept part of a letter put together with its determination. Pure.

    A refusal by a person of what the rules would have paid shows no calculation: the person's words are the reason.
    """
    claim, result = decided.claim, decided.result
    overruled = kept.kind == "refused" and result.payable != 0
    computed = kept.kind != "referred" and not overruled
    parts: dict[str, object] = {
        "event_on": _claim_day(claim),
        "discharged_on": claim.discharged_on,
        "died": claim.died_on is not None or kept.payee.kind in ("beneficiary", "estate"),
        "bills": _bills(claim),
        "product": Named(decided.product),
    }
    if product is not None:
        parts["product"] = Named(product.name, product.name_en)
        parts["benefits"] = tuple(BenefitShown(b.id, b.kind, Named(b.name, b.name_en)) for b in product.benefits)
    if computed:
        parts["results"], parts["lines"] = result.benefits, result.lines
        parts["duplicates"] = result.duplicates
        parts["overlays"] = _overlays(decided)
        if product is not None and kept.kind != "refused":
            parts["deductibles"] = _deductibles(decided, product)
    return msgspec.structs.replace(kept, **parts)


def letter_text(tx: Transaction, determination: DeterminationId, language: Language) -> str:
    """The letter about a determination as plain text; "" if it has none."""
    return "\n".join(
        text(letter(letter_facts(tx, row.facts), language)) for row in store.letters_of_determination(tx, determination)
    )


def letter_page(tx: Transaction, id_: LetterId, language: Language | None = None) -> str:
    """The letter as an HTML page, in the language it was written in unless another is asked for. Raises NotFound."""
    row = store.letter(tx, id_)
    if row is None:
        raise NotFound(f"there is no letter {id_}")
    return html(letter(letter_facts(tx, row.facts), language or row.language))


def letter_show(
    database: Database, case: CaseId, language: Language | None, format: Format = "text", path: Path | None = None
) -> int:
    """Print the letters of a case, or write them to `path` (more than one: numbered). Exit code 0.

    Without a path, text and HTML go to standard output and PDFs to files named by letter. Raises NotFound if the case
    has no letter.
    """
    with database.reading() as tx:
        rows = store.letters_of_case(tx, case)
        shown = [letter(letter_facts(tx, row.facts), language or row.language) for row in rows]
    if not shown:
        raise NotFound(f"case {case} has no letter; one is written when it is determined or referred")
    for number, each in enumerate(shown, 1):
        content = printed(each) if format == "pdf" else (html(each) if format == "html" else text(each)).encode()
        target = path
        if path is not None and len(shown) > 1:
            target = path.with_name(f"{path.stem}-{number}{path.suffix}")
        if target is None and format == "pdf":
            target = Path(f"{each.id}.pdf")
        if target is None:
            sys.stdout.write(content.decode() + ("" if number == len(shown) else "\n"))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        print(say("letters.written", each.language, letter=each.id, file=target))
    return 0


@lru_cache(maxsize=64)
def _product(digest: str, body: str) -> Product:
    return parse_product(body, f"{digest}.toml")


def _claim_day(claim: Claim) -> date | None:
    days = {
        "inpatient": claim.admitted_on, "outpatient": claim.visited_on, "diagnosis": claim.diagnosed_on,
        "death": claim.died_on,
    }  # fmt: skip
    return days[claim.kind]


def _bills(claim: Claim) -> tuple[BillShown, ...]:
    return tuple(
        BillShown(
            bill.key, tuple(LineShown(line.no, line.category, line.name) for line in bill.lines), bill.account or Fen(0)
        )
        for bill in claim.bills
    )


def _overlays(decided: Decided) -> tuple[Named, ...]:
    """What each relaxation that was applied lifted."""

    def name(overlay: Overlay, language: Language) -> str:
        lifts = say("letters.clauses", language).join(say(f"letters.lift.{lift}", language) for lift in overlay.lifts)
        return say("letters.overlay", language, lifts=lifts, id=overlay.id)

    applied = [overlay for overlay in decided.overlays if overlay.id in decided.result.overlays]
    return tuple(Named(name(overlay, "zh"), name(overlay, "en")) for overlay in applied)


def _deductibles(decided: Decided, product: Product) -> tuple[DeductibleShown, ...]:
    """The deductibles this claim met, each once: of a year all that the year has met, else what this claim has."""
    shown: dict[tuple[str, str], DeductibleShown] = {}
    for benefit in decided.result.benefits:
        terms = product.terms_on(date.fromisoformat(benefit.period)).get(benefit.benefit) if benefit.period else None
        block = terms.deductible if terms else None
        if block is None:
            continue
        if block.basis == "year":
            used = Fen(decided.result.usage.of("deductible", benefit.period, block.id))
            if used:
                shown[benefit.period, block.id] = DeductibleShown("year", block.amount, used)
            continue
        taken = sum(
            cut.amount
            for line in decided.result.lines
            if (line.benefit, line.period) == (benefit.benefit, benefit.period)
            for cut in line.cuts
            if cut.reason == "deductible"
        )
        before = shown.get(("", block.id), DeductibleShown("claim", block.amount, Fen(0)))
        if taken:
            shown["", block.id] = DeductibleShown("claim", block.amount, Fen(before.used + taken))
    return tuple(shown.values())


def printed(each: Letter) -> bytes:
    """The letter as PDF."""
    from safeweave.telling.pdf import pdf  # half a second of every start, for the few who print

    return pdf(each)
