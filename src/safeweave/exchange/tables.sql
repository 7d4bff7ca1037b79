create table if not exists sender (
    id text primary key,
    profile text not null,          -- formats.Sender as JSON: how this hospital speaks
    token_digest text               -- SHA-256 of its bearer token for the HTTP door; null: MLLP and files only
);
create unique index if not exists sender_by_token on sender (token_digest);

create table if not exists inbound_message (
    id integer primary key,
    sender text not null,
    control_id text not null,
    digest text not null,           -- SHA-256 of the bytes as they came
    format text not null,
    kind text not null,
    status text not null,           -- taken, refused, conflict, repaired
    sent_at text,
    sequence integer,
    received_at text not null,
    events integer not null default 0,
    error text,                     -- what was wrong, located, as JSON
    answer blob,                    -- the acknowledgement given, so that a duplicate gets the same
    original blob                   -- the bytes as they came, packed: see database/packing.py
);
create unique index if not exists inbound_message_once on inbound_message (sender, control_id) where status = 'taken';
create index if not exists inbound_message_other on inbound_message (sender, control_id) where status <> 'taken';
create index if not exists inbound_message_status on inbound_message (status, id) where status <> 'taken';

create table if not exists gap (
    sender text not null,
    sequence integer not null,      -- a number the sender must have used for a message we never saw
    noticed_at text not null,
    primary key (sender, sequence)
);

create table if not exists highest_sequence (
    sender text primary key,
    sequence integer not null
);
