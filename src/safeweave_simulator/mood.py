"""How one seed's world behaves: drawn once, so that some worlds are calm and others are not."""

from datetime import timedelta
from random import Random

from safeweave_simulator.bank_books import Fault
from safeweave_simulator.outsiders import Trouble

# How many messages are taken at once, and for how many hours they wait for that. Alone each is most work for a machine.
_TOGETHER = ((1, 0), (5, 2), (5, 2), (10, 12), (10, 12), (20, 12), (20, 24), (60, 24), (60, 24), (60, 24))


class Mood:
    """Chances of one world. Each kind of mishap comes in most worlds, and all of them in some."""

    def __init__(self, random: Random) -> None:
        hard = random.choice((0.3, 1.0, 2.0))
        self.nodes = random.choice((1, 2, 2, 3))
        self.is_beside = random.random() < 0.5  # whether locks are needed, as on an engine where many write at once
        self.refuses = random.choice((0.0, 0.1, 0.4)) if self.is_beside else 0.0
        self.pauses = 0.12 if self.nodes > 1 else 0.0
        self.lost, self.late, self.garbled = 0.02 * hard, 0.03 * hard, 0.02 * hard
        self.duplicate = 0.04 * hard
        self.together, hours = random.choice(_TOGETHER)  # messages taken at once
        self.waits = timedelta(hours=hours)  # until they are sent together
        self.through_outbox = random.choice((0.0, 0.2, 0.2, 1.0))
        self.batch = random.choice((2, 10, 10, 50, 500, 500))
        self.clock_jumps = random.choice((0.0, 0.02, 0.05))
        self.poisons = random.choice((None, None, "event", "product", "missing", "channel"))
        self.desk_is_cleared = random.random() < 0.5
        self.bank_hard = random.choice((0.3, 1.0, 3.0))
        chances = {
            "deliver": 100.0, "work": 40, "call": random.choice((5, 40)), "notices": random.choice((1, 8)), "pause": 8,
            "away": 0.4 * hard, "person": random.choice((1.0, 6.0)), "doom": 4 * hard, "fill_disk": 2 * hard,
            "restart": 0.3, "poison": 1.0, "shut": random.choice((0.0, 0.4)), "resend": random.choice((0.0, 0.4)),
            "flood": random.choice((0.0, 0.4)),
        }  # fmt: skip
        self.names, self.weights = list(chances), list(chances.values())

    def calm(self) -> None:
        """Messages come as they are sent, and nobody else holds anything."""
        self.lost = self.late = self.garbled = self.duplicate = self.refuses = self.pauses = 0.0

    def trouble(self, trouble: Trouble) -> None:
        """From now on the bank and the phones misbehave as often as this world has it."""
        trouble.out_of_reach, trouble.silent = 0.05 * self.bank_hard, 0.03 * self.bank_hard
        trouble.phones_silent, trouble.phones_impossible = 0.03 * self.bank_hard, 0.01 * self.bank_hard

    def faults(self, seed: int, random: Random) -> list[Fault]:
        """What the bank's books are asked to do wrong."""
        shares = {
            "silent": 200, "silent_before": 200, "refused": 100, "booked_later": 400, "returned_later": 200,
            "duplicate_notice": 500,
        }  # fmt: skip
        return [
            Fault(kind, int(share * self.bank_hard), seed, None, 1, "", 60_000 * random.choice((1, 90, 3000)))  # type: ignore[arg-type]
            for kind, share in shares.items()
        ]
