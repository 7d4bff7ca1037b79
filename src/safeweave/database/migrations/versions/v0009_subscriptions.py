"""Subscriptions, papers that people hand in, and what agents did for their customers."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0009", "0008"
branch_labels = depends_on = None

_TABLES = """
create table subscription (
    id text primary key,
    client text not null references api_client (id),
    topic text not null,
    patient text not null,
    endpoint text not null,
    payload text not null,
    heartbeat integer not null,
    timeout integer not null,
    most integer not null,
    headers text not null,
    state text not null,
    made_at text not null,
    ends_at text,
    last_number integer not null,
    taken integer not null,
    is_due integer not null,
    told_at text,
    reason text not null
);
create index subscription_of on subscription (client);
create index subscription_open on subscription (id) where state <> 'off';
create table subscription_event (
    subscription text not null references subscription (id),
    number integer not null,
    source text not null,
    thing text not null,
    person text not null,
    happened_at text not null,
    primary key (subscription, number)
);
create unique index subscription_event_once on subscription_event (subscription, source);
create table subscription_place (
    what text primary key,
    place text not null
);
create table case_file (
    id text primary key,
    case_id text not null,
    person text not null,
    name text not null,
    kind text not null,
    bytes integer not null,
    digest text not null,
    added_by text not null,
    added_name text not null,
    added_at text not null,
    seen_at text,
    removed_at text
);
create index case_file_of on case_file (case_id);
create unique index case_file_once on case_file (case_id, digest, added_by) where removed_at is null;
create table case_file_piece (
    file text not null references case_file (id),
    number integer not null,
    content blob not null,
    primary key (file, number)
);
create table agent_act (
    id text primary key,
    person text not null,
    account text not null,
    act text not null,
    case_id text not null,
    note text not null,
    acted_at text not null
);
create index agent_act_of on agent_act (person, acted_at);
"""

_FOUND = """
create index consent_grant_noted on consent_grant (noted_at);
create index consent_revocation_noted on consent_revocation (noted_at);
create index claim_case_opened on claim_case (opened_at, id);
"""


def upgrade() -> None:
    """Make the tables, which are new, and find consents by when they were heard of and stays by when they began."""
    run(_TABLES, _FOUND)
