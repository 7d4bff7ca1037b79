"""A product in plain words: what each benefit pays, from which amount on and up to which. Pure."""

from datetime import date

from safeweave.coverage.product import BenefitTerms, Product
from safeweave.coverage.usage import LIFETIME, Usage
from safeweave.facts import Fact
from safeweave.web.showing import amount_shown
from safeweave.words import Language, say


class Promise(Fact, frozen=True):
    """One sentence of what is promised, with its clause, and what the year has used of it, if it is used up."""

    text: str
    clause: str
    used: str = ""


class BenefitInWords(Fact, frozen=True):
    """One benefit."""

    name: str
    promises: tuple[Promise, ...]


def in_words(product: Product, day: date, usage: Usage, language: Language) -> list[BenefitInWords]:
    """The benefits as they hold in the policy year that begins on this day, with what was used."""
    terms = product.terms_on(day)
    return [
        BenefitInWords(
            (benefit.name_en if language == "en" else "") or benefit.name,
            tuple(_promises(terms[benefit.id], benefit.id, day, usage, language)),
        )
        for benefit in product.benefits
    ]


def _promises(terms: BenefitTerms, benefit: str, day: date, usage: Usage, language: Language) -> list[Promise]:
    def words(key: str, **values: object) -> str:
        return say(f"portal.promise.{key}", language, **values)

    def yuan(fen: int) -> str:
        return amount_shown(fen, language)

    year = day.isoformat()
    found: list[Promise] = []
    if terms.waiting is not None and terms.waiting.general_days:
        found.append(Promise(words("waiting", days=terms.waiting.general_days), terms.waiting.clause))
    if terms.deductible is not None:
        block = terms.deductible
        used = usage.of("deductible", year, block.id) if block.basis == "year" else 0
        told = words("used", amount=yuan(used)) if used else ""
        found.append(Promise(words(f"deductible.{block.basis}", amount=yuan(block.amount)), block.clause, told))
    if terms.ratio is not None:
        rates = sorted({row.rate for row in terms.ratio.rows})
        low, high = _percent(rates[0]), _percent(rates[-1])
        of = "" if terms.deductible is not None else "whole."
        key = f"{of}ratio" if low == high else f"{of}ratios"
        found.append(Promise(words(key, low=low, high=high), terms.ratio.clause))
    if terms.allowance is not None:
        allowance = terms.allowance
        found.append(Promise(words("daily", amount=yuan(allowance.daily)), allowance.clause))
        if allowance.max_days_year:
            used = usage.of("days", year, benefit)
            told = words("used_days", days=used) if used else ""
            found.append(Promise(words("days_year", days=allowance.max_days_year), allowance.clause, told))
    if terms.lump_sum is not None:
        rates = sorted({row.rate for row in terms.lump_sum.rows})
        low, high = (yuan(terms.lump_sum.amount * rate // 10_000) for rate in (rates[0], rates[-1]))
        found.append(Promise(words("sum" if low == high else "sums", low=low, high=high), terms.lump_sum.clause))
    for limit in terms.limits:
        scope = LIFETIME if limit.basis == "lifetime" else year
        used = 0 if limit.basis == "claim" else usage.of("limit", scope, limit.id)
        told = words("used", amount=yuan(used)) if used else ""
        key = f"limit.{limit.basis}" if not limit.categories else "limit.part"
        found.append(Promise(words(key, amount=yuan(limit.amount)), limit.clause, told))
    return found


def _percent(rate: int) -> str:
    whole, rest = divmod(rate, 100)
    return f"{whole}%" if not rest else f"{whole}.{rest:02d}".rstrip("0") + "%"
