"""However operations are put together into commits, the same comes of them as one by one."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.given_ledger import HOUR, NOON, Consortium
from ledger.ledgers import Time, log_signer
from safeweave.ledger.audit import LogFile, audit
from safeweave.ledger.embedded import EmbeddedLedger
from safeweave.ledger.ledger import Final, Refused
from safeweave.ledger.operation import Item, SignedOperation, fresh_id, operation_id
from safeweave.ledger.rules import Accepted, Moment, State, apply

MEMBERS = Consortium()
BEGINNING = MEMBERS.beginning()


def sayings(seed: int, count: int) -> list[SignedOperation]:
    """A muddle about a few bills, consents and streams, with repetitions and people who come and go."""
    chance = random.Random(seed)
    bills, consents, streams = ([fresh_id() for _ in range(2)] for _ in range(3))
    said: list[SignedOperation] = []
    for _ in range(count):
        by, hospital = (
            chance.choice([MEMBERS.insurer, MEMBERS.other_insurer]),
            chance.choice([MEMBERS.hospital, MEMBERS.other_hospital]),
        )
        item = Item(hospital.id, chance.choice(bills), chance.randint(1, 2))
        match chance.randrange(10):
            case 0 | 1 | 2:
                ticket = hospital.ticket(by, (item.nullifier, item.part))
                said.append(by.reserves(ticket, ttl=chance.choice([1, HOUR])))
            case 3:
                said.append(by.settles(item, split=chance.random() < 0.7))
            case 4:
                said.append(by.releases(item))
            case 5:
                said.append(hospital.grants(by, chance.choice(consents)))
            case 6:
                said.append(chance.choice([by, hospital]).revokes(chance.choice(consents)))
            case 7:
                said.append(hospital.anchors(chance.choice(streams), chance.randint(1, 2)))
            case 8:
                said.append(MEMBERS.suspends(by) if chance.random() < 0.5 else MEMBERS.admits(by))
            case 9:
                said.append(chance.choice(said) if said else hospital.voids(item.nullifier))
    return said


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_batches_end_in_what_one_by_one_ends_in(seed: int, count: int, widths: list[int]) -> None:
    said = BEGINNING + sayings(seed, count)
    state, height = State(), 0
    want: dict[str, object] = {}
    for signed in said:
        id = operation_id(signed.operation)
        if isinstance(want.get(id), tuple):
            continue
        done = apply(state, signed, Moment(height + 1, NOON))
        want[id] = done.results if isinstance(done, Accepted) else done.code
        height += isinstance(done, Accepted)

    with tempfile.TemporaryDirectory() as folder:
        ledger = EmbeddedLedger(Path(folder) / "log.sqlite", log_signer(), Time())
        start, turn = 0, 0
        while start < len(said):
            width = widths[turn % len(widths)]
            ledger.submit(said[start : start + width])
            start, turn = start + width, turn + 1
        for id, expected in want.items():
            found = ledger.outcome(id, 0)
            if isinstance(found, Final):
                assert found.receipt.results == expected
            else:
                assert isinstance(found, Refused)
                assert found.code == expected
        roots = ledger.roots()
        ledger.close()
        log = LogFile(Path(folder) / "log.sqlite")
        report = audit(log, roots)
        log.close()
    assert report.faults == ()
    assert report.size == height
