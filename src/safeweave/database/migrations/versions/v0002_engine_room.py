"""Several processes on one store: work says whose turn it takes and what must be held; wordings are kept once.

What belongs to a person says so in a column of its own, by which rows can be spread over servers.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from safeweave.database.migrations.kit import insert, is_postgresql, number_on, remade, rows, run
from safeweave.database.tables import statements

revision, down_revision = "0002", "0001"
branch_labels = depends_on = None

_TASK = """
create table task (
    id integer primary key,
    lane text not null,
    queue text not null,
    key text not null,
    kind text not null,
    payload text not null,
    handler text not null,
    due_at text not null,
    tries integer not null default 0,
    parked text
);
create index task_due on task (lane, queue, due_at, id) where parked is null;
create index task_by_key on task (key, due_at) where lane = '' and parked is null;
create index task_parked on task (id) where parked is not null;
"""

_OUTSIDER = """
create table outsider (
    lane text primary key,
    failures integer not null,
    open_until text not null,
    error text not null,
    since text not null
);
"""

_MESSAGE = """
create table wording (
    id text primary key,
    subject text not null,
    body text not null
);
create table message (
    id text primary key,
    shard text not null,
    change text not null,
    channel text not null,
    person text not null,
    case_id text not null,
    occasion text not null,
    language text not null,
    address text not null,
    wording text,
    subject text not null,
    body text not null,
    amount text not null,
    told_at text not null,
    delivered_at text,
    receipt text not null default '',
    fault text not null default ''
);
create index message_of_case on message (case_id);
create index message_undeliverable on message (told_at) where fault <> '';
"""
_KEPT = (
    "id, change, channel, person, case_id, occasion, language, address, subject, body, amount, told_at, delivered_at,"
    " receipt, fault"
)

# The tables of a person's things, and the id that says whose each row is.
_SPREAD = {
    "claim_case": "id", "case_step": "case_id", "clock": "case_id", "determination": "id", "usage_addition": "person",
    "payout": "id", "recovery": "id", "journal_entry": "ref", "payout_timing": "payout", "letter": "id",
}  # fmt: skip

# The events hospitals tell; all others belong to the case, payout or message they name.
_HOSPITALS = frozenset({
    "AdmissionReported", "OutpatientVisited", "VisitUpdated", "LeaveBegan", "LeaveEnded", "ChargesPosted",
    "PatientDischarged", "AdmissionCancelled", "DischargeCancelled", "BillIssued", "BillReversed",
    "SettlementReported", "SettlementCancelled", "PersonsMerged", "MessageNoted", "VisitTold",
})  # fmt: skip

_FUNCTIONS = (
    """
create or replace function json_extract(document text, path text) returns text
language sql immutable parallel safe as
$$ select document::json #>> string_to_array(substr(path, 3), '.') $$
""",
    """
create or replace function take_numbers(of_table text, how_many bigint) returns bigint
language plpgsql as
$$
declare
    numbers regclass := pg_get_serial_sequence(of_table, 'id');
    first bigint;
begin
    if how_many <= 0 then
        return null;
    end if;
    perform pg_advisory_lock(1935763045, 2);
    first := nextval(numbers);
    if how_many > 1 then
        perform setval(numbers, first + how_many - 1);
    end if;
    perform pg_advisory_unlock(1935763045, 2);
    return first;
end
$$
""",
)

_STORAGE = """
alter table task set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);
alter table claim_case set (fillfactor = 75);
alter table clock set (fillfactor = 85);
alter table payout set (fillfactor = 80);
alter table message set (fillfactor = 85);
"""


def upgrade() -> None:
    """Move the work that waits, and the messages, into their new tables."""
    held = remade("task", _TASK, indexes=("task_due", "task_parked"))
    waiting = rows(
        f"select t.id, t.lane, t.handler, t.due_at, t.tries, t.parked, e.kind, e.payload, e.subject"
        f" from {held} t join event e on e.id = t.event order by t.id"
    )
    insert("task", [_moved(task) for task in waiting])
    run(f"drop table {held};", _OUTSIDER)

    held = remade("message", _MESSAGE, indexes=("message_of_case", "message_undeliverable"))
    run(f"insert into message ({_KEPT}, shard) select {_KEPT}, {_shard('id')} from {held};", f"drop table {held};")

    first = statements(Path(__file__).with_name("v0001_first_release.sql").read_text(encoding="utf-8"))
    for table, id in _SPREAD.items():
        _with_shard(table, id, first)

    if is_postgresql():
        from alembic import op

        for function in _FUNCTIONS:
            op.get_bind().exec_driver_sql(function)
        run(_STORAGE)
        number_on()


def _with_shard(table: str, id: str, first: list[str]) -> None:
    """Make a table of the first version again with the column `shard`, filled from this one."""
    made, *indexes = (statement for statement in first if re.search(rf"^create .*\b{table} \(", statement))
    made = made.replace("(\n", "(\n    shard text not null,\n", 1)
    if table == "claim_case":
        made = made.replace("id text primary key,", "id text not null,")
        made = made.replace("\n);", ",\n    primary key (id, shard)\n);")
    if table == "clock":
        indexes = [index.replace("(case_id, kind)", "(case_id, kind, shard)") for index in indexes]
    columns = ", ".join(re.findall(r"^    (?!shard|primary|unique)(\w+) ", made, re.MULTILINE))
    held = remade(table, made)
    run(f"insert into {table} ({columns}, shard) select {columns}, {_shard(id)} from {held};", f"drop table {held};")
    run(*indexes)


def _shard(id: str) -> str:
    """SQL for the six characters behind the first `_` of an id."""
    return f"substr({id}, {'strpos' if is_postgresql() else 'instr'}({id}, '_') + 1, 6)"


def _moved(task: Mapping[str, str]) -> dict[str, object]:
    """A task that carries its event, with whose turn it takes and what is held for it."""
    kind, event = task["kind"], json.loads(task["payload"])
    queue, key = "", _person(task["subject"])
    if kind in _HOSPITALS:
        queue, visit = event["sender"], event.get("visit", "")
        key = queue if kind in ("PersonsMerged", "MessageNoted") and not visit else f"{queue}/{visit}"
    lane = "alone" if kind == "PersonsMerged" and not task["lane"] else task["lane"]
    return {
        "id": task["id"], "lane": lane, "queue": queue, "key": key, "kind": kind, "payload": task["payload"],
        "handler": task["handler"], "due_at": task["due_at"], "tries": task["tries"], "parked": task["parked"],
    }  # fmt: skip


def _person(subject: str) -> str:
    start = subject.find("_") + 1
    return subject[start : start + 6]
