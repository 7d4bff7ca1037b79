-- Safeweave's tables on Citus (12.1 or later, PostgreSQL 15 or 16): run once, on the coordinator, over a fresh store.
--
--     SAFEWEAVE_DATABASE=postgresql://... safeweave store migrate     makes the tables
--     psql --set ON_ERROR_STOP=1 --single-transaction --file citus.sql "$SAFEWEAVE_DATABASE"
--
-- It has not been run on Citus, only against stand-ins for its rules (tests/deploy/test_citus.py).
-- What is missing, and how to verify: docs/guides/scale_out.md, "Distributed PostgreSQL".
-- Citus wants the distribution column in every primary key and unique index of a table, and foreign keys only between
-- rows that lie together. The first part makes it so, the second spreads the tables.


-- ---------------------------------------------------------------- keys

-- A row's own id says its shard, so a wider key forbids exactly what the narrow one forbade.
-- The id stays in front: look-ups by id alone go on using the index. Where a statement names the key it writes under
-- (claim_case, clock_running), the tables have it with the shard from the start.
alter table case_step drop constraint case_step_pkey, add primary key (id, shard);
alter table clock drop constraint clock_pkey, add primary key (id, shard);
alter table determination drop constraint determination_pkey, add primary key (id, shard);
drop index determination_once;
create unique index determination_once on determination (person, policy, sequence, shard);
alter table usage_addition drop constraint usage_addition_pkey,
    add primary key (person, policy, determination, scope, kind, id, reverses, shard);
alter table payout drop constraint payout_pkey, add primary key (id, shard);
alter table payout drop constraint payout_determination_attempt_key, add unique (determination, attempt, shard);
alter table recovery drop constraint recovery_pkey, add primary key (id, shard);
alter table journal_entry drop constraint journal_entry_pkey, add primary key (booking, no, shard);
alter table letter drop constraint letter_pkey, add primary key (id, shard);
alter table message drop constraint message_pkey, add primary key (id, shard);
alter table payout_timing drop constraint payout_timing_pkey, add primary key (payout, shard);

-- Numbers come from one sequence on the coordinator, so they stay unique over all shards.
alter table event drop constraint event_pkey, add primary key (id, subject);
alter table inbound_message drop constraint inbound_message_pkey, add primary key (id, sender);
alter table insured_change drop constraint insured_change_pkey, add primary key (seq, person);
alter table payee_change drop constraint payee_change_pkey, add primary key (seq, person);

-- The importer writes both ends of these in one transaction that is alone; across shards nobody could check them, and
-- towards reference tables they would make Citus write one shard after another.
alter table policy_change drop constraint policy_change_policy_fkey;
alter table insured_change drop constraint insured_change_policy_fkey;
alter table payee_change drop constraint payee_change_policy_fkey;
alter table person_document drop constraint person_document_person_fkey;
alter table person_alias drop constraint person_alias_person_fkey;
alter table person_guardian drop constraint person_guardian_guardian_fkey;
-- Nor can tables of the coordinator refer to rows that are spread.
alter table consent_grant drop constraint consent_grant_person_fkey;
alter table consent_asking drop constraint consent_asking_person_fkey;
alter table delegation drop constraint delegation_person_fkey;


-- ---------------------------------------------------------------- the same on every node

-- Queries that every shard answers for itself call it there.
select create_distributed_function('json_extract(text, text)');

-- Short lists that many rows are read against, changed rarely and by transactions that are alone (but for wordings,
-- of which there are some hundreds in all). Every node keeps a copy, so they can be joined with anything.
select create_reference_table('hospital');
select create_reference_table('sender');
select create_reference_table('product_version');
select create_reference_table('wording');
-- Group policies are short beside their insureds. With more than some 100 million policies distribute these two by
-- policy instead; then the joins of coverage/store.py with policy must become two statements.
select create_reference_table('policy');
select create_reference_table('policy_change');


-- ---------------------------------------------------------------- by person: shard, the person's six characters in the id

-- A case, its usage, its decisions, its money and its letters lie on one node: what is decided is read there, and the
-- unique indexes above still fence two decisions against the same usage (determination_once).
select create_distributed_table('claim_case', 'shard', colocate_with => 'none', shard_count => 128);
select create_distributed_table('case_step', 'shard', colocate_with => 'claim_case');
select create_distributed_table('clock', 'shard', colocate_with => 'claim_case');
select create_distributed_table('determination', 'shard', colocate_with => 'claim_case');
select create_distributed_table('usage_addition', 'shard', colocate_with => 'claim_case');
select create_distributed_table('payout', 'shard', colocate_with => 'claim_case');
select create_distributed_table('recovery', 'shard', colocate_with => 'claim_case');
select create_distributed_table('journal_entry', 'shard', colocate_with => 'claim_case');
select create_distributed_table('letter', 'shard', colocate_with => 'claim_case');
select create_distributed_table('message', 'shard', colocate_with => 'claim_case');
select create_distributed_table('payout_timing', 'shard', colocate_with => 'claim_case');


-- ---------------------------------------------------------------- by person: the whole id, who somebody is

select create_distributed_table('person', 'id', colocate_with => 'none', shard_count => 128);
select create_distributed_table('person_name', 'person', colocate_with => 'person');
select create_distributed_table('person_guardian', 'ward', colocate_with => 'person');
select create_distributed_table('person_change', 'person', colocate_with => 'person');
select create_distributed_table('insured_change', 'person', colocate_with => 'person');
select create_distributed_table('payee_change', 'person', colocate_with => 'person');


-- ---------------------------------------------------------------- by what is looked up

-- One number leads to one person: only where equal numbers meet on one shard can the primary key say so.
select create_distributed_table('person_document', 'lookup', colocate_with => 'none', shard_count => 128);
select create_distributed_table('person_alias', 'number', colocate_with => 'none', shard_count => 128);
-- Whether anybody was paid for this bill: asked by bill, whoever is insured.
select create_distributed_table('paid_bill', 'bill', colocate_with => 'none', shard_count => 128);


-- ---------------------------------------------------------------- by what hospitals told

-- Facts of one visit, read together whenever its case is folded. By visit and not by hospital, so that the largest
-- hospital is no heavier than any other.
select create_distributed_table('event', 'subject', colocate_with => 'none', shard_count => 128);
-- A hospital's messages and numbers: each is once for its sender, which the keys say already.
select create_distributed_table('inbound_message', 'sender', colocate_with => 'none', shard_count => 128);
select create_distributed_table('visit', 'sender', colocate_with => 'inbound_message');
select create_distributed_table('visit_alias', 'sender', colocate_with => 'inbound_message');
select create_distributed_table('awaited_name', 'sender', colocate_with => 'inbound_message');
select create_distributed_table('gap', 'sender', colocate_with => 'inbound_message');
select create_distributed_table('highest_sequence', 'sender', colocate_with => 'inbound_message');


-- ---------------------------------------------------------------- by payment, what banks told

select create_distributed_table('bank_notice', 'id', colocate_with => 'none', shard_count => 32);
select create_distributed_table('bank_file_entry', 'id', colocate_with => 'bank_notice');
select create_distributed_table('bank_file_payment', 'key', colocate_with => 'bank_notice');


-- ---------------------------------------------------------------- on the coordinator alone

-- stays here: task                 workers lock its rows (for update skip locked), which Citus allows on one shard only;
--                                  a row lives for milliseconds, so the table stays small whatever the load
-- stays here: outsider             a row for each outsider that does not answer
-- stays here: bank_notice_cursor   a row for each bank
-- stays here: bank_file            a row for each file
-- stays here: bank_file_notice     numbered in one row, and each once for its bank: two keys with nothing in common
-- stays here: book_settlement      the same; settlement by book entry is for back-testing, not for a nation

-- Consents, and what is delivered to other members: few rows beside claims, so far. Many consents would be spread by
-- the person, with the person in each of their keys.
-- stays here: consent_grant
-- stays here: consent_revocation
-- stays here: consent_asking
-- stays here: consent_choice
-- stays here: consent_entry
-- stays here: consent_salt
-- stays here: consent_erasure
-- stays here: record_read
-- stays here: member_contact
-- stays here: outgoing
-- stays here: incoming
-- stays here: incoming_refused
-- stays here: piece
-- stays here: anchor_leaf
-- stays here: anchor_batch
-- stays here: bill_ticket
-- stays here: ticket_wait
-- stays here: ledger_claim
-- stays here: bill_operation
-- stays here: opened_document
-- stays here: consented_visit
-- stays here: determination_anchor
-- stays here: patient_visit
-- stays here: hand_over

-- The pages, and what people ask there: few rows beside claims. Many views (page_view) would be spread by the person.
-- stays here: account
-- stays here: page_session
-- stays here: sign_in_code
-- stays here: passkey
-- stays here: passkey_challenge
-- stays here: form_sent
-- stays here: form_kept
-- stays here: rate
-- stays here: page_view
-- stays here: page_notice
-- stays here: desk_draft
-- stays here: desk_act
-- stays here: delegation
-- stays here: case_request
-- stays here: tally
-- stays here: tally_case
-- stays here: tally_place
-- stays here: tally_sender
-- stays here: what_if
-- stays here: what_if_part
-- stays here: again
-- stays here: again_case
-- stays here: api_client
-- stays here: api_token
-- stays here: api_assertion
-- stays here: api_answer
-- stays here: subscription
-- stays here: subscription_event
-- stays here: subscription_place
-- stays here: case_file
-- stays here: case_file_piece
-- stays here: agent_act
