-- What was promised to whom. Nothing is changed in place: every row is an addition with its instant, the latest counts.

create table if not exists policy (
    id text primary key,
    number text not null unique,
    product text not null,
    holder text,                    -- a person (or organisation) of people
    bank text not null,             -- which adapter pays
    added_at text not null
);

create table if not exists policy_change (
    seq integer primary key,
    policy text not null references policy (id),
    person text,                    -- null: everybody insured under the policy
    kind text not null,             -- period, lapse, reinstatement, cancellation, void
    first_day text not null,
    last_day text,
    since text,
    reason text not null default '',
    added_at text not null
);
create index if not exists policy_change_of on policy_change (policy, person, seq);

create table if not exists insured_change (
    seq integer primary key,
    policy text not null references policy (id),
    person text not null,
    relation text not null,
    enrolled integer not null,
    beneficiary text,
    roster_first_day text,
    roster_last_day text,
    moved_to text,                  -- the person this one was merged into; the rows were added again under that id
    added_at text not null
);
create index if not exists insured_change_of on insured_change (person, policy);
create index if not exists insured_change_by_policy on insured_change (policy, person);

create table if not exists payee_change (
    seq integer primary key,
    policy text not null references policy (id),
    person text not null,           -- the insured whose benefits are paid
    role text not null,             -- insured, guardian, estate, beneficiary
    name text not null,
    account text not null,
    bank_code text not null,
    added_at text not null
);
create index if not exists payee_change_of on payee_change (policy, person, role);

-- What each determination used up; taking it back adds the exact negatives.
create table if not exists usage_addition (
    policy text not null,
    person text not null,
    shard text not null,            -- ids.person_key of the person's id
    determination text not null,    -- which made it; "opening" for what was used before the policy came here
    scope text not null,            -- a policy year's first day, or "lifetime"
    kind text not null,             -- deductible and limit in fen, days, count
    id text not null,
    amount integer not null,
    reverses text not null default '',  -- the determination that is taken back
    primary key (person, policy, determination, scope, kind, id, reverses)
);
create index if not exists usage_addition_by on usage_addition (determination);
create index if not exists usage_addition_reversed on usage_addition (reverses) where reverses <> '';
