"""What others have paid already of the eligible amounts: 医保, other payers, earlier benefits (FORMAT.md §5.6.1)."""

from collections.abc import Sequence

from safeweave.adjudication.worksheet import Worksheet
from safeweave.coverage.product import BenefitTerms


def take_compensation(sheet: Worksheet, earlier: Sequence[int], terms: BenefitTerms) -> int:
    """Takes what was paid already; says what of it may offset the deductible.

    All other payers make one `other_paid` cut of a line. `earlier` is what earlier benefits of the claim paid of each
    line, if there were any. The clause is that of the ratio: it says what the policy shares in.
    """
    clause = terms.ratio.clause if terms.ratio is not None else ""
    offset_by = terms.deductible.offset_by if terms.deductible is not None else frozenset[str]()
    offsetting = 0
    taken = sheet.take("social_paid", clause, sheet.charges.social)
    if "social" in offset_by:
        offsetting += taken
    if sheet.charges.others:
        paid_by_all = [0] * len(sheet.left)
        for source, paid in sheet.charges.others.items():
            parts = [min(part, rest - others) for part, rest, others in zip(paid, sheet.left, paid_by_all, strict=True)]
            paid_by_all = [others + part for others, part in zip(paid_by_all, parts, strict=True)]
            if source in offset_by:
                offsetting += sum(parts)
        sheet.take("other_paid", clause, paid_by_all)
    if earlier:
        taken = sheet.take("earlier_benefit", clause, earlier)
        if "earlier_benefit" in offset_by:
            offsetting += taken
    return offsetting
