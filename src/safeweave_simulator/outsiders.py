"""The bank and the phones of a simulated node, reached by plain calls: real books, and everything that may go wrong."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random
from typing import Any, Self

from safeweave.errors import Unavailable
from safeweave.money import Fen
from safeweave.payments.bank import Instruction, Notice, Outcome, OutcomeKind, StatementEntry
from safeweave.telling.channels import Outcome as Delivery
from safeweave.telling.message import Message
from safeweave_simulator.bank_books import BankBooks, Payment
from safeweave_simulator.broken import Broken
from safeweave_simulator.mishaps import Mishaps

_OUTCOMES: dict[str, OutcomeKind] = {
    "booked": "booked", "accepted": "pending", "refused": "refused", "unknown": "unknown", "conflict": "conflict",
}  # fmt: skip


@dataclass
class Trouble:
    """What goes wrong at the bank and with the phones by chance, for every process alike."""

    out_of_reach: float = 0.0  # the bank, before anything is said
    silent: float = 0.0  # the bank, after it has booked
    shut_until: datetime = datetime(1, 1, 1, tzinfo=UTC)  # the bank says nothing at all
    phones_silent: float = 0.0
    phones_impossible: float = 0.0
    choking_on: set[str] = field(default_factory=set)  # messages to which a channel answers nonsense
    called_by: list[Mishaps] = field(default_factory=list)  # whoever is calling the bank now

    def end(self) -> None:
        """Everybody answers from now on."""
        self.out_of_reach = self.silent = self.phones_silent = self.phones_impossible = 0.0
        self.shut_until = datetime(1, 1, 1, tzinfo=UTC)


class DirectBank:
    """Speaks to the bank's books without a wire between.

    `is_unconfirmed` says whether the payer's own books say that no answer came for a key; `may_call`, how many
    instructions the payer's own record of the bank's silence allows to be sent at that time.
    """

    def __init__(
        self, books: BankBooks, trouble: Trouble, mishaps: Mishaps, random: Random, clock: Callable[[], datetime],
        is_unconfirmed: Callable[[str], bool], may_call: Callable[[datetime], int],
    ) -> None:  # fmt: skip
        self.books, self.trouble, self._mishaps, self._random, self._clock = books, trouble, mishaps, random, clock
        self._is_unconfirmed, self._may_call = is_unconfirmed, may_call
        self._never_seen: set[str] = set()
        self.said: Counter[str] = Counter()

    def reached_by(self, mishaps: Mishaps) -> Self:
        """The same bank, called by another process."""
        other = copy(self)
        other._mishaps = mishaps
        return other

    def _reach(self) -> None:
        self._mishaps.outside()
        if self._random.random() < self.trouble.out_of_reach or self._clock() < self.trouble.shut_until:
            self.said["out of reach"] += 1
            raise Unavailable("the bank could not be reached")

    @contextmanager
    def _call(self, instructions: Sequence[Instruction], now: datetime) -> Iterator[None]:
        """One call, at which the process may die or wait."""
        if len(instructions) > self._may_call(now):
            raise Broken("nobody calls who is silent, until one call has been answered", (len(instructions), now))
        if any(not other.dead for other in self.trouble.called_by):
            raise Broken("no two calls of one outsider are under way at once", [i.key for i in instructions])
        self.trouble.called_by.append(self._mishaps)
        try:
            self._reach()
            yield
            self._mishaps.outside()
        finally:
            self.trouble.called_by.remove(self._mishaps)

    def send(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """As the sandbox bank answers; what the payer holds for unconfirmed must have been asked after first."""
        with self._call(instructions, now):
            for instruction in instructions:
                if instruction.key not in self._never_seen and self._is_unconfirmed(instruction.key):
                    raise Broken("we ask before we pay again", instruction.key)
            payments = [Payment(i.key, i.amount, i.name, i.account, i.bank_code, i.purpose) for i in instructions]
            answer = self.books.order(payments, self._clock())
            self._never_seen.difference_update(payment.key for payment in payments)
        if answer.silent or self._random.random() < self.trouble.silent:
            self.said["silent"] += len(instructions)
            return [Outcome("silent") for _ in instructions]
        return self._outcomes(answer.results)

    def ask(self, instructions: Sequence[Instruction], now: datetime) -> list[Outcome]:
        """What became of each key."""
        with self._call(instructions, now):
            results = self.books.results([instruction.key for instruction in instructions], self._clock())
            self._never_seen.update(result["key"] for result in results if result["status"] == "unknown")
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

    def __init__(self, trouble: Trouble, mishaps: Mishaps, random: Random) -> None:
        self.trouble, self._mishaps, self._random = trouble, mishaps, random
        self.reached: dict[str, Message] = {}

    def reached_by(self, mishaps: Mishaps) -> Self:
        """The same phones, called by another process."""
        other = copy(self)
        other._mishaps = mishaps
        return other

    def deliver(self, messages: Sequence[Message]) -> list[Delivery]:
        """One outcome for each message, in order."""
        self._mishaps.outside()
        outcomes = []
        for message in messages:
            if message.id in self.trouble.choking_on:
                raise RuntimeError("an answer that makes no sense")
            if self._random.random() < self.trouble.phones_silent:
                outcomes.append(Delivery(message.id, again=True))
            elif message.id not in self.reached and self._random.random() < self.trouble.phones_impossible:
                outcomes.append(Delivery(message.id, fault="number not in use"))
            else:
                if self.reached.setdefault(message.id, message) != message:
                    raise Broken("a message never goes out with other content", message.id)
                outcomes.append(Delivery(message.id, receipt=f"R-{message.id}"))
            self._mishaps.outside()
        return outcomes
