"""Every yuan that leaves or comes back: payouts, recoveries, the journal and the banks.

It moves what a determination says and decides nothing about it; who is paid into which account is coverage's to know.
Read payout.py first: what may happen to a payout, as one table.
"""

from safeweave.payments.bank import Bank
from safeweave.payments.desk import BankDesk
from safeweave.payments.handlers import (
    Receipt,
    confirm,
    note_unconfirmed,
    order_payouts,
    pay_again,
    receive_recoveries,
    refuse,
    return_payment,
    settle_confirmed,
)
from safeweave.payments.journal import trial_balance, trial_balance_fen
from safeweave.payments.payout import Payout, Recovery
from safeweave.payments.reconcile import reconcile_command
from safeweave.payments.store import entries_of, open_recoveries, payouts_of, recoveries_of, totals, unsettled

__all__ = [
    "Bank", "BankDesk", "Payout", "Receipt", "Recovery", "confirm", "entries_of", "note_unconfirmed", "open_recoveries",
    "order_payouts", "pay_again", "payouts_of", "receive_recoveries", "reconcile_command", "recoveries_of", "refuse",
    "return_payment", "settle_confirmed", "totals", "trial_balance", "trial_balance_fen", "unsettled",
]  # fmt: skip
