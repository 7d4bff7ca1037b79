"""Fewer bytes a closed case: long values can be packed, steps of one transaction stand together, instants are instants.

What stands there already is moved as it is: packed values tell by their first byte that they are packed.
"""

from safeweave.database.migrations.kit import altered, is_postgresql, number_on, remade, run

revision, down_revision = "0004", "0003"
branch_labels = depends_on = None

_EVENT = """
create table event (
    id integer primary key,
    kind text not null,
    subject text not null,
    told_at text not null,
    payload blob not null
);
create index event_by_subject on event (subject, id);
"""

_STEP = """
create table case_step (
    id integer primary key,
    case_id text not null,
    shard text not null,
    at text not null,
    steps text not null
);
create index case_step_by_case on case_step (case_id);
"""

_DETERMINATION = """
create table determination (
    id text primary key,
    shard text not null,
    case_id text not null,
    policy text not null,
    person text not null,
    sequence integer not null,
    product text not null,
    decision text not null,
    decided_by text not null,
    note text not null default '',
    holds text not null default '',
    payable integer not null,
    settled text,
    in_force integer not null,
    waiting integer not null,
    supersedes text,
    made_at text not null,
    digest text not null,
    kept blob not null
);
create unique index determination_once on determination (policy, person, sequence);
create index determination_by_case on determination (case_id);
create index determination_waiting on determination (made_at) where waiting = 1;
"""
_SAME = (
    "id, shard, case_id, policy, person, sequence, product, decision, decided_by, note, holds, payable, settled,"
    " in_force, waiting, supersedes, made_at, digest"
)

_LETTER = """
create table letter (
    id text primary key,
    shard text not null,
    case_id text not null,
    determination text,
    language text not null,
    kind text not null,
    content blob not null,
    made_at text not null
);
create index letter_of_case on letter (case_id);
create index letter_of_determination on letter (determination) where determination is not null;
"""


def upgrade() -> None:
    """Move the rows into their new tables."""
    held = remade("event", _EVENT, indexes=("event_by_subject",))
    run(
        f"insert into event (id, kind, subject, told_at, payload)"
        f" select id, kind, subject, told_at, {_bytes('payload')} from {held} order by id;",
        f"drop table {held};",
    )

    held = remade("case_step", _STEP, indexes=("case_step_by_case",))
    one = "json_build_array(happening, stage, note)::text" if is_postgresql() else "json_array(happening, stage, note)"
    run(
        f"insert into case_step (id, case_id, shard, at, steps)"
        f" select id, case_id, shard, at, '[' || {one} || ']' from {held} order by id;",
        f"drop table {held};",
    )

    held = remade("determination", _DETERMINATION, indexes=(
        "determination_once", "determination_by_case", "determination_in_force", "determination_waiting",
    ))  # fmt: skip
    between = " || chr(30) || " if is_postgresql() else " || char(30) || "
    kept = between.join(("claim", "cover", "overlays", "usage_before", "result", "product_digest", "engine"))
    run(
        f"insert into determination ({_SAME}, kept) select {_SAME}, {_bytes(kept)} from {held};",
        f"drop table {held};",
    )

    held = remade("letter", _LETTER, indexes=("letter_of_case", "letter_of_determination"))
    same = "id, shard, case_id, determination, language, kind, made_at"
    run(f"insert into letter ({same}, content) select {same}, {_bytes('content')} from {held};", f"drop table {held};")

    run(
        "drop index inbound_message_key;",
        "create index inbound_message_other on inbound_message (sender, control_id) where status <> 'taken';",
    )
    if is_postgresql():
        run("alter table message set (fillfactor = 95);")
        number_on()
        altered("_at", "timestamptz")


def _bytes(text: str) -> str:
    return f"convert_to({text}, 'UTF8')" if is_postgresql() else f"cast({text} as blob)"
