"""The operations room's figures, and the machines that call the API."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0006", "0005"
branch_labels = depends_on = None

_TABLES = """
create table tally (
    figure text not null,
    day text not null,
    key text not null,
    count integer not null,
    fen integer not null,
    primary key (figure, day, key)
);
create table tally_case (
    case_id text primary key,
    counted text not null,
    look_until text
);
create index tally_case_again on tally_case (look_until) where look_until is not null;
create table tally_place (
    what text primary key,
    place integer not null
);
create table tally_sender (
    sender text primary key,
    first_at text not null,
    last_at text not null
);
create table api_client (
    id text primary key,
    account text not null references account (id),
    scopes text not null,
    keys text not null,
    added_at text not null,
    closed_at text
);
create table api_token (
    token text primary key,
    client text not null references api_client (id),
    scopes text not null,
    expires_at text not null
);
create index api_token_over on api_token (expires_at);
create table api_assertion (
    client text not null,
    jti text not null,
    expires_at text not null,
    primary key (client, jti)
);
create table api_answer (
    account text not null,
    key text not null,
    asked text not null,
    status integer not null,
    kind text not null,
    location text not null default '',
    body text not null,
    answered_at text not null,
    primary key (account, key)
);
create index api_answer_old on api_answer (answered_at);
"""

_CLOCKS = "create index clock_due on clock (due_on) where stopped_at is null;"


def upgrade() -> None:
    """Make the tables, which are all new and fill themselves, and find clocks by the day they are due."""
    run(_TABLES, _CLOCKS)
