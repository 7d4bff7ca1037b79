"""The consortium: what people allowed whom, how it stands on the ledger, and who read what."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0003", "0002"
branch_labels = depends_on = None

_CONSENTS = """
create table consent_grant (
    id text primary key,
    person text not null references person (id),
    retake_on text,
    follows text,
    document text not null,
    noted_at text not null
);
create index consent_grant_of on consent_grant (person);
create index consent_grant_retake on consent_grant (retake_on) where retake_on is not null;
create table consent_revocation (
    consent text not null references consent_grant (id),
    revoked_at text not null,
    revoked_by text not null,
    how text not null,
    reason text not null,
    noted_at text not null,
    primary key (consent, revoked_at)
);
create table consent_asking (
    id text primary key,
    person text not null references person (id),
    reason text not null,
    document text not null,
    asked_at text not null
);
create index consent_asking_of on consent_asking (person);
create table consent_choice (
    id integer primary key,
    consent text not null references consent_grant (id),
    choice text not null,
    chosen_by text not null,
    chosen_at text not null
);
create index consent_choice_of on consent_choice (consent);
create table consent_entry (
    consent text primary key references consent_grant (id),
    entry text not null unique,
    suite text not null,
    commitment text not null,
    scope_commitment text not null,
    grant_nonce text not null,
    revoke_nonce text not null
);
create table consent_salt (
    consent text primary key references consent_grant (id),
    salt blob not null,
    scope_salt blob not null
);
create table consent_erasure (
    consent text primary key references consent_grant (id),
    reason text not null,
    erased_at text not null
);
create table record_read (
    id integer primary key,
    person text not null,
    member text not null,
    visit text not null,
    kinds text not null,
    purpose text not null,
    reason text not null,
    consent text,
    read_at text not null
);
create index record_read_of on record_read (person, id);
"""


def upgrade() -> None:
    """Make the tables, which are all new."""
    run(_CONSENTS)
