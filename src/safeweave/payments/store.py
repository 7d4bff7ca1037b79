"""Payouts, recoveries and bank notices over a transaction, a set at a time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from safeweave.database import Row, Transaction, at_of, at_text
from safeweave.ids import CaseId, PayoutId, person_key
from safeweave.money import Fen
from safeweave.payments import journal
from safeweave.payments.bank import Notice
from safeweave.payments.journal import Account
from safeweave.payments.payout import FAILED, OPEN, Payout, Recovery, State

_PAYOUT = (
    "id, case_id, determination, policy, person, role, amount_fen, bank, state, ordered_at, reason, attempt,"
    " replaced_by, name, account, bank_code, purpose, asked, settled_at"
)
_RECOVERY = "id, case_id, determination, policy, person, amount_fen, opened_at, received_fen"


def _payout(row: Row) -> Payout:
    values = list(row)
    values[9], values[18] = at_of(row[9]), at_of(row[18]) if row[18] else None
    return Payout(*values)


def _recovery(row: Row) -> Recovery:
    values = list(row)
    values[6] = at_of(row[6])
    return Recovery(*values)


def add_payouts(tx: Transaction, payouts: Sequence[Payout]) -> set[str]:
    """The ids of those that were not here before and are now; one that is here already stays as it is."""
    for payout in payouts:
        _read(tx).pop(payout.case, None)
    return _added(
        tx, "payout", _ADD_PAYOUT,
        [
            (
                p.id, p.case, p.determination, p.policy, p.person, p.role, p.amount, p.bank, p.state,
                at_text(p.ordered_at), p.reason, p.attempt, p.replaced_by, p.name, p.account, p.bank_code, p.purpose,
                p.asked, at_text(p.settled_at) if p.settled_at else None, person_key(p.id),
            )
            for p in payouts
        ],
    )  # fmt: skip


def add_recoveries(tx: Transaction, recoveries: Iterable[Recovery]) -> set[str]:
    """The ids of those that were not here before and are now; one that is here already stays as it is."""
    return _added(
        tx, "recovery", _ADD_RECOVERY,
        [
            (
                r.id, r.case, r.determination, r.policy, r.person, r.amount, at_text(r.opened_at), r.received,
                person_key(r.id),
            )
            for r in recoveries
        ],
    )  # fmt: skip


def _added(tx: Transaction, table: str, sql: str, rows: Sequence[Row]) -> set[str]:
    doubtful = [id for id, _, determination, *_ in rows if determination not in tx.fresh]
    here: set[str] = tx.memo.setdefault(f"{table} added", set())
    if doubtful:
        here |= {id for (id,) in tx.rows(f"select id from {table} where id in ?", (doubtful,))}
    new = {row[0]: row for row in rows if row[0] not in here}
    here.update(new)
    tx.queue(sql, new.values(), every=True)
    return set(new)


def _insert(table: str, columns: str) -> str:
    values = ", ".join("?" * len(columns.split(",")))
    return f"insert into {table} ({columns}) values ({values}) on conflict do nothing"


_ADD_PAYOUT, _ADD_RECOVERY = _insert("payout", f"{_PAYOUT}, shard"), _insert("recovery", f"{_RECOVERY}, shard")


def _rows(tx: Transaction, sql: str, values: Sequence[object] = ()) -> list[Row]:
    tx.flush(_ADD_PAYOUT, _ADD_RECOVERY, journal.BOOK)
    return tx.rows(sql, values)


def payouts(tx: Transaction, ids: Sequence[str]) -> dict[PayoutId, Payout]:
    """The payouts with these ids; what is not here is left out."""
    wanted = sorted(set(ids))
    found = _rows(tx, f"select {_PAYOUT} from payout where id in ?", (wanted,))
    return {row[0]: _payout(row) for row in found}


def states(tx: Transaction, ids: Sequence[str]) -> dict[str, State]:
    """The state of each of these payouts, however many; what is not here is left out."""
    return dict(_rows(tx, "select id, state from payout where id in ?", (ids,)))


def payouts_of(tx: Transaction, cases: Sequence[CaseId]) -> list[Payout]:
    """All payouts of these cases, of each case the oldest first; each case is asked for once in a transaction."""
    read = _read(tx)
    missing = [case for case in dict.fromkeys(cases) if case not in read]
    if missing:
        read.update({case: {} for case in missing})
        for row in _rows(
            tx,
            f"select {_PAYOUT} from payout where case_id in ? order by ordered_at, determination, attempt",
            (missing,),
        ):
            read[row[1]][row[0]] = _payout(row)
    return [payout for case in dict.fromkeys(cases) for payout in read[case].values()]


def _read(tx: Transaction) -> dict[CaseId, dict[PayoutId, Payout]]:
    """The payouts of the cases that this transaction has asked for, as they stand in it."""
    read: dict[CaseId, dict[PayoutId, Payout]] = tx.memo.setdefault("payouts", {})
    return read


def _changed(tx: Transaction, payouts: Iterable[Payout]) -> None:
    for payout in payouts:
        if payout.case in _read(tx):
            _read(tx)[payout.case][payout.id] = payout


def recoveries_of(tx: Transaction, cases: Sequence[CaseId]) -> list[Recovery]:
    """All recoveries of these cases, oldest first."""
    rows = _rows(tx, f"select {_RECOVERY} from recovery where case_id in ? order by opened_at, id", (cases,))
    return [_recovery(row) for row in rows]


def recoveries(tx: Transaction, ids: Sequence[str]) -> dict[str, Recovery]:
    """The recoveries with these ids; what is not here is left out."""
    wanted = sorted(set(ids))
    found = _rows(tx, f"select {_RECOVERY} from recovery where id in ?", (wanted,))
    return {row[0]: _recovery(row) for row in found}


def unsettled(tx: Transaction, limit: int) -> list[Payout]:
    """Payouts that still need something, oldest first: waiting, on their way, or failed and not paid again."""
    rows = _rows(
        tx,
        f"select {_PAYOUT} from payout where state <> 'paid' and state in ? and replaced_by is null"
        " order by ordered_at, id limit ?",
        ((*OPEN, *FAILED), limit),
    )
    return [_payout(row) for row in rows]


def waiting(tx: Transaction) -> list[Payout]:
    """Payouts without an account to send to, oldest first."""
    rows = _rows(
        tx, f"select {_PAYOUT} from payout where state <> 'paid' and state = 'waiting' order by ordered_at, id"
    )
    return [_payout(row) for row in rows]


def totals(tx: Transaction) -> dict[State, tuple[int, Fen]]:
    """How many payouts stand in each state and their sum in fen; failed ones that were paid again are left out."""
    rows = _rows(tx, "select state, count(*), sum(amount_fen) from payout where replaced_by is null group by state")
    return {state: (count, Fen(amount)) for state, count, amount in rows}


def open_recoveries(tx: Transaction) -> list[Recovery]:
    """Recoveries of which something is still to come back, oldest first."""
    rows = _rows(tx, f"select {_RECOVERY} from recovery where received_fen < amount_fen order by opened_at, id")
    return [_recovery(row) for row in rows]


def pin(tx: Transaction, payouts: Sequence[Payout]) -> None:
    """Keep what will be sent, or why nothing can be. What was pinned before never changes."""
    for payout in payouts:
        _read(tx).pop(payout.case, None)
    tx.flush(_ADD_PAYOUT)
    tx.run_many(
        "update payout set state = ?, reason = ?, name = ?, account = ?, bank_code = ?, purpose = ?"
        " where id = ? and account = ''",
        ((p.state, p.reason, p.name, p.account, p.bank_code, p.purpose, p.id) for p in payouts),
    )


def move(tx: Transaction, payouts: Sequence[Payout]) -> None:
    """Keep the state these payouts have reached."""
    _changed(tx, payouts)
    tx.flush(_ADD_PAYOUT)
    tx.run_many(
        "update payout set state = ?, reason = ?, asked = ?, settled_at = ?, replaced_by = ? where id = ?",
        (
            (p.state, p.reason, p.asked, at_text(p.settled_at) if p.settled_at else None, p.replaced_by, p.id)
            for p in payouts
        ),
    )


def receive(tx: Transaction, received: Mapping[str, Fen]) -> None:
    """Add what came back to these recoveries."""
    tx.flush(_ADD_RECOVERY)
    tx.run_many(
        "update recovery set received_fen = received_fen + ? where id = ?",
        ((amount, recovery) for recovery, amount in received.items()),
    )


def booked(tx: Transaction, bookings: Sequence[str]) -> set[str]:
    """Which of these bookings stand in the journal."""
    return {row[0] for row in _rows(tx, "select distinct booking from journal_entry where booking in ?", (bookings,))}


def bank_entries(tx: Transaction) -> list[tuple[str, str, Fen]]:
    """Every journal entry on the bank account: (ref, booking, fen), in the order they were booked."""
    return [
        (ref, booking, Fen(fen))
        for ref, booking, fen in _rows(
            tx, "select ref, booking, fen from journal_entry where account = 'bank' order by booked_at, booking"
        )
    ]


def entries_of(tx: Transaction, case: CaseId) -> list[tuple[Account, Fen]]:
    """What the journal holds of a case: (account, fen) of each entry, debit positive, in the order they were booked."""
    return [
        (account, Fen(fen))
        for account, fen in _rows(
            tx,
            "select account, fen from journal_entry where ref in"
            " (select id from payout where case_id = ? union all select id from recovery where case_id = ?)"
            " order by booked_at, booking, no",
            (case, case),
        )
    ]


def notice_cursors(tx: Transaction) -> dict[str, int]:
    """How far each bank's notices were read."""
    return dict(_rows(tx, "select bank, seq from bank_notice_cursor"))


def new_notices(tx: Transaction, notices: Sequence[tuple[str, Notice]], now: datetime) -> list[tuple[str, Notice]]:
    """Those of these (bank, notice) that were not told before, once each; all are remembered, and how far was read."""
    if not notices:
        return []
    told: dict[tuple[str, str], tuple[str, Notice]] = {}
    cursors: dict[str, int] = {}
    for bank, notice in notices:
        cursors[bank] = max(cursors.get(bank, 0), notice.seq)
        told.setdefault((bank, notice.id), (bank, notice))
    known = payouts(tx, [notice.key for _, notice in told.values()])
    new = tx.rows_many(
        "insert into bank_notice (bank, id, key, kind, amount_fen, at, reason, known, taken_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (bank, id) do nothing returning bank, id",
        [
            (bank, n.id, n.key, n.kind, n.amount, at_text(n.at), n.reason, int(n.key in known), at_text(now))
            for bank, n in (told[each] for each in sorted(told))
        ],
    )
    fresh = {(bank, id) for bank, id in new}
    tx.run_many(
        "insert into bank_notice_cursor (bank, seq) values (?, ?) on conflict (bank) do update set seq = excluded.seq"
        " where excluded.seq > bank_notice_cursor.seq",
        sorted(cursors.items()),
    )
    return [told[each] for each in told if each in fresh]
