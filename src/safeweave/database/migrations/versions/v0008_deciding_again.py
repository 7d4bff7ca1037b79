"""What-ifs that directors asked for, and decisions made again in bulk."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0008", "0007"
branch_labels = depends_on = None

_WHAT_IF = """
create table what_if (
    id text primary key,
    product text not null,
    body text not null,
    changes text not null,
    from_day text,
    until_day text,
    by_account text not null,
    by_name text not null,
    asked_at text not null,
    state text not null,
    host text not null default '',
    process integer not null default 0,
    tries integer not null default 0,
    beat_at text,
    step text not null default '',
    done integer not null default 0,
    total integer not null default 0,
    finished_at text,
    as_of text,
    answer text,
    fault text not null default ''
);
create index what_if_latest on what_if (asked_at);
create index what_if_open on what_if (state) where state in ('waiting', 'working');
create table what_if_part (
    run text not null references what_if (id),
    no integer not null,
    kept blob not null,
    primary key (run, no)
);
"""

_AGAIN = """
create table again (
    id text primary key,
    product text not null,
    product_digest text not null,
    why text not null,
    wanted text not null,
    by_account text not null,
    by_name text not null,
    asked_at text not null,
    state text not null,
    read_to text not null default '',
    looked integer not null default 0,
    answered_by text not null default '',
    answered_name text not null default '',
    answered_at text,
    answer text not null default '',
    undo_why text not null default '',
    undo_by text not null default '',
    undo_name text not null default '',
    undo_at text,
    undo_answered_by text not null default '',
    undo_answered_name text not null default '',
    undo_answered_at text
);
create index again_latest on again (asked_at);
create table again_case (
    run text not null references again (id),
    no integer not null,
    case_id text not null,
    person text not null,
    before text not null,
    expected text not null,
    before_fen integer not null,
    after_fen integer not null,
    waits_fen integer not null,
    state text not null,
    why text not null default '',
    made text not null default '',
    primary key (run, case_id)
);
create index again_case_in_turn on again_case (run, state, no);
create index again_case_of on again_case (run, person);
"""


def upgrade() -> None:
    """Make the tables, which are new."""
    run(_WHAT_IF, _AGAIN)
