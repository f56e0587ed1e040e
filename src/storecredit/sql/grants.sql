-- Who may do what, applied last at every migration; running it again changes nothing. No list is kept:
-- ours is what stands in our schema, and the interface is what the writer owns elsewhere.
--
-- storecredit_writer owns the functions and lends them its rights: it writes every table but the
--   ledger, to which it only adds, and those that a migration writes.
-- storecredit_app, the application's role: read the tables, call the functions, work the job queue.
--   It may call what has the writer's rights (SECURITY DEFINER) and what only reads. The other
--   functions are parts of those.
-- service_role, where a host has such a backend role (Supabase): read and call the same, but for the
--   job queue.
-- Nobody else but the owner: hosted PostgreSQL may hand new tables and functions to its own roles by
-- default (Supabase does: anon, authenticated, service_role), and a balance that can be written around
-- the functions proves nothing.

DO $$
DECLARE
    statement record;
BEGIN
    FOR statement IN
        WITH relation AS (
            SELECT c.oid::regclass AS name, c.relkind = 'S' AS is_sequence, c.relacl AS acl,
                c.relowner = w.role AS is_writers, c.relname ~ '^pgqueuer' AS is_of_jobs,
                c.relname = 'movements' AS is_ledger,
                c.relname IN ('movement_types', 'schema_version') AS is_migrations, c.relowner, c.oid
            FROM pg_class c, (SELECT 'storecredit_writer'::regrole::oid AS role) w
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
              AND (c.relnamespace = current_schema()::regnamespace OR c.relowner = w.role)
        ), routine AS (
            SELECT p.oid::regprocedure AS name, p.proowner, p.proowner = w.role AS is_writers,
                coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
                p.proowner = w.role AND (p.prosecdef OR p.provolatile <> 'v'
                    OR p.pronamespace <> current_schema()::regnamespace) AS is_called
            FROM pg_proc p, (SELECT 'storecredit_writer'::regrole::oid AS role) w
            WHERE p.pronamespace = current_schema()::regnamespace OR p.proowner = w.role
        ), given AS (
            SELECT format('SCHEMA %I', n.nspname) AS object, a.grantee, false AS is_writers
            FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = current_schema() AND a.grantee <> n.nspowner
            UNION
            -- ON TABLE covers views, sequences, and the grants of single columns.
            SELECT format('TABLE %s', r.name), a.grantee, r.is_writers
            FROM relation r, aclexplode(r.acl) a WHERE a.grantee <> r.relowner
            UNION
            SELECT format('TABLE %s', r.name), a.grantee, r.is_writers
            FROM relation r JOIN pg_attribute k ON k.attrelid = r.oid, aclexplode(k.attacl) a
            WHERE a.grantee <> r.relowner
            UNION
            SELECT format('ROUTINE %s', f.name), a.grantee, f.is_writers
            FROM routine f, aclexplode(f.acl) a WHERE a.grantee <> f.proowner
        ), reader AS (
            SELECT r.rolname AS role, r.rolname = 'storecredit_app' AS is_app
            FROM pg_roles r WHERE r.rolname IN ('storecredit_app', 'service_role')
        ), granted AS (
            SELECT 'USAGE' AS rights, format('SCHEMA %I', current_schema()) AS object,
                role, false AS is_writers
            FROM (SELECT role FROM reader UNION ALL SELECT 'storecredit_writer') r
            UNION ALL
            SELECT DISTINCT 'USAGE', format('SCHEMA %I', n.nspname), u.role, false
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, reader u
            WHERE p.proowner = 'storecredit_writer'::regrole AND n.nspname <> current_schema()
              AND NOT has_schema_privilege(u.role, n.oid, 'USAGE')
            UNION ALL
            SELECT 'SELECT', format('TABLE %s', r.name), u.role, r.is_writers
            FROM relation r, reader u WHERE NOT r.is_sequence AND NOT r.is_of_jobs
            UNION ALL
            SELECT CASE WHEN r.is_sequence THEN 'USAGE'
                    ELSE 'SELECT, INSERT, UPDATE, DELETE' END,
                format('%s %s', CASE WHEN r.is_sequence THEN 'SEQUENCE' ELSE 'TABLE' END, r.name),
                u.role, r.is_writers
            FROM relation r, reader u WHERE r.is_of_jobs AND u.is_app
            UNION ALL
            SELECT CASE WHEN r.is_sequence THEN 'USAGE'
                    WHEN r.is_migrations THEN 'SELECT'
                    WHEN r.is_ledger THEN 'SELECT, INSERT'
                    ELSE 'SELECT, INSERT, UPDATE, DELETE' END,
                format('%s %s', CASE WHEN r.is_sequence THEN 'SEQUENCE' ELSE 'TABLE' END, r.name),
                'storecredit_writer', false
            FROM relation r WHERE NOT r.is_writers
            UNION ALL
            SELECT 'EXECUTE', format('ROUTINE %s', f.name), u.role, f.is_writers
            FROM routine f, reader u WHERE f.is_called
        )
        SELECT format('REVOKE ALL ON %s FROM %s CASCADE', g.object,
                CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END) AS text,
            g.is_writers, 1 AS step
        FROM given g
        UNION ALL
        SELECT format('GRANT %s ON %s TO %I', g.rights, g.object, g.role), g.is_writers, 2
        FROM granted g
        ORDER BY is_writers, step
    LOOP
        -- Rights are given and taken by who owns the thing.
        IF statement.is_writers AND current_user <> 'storecredit_writer' THEN
            SET LOCAL ROLE storecredit_writer;
        END IF;
        EXECUTE statement.text;
    END LOOP;
    RESET ROLE;
END;
$$;
