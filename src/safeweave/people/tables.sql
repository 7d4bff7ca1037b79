-- Who someone is. Corrections are additions: earlier names, numbers and ids stay, with their days.

create table if not exists person (
    id text primary key,
    birth text,                     -- null for an organisation
    sex text,
    died_on text,
    language text not null default 'zh',
    phone text not null default '',
    email text not null default '',
    wechat text not null default '',
    merged_into text,               -- the person this one turned out to be; its id stays as an alias
    added_at text not null
);
create index if not exists person_merged on person (merged_into) where merged_into is not null;

create table if not exists person_name (
    person text not null references person (id),
    name text not null,             -- as written
    name_key text not null,         -- as compared
    name_birth text not null,       -- name_key|birth, what a description without a number is searched by
    last_day text,                  -- null: the present name
    added_at text not null,
    primary key (person, name)
);
create index if not exists person_name_birth on person_name (name_birth);

create table if not exists person_document (
    lookup text not null,           -- what equal numbers have in common, see identity.lookup_of
    country text not null,
    person text not null references person (id),
    kind text not null,
    number text not null,
    last_day text,                  -- last day it was valid; a renewed passport keeps its old number here
    added_at text not null,
    primary key (lookup, country)
);
create index if not exists person_document_of on person_document (person);

-- Other numbers that lead to a person: a hospital's medical-record number (kind mr, issuer the sender), a policy number.
create table if not exists person_alias (
    kind text not null,
    issuer text not null,
    number text not null,
    person text not null references person (id),
    added_at text not null,
    primary key (kind, issuer, number, person)
);
create index if not exists person_alias_of on person_alias (person);

create table if not exists person_guardian (
    ward text not null references person (id),
    guardian text not null references person (id),
    proof text not null,            -- what shows it: household register, birth certificate, court order
    first_day text not null,
    last_day text,                  -- null: until the ward is of age
    added_at text not null,
    primary key (ward, guardian, first_day)
);
create index if not exists person_guardian_of on person_guardian (guardian);

create table if not exists person_change (
    person text not null references person (id),
    at text not null,
    field text not null,
    was text not null,
    became text not null
);
create index if not exists person_change_of on person_change (person);

-- What a person lets an agent do. An answer and an end are each written once; nothing is taken away.
create table if not exists delegation (
    id text primary key,
    person text not null references person (id),
    agent text not null,            -- the agent's account
    scopes text not null,           -- collect, submit, follow; comma between
    invited_by text not null,       -- the person, or a guardian
    invited_at text not null,
    answered_at text,
    accepted integer not null default 0,
    ended_at text,
    ended_by text not null default ''
);
create index if not exists delegation_of on delegation (person);
create index if not exists delegation_to on delegation (agent);
create index if not exists person_by_phone on person (phone) where phone <> '';
create index if not exists person_by_email on person (email) where email <> '';
