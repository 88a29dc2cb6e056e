-- What the workbook's user of the PgSTAC database may do. Run this in that database as a superuser;
-- it can be run again. Then make the user, and name it in the target's section `catalog`:
--
--   psql -d DATABASE -v ON_ERROR_STOP=1 -f database-role.sql
--   psql -d DATABASE -c "create role dedl_workbook login connection limit 10 in role dedl_catalog"
--   psql -d DATABASE -c '\password dedl_workbook'
--
-- It loads and deletes collections and items. It owns no table, so it can't change or drop any but
-- by PgSTAC's own functions; it is no pgstac_admin, and sees no other schema. PgSTAC has no rights
-- for single collections: the workbook itself keeps to the ticket's.
begin;

do $$
begin
    create role dedl_catalog nologin;
exception
    when duplicate_object then null;
end
$$;

grant pgstac_ingest to dedl_catalog;

-- ANALYZE is for owners only, and a search of a collection that was just loaded needs it. Without
-- this the workbook leaves it to autovacuum, and says so. Geometries are left to it anyway: PostGIS
-- takes a second for a partition, and autovacuum counts them as still to be done.
create schema if not exists dedl;
revoke all on schema dedl from public;
grant usage on schema dedl to dedl_catalog;

create or replace function dedl.analyze_collection(collection text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    name text;
begin
    for name in
        select partition from pgstac.partition_stats s
        where s.collection = analyze_collection.collection order by partition
    loop
        execute format('analyze pgstac.%I (id, collection, datetime, end_datetime)', name);
    end loop;
end
$$;

alter function dedl.analyze_collection owner to pgstac_admin;
revoke all on function dedl.analyze_collection from public;
grant execute on function dedl.analyze_collection to dedl_catalog;

commit;
