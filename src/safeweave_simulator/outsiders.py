"""The bank and the phones of a simulated node, reached by plain calls: real books, and everything that may go wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from random import Random
from typing import Any

from safeweave.errors import Unavailable
from safeweave.money import Fen
from safeweave.payments.bank import Instruction, Notice, Outcome, OutcomeKind, StatementEntry
from safeweave.telling.channels import Outcome as Delivery
from safeweave.telling.message import Message
from safeweave_simulator.bank_books import BankBooks, Payment
from safeweave_simulator.mishaps import Mishaps

_OUTCOMES: dict[str, OutcomeKind] = {
    "booked": "booked", "accepted": "pending", "refused": "refused", "unknown": "unknown", "conflict": "conflict",
}  # fmt: skip


class Broken(BaseException):
    """A law does not hold: which one, and where. No handler may take it for a failure of its own."""

    def __init__(self, law: str, detail: object) -> None:
        super().__init__(f"{law}: {detail}")
        self.law, self.detail = law, detail


class DirectBank:
    """Speaks to the bank's books without a wire between; out of reach, and silent after booking, by chance."""

    def __init__(
        self, books: BankBooks, mishaps: Mishaps, random: Random, clock: Callable[[], datetime],
        is_unconfirmed: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self.books, self._mishaps, self._random, self._clock = books, mishaps, random, clock
        self._is_unconfirmed = is_unconfirmed  # whether the payer's own books say that no answer came for this key
        self.out_of_reach = 0.0
        self.silent = 0.0
        self._never_seen: set[str] = set()
        self.said: Counter[str] = Counter()

    def _reach(self) -> None:
        self._mishaps.outside()
        if self._random.random() < self.out_of_reach:
            self.said["out of reach"] += 1
            raise Unavailable("the bank could not be reached")

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """As the sandbox bank answers; what the payer holds for unconfirmed must have been asked after first."""
        self._reach()
        for instruction in instructions:
            if instruction.key not in self._never_seen and self._is_unconfirmed(instruction.key):
                raise Broken("we ask before we pay again", instruction.key)
        payments = [Payment(i.key, i.amount, i.name, i.account, i.bank_code, i.purpose) for i in instructions]
        answer = self.books.order(payments, self._clock())
        self._never_seen.difference_update(payment.key for payment in payments)
        self._mishaps.outside()
        if answer.silent or self._random.random() < self.silent:
            self.said["silent"] += len(instructions)
            return [Outcome("silent") for _ in instructions]
        return self._outcomes(answer.results)

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """What became of each key."""
        self._reach()
        results = self.books.results([instruction.key for instruction in instructions], self._clock())
        self._never_seen.update(result["key"] for result in results if result["status"] == "unknown")
        self._mishaps.outside()
        return self._outcomes(results)

    def statement(self, first_day: date, last_day: date) -> list[StatementEntry]:
        """The bank's own lines."""
        _, lines = self.books.statement(first_day, last_day, self._clock())
        return [
            StatementEntry(e["id"], e["kind"], e["key"], Fen(e["amount_fen"]), date.fromisoformat(e["booked_on"]),
                           e["reason"])
            for e in lines
        ]  # fmt: skip

    def notices(self, after: int) -> list[Notice]:
        """What the bank told since `seq` = `after`."""
        self._reach()
        return [
            Notice(n["seq"], n["id"], n["kind"], n["key"], Fen(n["amount_fen"]), datetime.fromisoformat(n["at"]),
                   n["reason"])
            for n in self.books.notices(after, self._clock())
        ]  # fmt: skip

    def _outcomes(self, results: Sequence[dict[str, Any]]) -> list[Outcome]:
        outcomes = []
        for result in results:
            kind = _OUTCOMES[result["status"]]
            if kind == "conflict":
                raise Broken("a key never goes to the bank with other content", result["key"])
            at = datetime.fromisoformat(result["booked_at"]) if result["booked_at"] else None
            self.said[kind] += 1
            outcomes.append(Outcome(kind, at, result["reason"]))
        return outcomes


class Phones:
    """Every message that reached somebody, by its id; a repetition under the same id is not shown again."""

    def __init__(self, mishaps: Mishaps, random: Random) -> None:
        self._mishaps, self._random = mishaps, random
        self.silent = 0.0
        self.impossible = 0.0
        self.choking_on: Callable[[Message], bool] = lambda message: False
        self.reached: dict[str, Message] = {}

    def deliver(self, messages: Sequence[Message]) -> list[Delivery]:
        """One outcome for each message, in order."""
        self._mishaps.outside()
        outcomes = []
        for message in messages:
            if self.choking_on(message):
                raise RuntimeError("an answer that makes no sense")
            if self._random.random() < self.silent:
                outcomes.append(Delivery(message.id, again=True))
            elif message.id not in self.reached and self._random.random() < self.impossible:
                outcomes.append(Delivery(message.id, fault="number not in use"))
            else:
                if self.reached.setdefault(message.id, message) != message:
                    raise Broken("a message never goes out with other content", message.id)
                outcomes.append(Delivery(message.id, receipt=f"R-{message.id}"))
            self._mishaps.outside()
        return outcomes
