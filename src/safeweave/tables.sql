-- What hospitals told, the work still to be done about it, and how those whom we call outside are doing.

create table if not exists event (
    id integer primary key,         -- the number of its last event; those told with it are numbered just below
    kind text not null,             -- of each of them, comma between
    subject text not null,          -- the visit it tells of: "sender/visit"; "sender/" if it names none, "/its number"
                                    -- once it was looked at and leads to none
    told_at text not null,
    payload blob not null           -- the event as JSON, or a list of several; packed, see database/packing.py
);
create index if not exists event_by_subject on event (subject, id);

create table if not exists task (
    id integer primary key,
    lane text not null,             -- "" for work inside a transaction, else the outsider it calls
    queue text not null,            -- the sender whose turn it uses; "" for what follows from work done already
    key text not null,              -- what must be held while it is done: a visit, or the person it belongs to
    kind text not null,
    payload text not null,          -- the event that somebody has to act on, as JSON
    handler text not null,          -- "" for all that follows an event, else the one outside call
    due_at text not null,
    tries integer not null default 0,
    parked text                     -- the error in words, if it cannot be handled; a person looks
);
create index if not exists task_due on task (lane, queue, due_at, id) where parked is null;
create index if not exists task_by_key on task (key, due_at) where lane = '' and parked is null;
create index if not exists task_parked on task (id) where parked is not null;

create table if not exists outsider (
    lane text primary key,
    failures integer not null,      -- calls in a row without an answer
    open_until text not null,       -- until then nobody calls
    error text not null,            -- what the last call came to
    since text not null             -- of the first of these failures
);
