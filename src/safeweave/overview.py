"""How the service does, counted from what is stored: for the demo's live view and its summary."""

from datetime import datetime

import msgspec

from safeweave import payments
from safeweave.adjudication import store as determinations
from safeweave.database import Transaction, at_of, at_text
from safeweave.facts import Fact
from safeweave.ids import person_key
from safeweave.money import Fen


class Overview(Fact):
    """Counts and times of a node.

    `untouched` are decided cases no person had to look at; times run from the arrival of the message that completed a
    case's papers to the committed payment instruction, in milliseconds.
    """

    cases: int
    stages: dict[str, int]
    decided: int
    untouched: int
    referred: int
    paid: int
    paid_fen: Fen
    trial_balance_fen: Fen
    milliseconds: tuple[float, ...] = ()
    refer_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    messages: int = 0
    refused: int = 0
    waiting_visits: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def untouched_share(self) -> float:
        """Of the decided cases, those untouched; 0 if none is decided."""
        return self.untouched / self.decided if self.decided else 0.0

    def share_within(self, seconds: float) -> float | None:
        """Of the measured instructions, those made within that time; None if there is none."""
        if not self.milliseconds:
            return None
        return sum(time <= seconds * 1000 for time in self.milliseconds) / len(self.milliseconds)

    def percentile(self, share: float) -> float | None:
        """The time below which that share of the instructions was made; None if there is none."""
        if not self.milliseconds:
            return None
        times = sorted(self.milliseconds)
        return times[min(int(len(times) * share), len(times) - 1)]


class Paid(Fact):
    """One payout as the live view shows it."""

    at: datetime
    case: str
    person: str
    hospital: str
    amount: Fen
    milliseconds: float | None


def overview(tx: Transaction) -> Overview:
    """The counts as they stand."""
    stages: dict[str, int] = dict(tx.rows("select stage, count(*) from claim_case group by stage"))
    decided, untouched = tx.rows(
        "select count(*), count(*) filter (where touched = 0) from"
        " (select case_id, max(case when decided_by <> 'machine' or decision in ('refer', 'refuse-proposed')"
        " then 1 else 0 end) as touched from determination group by case_id) as each_case"
    )[0]
    referred = tx.rows("select count(distinct case_id) from case_step where steps like ?", ('%["case_referred",%',))[0][
        0
    ]
    paid, paid_fen = tx.rows("select count(*), coalesce(sum(amount_fen), 0) from payout where state = 'paid'")[0]
    reasons: dict[str, int] = {}
    for codes in determinations.reasons_to_refer(tx):
        for code in codes:
            reasons[code] = reasons.get(code, 0) + 1
    messages, refused = tx.rows(
        "select count(*), count(*) filter (where status in ('refused', 'conflict')) from inbound_message"
    )[0]
    return Overview(
        sum(stages.values()), stages, decided, untouched, referred, paid, paid_fen, payments.trial_balance_fen(tx),
        tuple(milliseconds(tx)), reasons, messages, refused,
        dict(tx.rows("select waiting, count(*) from visit where waiting is not null group by waiting")),
    )  # fmt: skip


def took(completed: str | None, made: str, instructed: str | None) -> float | None:
    """Milliseconds from the papers to the instruction. Papers that came later start a time of their own."""
    if instructed is None:
        return None
    begun = min(completed, made) if completed else made
    return (at_of(instructed) - at_of(begun if begun <= instructed else made)).total_seconds() * 1000


# A payout, its determination and its case may begin with different characters (persons are merged), and so lie on
# different servers (deploy/citus.sql): each is looked up for the rows found before it, which every server is sent.


def milliseconds(tx: Transaction) -> list[float]:
    """For each first payout of a case, how long its instruction took from the arrival of the last paper it needed."""
    return [
        time
        for completed, made, instructed in tx.rows(
            "with paid as materialized (select p.determination, p.case_id, t.instructed_at from payout_timing t"
            " join payout p on p.id = t.payout and p.shard = t.shard where p.attempt = 1),"
            " made as materialized (select paid.case_id, d.made_at, paid.instructed_at from paid"
            " join determination d on d.id = paid.determination where d.decided_by = 'machine')"
            " select c.completed_at, made.made_at, made.instructed_at from made"
            " join claim_case c on c.id = made.case_id"
        )
        if (time := took(completed, made, instructed)) is not None
    ]


def milliseconds_from_the_hospital(tx: Transaction) -> list[float]:
    """The same, from when the hospital's gateway heard the paper: with the sealed exchange and the ledger in it.

    Only of cases whose last paper came from another node; both clocks are the same machine's where this means anything.
    """
    return [
        time
        for sent, made, instructed in tx.rows(
            "with paid as materialized (select p.determination, p.case_id, t.instructed_at from payout_timing t"
            " join payout p on p.id = t.payout and p.shard = t.shard where p.attempt = 1),"
            " made as materialized (select paid.case_id, d.made_at, paid.instructed_at from paid"
            " join determination d on d.id = paid.determination where d.decided_by = 'machine')"
            " select max(m.sent_at), made.made_at, made.instructed_at from made"
            " join claim_case c on c.id = made.case_id"
            " join inbound_message m on m.received_at = c.completed_at and m.sender = c.sender and m.format = 'visit'"
            " group by made.case_id, made.made_at, made.instructed_at"
        )
        if (time := took(sent, made, instructed)) is not None
    ]


def latest_payouts(tx: Transaction, limit: int) -> list[Paid]:
    """The latest payouts with who was paid, where they were treated and how fast."""
    return [
        Paid(
            at_of(ordered), case, name or "", hospital or sender, amount,
            took(completed, made, instructed),
        )
        for ordered, case, name, hospital, sender, amount, completed, made, instructed in tx.rows(
            "with paid as materialized (select p.id, p.ordered_at, p.case_id, p.name, p.amount_fen, p.determination,"
            " t.instructed_at from payout p left join payout_timing t on t.payout = p.id and t.shard = p.shard"
            " order by p.ordered_at desc limit ?),"
            " made as materialized (select paid.*, d.made_at from paid"
            " join determination d on d.id = paid.determination)"
            " select m.ordered_at, m.case_id, m.name, h.name, c.sender, m.amount_fen, c.completed_at, m.made_at,"
            " m.instructed_at from made m join claim_case c on c.id = m.case_id"
            " left join hospital h on h.code = json_extract(c.stay, '$.hospital') order by m.ordered_at desc",
            (limit,),
        )
    ]  # fmt: skip


def note_instructed(tx: Transaction, instructed: list[tuple[str, datetime]]) -> None:
    """Keep when payment instructions were committed."""
    tx.run_many(
        "insert into payout_timing (payout, shard, instructed_at) values (?, ?, ?) on conflict do nothing",
        [(payout, person_key(payout), at_text(at)) for payout, at in instructed],
    )
