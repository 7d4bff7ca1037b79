-- Who may use the pages, from which browser, and what they looked at. Codes and tokens stand here as digests only.

create table if not exists account (
    id text primary key,
    person text,                    -- of the register; null: somebody of an insurer, agency, hospital or commission
    role text not null,             -- a role of web/permissions.toml; 'person' for the insured and their guardians
    name text not null,             -- how those who are not persons of the register are called
    licence text not null default '',   -- an agent's number, by which customers find the agent
    sender text not null default '',    -- the hospital whose cases an account of a hospital may see
    phone text not null default '',
    email text not null default '',
    language text not null default '',
    story text not null default '',     -- in a demonstration: who this is in the story; a key of words/
    added_at text not null,
    closed_at text
);
create unique index if not exists account_of_person on account (person) where person is not null;
create index if not exists account_by_phone on account (phone) where phone <> '';
create index if not exists account_by_email on account (email) where email <> '';
create unique index if not exists account_by_licence on account (licence) where licence <> '';

create table if not exists page_session (
    id text primary key,
    account text not null references account (id),
    token text not null,            -- SHA-256 of what the browser holds
    token_before text not null default '',  -- the one before the last renewal, good for a moment longer
    began_at text not null,
    seen_at text not null,
    renewed_at text not null,
    ended_at text,
    browser text not null default ''
);
create unique index if not exists page_session_by_token on page_session (token);
create index if not exists page_session_by_token_before on page_session (token_before) where token_before <> '';
create index if not exists page_session_of on page_session (account);

create table if not exists sign_in_code (
    attempt text primary key,       -- SHA-256 of what the browser holds
    address text not null,          -- SHA-256 of what was entered; nobody need be known there
    code text not null,             -- SHA-256 over the attempt's own secret and the code
    tries integer not null default 0,
    made_at text not null,
    used_at text
);
create index if not exists sign_in_code_made on sign_in_code (made_at);

create table if not exists passkey (
    id text primary key,            -- the credential's id, base64url
    account text not null references account (id),
    public_key blob not null,
    counter integer not null,
    name text not null,
    added_at text not null,
    used_at text
);
create index if not exists passkey_of on passkey (account);

create table if not exists passkey_challenge (
    challenge text primary key,
    account text not null default '',   -- who adds a passkey; '' for a sign-in
    made_at text not null
);

-- A form that was sent is noted with what it did, so that sending it again does nothing more.
create table if not exists form_sent (
    token text primary key,
    account text not null,
    leads_to text not null,
    sent_at text not null
);
create index if not exists form_sent_at on form_sent (sent_at);

-- What somebody had written when the session was over; given back after signing in again.
create table if not exists form_kept (
    account text primary key references account (id),
    path text not null,
    fields text not null,           -- as JSON
    kept_at text not null
);

create table if not exists rate (
    what text not null,             -- what is counted and for whom
    since text not null,
    count integer not null,
    primary key (what)
);

-- Every view of a person's data.
create table if not exists page_view (
    id integer primary key,
    person text not null,
    account text not null,
    role text not null,             -- in which it was looked at
    action text not null,           -- of web/permissions.toml
    thing text not null,            -- the case, determination, letter or consent
    seen_at text not null
);
create index if not exists page_view_of on page_view (person, id);
create index if not exists page_view_of_thing on page_view (thing, role);

-- Something changed that open pages show and no step of a case tells.
create table if not exists page_notice (
    id integer primary key,
    topic text not null,
    person text not null default '',    -- whom it is about; '' for things of nobody
    noticed_at text not null
);

-- Figures of the operations room, kept as things happen so that a page need not count a hundred thousand cases.
create table if not exists tally (
    figure text not null,
    day text not null,              -- a Shanghai day; '' for how things stand now
    key text not null,              -- what it is counted by, such as a reason code; '' for all
    count integer not null,
    fen integer not null,
    primary key (figure, day, key)
);

-- What a case counts for in `tally`, to be taken out again when the case has changed.
create table if not exists tally_case (
    case_id text primary key,
    counted text not null,          -- [figure, day, key, count, fen], ... as JSON
    look_until text                 -- until then it is looked at again: the time of its instruction is written later
);
create index if not exists tally_case_again on tally_case (look_until) where look_until is not null;

create table if not exists tally_place (
    what text primary key,          -- steps, messages
    place integer not null          -- the number up to which they are counted
);

create table if not exists tally_sender (
    sender text primary key,
    first_at text not null,
    last_at text not null           -- when its latest message came
);

-- Machines that may call the API, and what they hold. Tokens stand here as digests only.
create table if not exists api_client (
    id text primary key,
    account text not null references account (id),  -- in whose role it calls: the permissions are this account's
    scopes text not null,           -- SMART scopes it may ask for, a space between
    keys text not null,             -- its public keys, a JWK set
    added_at text not null,
    closed_at text
);

create table if not exists api_token (
    token text primary key,         -- SHA-256 of what the client holds
    client text not null references api_client (id),
    scopes text not null,
    expires_at text not null
);
create index if not exists api_token_over on api_token (expires_at);

-- Assertions that were used, so that none is taken twice (RFC 7523 section 3, jti).
create table if not exists api_assertion (
    client text not null,
    jti text not null,
    expires_at text not null,
    primary key (client, jti)
);

-- What was answered to a call with an Idempotency-Key, so that the same call gets the same answer.
create table if not exists api_answer (
    account text not null,
    key text not null,
    asked text not null,            -- SHA-256 of method, address and body
    status integer not null,
    kind text not null,             -- the media type
    location text not null default '',
    body text not null,
    answered_at text not null,
    primary key (account, key)
);
create index if not exists api_answer_old on api_answer (answered_at);

-- What an examiner has typed about a case and not sent yet.
create table if not exists desk_draft (
    case_id text not null,
    account text not null references account (id),
    version integer not null,       -- how often it was saved
    fields text not null,           -- as JSON
    saved_at text not null,
    primary key (case_id, account)
);

-- What examiners decided and proposed. Above somebody's authority a second person confirms, or returns it.
create table if not exists desk_act (
    id text primary key,
    case_id text not null,
    version integer not null,       -- of the case then
    verdict text not null,          -- approve, adjust, refuse
    note text not null,
    clause text not null,
    amount integer not null,        -- what authority is asked for
    adjust text not null,           -- changed amounts by policy, as JSON
    by_account text not null,
    by_name text not null,
    acted_at text not null,
    state text not null,            -- open, done, returned
    answered_by text not null default '',
    answered_name text not null default '',
    answered_at text,
    answer text not null default ''
);
create index if not exists desk_act_of on desk_act (case_id);
create unique index if not exists desk_act_open on desk_act (case_id) where state = 'open';

-- A what-if that a director asked for; a process of a node with pages works on it. Nothing is decided by it.
create table if not exists what_if (
    id text primary key,
    product text not null,
    body text not null,             -- the changed product file
    changes text not null,          -- figure, before, after: as JSON
    from_day text,                  -- what was decided on these days; null: without end
    until_day text,
    by_account text not null,
    by_name text not null,
    asked_at text not null,
    state text not null,            -- waiting, working, done, cancelled, failed
    host text not null default '',  -- whose process works on it
    process integer not null default 0,
    tries integer not null default 0, -- how many processes have begun with it
    beat_at text,                   -- when that process last said so
    step text not null default '',  -- extract, decide
    done integer not null default 0,
    total integer not null default 0,
    finished_at text,
    as_of text,                     -- what was decided later is not in it
    answer text,                    -- sums and the cases that move most, as JSON
    fault text not null default ''  -- why it failed: in each language, as JSON
);
create index if not exists what_if_latest on what_if (asked_at);
create index if not exists what_if_open on what_if (state) where state in ('waiting', 'working');

-- The cases that a what-if would move, part by part, packed.
create table if not exists what_if_part (
    run text not null references what_if (id),
    no integer not null,
    kept blob not null,
    primary key (run, no)
);

-- Machines that asked to be told of what they may read, and how far each has been told.
create table if not exists subscription (
    id text primary key,
    client text not null references api_client (id),
    topic text not null,            -- of web/notices/topics.py
    patient text not null,          -- of one person only; '': of everybody the client may read of
    endpoint text not null,
    payload text not null,          -- empty, id-only, full-resource
    heartbeat integer not null,     -- seconds; 0: none
    timeout integer not null,       -- seconds for one call
    most integer not null,          -- events in one call
    headers text not null,          -- what goes along with each call, encrypted; '': nothing
    state text not null,            -- requested (the handshake was not taken yet), active, off
    made_at text not null,
    ends_at text,
    last_number integer not null,   -- of the events there are
    taken integer not null,         -- up to which number the receiver has taken them
    is_due integer not null,        -- 1: a call stands in the outbox
    told_at text,                   -- when it took something last
    reason text not null            -- why it is off
);
create index if not exists subscription_of on subscription (client);
create index if not exists subscription_open on subscription (id) where state <> 'off';

create table if not exists subscription_event (
    subscription text not null references subscription (id),
    number integer not null,        -- counts from 1, without gaps
    source text not null,           -- what it was made of, so that it counts once
    thing text not null,            -- the case, determination or consent
    person text not null,
    happened_at text not null,
    primary key (subscription, number)
);
create unique index if not exists subscription_event_once on subscription_event (subscription, source);

create table if not exists subscription_place (
    what text primary key,          -- steps, consents
    place text not null             -- up to where they were followed
);

-- Papers that people handed in for a case. The content is encrypted, in pieces.
create table if not exists case_file (
    id text primary key,
    case_id text not null,
    person text not null,
    name text not null,             -- as its owner called it
    kind text not null,             -- a media type, by what the file begins with
    bytes integer not null,
    digest text not null,           -- SHA-256 of the content
    added_by text not null,         -- an account
    added_name text not null,
    added_at text not null,
    seen_at text,                   -- when an examiner saw it first; from then on it stays
    removed_at text
);
create index if not exists case_file_of on case_file (case_id);
create unique index if not exists case_file_once on case_file (case_id, digest, added_by) where removed_at is null;

create table if not exists case_file_piece (
    file text not null references case_file (id),
    number integer not null,
    content blob not null,
    primary key (file, number)
);

-- What an agent did for a customer, who is told of each.
create table if not exists agent_act (
    id text primary key,
    person text not null,           -- the customer
    account text not null,          -- the agent's
    act text not null,
    case_id text not null,          -- '' if it concerns none
    note text not null,
    acted_at text not null
);
create index if not exists agent_act_of on agent_act (person, acted_at);
