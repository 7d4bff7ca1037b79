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
