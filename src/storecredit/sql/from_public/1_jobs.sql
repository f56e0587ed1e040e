-- A database of the build whose tables were in `public`, as its migration 0014 left them, becomes one of
-- today: its rows become accounts, movements and all else. In one transaction with the rest of the
-- migration, step by step in these files; 3_unproven.sql alone is a question, and stops it. Nobody
-- else is at these tables until the end.

-- The job queue moves as it is, with its jobs.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT format('TABLE %s', c.oid::regclass) AS object FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND c.relname ~ '^pgqueuer(_|$)'
        UNION ALL
        SELECT format('TYPE %s', t.oid::regtype) FROM pg_type t
        WHERE t.typnamespace = 'public'::regnamespace AND t.typname = 'pgqueuer_status'
        UNION ALL
        SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname = 'fn_pgqueuer_changed'
    LOOP
        EXECUTE format('ALTER %s SET SCHEMA %I', item.object, current_schema());
    END LOOP;
END;
$$;
