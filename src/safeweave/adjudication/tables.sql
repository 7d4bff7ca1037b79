create table if not exists product_version (
    digest text primary key,
    product text not null,
    body text not null,             -- the product file as it was when it decided
    body_digest text not null,      -- SHA-256 of the body, comments and all
    first_used_at text not null
);

create table if not exists determination (
    id text primary key,
    shard text not null,            -- ids.person_key of its id
    case_id text not null,
    policy text not null,
    person text not null,
    sequence integer not null,      -- of this person under this policy: the order in which usage was counted
    product text not null,
    decision text not null,         -- what was decided in the end: the machine's word, or a person's
    decided_by text not null,       -- "machine", or who
    note text not null default '',  -- the person's reason
    holds text not null default '', -- why the machine held back what the rules would release: codes, comma between
    payable integer not null,
    settled text,                   -- what it leaves behind, while in force
    in_force integer not null,
    waiting integer not null,       -- 1 while a person is to decide
    supersedes text,
    made_at text not null,
    digest text not null,           -- SHA-256 over all that never changes
    kept blob not null              -- claim, cover, overlays, usage before and result as JSON, the product's digest and
                                    -- adjudication.ENGINE_VERSION, 0x1e between them; packed, see database/packing.py
);
create unique index if not exists determination_once on determination (policy, person, sequence);
create index if not exists determination_by_case on determination (case_id);
create index if not exists determination_waiting on determination (made_at) where waiting = 1;

create table if not exists paid_bill (
    bill text not null,             -- 票据代码-票据号码, of anybody insured here
    determination text not null,
    case_id text not null,
    primary key (bill, determination)
);
