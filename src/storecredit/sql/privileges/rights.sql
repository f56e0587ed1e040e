-- Who may do what, where it is not so: one row for each thing and role whose rights differ from what they
-- are to be, with what is to be taken from it and what it is to be given. No list is kept: ours is what
-- stands in our schema, and the interface is what the writer owns elsewhere.
--
-- storecredit_writer owns the functions and lends them its rights: it writes every table but the
--   ledger, the audit log and what is noted of archives, to which it only adds, and those that a migration
--   writes.
-- storecredit_app, the application's role: read the tables, but for what deliveries are signed with, call
--   the functions, work the job queue.
--   It may call what has the writer's rights (SECURITY DEFINER) and what only reads. The other
--   functions are parts of those.
-- service_role, where a host has such a backend role (Supabase): read and call the same, but for the
--   job queue.
-- storecredit_reader, where the operator has made it: read the same, but for who is signed in and by which
--   tokens, and call what only reads, with the caller's own rights or naming nothing that it may not read.
-- Nobody else but the owner: hosted PostgreSQL may hand new tables and functions to its own roles by
-- default (Supabase does: anon, authenticated, service_role), a restore that fails halfway leaves all
-- functions to everybody, and a balance that can be written around them proves nothing.

WITH elsewhere AS (
    -- Where the first bucket's interface may be; other buckets have none, and mind their own schema.
    SELECT n.oid FROM pg_namespace n
    WHERE current_schema() = 'storecredit' AND n.nspname !~ '^storecredit(_[0-9]+)?$'
), relation AS (
    SELECT c.oid, c.relkind = 'S' AS is_sequence, c.relacl AS acl, c.relowner AS owner,
        c.relowner = w.role AS is_writers, c.relname ~ '^pgqueuer' AS is_of_jobs,
        c.relname IN ('movements', 'grants', 'audit_log', 'session_archives', 'chained_accounts',
            'chain_links', 'checkpoints', 'transfer_ends') AS is_append_only,
        c.relname IN ('movement_types', 'schema_version') AS is_migrations,
        c.relname = 'webhook_secrets' AS is_secret,
        c.relname IN ('admin_tokens', 'sign_ins', 'sign_in_links') AS is_of_access
    FROM pg_class c, (SELECT 'storecredit_writer'::regrole::oid AS role) w
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND (c.relnamespace = current_schema()::regnamespace
           OR c.relowner = w.role AND c.relnamespace IN (SELECT e.oid FROM elsewhere e))
), routine AS (
    SELECT p.oid, p.proowner AS owner, p.proowner = w.role AS is_writers,
        coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
        p.proowner = w.role AND (p.prosecdef OR p.provolatile <> 'v'
            OR p.pronamespace <> current_schema()::regnamespace) AS is_called,
        p.provolatile <> 'v' AND (NOT p.prosecdef
            OR p.proname IN ('state_of_account', 'delivery_lag')) AS only_reads
    FROM pg_proc p, (SELECT 'storecredit_writer'::regrole::oid AS role) w
    WHERE p.pronamespace = current_schema()::regnamespace
       OR p.proowner = w.role AND p.pronamespace IN (SELECT e.oid FROM elsewhere e)
), given AS (
    SELECT 'SCHEMA' AS kind, n.oid, n.nspowner AS owner, '' AS of_column, a.*
    FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = current_schema()
    UNION ALL
    SELECT 'TABLE', r.oid, r.owner, '', a.* FROM relation r, aclexplode(r.acl) a
    UNION ALL
    SELECT 'TABLE', r.oid, r.owner, ' of a column', a.*
    FROM relation r JOIN pg_attribute k ON k.attrelid = r.oid, aclexplode(k.attacl) a
    UNION ALL
    SELECT 'ROUTINE', f.oid, f.owner, '', a.* FROM routine f, aclexplode(f.acl) a
), held AS (
    -- In words, so that a right that may be passed on, or that somebody else has passed on, is another.
    SELECT g.kind, g.oid, g.grantee AS role,
        string_agg(g.privilege_type || g.of_column
            || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END
            || CASE WHEN g.grantor <> g.owner THEN ' from another' ELSE '' END,
            ', ' ORDER BY g.privilege_type COLLATE "C") AS rights
    FROM given g WHERE g.grantee <> g.owner GROUP BY g.kind, g.oid, g.grantee
), reader AS (
    SELECT r.oid AS role, r.rolname = 'storecredit_app' AS is_app,
        r.rolname = 'storecredit_reader' AS only_reads
    FROM pg_roles r WHERE r.rolname IN ('storecredit_app', 'service_role', 'storecredit_reader')
), wanted AS (
    SELECT 'SCHEMA' AS kind, current_schema()::regnamespace::oid AS oid, u.role, 'USAGE' AS rights
    FROM (SELECT role FROM reader UNION ALL SELECT 'storecredit_writer'::regrole) u
    UNION ALL
    SELECT 'TABLE', r.oid, u.role, 'SELECT'
    FROM relation r, reader u
    WHERE NOT r.is_sequence AND NOT r.is_of_jobs AND NOT r.is_secret
      AND NOT (r.is_of_access AND u.only_reads)
    UNION ALL
    SELECT 'TABLE', r.oid, u.role,
        CASE WHEN r.is_sequence THEN 'USAGE' ELSE 'DELETE, INSERT, SELECT, UPDATE' END
    FROM relation r, reader u WHERE r.is_of_jobs AND u.is_app
    UNION ALL
    SELECT 'TABLE', r.oid, 'storecredit_writer'::regrole,
        CASE WHEN r.is_sequence THEN 'USAGE'
            WHEN r.is_migrations THEN 'SELECT'
            WHEN r.is_append_only THEN 'INSERT, SELECT'
            ELSE 'DELETE, INSERT, SELECT, UPDATE' END
    FROM relation r WHERE NOT r.is_writers
    UNION ALL
    SELECT 'ROUTINE', f.oid, u.role, 'EXECUTE' FROM routine f, reader u
    WHERE f.is_called AND (f.only_reads OR NOT u.only_reads)
), differing AS (
    SELECT kind, oid, role, h.rights AS held, w.rights AS wanted
    FROM held h FULL JOIN wanted w USING (kind, oid, role)
    WHERE h.rights IS DISTINCT FROM w.rights
    UNION ALL
    -- What else others may in the interface's schema is not ours to say.
    SELECT DISTINCT 'SCHEMA', n.oid, u.role, NULL, 'USAGE'
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        (SELECT role FROM reader UNION ALL SELECT 'storecredit_writer'::regrole) u
    WHERE p.proowner = 'storecredit_writer'::regrole AND n.oid IN (SELECT e.oid FROM elsewhere e)
      AND NOT has_schema_privilege(u.role, n.oid, 'USAGE')
)
SELECT CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE d.kind END AS kind,
    CASE d.kind WHEN 'SCHEMA' THEN d.oid::regnamespace::text WHEN 'TABLE' THEN d.oid::regclass::text
        ELSE d.oid::regprocedure::text END AS name,
    CASE d.role WHEN 0 THEN 'PUBLIC' ELSE d.role::regrole::text END AS role, d.held, d.wanted,
    coalesce(c.relowner, p.proowner) IS NOT DISTINCT FROM 'storecredit_writer'::regrole AS is_writers
FROM differing d
LEFT JOIN pg_class c ON d.kind = 'TABLE' AND c.oid = d.oid
LEFT JOIN pg_proc p ON d.kind = 'ROUTINE' AND p.oid = d.oid
ORDER BY is_writers, name, role
