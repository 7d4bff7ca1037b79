create table if not exists payout (
    id text primary key,  -- also the one key the bank knows it by (EndToEndId)
    shard text not null,  -- ids.person_key of its id
    case_id text not null,
    determination text not null,
    policy text not null,
    person text not null,
    role text not null,  -- whose account: insured, guardian, estate, beneficiary
    amount_fen bigint not null check (amount_fen > 0),
    bank text not null,
    state text not null,
    reason text not null default '',
    attempt integer not null default 1,
    replaced_by text,  -- the payout that pays again what this one could not
    name text not null default '',  -- what was sent, pinned before the first call so that a key never changes its content
    account text not null default '',
    bank_code text not null default '',
    purpose text not null default '',
    asked integer not null default 0,
    ordered_at text not null,
    settled_at text,
    unique (determination, attempt)
);

create index if not exists payout_by_case on payout (case_id);

create index if not exists payout_open on payout (state, ordered_at) where state <> 'paid';

create table if not exists recovery (
    id text primary key,
    shard text not null,  -- ids.person_key of its id
    case_id text not null,
    determination text not null,
    policy text not null,
    person text not null,
    amount_fen bigint not null check (amount_fen > 0),
    received_fen bigint not null default 0,
    opened_at text not null
);

create index if not exists recovery_by_case on recovery (case_id);

create table if not exists journal_entry (
    booking text not null,  -- what was booked and for what, such as payout_paid:pay_7k…
    no integer not null,
    account text not null,
    fen bigint not null check (fen <> 0),  -- debit positive, credit negative
    ref text not null,  -- the payout, recovery or bank reference
    shard text not null,  -- ids.person_key of the ref, so that a booking lies together
    reverses text,  -- the booking this one takes back
    booked_at text not null,
    primary key (booking, no)
);

create index if not exists journal_by_account on journal_entry (account);

create index if not exists journal_by_ref on journal_entry (ref);

create table if not exists bank_notice (
    bank text not null,
    id text not null,
    key text not null,
    kind text not null,
    amount_fen bigint not null,
    at text not null,
    reason text not null,
    known integer not null,  -- 0: its key names no payout of ours
    taken_at text not null,
    primary key (bank, id)
);

create table if not exists bank_notice_cursor (
    bank text primary key,
    seq bigint not null
);

create table if not exists book_settlement (
    seq bigint primary key,
    key text not null unique,
    content text not null,
    amount_fen bigint not null,
    booked_at text not null,
    booked_on text not null
);

create table if not exists bank_file (
    id text primary key,  -- MsgId
    bank text not null,
    content text not null,
    written_at text
);

create table if not exists bank_file_payment (
    key text primary key,
    bank text not null,
    content text not null,
    file text not null,
    amount_fen bigint not null,
    status text not null,
    reason text not null default '',
    at text
);

create table if not exists bank_file_entry (
    bank text not null,
    id text not null,
    kind text not null,
    key text not null,
    amount_fen bigint not null,
    booked_on text not null,
    reason text not null default '',
    primary key (bank, id)
);

create table if not exists bank_file_notice (
    seq bigint primary key,
    bank text not null,
    id text not null,
    kind text not null,
    key text not null,
    amount_fen bigint not null,
    at text not null,
    reason text not null,
    unique (bank, id)
);

create table if not exists payout_timing (
    payout text primary key,
    shard text not null,  -- ids.person_key of the payout's id
    instructed_at text not null  -- when the payment instruction was committed; measured, not decided by
);
