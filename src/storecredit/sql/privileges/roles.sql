-- What our two roles are, and the reader's where there is one, and what they are not to be: one row for
-- each. $1 is what whoever may act as a
-- role has on it: SET from PostgreSQL 16 on, before that MEMBER.
--
-- Roles belong to the whole server: a dump does not bring them along, and another server's may be
-- anything. Two things make no guard: a power over other roles, and being a member of a role that may
-- do more with our tables. The writer is nobody's login; whether the application's role is one, is the
-- operator's affair.

WITH above AS (
    SELECT r.oid FROM pg_roles r
    WHERE r.rolsuper OR r.rolcreaterole
       OR r.rolname IN ('storecredit_writer', 'pg_write_all_data', 'pg_execute_server_program',
           'pg_write_server_files')
    UNION
    SELECT c.relowner FROM pg_class c
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'p')
    UNION
    SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = current_schema()
)
SELECT n.name AS role, r.oid IS NULL AS is_missing, r.rolcanlogin AS may_login,
    ARRAY(
        SELECT p.power
        FROM unnest(ARRAY['SUPERUSER', 'CREATEROLE', 'LOGIN'], ARRAY[r.rolsuper, r.rolcreaterole,
            r.rolcanlogin AND r.rolname = 'storecredit_writer' AND NOT c.is_cluster AND (me.rolsuper
                OR me.rolcreaterole AND pg_has_role(me.oid, r.oid, $1 || ' WITH ADMIN OPTION'))
            ]) p (power, is_held)
        WHERE p.is_held) AS powers,
    ARRAY(
        SELECT DISTINCT m.roleid::regrole::text FROM pg_auth_members m
        WHERE m.member = r.oid
          AND EXISTS (SELECT FROM above a WHERE pg_has_role(m.roleid, a.oid, 'MEMBER'))
        ) AS member_of,
    coalesce(pg_has_role(me.oid, r.oid, $1), false) AS may_be_acted_as,
    c.is_cluster AS must_login
FROM unnest(ARRAY['storecredit_writer', 'storecredit_app', 'storecredit_reader']) n (name)
LEFT JOIN pg_roles r ON r.rolname = n.name
JOIN pg_roles me ON me.rolname = current_user
-- A node of a Citus cluster logs in to another one as whoever asks it, inside a function as the writer.
CROSS JOIN (
    SELECT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'citus') AS is_cluster
    ) c
WHERE r.oid IS NOT NULL OR n.name <> 'storecredit_reader'
