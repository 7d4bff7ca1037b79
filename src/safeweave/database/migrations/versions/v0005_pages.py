"""The pages: accounts, sessions and views, what agents may do for a customer, and what people ask about a case."""

from safeweave.database.migrations.kit import run

revision, down_revision = "0005", "0004"
branch_labels = depends_on = None

_PAGES = """
create table account (
    id text primary key,
    person text,
    role text not null,
    name text not null,
    licence text not null default '',
    sender text not null default '',
    phone text not null default '',
    email text not null default '',
    language text not null default '',
    story text not null default '',
    added_at text not null,
    closed_at text
);
create unique index account_of_person on account (person) where person is not null;
create index account_by_phone on account (phone) where phone <> '';
create index account_by_email on account (email) where email <> '';
create unique index account_by_licence on account (licence) where licence <> '';
create table page_session (
    id text primary key,
    account text not null references account (id),
    token text not null,
    token_before text not null default '',
    began_at text not null,
    seen_at text not null,
    renewed_at text not null,
    ended_at text,
    browser text not null default ''
);
create unique index page_session_by_token on page_session (token);
create index page_session_by_token_before on page_session (token_before) where token_before <> '';
create index page_session_of on page_session (account);
create table sign_in_code (
    attempt text primary key,
    address text not null,
    code text not null,
    tries integer not null default 0,
    made_at text not null,
    used_at text
);
create index sign_in_code_made on sign_in_code (made_at);
create table passkey (
    id text primary key,
    account text not null references account (id),
    public_key blob not null,
    counter integer not null,
    name text not null,
    added_at text not null,
    used_at text
);
create index passkey_of on passkey (account);
create table passkey_challenge (
    challenge text primary key,
    account text not null default '',
    made_at text not null
);
create table form_sent (
    token text primary key,
    account text not null,
    leads_to text not null,
    sent_at text not null
);
create index form_sent_at on form_sent (sent_at);
create table form_kept (
    account text primary key references account (id),
    path text not null,
    fields text not null,
    kept_at text not null
);
create table rate (
    what text not null,
    since text not null,
    count integer not null,
    primary key (what)
);
create table page_view (
    id integer primary key,
    person text not null,
    account text not null,
    role text not null,
    action text not null,
    thing text not null,
    seen_at text not null
);
create index page_view_of on page_view (person, id);
create index page_view_of_thing on page_view (thing, role);
create table page_notice (
    id integer primary key,
    topic text not null,
    person text not null default '',
    noticed_at text not null
);
"""

_DELEGATIONS = """
create table delegation (
    id text primary key,
    person text not null references person (id),
    agent text not null,
    scopes text not null,
    invited_by text not null,
    invited_at text not null,
    answered_at text,
    accepted integer not null default 0,
    ended_at text,
    ended_by text not null default ''
);
create index delegation_of on delegation (person);
create index delegation_to on delegation (agent);
create index person_by_phone on person (phone) where phone <> '';
create index person_by_email on person (email) where email <> '';
"""

_REQUESTS = """
create table case_request (
    id text primary key,
    case_id text not null,
    kind text not null,
    words text not null,
    asked_by text not null,
    asked_at text not null,
    answered_at text,
    answered_by text not null default '',
    answer text not null default ''
);
create index case_request_of on case_request (case_id);
create index case_request_open on case_request (asked_at) where answered_at is null;
"""


def upgrade() -> None:
    """Make the tables, which are all new, and find persons by phone and e-mail."""
    run(_PAGES, _DELEGATIONS, _REQUESTS)
