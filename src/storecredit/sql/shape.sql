-- What is there of all that is ours, as a hash: who owns it, who may do what with it, what the functions
-- are, which keys the tables have. The hash tells nothing of what is right: a migration keeps it once
-- all is right, and where it is another, something was changed since, or restored otherwise.
-- $1: our schema; $2: what whoever may act as a role has on it, SET from PostgreSQL 16 on, else MEMBER.

WITH ours AS (
    SELECT n.oid AS schema, n.nspowner AS owner, n.nspacl AS acl,
        to_regrole('storecredit_app')::oid AS app, to_regrole('storecredit_writer')::oid AS writer,
        to_regrole('storecredit_reader')::oid AS reader
    FROM pg_namespace n WHERE n.nspname = $1
), elsewhere AS (
    -- Where the first bucket's interface may be; other buckets have none, and mind their own schema.
    SELECT n.oid FROM pg_namespace n
    WHERE $1 = 'storecredit' AND n.nspname !~ '^storecredit(_[0-9]+)?$'
), relation AS (
    SELECT c.* FROM ours o JOIN pg_class c ON c.relnamespace = o.schema
        OR c.relowner = o.writer AND c.relnamespace IN (SELECT e.oid FROM elsewhere e)
), line AS (
    SELECT concat_ws(' ', 'schema', pg_get_userbyid(o.owner), o.acl) AS text FROM ours o
    UNION ALL
    -- Whatever our roles may act as, themselves among them; and a host's backend role comes and goes.
    SELECT concat_ws(' ', 'role', u.name, r.rolname, r.rolsuper, r.rolcreaterole, r.rolcanlogin)
    FROM ours o, unnest(ARRAY['app', 'writer', 'reader'], ARRAY[o.app, o.writer, o.reader]) u (name, oid)
    JOIN pg_roles r ON pg_has_role(u.oid, r.oid, 'MEMBER')
    UNION ALL
    SELECT concat_ws(' ', 'role', r.rolname) FROM pg_roles r WHERE r.rolname = 'service_role'
    UNION ALL
    SELECT concat_ws(' ', c.relkind, c.relnamespace = o.schema, c.relname,
        pg_get_userbyid(c.relowner), c.relacl)
    FROM relation c, ours o WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL
    SELECT concat_ws(' ', 'column', c.relname, a.attname, a.attacl)
    FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT concat_ws(' ', 'trigger', c.relname, t.tgtype, t.tgenabled)
    FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'index', c.relname, i.indisunique, i.indisvalid)
    FROM relation c JOIN pg_index i ON i.indexrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'constraint', k.conname, k.contype, k.convalidated)
    FROM ours o JOIN pg_constraint k ON k.connamespace = o.schema
    UNION ALL
    SELECT concat_ws(' ', 'function', p.pronamespace = o.schema, p.proname, p.proargtypes,
        pg_get_userbyid(p.proowner), p.proacl, p.prosecdef, p.provolatile, p.proconfig, md5(p.prosrc))
    FROM ours o JOIN pg_proc p ON p.pronamespace = o.schema
        OR p.proowner = o.writer AND p.pronamespace IN (SELECT e.oid FROM elsewhere e)
)
SELECT
    (SELECT md5(string_agg(l.text, E'\n' ORDER BY l.text COLLATE "C")) FROM line l) AS hash,
    coalesce(pg_has_role(a.oid, $2) AND pg_has_role(w.oid, $2), false) AS may_act_as_both,
    a.rolcanlogin IS TRUE AS app_may_login
FROM (SELECT to_regrole('storecredit_app')::oid AS app, to_regrole('storecredit_writer')::oid AS writer) r
LEFT JOIN pg_roles a ON a.oid = r.app
LEFT JOIN pg_roles w ON w.oid = r.writer
