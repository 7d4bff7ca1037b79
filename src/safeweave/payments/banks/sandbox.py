"""The sandbox bank over HTTP: a bank of its own process, with an account, a statement and faults on demand."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from safeweave.asking import trusting
from safeweave.errors import InvariantBroken, Unavailable
from safeweave.facts import Fact
from safeweave.money import Fen
from safeweave.payments.bank import EntryKind, Instruction, Notice, NoticeKind, Outcome, OutcomeKind, StatementEntry

ASKED_AT_ONCE = 100

_T = TypeVar("_T")


class _Result(Fact, forbid_unknown_fields=False):
    key: str
    status: str
    reason: str = ""
    booked_at: datetime | None = None
    amount_fen: int = 0
    name: str = ""
    account: str = ""


class _Results(Fact, forbid_unknown_fields=False):
    results: list[_Result]


class _Line(Fact, forbid_unknown_fields=False):
    id: str
    kind: EntryKind
    key: str
    amount_fen: int
    booked_on: date
    reason: str = ""


class _Statement(Fact, forbid_unknown_fields=False):
    entries: list[_Line]


class _Told(Fact, forbid_unknown_fields=False):
    seq: int
    id: str
    kind: NoticeKind
    key: str
    amount_fen: int
    at: datetime
    reason: str = ""


class _Notices(Fact, forbid_unknown_fields=False):
    notices: list[_Told]


_OUTCOMES: dict[str, OutcomeKind] = {
    "booked": "booked", "accepted": "pending", "refused": "refused", "unknown": "unknown", "conflict": "conflict",
}  # fmt: skip


class SandboxBank:
    """Speaks to the sandbox bank at `url`; `seconds` is how long an answer may take before it counts as none."""

    def __init__(self, url: str, *, seconds: float = 10.0) -> None:
        self.url = url
        timeout = httpx.Timeout(seconds, connect=min(seconds, 3.0))
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False, verify=trusting())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """One outcome per instruction; `silent` for all if the order went out and no answer came.

        Raises Unavailable if it did not go out. Banks book by their own clock, so `now` is not sent.
        """
        payments = [
            {
                "key": i.key, "amount_fen": i.amount, "name": i.name, "account": i.account, "bank_code": i.bank_code,
                "purpose": i.purpose,
            }
            for i in instructions
        ]  # fmt: skip
        try:
            answer = self._http.post("/payments", json={"payments": payments})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as fault:
            raise Unavailable(f"the bank could not be reached: {type(fault).__name__}") from None
        except httpx.TransportError:
            return [Outcome("silent") for _ in instructions]
        if answer.status_code >= 500:
            return [Outcome("silent") for _ in instructions]
        if answer.status_code not in (200, 409):
            raise InvariantBroken(f"the bank cannot read our order of {len(payments)} payments ({answer.status_code})")
        return _outcomes(answer, instructions)

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """What became of each; `unknown` if the bank never saw its key."""
        outcomes: list[Outcome] = []
        for start in range(0, len(instructions), ASKED_AT_ONCE):
            part = instructions[start : start + ASKED_AT_ONCE]
            query = "&".join(f"key={quote(instruction.key, safe='')}" for instruction in part)
            outcomes += _outcomes(self._get(f"/payments?{query}"), part)
        return outcomes

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """The bank's own lines of these days, both included."""
        answer = self._get(f"/statement?first={first_day.isoformat()}&last={last_day.isoformat()}")
        return [
            StatementEntry(e.id, e.kind, e.key, Fen(e.amount_fen), e.booked_on, e.reason)
            for e in _read(answer, _Statement).entries
        ]

    def notices(self, after: int) -> list[Notice]:
        """What the bank told since `seq` = `after`."""
        return [
            Notice(n.seq, n.id, n.kind, n.key, Fen(n.amount_fen), n.at, n.reason)
            for n in _read(self._get(f"/notices?after={after}"), _Notices).notices
        ]

    def _get(self, path: str) -> httpx.Response:
        try:
            answer = self._http.get(path)
        except httpx.TransportError as fault:
            raise Unavailable(f"the bank did not answer: {type(fault).__name__}") from None
        if answer.status_code != 200:
            raise Unavailable(f"the bank answered {answer.status_code}")
        return answer


def _outcomes(answer: httpx.Response, instructions: Sequence[Instruction]) -> list[Outcome]:
    told = {result.key: result for result in _read(answer, _Results).results}
    return [_outcome(told.get(instruction.key), instruction) for instruction in instructions]


def _outcome(result: _Result | None, instruction: Instruction) -> Outcome:
    kind = _OUTCOMES.get(result.status) if result else None
    if result is None or kind is None:
        return Outcome("silent")  # an answer we do not understand settles nothing: we ask again
    held = (result.amount_fen, result.name, result.account)
    if result.account and held != (instruction.amount, instruction.name, instruction.account):
        return Outcome("conflict")
    return Outcome(kind, result.booked_at, result.reason)


def _read(answer: httpx.Response, into: type[_T]) -> _T:
    try:
        return msgspec.json.decode(answer.content, type=into)
    except msgspec.MsgspecError as fault:
        raise Unavailable(f"the bank's answer cannot be read: {fault}") from None
