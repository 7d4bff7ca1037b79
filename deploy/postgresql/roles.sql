-- Roles with the least rights that do. Once, as the superuser, on the primary (then \password each of them):
--     psql --set ON_ERROR_STOP=1 --file roles.sql

create role safeweave_owner login;                      -- owns the tables: safeweave store migrate
create role safeweave login connection limit 250;       -- doors and workers
create role safeweave_reader login connection limit 20; -- reports
create role safeweave_replica login replication;        -- replicas and pg_basebackup

create database safeweave owner safeweave_owner template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8';
revoke all on database safeweave from public;
grant connect on database safeweave to safeweave, safeweave_reader;

\connect safeweave
revoke all on schema public from public;
grant create, usage on schema public to safeweave_owner;
grant usage on schema public to safeweave, safeweave_reader;
create extension if not exists pg_stat_statements;

-- Rows may be added, read and changed, never a table; nothing here may be dropped or truncated by doors and workers.
alter default privileges for role safeweave_owner in schema public
    grant select, insert, update, delete on tables to safeweave;
alter default privileges for role safeweave_owner in schema public
    grant usage, select, update on sequences to safeweave;
alter default privileges for role safeweave_owner in schema public
    grant select on tables to safeweave_reader;
alter default privileges for role safeweave_owner revoke execute on functions from public;
alter default privileges for role safeweave_owner in schema public
    grant execute on functions to safeweave, safeweave_reader;
