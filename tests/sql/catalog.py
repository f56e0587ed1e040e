"""What is in a database besides rows: read whole, to be compared."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg

# Whatever a migration makes, one line each; rights in order of name, since a right that is taken
# and given again may change its place. Columns' options are without the versions that PostgreSQL
# keeps there from November 2026 on: each is the position in the WAL at which the column was made.
_RIGHT = (
    """concat_ws(' ', a.grantor::regrole, a.grantee::regrole, a.privilege_type, a.is_grantable)"""
)
_CATALOG = f"""
    WITH n AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
    SELECT format('schema %s of %s %s', n.nspname, n.nspowner::regrole,
        (SELECT string_agg({_RIGHT}, ' ' ORDER BY {_RIGHT}) FROM aclexplode(n.nspacl) a)) AS line
    FROM n
    UNION ALL
    SELECT format('%s %s.%s of %s %s %s %s %s', c.relkind, n.nspname, c.relname,
        c.relowner::regrole, c.reloptions, obj_description(c.oid, 'pg_class'),
        CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END,
        (SELECT string_agg({_RIGHT}, ' ' ORDER BY {_RIGHT}) FROM aclexplode(c.relacl) a))
    FROM n JOIN pg_class c ON c.relnamespace = n.oid WHERE c.relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT format('column %s.%s.%s %s %s %s %s %s', n.nspname, c.relname, a.attname,
        format_type(a.atttypid, a.atttypmod), a.attnotnull,
        (SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE NOT starts_with(o, 'pg_attver=')),
        pg_get_expr(d.adbin, d.adrelid), nullif(a.attacl, '{{}}'))
    FROM n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND a.attnum > 0
    UNION ALL
    SELECT format('constraint %s.%s %s %s', n.nspname, o.conrelid::regclass, o.conname,
        pg_get_constraintdef(o.oid))
    FROM n JOIN pg_constraint o ON o.connamespace = n.oid
    UNION ALL
    SELECT 'index ' || i.indexdef FROM n JOIN pg_indexes i ON i.schemaname = n.nspname
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('type %s.%s', n.nspname, t.typname)
    FROM n JOIN pg_type t ON t.typnamespace = n.oid WHERE t.typtype IN ('e', 'd')
    UNION ALL
    SELECT format('function %s.%s of %s %s %s %s', n.nspname, p.oid::regprocedure,
        p.proowner::regrole, md5(pg_get_functiondef(p.oid)), obj_description(p.oid, 'pg_proc'),
        (SELECT string_agg({_RIGHT}, ' ' ORDER BY {_RIGHT}) FROM aclexplode(p.proacl) a))
    FROM n JOIN pg_proc p ON p.pronamespace = n.oid
    ORDER BY 1"""


async def catalog(connection: asyncpg.Connection) -> list[str]:
    """Every schema, table, column, constraint, index, function, with owner, comment and rights."""
    looking = connection.transaction()
    await looking.start()
    try:
        # So that every name is told with its schema.
        await connection.execute("SET LOCAL search_path = ''")
        return [row["line"] for row in await connection.fetch(_CATALOG)]
    finally:
        await looking.rollback()


async def rows_of(connection: asyncpg.Connection, schema: str) -> dict[str, list[str]]:
    """Every row of every table and view of a schema, as text, in order."""
    tables = await connection.fetch(
        """SELECT relname, format('%I.%I', $1::text, relname) AS name FROM pg_class
           WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'v')""",
        schema,
    )
    return {
        table["relname"]: [
            row[0]
            for row in await connection.fetch(f"SELECT t::text FROM {table['name']} t ORDER BY 1")
        ]
        for table in tables
    }


def login(server_url: str, name: str) -> str:
    """The server's URL for the login `name`, in the database of that name."""
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{name}@{host}", path=f"/{name}"))
