"""The file of one illness, from first word to closed: what the hospital told, folded, and the stage it is in.

Leaves deciding to `adjudication` and paying to `payments`. Read `lifecycle.py` first, then `stay.py`.
"""

from safeweave.cases.case import Case, CaseHead
from safeweave.cases.clocks import ring as ring_clocks
from safeweave.cases.handlers import (
    Heard,
    close_cases,
    close_unclaimed,
    confirm_cases,
    end_chosen,
    hear,
    insured_policies,
    link_records,
    listen,
    note_consents,
    note_determinations,
    note_payouts,
    note_refusals_told,
    note_returns,
    payees,
    refer_case,
    refer_without_papers,
    remember,
    whose,
)
from safeweave.cases.store import cases_by_id, heads, hospitals, visits

__all__ = [
    "Case",
    "CaseHead",
    "Heard",
    "cases_by_id",
    "close_cases",
    "close_unclaimed",
    "confirm_cases",
    "end_chosen",
    "heads",
    "hear",
    "hospitals",
    "insured_policies",
    "link_records",
    "listen",
    "note_consents",
    "note_determinations",
    "note_payouts",
    "note_refusals_told",
    "note_returns",
    "payees",
    "refer_case",
    "refer_without_papers",
    "remember",
    "ring_clocks",
    "visits",
    "whose",
]
