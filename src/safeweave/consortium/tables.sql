-- What goes to other members and what came from them, sealed; and the hashes of both on their way to the ledger.

create table if not exists member_contact (
    member text primary key,
    name text not null,
    url text not null               -- counts only while the ledger holds its hash
);

create table if not exists outgoing (
    id text primary key,
    recipient text not null,
    exchange text not null,
    sequence integer not null,      -- counts from 1 for each recipient and exchange
    consent text not null,
    kind text not null,
    state text not null,            -- queued (not sealed yet), sealed, received, refused (a person looks), stopped (its consent ended)
    size integer not null,          -- of the content
    content text not null,          -- SHA-256 of the content
    queued_at text not null,
    due_at text not null,
    tries integer not null default 0,
    why text,                       -- what the last try came to, as JSON
    envelope text,                  -- digest of the sealed envelope
    cover blob,                     -- the envelope without its content, as JSON
    head_time integer,              -- the ledger's time when the consent was checked for sealing
    settled_at text,                -- when it was received or stopped
    receipt blob                    -- signed by the recipient, as JSON; with its path once it is anchored
);
create unique index if not exists outgoing_place on outgoing (recipient, exchange, sequence);
create index if not exists outgoing_unfinished on outgoing (recipient, exchange, sequence)
    where state in ('queued', 'sealed', 'refused');
create index if not exists outgoing_due on outgoing (recipient, due_at) where state in ('queued', 'sealed');

create table if not exists incoming (
    id text primary key,
    sender text not null,
    exchange text not null,
    sequence integer not null,
    consent text not null,
    kind text not null,
    state text not null,            -- held (an earlier number is missing), taken
    envelope text not null,
    cover blob not null,
    arrived_at text not null,
    taken_at text,
    receipt blob
);
create unique index if not exists incoming_place on incoming (sender, exchange, sequence);
create index if not exists incoming_envelope on incoming (envelope);
create index if not exists incoming_held on incoming (sender, exchange, sequence) where state = 'held';

create table if not exists incoming_refused (
    envelope text not null,         -- digest; its sender signed it
    code text not null,
    sender text not null,
    exchange text not null,
    sequence integer not null,
    why text not null,
    cover blob not null,            -- proof of who sent it
    times integer not null,
    refused_at text not null,       -- the last time
    primary key (envelope, code)
);
create index if not exists incoming_refused_by on incoming_refused (sender);

-- The content of what is not sealed yet, the bytes of what is sealed or held; in pieces, so that no one reads all at once.
create table if not exists piece (
    of text not null,
    number integer not null,
    bytes blob not null,
    primary key (of, number)
);

create table if not exists anchor_leaf (
    id integer primary key,
    digest text not null,
    what text not null,             -- envelope (sealed here), receipt (given to us), given (by us), determination
    of text not null,               -- the outgoing, incoming or determination it belongs to
    made_at text not null,
    batch integer                   -- null: not on its way yet
);
create index if not exists anchor_leaf_waiting on anchor_leaf (id) where batch is null;
create index if not exists anchor_leaf_of_batch on anchor_leaf (batch, id);
create index if not exists anchor_leaf_of on anchor_leaf (of, what);

create table if not exists anchor_batch (
    id integer primary key,
    stream text not null,
    sequence integer not null,
    root text not null,
    count integer not null,
    operation blob not null,        -- signed, as JSON; the same however often it is handed in
    state text not null,            -- open, final
    tries integer not null default 0,
    due_at text not null,
    why text,
    height integer,
    time integer
);
create index if not exists anchor_batch_open on anchor_batch (id) where state = 'open';

-- What hospitals let us reserve on the ledger, and what we put there about bills.

create table if not exists bill_ticket (
    bill text not null,             -- the bill key code-number
    part integer not null,
    issuer text not null,           -- the hospital, as a member
    nullifier text not null,        -- what the ledger knows the bill by
    ticket blob not null,
    proof blob not null,            -- of the nullifier (VRF)
    taken_at text not null,
    primary key (bill, part)
);

create table if not exists ticket_wait (
    case_id text not null,
    bill text not null,             -- whose ticket has not come
    since text not null,
    primary key (case_id, bill)
);
create index if not exists ticket_wait_for on ticket_wait (bill);

create table if not exists ledger_claim (
    case_id text primary key,
    salt blob not null,
    commitment text not null        -- what the ledger knows the case by
);

create table if not exists bill_operation (
    id text primary key,            -- of the operation on the ledger
    case_id text not null,
    kind text not null,             -- reserve, settle, release
    operation blob not null,
    items text not null,            -- bill key and item, as JSON
    state text not null,            -- open, final, refused; over: a renewal of what is not held any more
    results text,                   -- for each bill, as JSON
    why text,
    number integer,                 -- of its entry
    renews integer not null default 0,
    made_at text not null,
    held_until text
);
create index if not exists bill_operation_of on bill_operation (case_id);
create index if not exists bill_operation_held on bill_operation (held_until) where held_until is not null;

-- What an insurer has opened: of whom it tells, and whether it may be used. Without a consent it is locked.

create table if not exists opened_document (
    id text primary key,            -- under which the content is kept, if it is
    sender text not null,
    exchange text not null,
    sequence integer not null,
    kind text not null,
    entry text not null,            -- the consent on the ledger under which it came
    visit text not null,            -- of the hospital; empty if it names none
    person text,                    -- null: nobody known here
    kinds text not null,            -- of data, with commas between
    state text not null,            -- taken, locked, destroyed
    why text,                       -- why it is locked, as JSON
    tries integer not null default 0,
    opened_at text not null,
    due_at text,                    -- when a locked one is asked about again
    kept_until text,                -- when a locked one is destroyed; null: it is kept, under lock
    settled_at text
);
create index if not exists opened_document_of on opened_document (sender, visit);
create index if not exists opened_document_in on opened_document (sender, exchange);
create index if not exists opened_document_locked on opened_document (person) where state = 'locked';
create index if not exists opened_document_due on opened_document (due_at) where state = 'locked';
create index if not exists opened_document_kept on opened_document (kept_until) where state = 'locked';

-- The insurer's own consents under which papers of a visit were taken, and how each has ended.
create table if not exists consented_visit (
    sender text not null,
    visit text not null,
    consent text not null,
    person text not null,
    named text not null,            -- the visit as consents name it
    kinds text not null,            -- of data that were taken under it, with commas between
    until text not null,            -- when it ends by itself
    state text not null,            -- holds, ended, renewed (another consent has taken its place)
    ending text,                    -- expired, revoked, lapsed, retake
    asked_at text not null,
    primary key (sender, visit, consent)
);
create index if not exists consented_visit_until on consented_visit (until) where state = 'holds';
create index if not exists consented_visit_of on consented_visit (person);
create index if not exists consented_visit_under on consented_visit (consent);

-- What a determination is known by on the ledger: a commitment, and the salt and document that open it.
create table if not exists determination_anchor (
    determination text primary key,
    case_id text not null,
    salt blob not null,
    suite text not null,
    document text not null,         -- what was committed to, as JSON
    commitment text not null
);
create index if not exists determination_anchor_of on determination_anchor (case_id);

-- A hospital's: whose its visits are, and what of each was handed over to whom.

create table if not exists patient_visit (
    person text not null,
    sender text not null,
    visit text not null,
    primary key (person, sender, visit)
);

create table if not exists hand_over (
    id text primary key,            -- of the delivery
    person text not null,
    sender text not null,
    visit text not null,
    recipient text not null,
    exchange text not null,
    consent text not null,          -- under which it went
    kinds text not null,            -- of data that it may hold, as JSON
    events text not null,           -- numbers of those it tells, as JSON
    bills text not null             -- those it gives tickets for, each with its number on the ledger, as JSON
);
create index if not exists hand_over_of on hand_over (sender, visit);
