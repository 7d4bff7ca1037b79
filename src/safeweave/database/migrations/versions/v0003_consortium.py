"""The consortium: what people allowed whom, how it stands on the ledger, and who read what; and sealed deliveries."""

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


_DELIVERIES = """
create table member_contact (
    member text primary key,
    name text not null,
    url text not null
);
create table outgoing (
    id text primary key,
    recipient text not null,
    exchange text not null,
    sequence integer not null,
    consent text not null,
    kind text not null,
    state text not null,
    size integer not null,
    content text not null,
    queued_at text not null,
    due_at text not null,
    tries integer not null default 0,
    why text,
    envelope text,
    cover blob,
    head_time integer,
    settled_at text,
    receipt blob
);
create unique index outgoing_place on outgoing (recipient, exchange, sequence);
create index outgoing_unfinished on outgoing (recipient, exchange, sequence)
    where state in ('queued', 'sealed', 'refused');
create index outgoing_due on outgoing (recipient, due_at) where state in ('queued', 'sealed');
create table incoming (
    id text primary key,
    sender text not null,
    exchange text not null,
    sequence integer not null,
    consent text not null,
    kind text not null,
    state text not null,
    envelope text not null,
    cover blob not null,
    arrived_at text not null,
    taken_at text,
    receipt blob
);
create unique index incoming_place on incoming (sender, exchange, sequence);
create index incoming_envelope on incoming (envelope);
create index incoming_held on incoming (sender, exchange, sequence) where state = 'held';
create table incoming_refused (
    envelope text not null,
    code text not null,
    sender text not null,
    exchange text not null,
    sequence integer not null,
    why text not null,
    cover blob not null,
    times integer not null,
    refused_at text not null,
    primary key (envelope, code)
);
create index incoming_refused_by on incoming_refused (sender);
create table piece (
    of text not null,
    number integer not null,
    bytes blob not null,
    primary key (of, number)
);
create table anchor_leaf (
    id integer primary key,
    digest text not null,
    what text not null,
    of text not null,
    made_at text not null,
    batch integer
);
create index anchor_leaf_waiting on anchor_leaf (id) where batch is null;
create index anchor_leaf_of_batch on anchor_leaf (batch, id);
create index anchor_leaf_of on anchor_leaf (of, what);
create table anchor_batch (
    id integer primary key,
    stream text not null,
    sequence integer not null,
    root text not null,
    count integer not null,
    operation blob not null,
    state text not null,
    tries integer not null default 0,
    due_at text not null,
    why text,
    height integer,
    time integer
);
create index anchor_batch_open on anchor_batch (id) where state = 'open';
"""

_BILLS = """
create table bill_ticket (
    bill text not null,
    part integer not null,
    issuer text not null,
    nullifier text not null,
    ticket blob not null,
    proof blob not null,
    taken_at text not null,
    primary key (bill, part)
);
create table ticket_wait (
    case_id text not null,
    bill text not null,
    since text not null,
    primary key (case_id, bill)
);
create index ticket_wait_for on ticket_wait (bill);
create table ledger_claim (
    case_id text primary key,
    salt blob not null,
    commitment text not null
);
create table bill_operation (
    id text primary key,
    case_id text not null,
    kind text not null,
    operation blob not null,
    items text not null,
    state text not null,
    results text,
    why text,
    number integer,
    renews integer not null default 0,
    made_at text not null,
    held_until text
);
create index bill_operation_of on bill_operation (case_id);
create index bill_operation_held on bill_operation (held_until) where held_until is not null;
"""

_OPENED = """
create table opened_document (
    id text primary key,
    sender text not null,
    exchange text not null,
    sequence integer not null,
    kind text not null,
    entry text not null,
    visit text not null,
    person text,
    kinds text not null,
    state text not null,
    why text,
    tries integer not null default 0,
    opened_at text not null,
    due_at text,
    kept_until text,
    settled_at text
);
create index opened_document_of on opened_document (sender, visit);
create index opened_document_in on opened_document (sender, exchange);
create index opened_document_locked on opened_document (person) where state = 'locked';
create index opened_document_due on opened_document (due_at) where state = 'locked';
create index opened_document_kept on opened_document (kept_until) where state = 'locked';
create table consented_visit (
    sender text not null,
    visit text not null,
    consent text not null,
    person text not null,
    named text not null,
    kinds text not null,
    until text not null,
    state text not null,
    ending text,
    asked_at text not null,
    primary key (sender, visit, consent)
);
create index consented_visit_until on consented_visit (until) where state = 'holds';
create index consented_visit_of on consented_visit (person);
create index consented_visit_under on consented_visit (consent);
create table determination_anchor (
    determination text primary key,
    case_id text not null,
    salt blob not null,
    suite text not null,
    document text not null,
    commitment text not null
);
create index determination_anchor_of on determination_anchor (case_id);
"""

_GATEWAY = """
create table patient_visit (
    person text not null,
    sender text not null,
    visit text not null,
    primary key (person, sender, visit)
);
create table hand_over (
    id text primary key,
    person text not null,
    sender text not null,
    visit text not null,
    recipient text not null,
    exchange text not null,
    consent text not null,
    kinds text not null,
    events text not null,
    bills text not null
);
create index hand_over_of on hand_over (sender, visit);
"""


def upgrade() -> None:
    """Make the tables, which are all new."""
    run(_CONSENTS, _DELIVERIES, _BILLS, _GATEWAY, _OPENED)
