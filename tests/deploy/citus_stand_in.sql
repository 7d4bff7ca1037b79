-- Citus as far as its rules for tables go: the functions of deploy/citus.sql by their names, on plain PostgreSQL. They
-- spread nothing; they refuse what Citus refuses when a table is distributed (its documentation, "Creating and Modifying
-- Distributed Objects", and its own messages).

create table spread (
    relation regclass primary key,
    how text not null,              -- reference, or by hash of a column
    by_column name,
    along_with regclass             -- the first table of those whose equal values lie together
);

create function create_distributed_function(named regprocedure) returns void language sql as $$ $$;

create function create_reference_table(relation regclass) returns void language plpgsql as $$
begin
    insert into spread values (relation, 'reference');
    perform check_foreign_keys(relation);
end
$$;

create function create_distributed_table(
    relation regclass, distribution_column text, distribution_type text default 'hash',
    colocate_with text default 'default', shard_count int default null
) returns void language plpgsql as $$
declare
    found pg_attribute;
    first regclass := relation;
    other pg_attribute;
    broken text;
begin
    select * into found from pg_attribute where attrelid = relation and attname = distribution_column;
    if found.attname is null or found.attgenerated <> '' then
        raise exception 'cannot distribute %: % is no plain column of it', relation, distribution_column;
    end if;
    if not found.attnotnull then
        raise exception 'cannot distribute %: rows without % have no shard', relation, distribution_column;
    end if;
    if colocate_with not in ('none', 'default') then
        select along_with into first from spread where spread.relation = colocate_with::regclass;
        select a.* into other from spread s join pg_attribute a on a.attrelid = s.relation and a.attname = s.by_column
            where s.relation = colocate_with::regclass;
        if other.attname is null then
            raise exception 'cannot distribute %: % is not distributed', relation, colocate_with;
        end if;
        if (found.atttypid, found.attcollation) is distinct from (other.atttypid, other.attcollation) then
            raise exception 'cannot distribute % with %: their columns differ in type or collation', relation, colocate_with;
        end if;
        if shard_count is not null then
            raise exception 'cannot distribute %: shard_count and colocate_with exclude each other', relation;
        end if;
    end if;
    select indexrelid::regclass::text into broken from pg_index
        where indrelid = relation and (indisunique or indisexclusion)
        and not found.attnum = any ((indkey::int2[])[0:indnkeyatts - 1]);
    if broken is not null then
        raise exception 'cannot distribute %: its unique index % lacks %', relation, broken, distribution_column;
    end if;
    insert into spread values (relation, 'hash', distribution_column, first);
    perform check_foreign_keys(relation);
end
$$;

-- To a reference table from anywhere; else only between tables that lie together, by the columns they are spread by.
create function check_foreign_keys(of_table regclass) returns void language plpgsql as $$
declare
    link record;
begin
    for link in
        select c.conname, c.conrelid, c.confrelid, here.how as from_how, there.how as to_how,
            here.along_with = there.along_with and exists (
                select from unnest(c.conkey, c.confkey) as pair (own, referred)
                join pg_attribute a on a.attrelid = c.conrelid and a.attnum = own and a.attname = here.by_column
                join pg_attribute b on b.attrelid = c.confrelid and b.attnum = referred and b.attname = there.by_column
            ) as together
        from pg_constraint c left join spread here on here.relation = c.conrelid
        left join spread there on there.relation = c.confrelid
        where c.contype = 'f' and of_table in (c.conrelid, c.confrelid)
    loop
        if link.to_how = 'reference' then
            continue;
        end if;
        if link.to_how is null and link.from_how is not null and of_table = link.conrelid then
            raise exception 'cannot distribute %: % refers to a table that is not distributed', of_table, link.conname;
        end if;
        if link.from_how = 'reference' or (link.from_how = 'hash' and link.to_how = 'hash' and not link.together) then
            raise exception 'cannot distribute %: the rows that % links may lie on two nodes', of_table, link.conname;
        end if;
    end loop;
end
$$;
