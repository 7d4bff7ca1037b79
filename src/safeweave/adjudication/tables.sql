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
create unique index if not exists determination_once on determination (person, policy, sequence);
create index if not exists determination_by_case on determination (case_id);
create index if not exists determination_waiting on determination (made_at) where waiting = 1;

create table if not exists paid_bill (
    bill text not null,             -- 票据代码-票据号码, of anybody insured here
    determination text not null,
    case_id text not null,
    primary key (bill, determination)
);

-- Decisions made again in bulk: one person asks, another approves; the same to undo them.
create table if not exists again (
    id text primary key,
    product text not null,
    product_digest text not null,   -- the terms they are decided under; the file is kept in product_version
    why text not null,
    wanted text not null,           -- which decisions: days, or cases, as JSON
    by_account text not null,
    by_name text not null,
    asked_at text not null,
    state text not null,            -- reading, proposed, rejected, approved, undo_proposed, undoing
    read_to text not null default '', -- the last case that was looked at for the preview
    looked integer not null default 0, -- how many paid cases were looked at
    answered_by text not null default '',
    answered_name text not null default '',
    answered_at text,
    answer text not null default '',
    undo_why text not null default '',
    undo_by text not null default '',
    undo_name text not null default '',
    undo_at text,
    undo_answered_by text not null default '',
    undo_answered_name text not null default '',
    undo_answered_at text
);
create index if not exists again_latest on again (asked_at);

-- The cases that change, and those that are left as they are although they might.
create table if not exists again_case (
    run text not null references again (id),
    no integer not null,            -- the order in which they are decided
    case_id text not null,
    person text not null,
    before text not null,           -- what stands, by policy, as JSON
    expected text not null,         -- what is to come out, by policy, as JSON
    before_fen integer not null,
    after_fen integer not null,
    waits_fen integer not null,     -- what would be paid of what goes to a person
    state text not null,            -- planned, decided, referred, left; undone, stays
    why text not null default '',   -- why it is left, or stays when the run is undone
    made text not null default '',  -- the determinations made for it, as JSON
    primary key (run, case_id)
);
create index if not exists again_case_in_turn on again_case (run, state, no);
create index if not exists again_case_of on again_case (run, person);
