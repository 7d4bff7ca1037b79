"""The workbench: what examiners have typed, and what they decided and proposed."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0007", "0006"
branch_labels = depends_on = None

_DESK = """
-- What an examiner has typed about a case and not sent yet.
create table desk_draft (
    case_id text not null,
    account text not null references account (id),
    version integer not null,
    fields text not null,
    saved_at text not null,
    primary key (case_id, account)
);
create table desk_act (
    id text primary key,
    case_id text not null,
    version integer not null,
    verdict text not null,
    note text not null,
    clause text not null,
    amount integer not null,
    adjust text not null,
    by_account text not null,
    by_name text not null,
    acted_at text not null,
    state text not null,
    answered_by text not null default '',
    answered_name text not null default '',
    answered_at text,
    answer text not null default ''
);
create index desk_act_of on desk_act (case_id);
create unique index desk_act_open on desk_act (case_id) where state = 'open';
"""


def upgrade() -> None:
    """Make the tables, which are new."""
    run(_DESK)
