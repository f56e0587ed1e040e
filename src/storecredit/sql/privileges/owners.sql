-- What belongs to another role than it ought to; a restore without owners leaves all of it to whoever
-- restored. $1: the functions' names; $2: the interface's schema, $3 and $4 its views and functions;
-- $5: the setting by which each of these is known; $6: the view that keeps the build before out.
--
-- Functions and views belong to the writer, and tables to whoever migrates, but never to one of our own
-- two roles. An app may have something by the names of the interface: ours reads our tables, or looks
-- for everything in our schema.

WITH ours AS (
    SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS name, p.proowner AS owner,
        p.pronamespace::regnamespace::text AS schema
    FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY ($1::text[])
       OR p.pronamespace = to_regnamespace(quote_ident($2)) AND p.proname = ANY ($4::text[])
          AND p.proconfig @> ARRAY[$5::text]
    UNION ALL
    SELECT 'VIEW', c.oid::regclass::text, c.relowner, c.relnamespace::regnamespace::text
    FROM pg_class c
    WHERE c.relkind = 'v'
      AND (c.relnamespace = to_regnamespace(quote_ident($2)) AND c.relname = ANY ($3::text[])
           OR c.oid = to_regclass($6))
      AND EXISTS (
          SELECT FROM pg_rewrite w JOIN pg_depend d
              ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
          LEFT JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
          LEFT JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
          WHERE w.ev_class = c.oid
            AND current_schema()::regnamespace IN (t.relnamespace, f.pronamespace))
)
SELECT o.kind, o.name, o.owner::regrole::text AS owner, 'storecredit_writer' AS wanted, o.schema
FROM ours o WHERE o.owner <> 'storecredit_writer'::regrole
UNION ALL
SELECT 'TABLE', c.oid::regclass::text, c.relowner::regrole::text, 'CURRENT_USER', NULL
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relowner IN ('storecredit_writer'::regrole, 'storecredit_app'::regrole)
UNION ALL
SELECT 'SCHEMA', n.nspname::text, n.nspowner::regrole::text, 'CURRENT_USER', NULL
FROM pg_namespace n
WHERE n.nspname = current_schema()
  AND n.nspowner IN ('storecredit_writer'::regrole, 'storecredit_app'::regrole)
