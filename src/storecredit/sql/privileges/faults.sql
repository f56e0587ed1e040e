-- Why nobody should work on this database: each row lets somebody write credits around the functions, or
-- keeps the application from its work. Asked at every start, as the application's role; what opens most
-- comes first. $1: our schema; $2: the tables' names, $3 the functions'; $4: whether these are all to be
-- there; $5: the interface's schema, $6 its functions; $7: the setting by which each of these is known.

WITH ours AS (
    SELECT n.oid AS schema, n.nspname AS name, n.nspowner AS owner, n.nspacl AS acl,
        to_regrole('storecredit_app')::oid AS app, to_regrole('storecredit_writer')::oid AS writer,
        to_regrole('storecredit_reader')::oid AS reader
    FROM pg_namespace n WHERE n.nspname = $1
), elsewhere AS (
    -- Where the first bucket's interface may be; other buckets have none, and mind their own schema.
    SELECT n.oid FROM pg_namespace n
    WHERE $1 = 'storecredit' AND n.nspname !~ '^storecredit(_[0-9]+)?$'
), relation AS (
    SELECT c.oid, c.relname, format('%I.%I', o.name, c.relname) AS name, c.relowner AS owner,
        c.relacl AS acl
    FROM pg_class c JOIN ours o ON c.relnamespace = o.schema
    WHERE c.relname = ANY ($2::text[])
), routine AS (
    SELECT p.oid, format('%I.%I', n.nspname, p.proname) AS name, p.proowner AS owner, p.prosecdef,
        p.prosecdef OR p.provolatile <> 'v' OR p.pronamespace <> o.schema AS is_called,
        coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
        p.proowner = o.writer OR p.pronamespace <> o.schema OR p.proname = ANY ($3::text[]) AS is_known
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, ours o
    WHERE p.pronamespace = o.schema
       OR p.proowner = o.writer AND p.pronamespace IN (SELECT e.oid FROM elsewhere e)
       OR n.nspname = $5 AND p.proname = ANY ($6::text[]) AND p.proconfig @> ARRAY[$7::text]
), above AS (
    SELECT r.oid, r.rolname AS name FROM pg_roles r
    WHERE r.rolsuper OR r.rolcreaterole
       OR r.rolname IN ('storecredit_writer', 'pg_write_all_data', 'pg_execute_server_program',
           'pg_write_server_files')
       OR r.oid IN (SELECT owner FROM relation UNION SELECT owner FROM ours)
), fault AS (
    SELECT 1 AS place, 'open' AS what, f.name, NULL AS role
    FROM routine f
    WHERE f.prosecdef AND EXISTS (SELECT FROM aclexplode(f.acl) a WHERE a.grantee = 0)
    UNION ALL
    SELECT 2, 'owned', f.name, pg_get_userbyid(f.owner)
    FROM routine f, ours o WHERE f.is_known AND f.owner IS DISTINCT FROM o.writer
    UNION ALL
    SELECT 3, 'owns', t.name, r.rolname
    FROM (SELECT name, owner FROM relation UNION ALL SELECT name, owner FROM ours) t,
        ours o JOIN pg_roles r ON r.oid IN (o.app, o.writer)
    WHERE t.owner = r.oid
    UNION ALL
    SELECT 4, 'is_above', r.rolname, NULL
    FROM ours o JOIN pg_roles r ON r.oid IN (o.app, o.writer, o.reader)
    WHERE r.rolsuper OR r.rolcreaterole
    UNION ALL
    SELECT 5, 'acts_as', a.name, r.rolname
    FROM ours o JOIN pg_roles r ON r.oid IN (o.app, o.writer, o.reader), above a
    WHERE a.oid <> r.oid AND pg_has_role(r.oid, a.oid, 'MEMBER')
    UNION ALL
    SELECT 6, 'writes', t.name, 'storecredit_app'
    FROM relation t, ours o
    WHERE has_table_privilege(o.app, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
       OR has_any_column_privilege(o.app, t.oid, 'INSERT, UPDATE')
    UNION ALL
    SELECT 6, 'writes', t.name, 'storecredit_writer'
    FROM relation t, ours o
    WHERE t.relname IN ('movements', 'grants', 'audit_log', 'session_archives', 'chained_accounts',
        'chain_links', 'checkpoints', 'transfer_ends')
      AND (has_table_privilege(o.writer, t.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
           OR has_any_column_privilege(o.writer, t.oid, 'UPDATE'))
    UNION ALL
    -- Whoever else was given a right, as by a host to its own roles; `storecredit_app` has everybody's.
    SELECT 6, 'writes', t.name, pg_get_userbyid(t.grantee)
    FROM ours o, (
        SELECT r.name, r.owner, g.grantee, g.privilege_type FROM relation r, aclexplode(r.acl) g
        UNION
        SELECT r.name, r.owner, g.grantee, g.privilege_type
        FROM relation r JOIN pg_attribute k ON k.attrelid = r.oid, aclexplode(k.attacl) g
        ) t
    WHERE t.grantee NOT IN (0, t.owner, o.app, o.writer)
      AND t.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
    GROUP BY t.name, t.grantee
    UNION ALL
    SELECT 7, 'creates', o.name, pg_get_userbyid(a.grantee)
    FROM ours o, aclexplode(o.acl) a
    WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (0, o.owner, o.app)
    UNION ALL
    SELECT 7, 'creates', o.name, 'storecredit_app'
    FROM ours o WHERE has_schema_privilege(o.app, o.schema, 'CREATE')
    UNION ALL
    SELECT 8, 'enters_not', o.name, 'storecredit_app'
    FROM ours o WHERE NOT has_schema_privilege(o.app, o.schema, 'USAGE')
    UNION ALL
    SELECT 9, 'reads_not', t.name, 'storecredit_app'
    FROM relation t, ours o
    WHERE t.relname <> 'webhook_secrets' AND NOT has_table_privilege(o.app, t.oid, 'SELECT')
    UNION ALL
    SELECT 10, 'calls_not', f.name, 'storecredit_app'
    FROM routine f, ours o
    WHERE f.is_known AND f.is_called AND NOT has_function_privilege(o.app, f.oid, 'EXECUTE')
    UNION ALL
    -- Without these no lock that failed would be noticed.
    SELECT 11, 'lacks_key', format('%I.%I', o.name, k.name), NULL
    FROM ours o, unnest(ARRAY['movements_pkey', 'one_movement_of_a_type_per_request', 'sessions_pkey',
        'accounts_pkey', 'one_account_per_owner', 'grants_pkey', 'spends_pkey', 'holds_pkey',
        'session_archives_pkey', 'archived_sessions_pkey', 'chained_accounts_pkey',
        'one_place_per_account', 'chain_links_pkey', 'checkpoints_pkey']) k (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relnamespace = o.schema AND c.relname = k.name AND i.indisunique AND i.indisvalid)
    UNION ALL
    SELECT 12, 'lacks', format('%I.%I', o.name, n.name), NULL
    FROM unnest($3::text[]) n (name), ours o
    WHERE $4 AND NOT EXISTS (
        SELECT FROM pg_proc p WHERE p.pronamespace = o.schema AND p.proname = n.name)
)
SELECT what, name, role::text, count(*) OVER (PARTITION BY what, role) - 1 AS others
FROM fault ORDER BY place, name LIMIT 1
