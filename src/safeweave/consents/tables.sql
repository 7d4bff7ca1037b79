-- What people allowed whom, and who read their records. Rows are only added, but for salts, which can be destroyed.

create table if not exists consent_grant (
    id text primary key,
    person text not null references person (id),
    retake_on text,                 -- the birthday from which it must be taken again; null for the grown-up
    follows text,                   -- the consent in whose place it was taken
    document text not null,         -- the consent as JSON
    noted_at text not null
);
create index if not exists consent_grant_of on consent_grant (person);
create index if not exists consent_grant_noted on consent_grant (noted_at);
create index if not exists consent_grant_retake on consent_grant (retake_on) where retake_on is not null;

create table if not exists consent_revocation (
    consent text not null references consent_grant (id),
    revoked_at text not null,       -- the earliest of a consent counts, however late it was heard of
    revoked_by text not null,       -- a person: whose consent it is, a guardian, a near relative of the dead
    how text not null,
    reason text not null,           -- as told; nobody has to give one
    noted_at text not null,
    primary key (consent, revoked_at)
);
create index if not exists consent_revocation_noted on consent_revocation (noted_at);

-- What was asked of a person because a consent was missing, too small or over: each thing is asked once.
create table if not exists consent_asking (
    id text primary key,            -- what belongs to all that is asked, so that asking twice is one
    person text not null references person (id),
    reason text not null,
    document text not null,         -- what was asked, as JSON
    asked_at text not null
);
create index if not exists consent_asking_of on consent_asking (person);

-- What the person chose for the open claim when a consent ended; the last one counts.
create table if not exists consent_choice (
    id integer primary key,
    consent text not null references consent_grant (id),
    choice text not null,           -- withdraw, apply
    chosen_by text not null,
    chosen_at text not null
);
create index if not exists consent_choice_of on consent_choice (consent);

-- How a consent stands on the ledger: by a random id and two commitments, and what its operations are made of.
create table if not exists consent_entry (
    consent text primary key references consent_grant (id),
    entry text not null unique,     -- its id there
    suite text not null,
    commitment text not null,
    scope_commitment text not null,
    grant_nonce text not null,
    revoke_nonce text not null
);

create table if not exists consent_salt (
    consent text primary key references consent_grant (id),
    salt blob not null,
    scope_salt blob not null
);

create table if not exists consent_erasure (
    consent text primary key references consent_grant (id),
    reason text not null,
    erased_at text not null
);

create table if not exists record_read (
    id integer primary key,
    person text not null,
    member text not null,           -- who read
    visit text not null,
    kinds text not null,            -- of data, with commas between
    purpose text not null,
    reason text not null,           -- why, in the reader's words
    consent text,                   -- under which; null for the person itself, the law, or a read that had none
    read_at text not null
);
create index if not exists record_read_of on record_read (person, id);
