"""All reason codes with their words, as a reference page: `python -m safeweave.telling.reasons` prints it."""

from safeweave.adjudication.reasons import CUT_REASONS, PERSON_REASONS, REFER_CODES
from safeweave.telling.letter import reason
from safeweave.words import LANGUAGES, Language, knows

# Why a case is referred before, or beside, a determination: what no rule of a product says.
SYSTEM_REASONS: tuple[str, ...] = (
    "person_unknown",
    "person_doubtful",
    "policy_unknown",
    "product_unknown",
    "bill_not_itemised",
    "settlement_missing",
    "bill_missing",
    "bill_for_cancelled_stay",
    "overlapping_stay",
    "refusal_needs_person",
    "engine_error",
    "consent_missing",
    "claimed_elsewhere",
    "bill_without_ticket",
    "bill_not_held",
    "person_asked",
    "objection",
)

_GROUPS = (
    ("Cuts: why an amount is not paid", "扣减理由", CUT_REASONS),
    ("What a person changed", "人工调整", PERSON_REASONS),
    ("Referrals by the rules: a person looks first", "规则转人工", REFER_CODES),
    ("Referrals by the system", "系统转人工", SYSTEM_REASONS),
)
_EXAMPLE_FEN = 12345
_EXAMPLE_CLAUSE = "1.4"


def reference() -> str:
    """The page in Markdown: every code with its label, what the insured reads and what an examiner does."""
    lines = [
        "# Reason codes / 理由代码",
        "",
        "Made from `words/reasons.toml` by `python -m safeweave.telling.reasons`; amounts and clauses are examples.",
    ]
    for title, title_zh, codes in _GROUPS:
        lines += ["", f"## {title} / {title_zh}"]
        for code in codes:
            lines += ["", f"### `{code}`", ""]
            for language in LANGUAGES:
                lines += _row(code, language)
    return "\n".join(lines) + "\n"


def _row(code: str, language: Language) -> list[str]:
    short = reason(code, "short", language)
    insured = reason(code, "insured", language, _EXAMPLE_FEN, _EXAMPLE_CLAUSE)
    if knows(f"reasons.{code}.insured_more"):
        insured += " " + reason(code, "insured", language, -_EXAMPLE_FEN, _EXAMPLE_CLAUSE)
    examiner = reason(code, "examiner", language)
    return [f"- **{short}** · {insured}", f"  - {examiner}"]


if __name__ == "__main__":
    print(reference(), end="")
