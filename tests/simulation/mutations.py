"""Deliberate bugs, one at a time, in a copy of the source: each must be caught by the simulation or by named tests.

    python -m tests.simulation.mutations [--only WORD] [--seeds 60]

Prints a table: the bug, what caught it. Exit 1 if one was caught by nothing, or no longer fits the source.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutation(NamedTuple):
    """One bug: `before` stands once in `file` and becomes `after`."""

    bug: str
    file: str
    before: str
    after: str
    tests: str = "tests/flow tests/cases tests/payments"  # tried if the simulation finds nothing


MUTATIONS = (
    Mutation(
        "a message that comes again is taken again",
        "exchange/inbound.py",
        "if reading is not None and (sender, reading.control_id) in before:",
        "if False:",
    ),
    Mutation(
        "an error is swallowed: what cannot be handled is struck off",
        "worker.py",
        "                self._park(tasks[0], error)\n            return\n        for half",
        "                with self.database.transaction() as tx:\n                    outbox.done(tx, tasks)\n"
        "            return\n        for half",
    ),
    Mutation(
        "the transaction commits before what was queued is written",
        "database/sqlite.py",
        'transaction.flush()\n                if transaction.writes:\n                    connection.execute("commit")',
        'if transaction.writes:\n                    connection.execute("commit")\n                transaction.flush()',
    ),
    Mutation(
        "what was queued is never written",
        "database/sqlite.py",
        'transaction.flush()\n                if transaction.writes:\n                    connection.execute("commit")',
        'if transaction.writes:\n                    connection.execute("commit")',
    ),
    Mutation(
        "a call that was answered is not struck off",
        "worker.py",
        "            outbox.done(tx, tasks)\n            return len(tasks), self._told",
        "            return len(tasks), self._told",
    ),
    Mutation(
        "a call is struck off before it is made",
        "worker.py",
        "        try:\n            with self.database.reading() as tx:\n                requests = handler.load",
        "        with self.database.transaction() as tx:\n            outbox.done(tx, tasks)\n"
        "        try:\n            with self.database.reading() as tx:\n                requests = handler.load",
    ),
    Mutation(
        "work is struck off before it is done",
        "worker.py",
        "                if tasks:\n                    told = self._follow",
        "                if tasks:\n                    outbox.done(tx, tasks)\n"
        "                    tx._connection.execute(\"commit\")\n"
        "                    tx._connection.execute(\"begin immediate\")\n                    told = self._follow",
    ),
    Mutation(
        "of several calls the first is dropped",
        "worker.py",
        "[(handler.lane_of(event), event, name, now) for event in batch]",
        "[(handler.lane_of(event), event, name, now) for event in batch[len(batch) > 2 :]]",
    ),
    Mutation(
        "a full disk parks a sound event",
        "database/sqlite.py",
        "if code & 0xFF in _PASSING:",
        "if code & 0xFF in ():",
    ),
    Mutation(
        "what was told later is done before what an earlier event causes",
        "worker.py",
        "pending = caused + pending",
        "pending = pending + caused",
    ),
    Mutation(
        "a message is acknowledged although what it told is lost when its handlers fail",
        "worker.py",
        "                    tell(tx, events, now)\n            except Crossed",
        "                    tell(tx, events[1:], now)\n            except Crossed",
    ),
    Mutation(
        "each try has a key of its own at the bank",
        "payments/payout.py",
        "return Instruction(self.id, self.amount,",
        'return Instruction(f"{self.id}{self.asked or \'\'}", self.amount,',
    ),
    Mutation(
        "silence of the bank is taken for paid",
        "payments/desk.py",
        "        case _:\n            return PayoutUnconfirmed(errand.payout, errand.case, errand.bank)",
        "        case _:\n            amount = errand.instruction.amount\n"
        "            return PayoutConfirmed(errand.payout, errand.case, amount, now)",
    ),
    Mutation(
        "PayoutUnconfirmed is lost",
        "payments/desk.py",
        "            return _answers(part, bank.send(_instructions(part), now), now)",
        "            told = _answers(part, bank.send(_instructions(part), now), now)\n"
        "            return [event for event in told if not isinstance(event, PayoutUnconfirmed)]",
    ),
    Mutation(
        "after silence the bank is not asked but paid again",
        "payments/desk.py",
        'if outcome.kind == "unknown"]',
        'if outcome.kind in ("unknown", "pending", "booked")]',
    ),
    Mutation(
        "the place up to which notices were read lies one too far",
        "payments/store.py",
        "cursors[bank] = max(cursors.get(bank, 0), notice.seq)",
        "cursors[bank] = max(cursors.get(bank, 0), notice.seq + 1)",
    ),
    Mutation(
        "a case changed in this transaction is read from the store",
        "cases/store.py",
        "elif row[0] not in tx.memo:",
        "else:",
    ),
    Mutation(
        "what a person refused is replayed as paid",
        "adjudication/replay.py",
        'if not broken and decided.decision == "pay":',
        "if not broken:",
        "tests/adjudication/test_holds.py tests/adjudication/test_replay.py",
    ),
    Mutation(
        "money that came in is booked again when it is told again",
        "payments/handlers.py",
        "        if keys & seen:\n            became.append(None)\n            continue\n",
        "",
    ),
    Mutation(
        "a case is settled although a payment is open",
        "payments/handlers.py",
        "return [CaseSettled(case) for case in cases if case not in still_open]",
        "return [CaseSettled(case) for case in cases]",
    ),
    Mutation(
        "a payment that comes back is not booked",
        "payments/payout.py",
        '("paid", "returned"): ("returned", ("payout_returned",))',
        '("paid", "returned"): ("returned", ())',
    ),
    Mutation(
        "usage that is taken back is taken back twice",
        "coverage/store.py",
        "select policy, person, shard, ?, scope, kind, id, -sum(amount), undone",
        "select policy, person, shard, ?, scope, kind, id, -2 * sum(amount), undone",
    ),
    Mutation(
        "a determination that was replaced stays in force",
        "adjudication/store.py",
        "set in_force = 0, settled = null where id = ?\", [(d,) for d in superseded])",
        "set in_force = 0, settled = null where id = ?\", [(d,) for d in superseded[1:]])",
    ),
    Mutation(
        "a corrected bill pays all again, not the difference",
        "adjudication/handlers.py",
        "adjustment = Fen(payable - standing.in_force[replaced].payable)",
        "adjustment = Fen(payable)",
    ),
    Mutation(
        "of several policies only the first decides",
        "adjudication/handlers.py",
        "told += desk.decide_case(case.id, claim, covering, (*case.stay.doubts",
        "told += desk.decide_case(case.id, claim, covering[:1], (*case.stay.doubts",
    ),
    Mutation(
        "one case in eight is closed as if nothing were claimed",
        "adjudication/handlers.py",
        "        if not foreseen:\n            return [NothingClaimed(case)]",
        "        if not foreseen or case[-1] in \"0123\":\n            return [NothingClaimed(case)]",
    ),
    Mutation(
        "what was paid on a bill that is taken back stays paid, and nobody looks",
        "cases/handlers.py",
        "decided_anew = [CaseReady(case.id) for case in found if case.stage == \"reopened\" or case.id in paid]",
        "decided_anew: list[CaseReady] = []",
    ),
    Mutation(
        "events are taken in the order of arrival",
        "cases/stay.py",
        "    heard.sort(key=lambda pair: (pair[1].occurred_at, pair[1].told_at or pair[1].occurred_at, pair[0]))\n",
        "",
        "tests/laws/test_stay_laws.py",
    ),
    Mutation(
        "clocks are never looked at",
        "cases/clocks.py",
        "    return told\n\n\ndef _due",
        "    return []\n\n\ndef _due",
    ),
    Mutation(
        "a message no channel took is forgotten",
        "telling/handlers.py",
        "        return Later(MessageTold(message.id, message.channel), now + AGAIN_AFTER)",
        "        return None",
    ),
    Mutation(
        "the lock is skipped: whatever is asked for is held",
        "worker.py",
        "held = tx.hold({key for _, key in key_of})",
        "held = tx.hold({key for _, key in key_of}) | {key for _, key in key_of}",
    ),
    Mutation(
        "an event that is put off is forgotten",
        "worker.py",
        "[(INSIDE, event, \"\", now + PUT_OFF) for event in put_off]",
        "[(INSIDE, event, \"\", now + PUT_OFF) for event in put_off[:0]]",
    ),
    Mutation(
        "what nothing may run beside runs beside others",
        "worker.py",
        "if kind in self.alone:",
        "if kind in ():",
        "tests/flow",
    ),
    Mutation(
        "a silent bank is called as if its circuit were closed",
        "worker.py",
        "if circuit.open_until is not None and circuit.open_until > now:",
        "if False:",
    ),
    Mutation(
        "after a long silence everything is sent at once, not one call first",
        "worker.py",
        "1 if asks_first else self.batch",
        "self.batch",
    ),
    Mutation(
        "a circuit never closes again",
        "worker.py",
        "        if circuit.failures:\n",
        "        if False:\n",
    ),
    Mutation(
        "every worker makes the calls of every slot",
        "worker.py",
        "        return mine is not None",
        "        return True",
    ),
    Mutation(
        "one sender's flood keeps the others waiting",
        "outbox.py",
        "    share = max(1, limit // len(queues))",
        "    queues = queues[-1:]\n    share = max(1, limit // len(queues))",
    ),
    Mutation(
        "what is done is not taken off, when nobody else could have taken it",
        "outbox.py",
        "tx.run(\"delete from task where id in ?\", ([task.id for task in tasks],))",
        "tx.run(\"delete from task where id in ?\", ([task.id for task in tasks[:-1]],))",
    ),
    Mutation(
        "numbers are not unique",
        "database/sqlite.py",
        "self._reserved[table] = (first + count, end)",
        "self._reserved[table] = (first, end)",
    ),
    Mutation(
        "two things of one person have one id",
        "ids.py",
        "\"\\x1f\".join(map(str, parts)).encode()",
        "\"\\x1f\".join(map(str, parts[:1])).encode()",
    ),
    Mutation(
        "who waits for the names of a visit is not asked",
        "cases/papers.py",
        "        waiting += _set_aside_for(tx, awaited)\n",
        "",
        "tests/cases/test_papers_set_aside.py",
    ),
    Mutation(
        "that a paper was set aside meanwhile is not seen",
        "cases/store.py",
        "key=_name_of, every=True, joined=",
        "key=_name_of, joined=",
        "tests/cases/test_papers_set_aside.py",
    ),
    Mutation(
        "a clock that is started and stopped in one transaction runs on",
        "cases/clocks.py",
        "        if clock in begun:",
        "        if False:",
        "tests/cases/test_clocks.py",
    ),
    Mutation(
        "nobody is woken in this process",
        "worker.py",
        "            self._wake.get(lane, self._wake.get(self._crowd_of(lane), self._wake[INSIDE])).set()",
        "            pass",
        "tests/simulation/test_wakes.py",
    ),
    Mutation(
        "nobody is woken in other processes",
        "outbox.py",
        "        tx.memo.setdefault(_LANES, set()).add(lane)\n        tx.notify(lane)\n",
        "        tx.memo.setdefault(_LANES, set()).add(lane)\n",
        "tests/simulation/test_wakes.py",
    ),
    Mutation(
        "on PostgreSQL every lock is given to whoever asks",
        "database/postgresql.py",
        "        return self._held.intersection(keys)\n",
        "        return set(keys)\n",
        "tests/database/test_transactions.py tests/flow",
    ),
)  # fmt: skip


STALE = "**its place is gone: adapt it**"
LONGEST_SECONDS = 1800.0


def fits(mutation: Mutation, text: str) -> bool:
    """Whether the place of this bug is in its file's text once, and what stands there with it can be compiled."""
    if text.count(mutation.before) != 1:
        return False
    if mutation.file.endswith(".py"):
        try:
            compile(text.replace(mutation.before, mutation.after), mutation.file, "exec")
        except SyntaxError:
            return False
    return True


def caught_by(mutation: Mutation, sources: Path, seeds: int) -> str:
    """What caught it, in words; "" if nothing did, STALE if it no longer fits the source."""
    with tempfile.TemporaryDirectory() as folder:
        mutated = Path(folder) / "src"
        shutil.copytree(sources, mutated)
        path = mutated / "safeweave" / mutation.file
        text = path.read_text(encoding="utf-8")
        if not fits(mutation, text):
            return STALE
        path.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
        if found := _simulated(mutated, seeds):
            return found
        failed = _tested(mutated, mutation.tests)
        if failed and _tested(sources, failed):
            raise SystemExit(f"without any bug: {failed} fails")
        return f"`{failed}`" if failed else ""


def _simulated(sources: Path, seeds: int) -> str:
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "safeweave_simulator.simulation", "--seeds", str(seeds), "--first-failure"],
            env={**os.environ, "PYTHONPATH": str(sources)}, capture_output=True, text=True, cwd=sources,
            timeout=LONGEST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the simulation, which did not come to its end in {LONGEST_SECONDS:.0f} s"
    found = re.search(r"^seed (\d+): (.*)", ran.stderr, re.MULTILINE)
    if found:
        return f"seed {found[1]}: {found[2]}"
    if ran.returncode:  # the bug should break a law, not the program
        raise SystemExit(ran.stderr)
    return ""


def _tested(sources: Path, tests: str) -> str:
    """The first of these tests that fails, or ""."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()],
        env={**os.environ, "PYTHONPATH": str(sources)}, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    failed = re.search(r"^FAILED (\S+)", ran.stdout, re.MULTILINE)
    return failed[1] if failed else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every bug and print what caught it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only bugs whose words hold this")
    parser.add_argument("--seeds", type=int, default=60, help="how many seeds each bug may hide from")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"  # as they are now, whatever is edited meanwhile
        shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
        if broken := _simulated(sources, 8):
            raise SystemExit(f"without any bug: {broken}")
        escaped = 0
        print("| bug | caught by |\n|---|---|", flush=True)
        for mutation in MUTATIONS:
            if asked.only in mutation.bug:
                found = caught_by(mutation, sources, asked.seeds)
                escaped += found in ("", STALE)
                print(f"| {mutation.bug} | {found or '**nothing**'} |", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
