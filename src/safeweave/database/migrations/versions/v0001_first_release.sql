-- The tables of version 0.1.0, as it made them.

-- What happened, and what is still to be done about it.

create table if not exists event (
    id integer primary key,
    kind text not null,
    subject text not null,          -- whose story it belongs to: "sender/visit", a case, a payout
    told_at text not null,
    payload text not null           -- the event as JSON
);
create index if not exists event_by_subject on event (subject, id);

create table if not exists task (
    id integer primary key,
    lane text not null,             -- "" for work inside one transaction, else the outsider it calls
    event integer not null,
    handler text not null,          -- "" for all that follows an event, else the one outside call
    due_at text not null,
    tries integer not null default 0,
    parked text                     -- the error in words, if it cannot be handled; a person looks
);
create index if not exists task_due on task (lane, due_at, id) where parked is null;
create index if not exists task_parked on task (id) where parked is not null;

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
    determination text not null,    -- which made it; "opening" for what was used before the policy came here
    scope text not null,            -- a policy year's first day, or "lifetime"
    kind text not null,             -- deductible and limit in fen, days, count
    id text not null,
    amount integer not null,
    reverses text not null default '',  -- the determination that is taken back
    primary key (policy, person, determination, scope, kind, id, reverses)
);
create index if not exists usage_addition_by on usage_addition (determination);
create index if not exists usage_addition_reversed on usage_addition (reverses) where reverses <> '';

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
    original blob                   -- the bytes as they came, deflated
);
create unique index if not exists inbound_message_once on inbound_message (sender, control_id) where status = 'taken';
create index if not exists inbound_message_key on inbound_message (sender, control_id);
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
    visit text not null,
    primary key (sender, kind, value)
);

create table if not exists claim_case (
    id text primary key,
    person text not null,
    sender text not null,
    visit text not null,
    stage text not null,
    stay text not null,             -- the folded stay as JSON
    opened_at text not null,
    completed_at text,
    version integer not null
);
create index if not exists claim_case_by_person on claim_case (person);
create index if not exists claim_case_by_stage on claim_case (stage);

create table if not exists case_step (
    id integer primary key,
    case_id text not null,
    at text not null,
    happening text not null,
    stage text not null,
    note text not null default ''
);
create index if not exists case_step_by_case on case_step (case_id);

create table if not exists clock (
    id integer primary key,
    case_id text not null,
    kind text not null,             -- decision, payment, refusal_notice, advance, papers
    started_at text not null,
    due_on text not null,
    paused_at text,
    paused_days integer not null default 0,
    stopped_at text,
    next_mark_at text,              -- when the next alarm rings; null: none left
    marked integer not null default 0
);
create unique index if not exists clock_running on clock (case_id, kind) where stopped_at is null;
create index if not exists clock_next on clock (next_mark_at) where stopped_at is null and paused_at is null;

create table if not exists product_version (
    digest text primary key,
    product text not null,
    body text not null,             -- the product file as it was when it decided
    body_digest text not null,      -- SHA-256 of the body, comments and all
    first_used_at text not null
);

create table if not exists determination (
    id text primary key,
    case_id text not null,
    policy text not null,
    person text not null,
    sequence integer not null,      -- of this person under this policy: the order in which usage was counted
    product text not null,
    product_digest text not null,
    engine text not null,           -- adjudication.ENGINE_VERSION
    claim text not null,            -- the facts, as JSON
    cover text not null,
    overlays text not null,
    usage_before text not null,
    result text not null,           -- the machine's Determination as JSON
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
    facts_digest text not null,
    digest text not null            -- SHA-256 over all of the above that never changes
);
create unique index if not exists determination_once on determination (policy, person, sequence);
create index if not exists determination_by_case on determination (case_id);
create index if not exists determination_in_force on determination (policy, person) where in_force = 1;
create index if not exists determination_waiting on determination (made_at) where waiting = 1;

create table if not exists paid_bill (
    bill text not null,             -- 票据代码-票据号码, of anybody insured here
    determination text not null,
    case_id text not null,
    primary key (bill, determination)
);

create table if not exists payout (
    id text primary key,  -- also the one key the bank knows it by (EndToEndId)
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
    instructed_at text not null  -- when the payment instruction was committed; measured, not decided by
);

-- What people were told. A letter keeps only what is not in its determination, which never changes.
create table if not exists letter (
    id text primary key,
    case_id text not null,
    determination text,             -- null: referred before anything could be determined
    language text not null,         -- of the person written to; a letter can be shown in both
    kind text not null,
    content text not null,          -- LetterFacts as JSON, without what the determination holds
    made_at text not null
);
create index if not exists letter_of_case on letter (case_id);
create index if not exists letter_of_determination on letter (determination) where determination is not null;

create table if not exists message (
    id text primary key,
    change text not null,           -- what happened, such as paid:det_7k...
    channel text not null,          -- sms, email, wechat; desk: an alarm to the insurer's own people
    person text not null,
    case_id text not null,
    occasion text not null,
    language text not null,
    address text not null,
    subject text not null,
    body text not null,
    amount text not null,
    told_at text not null,
    delivered_at text,
    receipt text not null default '',
    fault text not null default '', -- why it can never be delivered
    unique (change, channel)
);
create index if not exists message_of_case on message (case_id);
create index if not exists message_undeliverable on message (told_at) where fault <> '';
