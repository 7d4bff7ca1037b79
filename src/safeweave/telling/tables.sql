-- What people were told. A letter keeps only what is not in its determination, which never changes.
create table if not exists letter (
    id text primary key,
    shard text not null,            -- ids.person_key of its id
    case_id text not null,
    determination text,             -- null: referred before anything could be determined
    language text not null,         -- of the person written to; a letter can be shown in both
    kind text not null,
    content blob not null,          -- LetterFacts as JSON, without what the determination holds; packed
    made_at text not null
);
create index if not exists letter_of_case on letter (case_id);
create index if not exists letter_of_determination on letter (determination) where determination is not null;

-- The words messages were told in, each kept once and never changed; {name}, {amount} and such are places to fill in.
create table if not exists wording (
    id text primary key,
    subject text not null,
    body text not null
);

create table if not exists message (
    id text primary key,
    shard text not null,            -- ids.person_key of its id
    change text not null,           -- what happened, such as paid:det_7k...
    channel text not null,          -- sms, email, wechat; desk: an alarm to the insurer's own people
    person text not null,
    case_id text not null,
    occasion text not null,
    language text not null,
    address text not null,
    wording text,                   -- the words it was told in; null: subject and body are the words themselves
    subject text not null,
    body text not null,             -- with a wording: what stands in its places, as a JSON list; "" for nothing
    amount text not null,
    told_at text not null,
    delivered_at text,
    receipt text not null default '',
    fault text not null default ''  -- why it can never be delivered
);
create index if not exists message_of_case on message (case_id);
create index if not exists message_undeliverable on message (told_at) where fault <> '';
