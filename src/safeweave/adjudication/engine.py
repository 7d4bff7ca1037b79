"""Which engine decides: a digest of the source of everything a determination depends on, kept with each for replay."""

import hashlib
from importlib.resources import files

# Every module that takes part in a decision; adding one here is part of adding a rule.
DECIDING_MODULES: dict[str, tuple[str, ...]] = {
    "safeweave": ("facts.py", "money.py"),
    "safeweave.coverage": ("form.py", "product.py", "usage.py"),
    "safeweave.adjudication": (
        "adjusting.py",
        "allowance.py",
        "bills.py",
        "checks.py",
        "compensation.py",
        "copayment.py",
        "deductible.py",
        "determination.py",
        "eligible.py",
        "history.py",
        "hospital.py",
        "limits.py",
        "lump_sum.py",
        "occurrence.py",
        "overlays.py",
        "plan.py",
        "policy_year.py",
        "reasons.py",
        "referral.py",
        "restoring.py",
        "steps.py",
        "tally.py",
        "whole_benefit.py",
        "worksheet.py",
    ),
}


def _version() -> str:
    digest = hashlib.sha256()
    for package, modules in DECIDING_MODULES.items():
        for module in modules:
            content = files(package).joinpath(module).read_bytes()
            digest.update(f"{package}/{module} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


ENGINE_VERSION = _version()
