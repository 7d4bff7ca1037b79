"""Charges posted during a stay, and what the sender's own explanations of benefit paid."""

from datetime import datetime

from safeweave.clock import shanghai_day
from safeweave.errors import Malformed
from safeweave.events import Charge, ChargesPosted, HospitalEvent
from safeweave.exchange.formats.fhir import resources as fhir
from safeweave.exchange.formats.fhir.encounters import Encounters
from safeweave.exchange.formats.fhir.found import Found, by_url, code_of, first_code, name_of, place
from safeweave.exchange.formats.fhir.profile import CHARGE_CATEGORY, NEVER_WAS
from safeweave.exchange.formats.reading import EobSeen
from safeweave.exchange.formats.values import category_of, instant_in
from safeweave.money import Fen


def charges_told(found: Found, encounters: Encounters) -> list[HospitalEvent]:
    """The charges of each visit, and those undone."""
    posted: dict[str, list[tuple[datetime, Charge]]] = {}
    for path, item in found.all(fhir.ChargeItem):
        if item.status not in ("billable", "billed", "entered-in-error"):
            found.note(f"ChargeItem {item.status[:20]} is no charge")
            continue
        amount = found.fen(item.priceOverride, path, "priceOverride")
        visit = encounters.visit_of(item.context)
        if amount is None or not visit:
            found.note("ChargeItem without priceOverride or context")
            continue
        period = item.occurrencePeriod or fhir.Period()
        when = item.occurrenceDateTime or period.start or item.enteredDate
        if not when:
            raise Malformed("no day; send when the service was given", field=place(path, "occurrenceDateTime"))
        given_at = instant_in(when, place(path, "occurrenceDateTime"))
        number = item.identifier[0].value if item.identifier else ""
        number = number or item.id
        if not number:
            raise Malformed("no identifier and no id; give every charge one", field=place(path, "identifier"))
        undone = item.status == "entered-in-error"
        charge = Charge(
            id=f"{number}/undone" if undone else number,
            on=shanghai_day(given_at),
            amount=Fen(-amount) if undone else amount,
            code=first_code(item.code),
            name=name_of(item.code),
            category=category_of(code_of(by_url(item.extension).get(CHARGE_CATEGORY)), "", found.sender, found.notes),
            reverses=number if undone else "",
        )
        posted.setdefault(visit, []).append((given_at, charge))
    return [
        ChargesPosted(
            occurred_at=found.sent_at or max(given_at for given_at, _ in charges),
            visit=visit,
            sender=found.sender.id,
            charges=tuple(charge for _, charge in charges),
        )
        for visit, charges in posted.items()
    ]


def eobs_seen(found: Found) -> tuple[EobSeen, ...]:
    """What the sender's own explanations of benefit paid for claims."""
    seen = []
    for path, eob in found.all(fhir.ExplanationOfBenefit):
        amount = eob.payment.amount if eob.payment else None
        paid = found.fen(amount, path, "payment.amount", rounded=found.sender.claims_from_encounters)
        if paid is None or eob.claim is None or eob.status in ("draft", *NEVER_WAS):
            found.note("ExplanationOfBenefit without a payment for a claim")
            continue
        claim = found.resolve(eob.claim, fhir.Claim)
        named = eob.claim.reference.rsplit("/", 1)[-1].removeprefix("urn:uuid:")
        seen.append(EobSeen(claim=claim.id if claim else named, paid=paid))
    return tuple(seen)
