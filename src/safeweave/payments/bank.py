"""What we ask of a bank. `banks/` has one file for each that keeps this promise.

A bank knows a payment by its key (the EndToEndId of ISO 20022): the same key with the same content is one payment
however often it is sent. After silence we ask by key before we send again, and then send exactly the same.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, Protocol

from safeweave.facts import Fact
from safeweave.money import Fen

OutcomeKind = Literal["booked", "pending", "refused", "unknown", "silent", "conflict"]
EntryKind = Literal["payment", "return", "receipt", "other"]
NoticeKind = Literal["booked", "refused", "returned"]


class Instruction(Fact):
    """One payment as it leaves, complete; the bank code is the payee bank's 12-digit CNAPS number, "" if not known."""

    key: str
    amount: Fen
    name: str
    account: str
    bank_code: str
    purpose: str


class Outcome(Fact):
    """A bank's answer for one key.

    `booked`: the money has left, at `at`. `pending`: the bank has it and has not booked it yet. `refused`: it will
    never be paid under this key, for the ISO 20022 `reason`. `unknown`: asked, the bank has never seen the key.
    `silent`: no answer came, so it may or may not be paid. `conflict`: the bank holds the key with other content, which
    settles nothing: it stays open until a person has seen why.
    """

    kind: OutcomeKind
    at: datetime | None = None
    reason: str = ""


class StatementEntry(Fact):
    """One line of our account at the bank; money that leaves is negative. `key` is "" if the line names none."""

    id: str
    kind: EntryKind
    key: str
    amount: Fen
    booked_on: date
    reason: str = ""


class Notice(Fact):
    """Something the bank tells unasked. `id` is the bank's own, the same if told twice; `seq` only grows."""

    seq: int
    id: str
    kind: NoticeKind
    key: str
    amount: Fen
    at: datetime
    reason: str = ""


class Bank(Protocol):
    """A bank or what stands for one. Any call may raise `errors.Unavailable`: nothing came of it, call again."""

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """One outcome per instruction, in order."""
        ...

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """What became of each, looked up by its key and compared with what the bank holds, in order."""
        ...

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """The lines booked on these Shanghai days, both included, in the bank's order."""
        ...

    def notices(self, after: int) -> list[Notice]:
        """What was told after `seq` = `after`, in order."""
        ...


KEY_LENGTH = 35  # Max35Text
NAME_LENGTH = 140  # Max140Text
PURPOSE_LENGTH = 60  # the remark of a CNAPS small-value payment (BEPS)

_ACCOUNT = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{3,33}")  # Max34Text; company accounts may carry a dash
_BANK_CODE = re.compile(r"[0-9]{12}")
# What XML 1.0 cannot carry, and line breaks, which a name never has. Rare characters are kept as they are.
_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text_is_sendable(text: str, longest: int) -> bool:
    """Whether a bank can carry this text unchanged: not blank, not too long, no control characters."""
    return 0 < len(text) <= longest and bool(text.strip()) and not _UNSENDABLE.search(text)


def account_fault(name: str, account: str, bank_code: str) -> str:
    """Why nothing can be sent to this account, as a code of `words/payments.toml` [reason]; "" if something can.

    A card number that fails the Luhn check is no fault: passbooks and company accounts fail it, and the bank compares
    name and account itself (账户实名校验).
    """
    if not account:
        return "account_missing"
    if not _ACCOUNT.fullmatch(account):
        return "account_malformed"
    if bank_code and not _BANK_CODE.fullmatch(bank_code):
        return "bank_code_malformed"
    if not text_is_sendable(name, NAME_LENGTH):
        return "name_malformed"
    return ""


def account_shown(account: str) -> str:
    """The account as people may see it: the first six and last four characters, the rest hidden."""
    return f"{account[:6]}{'*' * (len(account) - 10)}{account[-4:]}" if len(account) > 10 else "*" * len(account)
