"""Figures kept as cases move: what a case counts for is taken out and put in again whenever it has changed.

So a figure is always the sum over all cases of what each counts for now, and counting a case twice changes nothing.
`docs/guides/operations.md` says of each figure how it is counted.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from safeweave.adjudication.kept import result_from
from safeweave.adjudication.store import MACHINE, texts_of
from safeweave.cases.lifecycle import BEFORE_DECISION
from safeweave.clock import shanghai_day
from safeweave.database import Database, Row, Transaction, at_of, at_text
from safeweave.overview import took
from safeweave.payments.journal import trial_balance_fen
from safeweave.web import live
from safeweave.web.following import Followed

STEPS, MESSAGES, BOOKS, TIMES = "steps", "messages", "books", "times"
DAYS_TIMES = ("instructed_p50", "instructed_p95")  # of a day: in `fen` the bucket in which that share of it ends
CASES_AT_ONCE = 400
MESSAGES_AT_ONCE = 5000
STEPS_AGAIN = ("steps_sure", "steps_again", "steps_mark")  # see `Followed`
LATE_STEPS = 200  # numbers: on a shared store a transaction may commit after others that took a few more
LATE = timedelta(seconds=5)  # the same for messages, which are counted once only
TIME_UNKNOWN = timedelta(days=1)  # so long a case is looked at again for when its instruction was committed
PRECISION = 1.05  # one bucket of times is so much longer than the one before
BOOKS_EVERY = timedelta(minutes=5)  # the whole journal is added up so often
NOW = ""  # the day of figures that say how things stand

Counted = tuple[str, str, str, int, int]  # figure, day, key, count, fen

_counted = msgspec.json.Decoder(tuple[Counted, ...])


def bucket(milliseconds: float) -> str:
    """The bucket a time falls into; each reaches 5 % further than the one before it."""
    return str(math.ceil(math.log(max(milliseconds, 1.0), PRECISION)))


def reaches(bucket: int) -> float:
    """The longest time in a bucket, in milliseconds."""
    return float(PRECISION**bucket)


def keep_up(database: Database, now: datetime, most: int = 20) -> int:
    """Count what has changed since the last time, at most so many groups; how many cases and messages were counted.

    Of several processes over one store one counts, the others leave it to that one.
    """
    counted = 0
    _books(database, now)
    for _ in range(most):
        with database.transaction(beside=True) as tx:
            if not tx.hold(["tally"]):
                return counted
            _time_all(tx)
            late = LATE_STEPS if database.shared else 0
            found = _messages(tx, now - (LATE if database.shared else timedelta(0))) + _cases(tx, now, late)
            if found:
                live.notify(tx, "figures", "", now)
        counted += found
        if not found:
            break
    return counted


def behind(tx: Transaction) -> int:
    """How many steps of cases are not counted yet."""
    (newest,) = tx.rows("select coalesce(max(id), 0) from case_step")[0]
    return max(int(newest) - place(tx, STEPS), 0)


def place(tx: Transaction, what: str) -> int:
    """The number up to which these are counted."""
    row = tx.row("select place from tally_place where what = ?", (what,))
    return int(row[0]) if row else 0


def _note_place(tx: Transaction, what: str, number: int) -> None:
    tx.run(_NOTE_PLACE, (what, number))


_NOTE_PLACE = (
    "insert into tally_place (what, place) values (?, ?) on conflict (what) do update set place = excluded.place"
)


def add(tx: Transaction, changes: Counter[tuple[str, str, str, str]]) -> None:
    """Add to the tally: by (figure, day, key, "count" or "fen")."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for (figure, day, key, what), amount in changes.items():
        sums.setdefault((figure, day, key), [0, 0])[what == "fen"] += amount
    tx.run_many(
        "insert into tally (figure, day, key, count, fen) values (?, ?, ?, ?, ?) on conflict (figure, day, key)"
        " do update set count = tally.count + excluded.count, fen = tally.fen + excluded.fen",
        [(*of, *amounts) for of, amounts in sorted(sums.items()) if any(amounts)],
    )
    _time(tx, {day for figure, day, _ in sums if figure == "instructed"})


# A day may have hundreds of buckets, and a page shows ninety days: the buckets of a day are gone through when they have
# changed, and not whenever somebody looks.
_TIMED = """
select day, min(case when 2 * upto >= total then step end), min(case when 100 * upto >= 95 * total then step end)
  from (select day, cast(key as integer) as step,
               sum(count) over (partition by day order by cast(key as integer)) as upto,
               sum(count) over (partition by day) as total
          from tally where figure = 'instructed' and day in ? and count > 0) as counted
 group by day
"""


def _time(tx: Transaction, days: Collection[str]) -> None:
    """Find anew what the buckets of these days say."""
    if days:
        tx.run("delete from tally where figure in ? and day in ?", (DAYS_TIMES, sorted(days)))
        tx.run_many(
            "insert into tally (figure, day, key, count, fen) values (?, ?, '', 1, ?)",
            [
                (figure, day, step)
                for day, *steps in tx.rows(_TIMED, (sorted(days),))
                for figure, step in zip(DAYS_TIMES, steps, strict=True)
            ],
        )


def _time_all(tx: Transaction) -> None:
    """Find it for every day, once, in a store that was counted before it was kept."""
    if not place(tx, TIMES):
        _time(tx, [day for (day,) in tx.rows("select distinct day from tally where figure = 'instructed'")])
        _note_place(tx, TIMES, 1)


def _books(database: Database, now: datetime) -> None:
    """Add up the journal if that was not done for a while: nobody who writes waits until it is read."""
    seconds = int(now.timestamp())
    with database.reading() as tx:
        if place(tx, BOOKS) + BOOKS_EVERY.total_seconds() > seconds:
            return
        balance = int(trial_balance_fen(tx))
    with database.transaction(beside=True) as tx:
        if tx.hold(["tally"]):
            tx.run(
                "insert into tally (figure, day, key, count, fen) values (?, ?, '', 1, ?)"
                " on conflict (figure, day, key) do update set fen = excluded.fen",
                (BOOKS, NOW, balance),
            )
            _note_place(tx, BOOKS, seconds)


# ---------------------------------------------------------------- messages


def _messages(tx: Transaction, until: datetime) -> int:
    begun = place(tx, MESSAGES)
    rows = tx.rows(
        "select id, sender, received_at, status from inbound_message where id > ? order by id limit ?",
        (begun, MESSAGES_AT_ONCE),
    )
    changes: Counter[tuple[str, str, str, str]] = Counter()
    heard: dict[str, tuple[str, str]] = {}
    counted = 0
    for id, sender, received, status in rows:
        at = at_of(received)
        if at > until:
            break
        begun, counted = id, counted + 1
        day = shanghai_day(at).isoformat()
        changes["messages", day, sender, "count"] += 1
        changes["messages_all", day, "", "count"] += 1
        if status in ("refused", "conflict"):
            changes["unread_all", day, "", "count"] += 1
        first, last = heard.get(sender, (at_text(at), at_text(at)))
        heard[sender] = min(first, at_text(at)), max(last, at_text(at))
    if counted:
        add(tx, changes)
        tx.run_many(
            "insert into tally_sender (sender, first_at, last_at) values (?, ?, ?) on conflict (sender) do update set"
            " last_at = case when excluded.last_at > tally_sender.last_at then excluded.last_at"
            " else tally_sender.last_at end",
            [(sender, *times) for sender, times in sorted(heard.items())],
        )
        _note_place(tx, MESSAGES, begun)
    return counted


# ---------------------------------------------------------------- cases


# The few cases that are looked at again come first, and then their payouts: `cross join` keeps that order on SQLite.
AGAIN = """
select t.case_id from tally_case t cross join payout p cross join payout_timing i
 where t.look_until is not null and t.look_until > ? and p.case_id = t.case_id and p.attempt = 1
   and i.payout = p.id and i.shard = p.shard
 limit ?
"""


def _cases(tx: Transaction, now: datetime, late: int) -> int:
    noted = _followed(tx)
    before = noted.asked(tx)
    missed, sure = [], before.sure
    if before.is_due_again:
        missed = tx.rows(f"{_BETWEEN} order by id limit ?", (before.sure, before.again, CASES_AT_ONCE))
        sure = missed[-1][0] if len(missed) == CASES_AT_ONCE else before.again
    steps = tx.rows("select id, case_id from case_step where id > ? order by id limit ?", (before.place, CASES_AT_ONCE))
    again = [case for (case,) in tx.rows(AGAIN, (at_text(now), CASES_AT_ONCE))]
    earlier = tx.rows(_BETWEEN, (before.place - late, before.place)) if late and (steps or again) else []
    followed = before.after(tx, steps[-1][0] if steps else before.place, sure)
    if followed != noted:
        _note_followed(tx, followed)
    cases = sorted({case for _, case in [*missed, *steps, *earlier]} | set(again))
    if cases:
        recount(tx, cases, now)
    return len(cases)


_BETWEEN = "select id, case_id from case_step where id > ? and id <= ?"


def _followed(tx: Transaction) -> Followed:
    found: dict[str, int] = dict(
        tx.rows("select what, place from tally_place where what in ?", ([STEPS, *STEPS_AGAIN],))
    )
    reached = int(found.get(STEPS, 0))
    sure, again, mark = (
        int(found.get(what, unsaid)) for what, unsaid in zip(STEPS_AGAIN, (reached, reached, 0), strict=True)
    )
    return Followed(reached, sure, again, mark)


def _note_followed(tx: Transaction, followed: Followed) -> None:
    tx.run_many(_NOTE_PLACE, list(zip((STEPS, *STEPS_AGAIN), followed, strict=True)))


def recount(tx: Transaction, cases: Sequence[str], now: datetime) -> None:
    """Take out what these cases counted for, and put in what they count for now."""
    changes: Counter[tuple[str, str, str, str]] = Counter()
    for (counted,) in tx.rows("select counted from tally_case where case_id in ?", (cases,)):
        _count(changes, _counted.decode(counted), -1)
    fresh = _counts(tx, cases)
    for counts, _ in fresh.values():
        _count(changes, counts, 1)
    add(tx, changes)
    tx.run_many(
        "insert into tally_case (case_id, counted, look_until) values (?, ?, ?) on conflict (case_id) do update set"
        " counted = excluded.counted, look_until = excluded.look_until",
        [
            (case, msgspec.json.encode(counts).decode(),
             at_text(ordered + TIME_UNKNOWN) if ordered and now < ordered + TIME_UNKNOWN else None)
            for case, (counts, ordered) in sorted(fresh.items())
        ],
    )  # fmt: skip


def _count(changes: Counter[tuple[str, str, str, str]], counts: Iterable[Counted], sign: int) -> None:
    for figure, day, key, count, fen in counts:
        changes[figure, day, key, "count"] += sign * count
        changes[figure, day, key, "fen"] += sign * fen


def _counts(tx: Transaction, cases: Collection[str]) -> dict[str, tuple[list[Counted], datetime | None]]:
    """What each of these cases counts for, and when its money was ordered if the time of the commit is not known."""
    wanted = sorted(cases)
    decided, paid, referred = _by(
        tx.rows(
            "select case_id, id, decision, decided_by, waiting, payable, product, made_at,"
            " case when decision = 'refer' then kept end from determination where case_id in ? order by made_at, id",
            (wanted,),
        )
    ), _by(
        tx.rows(
            "select p.case_id, p.determination, p.state, p.amount_fen, p.attempt, p.replaced_by, p.ordered_at,"
            " p.settled_at, i.instructed_at from payout p left join payout_timing i on i.payout = p.id"
            " and i.shard = p.shard where p.case_id in ? order by p.ordered_at, p.id",
            (wanted,),
        )
    ), _by(
        tx.rows(
            "select case_id, at from case_step where case_id in ? and steps like '%[\"case_referred\",%' order by id",
            (wanted,),
        )
    )  # fmt: skip
    found = {}
    for case, stage, completed in tx.rows(
        "select id, stage, completed_at from claim_case where id in ? order by id", (wanted,)
    ):
        counts = [("stage", NOW, stage, 1, 0), *_of_decisions(stage, decided.get(case, []), referred.get(case, []))]
        money, ordered = _of_payouts(completed, paid.get(case, []), {row[0]: row for row in decided.get(case, [])})
        found[case] = [*counts, *money], ordered
    return found


def _by(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for case, *rest in rows:
        found.setdefault(case, []).append(tuple(rest))
    return found


def _day(at: str) -> str:
    return shanghai_day(at_of(at)).isoformat()


def _of_decisions(stage: str, decided: Sequence[Row], referred: Sequence[Row]) -> list[Counted]:
    counts: list[Counted] = []
    if not decided:
        if stage in BEFORE_DECISION:
            counts.append(("open", NOW, "", 1, 0))
        return counts + [("referred", _day(at), "before_decision", 1, 0) for (at,) in referred[:1]]
    first = _day(decided[0][6])
    counts.append(("decided", first, "", 1, 0))
    by_machine = all(by == MACHINE and decision not in ("refer", "refuse-proposed") for _, decision, by, *_ in decided)
    if by_machine:
        counts.append(("untouched", first, "", 1, 0))
    reasons: dict[str, str] = {}
    for id, decision, _, waiting, payable, _, made, kept in decided:
        if waiting:
            counts.append(("held", NOW, "", 1, payable))
        if decision == "refuse-proposed":
            reasons.setdefault("refuse_proposed", _day(made))
        if kept is not None:
            for code in result_from(texts_of(kept)["result"], id).refer:
                reasons.setdefault(code, _day(made))
    return counts + [("referred", day, code, 1, 0) for code, day in reasons.items()]


def _of_payouts(
    completed: str | None, paid: Sequence[Row], decided: dict[str, Row]
) -> tuple[list[Counted], datetime | None]:
    counts: list[Counted] = []
    waits: datetime | None = None
    firsts = [row for row in paid if row[3] == 1]
    for determination, state, amount, _, replaced_by, _, settled, _ in paid:
        if state == "paid" and settled is not None:
            product = decided[determination][5] if determination in decided else ""
            counts += [("paid", _day(settled), "", 1, amount), ("product", _day(settled), product, 1, amount)]
        elif state in ("waiting", "ordered", "unconfirmed") and replaced_by is None:
            counts.append(("ordered", NOW, state, 1, amount))
        elif replaced_by is None:
            counts.append(("ordered", NOW, "failed", 1, amount))
    for determination, state, _, _, _, ordered, settled, instructed in firsts:
        made = decided.get(determination)
        if made is None:
            continue
        if made[2] == MACHINE:
            time = took(completed, made[6], instructed)
            if time is not None and instructed is not None:
                counts.append(("instructed", _day(instructed), bucket(time), 1, 0))
            else:
                waits = at_of(ordered)
        if state == "paid" and settled is not None:
            time = took(completed, made[6], settled)
            if time is not None:
                counts.append(("settled", _day(settled), bucket(time), 1, 0))
    return counts, waits
