create table if not exists hospital (
    code text not null,             -- 医保定点机构代码
    from_day text not null,         -- these attributes hold from this day on
    name text not null,
    name_en text not null,
    level integer,
    public integer,
    region text,
    primary key (code, from_day)
);

create table if not exists visit (
    sender text not null,
    visit text not null,
    person text,
    case_id text,
    waiting text,                   -- why there is no case: a reason code; shown in the inbox
    first_told_at text not null,
    primary key (sender, visit)
);
create index if not exists visit_waiting on visit (waiting) where waiting is not null;

create table if not exists visit_alias (
    sender text not null,
    kind text not null,             -- bill, settlement, medical_visit
    value text not null,
    visit text not null,            -- "" while papers wait for a visit that brings this name
    primary key (sender, kind, value)
);

create table if not exists awaited_name (
    sender text not null,
    kind text not null,
    value text not null,
    event integer not null,         -- a paper that names no visit and led to none when it was looked at
    primary key (sender, kind, value, event)
);

-- Tables of a person's things carry `shard`: what ids.person_key gives of the id they are of. A row is spread by it when
-- one server is not enough (deploy/citus.sql), so a key that rows are changed under has it too.

create table if not exists claim_case (
    id text not null,
    shard text not null,            -- of its id
    person text not null,
    sender text not null,
    visit text not null,
    stage text not null,
    stay text not null,             -- its hospital and the events it is folded from; in earlier builds the stay itself
    opened_at text not null,
    completed_at text,
    version integer not null,
    primary key (id, shard)
);
create index if not exists claim_case_by_person on claim_case (person);
create index if not exists claim_case_by_stage on claim_case (stage);
create index if not exists claim_case_opened on claim_case (opened_at, id);

create table if not exists case_step (
    id integer primary key,
    case_id text not null,
    shard text not null,            -- of the case's id
    at text not null,
    steps text not null             -- what happened then, as JSON: [happening, the stage after it, a note], ...
);
create index if not exists case_step_by_case on case_step (case_id);

create table if not exists clock (
    id integer primary key,
    case_id text not null,
    shard text not null,            -- of the case's id
    kind text not null,             -- decision, payment, refusal_notice, advance, papers
    started_at text not null,
    due_on text not null,
    paused_at text,
    paused_days integer not null default 0,
    stopped_at text,
    next_mark_at text,              -- when the next alarm rings; null: none left
    marked integer not null default 0
);
create unique index if not exists clock_running on clock (case_id, kind, shard) where stopped_at is null;
create index if not exists clock_of on clock (case_id);
create index if not exists clock_next on clock (next_mark_at) where stopped_at is null and paused_at is null;
create index if not exists clock_due on clock (due_on) where stopped_at is null;

-- What people ask about their case: that a person looks, or that a decision is looked at again.
create table if not exists case_request (
    id text primary key,
    case_id text not null,
    kind text not null,             -- person, objection
    words text not null,            -- what was said; nobody has to say anything
    asked_by text not null,         -- a person of the register
    asked_at text not null,
    answered_at text,
    answered_by text not null default '',
    answer text not null default ''
);
create index if not exists case_request_of on case_request (case_id);
create index if not exists case_request_open on case_request (asked_at) where answered_at is null;
