"""What nobody but the functions may do, in a database made, restored or upgraded in any way."""

from typing import Final

import asyncpg

from storecredit.postgres.servers import APP_ROLE, WRITER_ROLE
from tests.sql.ledgers import sqlstate_of

INSUFFICIENT_PRIVILEGE: Final = "42501"
FORBIDDEN: Final = {
    "insert": "INSERT INTO {table} DEFAULT VALUES",
    "copy into": "COPY {table} FROM STDIN",
    "update": "UPDATE {table} SET {column} = {column}",
    "delete from": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table} CASCADE",
    "merge into": """MERGE INTO {table} t USING {table} s ON t.{column} = s.{column}
        WHEN MATCHED THEN DELETE""",
    "lock the rows of": "SELECT FROM {table} FOR UPDATE",
    "lock": "DO $$ BEGIN LOCK TABLE {table} IN EXCLUSIVE MODE; END $$",
    "alter": "ALTER TABLE {table} ADD COLUMN more int",
    "loosen": "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "drop": "DROP TABLE {table} CASCADE",
    "index": "CREATE INDEX ON {table} ({column})",
    "add a trigger to": """CREATE TRIGGER mine BEFORE UPDATE ON {table}
        EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
    "own": "ALTER TABLE {table} OWNER TO CURRENT_USER",
}
APPENDED: Final = (
    "movements",
    "grants",
    "audit_log",
    "session_archives",
    "chained_accounts",
    "chain_links",
    "checkpoints",
    "transfer_ends",
)
"""Tables whose rows are written once, and never changed."""
SECRET: Final = frozenset({"webhook_secrets"})
"""Tables that the functions alone may read."""
# With a column that an update may name.
TABLES: Final = """
    SELECT DISTINCT ON (c.oid) c.oid::regclass::text AS name, c.relname, a.attname AS column
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'storecredit'::regnamespace AND c.relkind = 'r'
      AND c.relname !~ '^pgqueuer'
      AND a.attnum > 0 AND a.attidentity = '' AND a.attgenerated = ''
    ORDER BY c.oid, a.attnum"""
# Every function of ours, those of the interface among them.
FUNCTIONS: Final = """
    SELECT p.oid, p.proname AS name, p.prosecdef AS is_definer, p.provolatile = 'v' AS may_write,
        p.proconfig AS settings, p.pronamespace <> 'storecredit'::regnamespace AS is_interface,
        obj_description(p.oid, 'pg_proc') AS comment, p.proowner::regrole::text AS owner,
        has_function_privilege('storecredit_app', p.oid, 'EXECUTE') AS is_called
    FROM pg_proc p
    WHERE p.proowner = 'storecredit_writer'::regrole
       OR p.pronamespace = 'storecredit'::regnamespace AND p.proname !~ 'pgqueuer'"""
# What a function may set besides: how it is planned and how long it waits, never what it may do.
PLANNING: Final = {
    *("plan_cache_mode=force_generic_plan", "enable_seqscan=off", "enable_bitmapscan=off"),
    "lock_timeout=1s",
}


async def read_all(app: asyncpg.Connection) -> None:
    """Fails where the application may not read a table, or may read the secrets."""
    tables = await app.fetch(TABLES)
    assert len(tables) > 12
    for table in tables:
        reading = app.fetchval(f"SELECT count(*) FROM {table['name']}")
        if table["relname"] in SECRET:
            assert await sqlstate_of(reading) == INSUFFICIENT_PRIVILEGE, table["name"]
        else:
            await reading


async def let_through(app: asyncpg.Connection, act: str) -> list[str]:
    """The tables to which the application may do what it may not."""
    done = []
    for table in await app.fetch(TABLES):
        statement = FORBIDDEN[act].format(table=table["name"], column=table["column"])
        sqlstate = await sqlstate_of(app.execute(statement))
        if sqlstate != INSUFFICIENT_PRIVILEGE:
            done.append(f"{table['name']}: {sqlstate}")
    return done


async def rights_on_the_ledger(connection: asyncpg.Connection) -> dict[str, list[str] | None]:
    """What the functions' owner may do to each table, but for reading it."""
    writes = """SELECT array_agg(p ORDER BY p) FROM
        unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
        WHERE has_table_privilege($1, $2::text, p)"""
    return {
        table["relname"]: await connection.fetchval(writes, WRITER_ROLE, table["name"])
        for table in await connection.fetch(TABLES)
    }


async def open_to_everyone(connection: asyncpg.Connection, interface: str) -> list[str]:
    """What of ours, and in the interface's schema, everybody has a right on."""
    rows = await connection.fetch(
        """SELECT c.oid::regclass::text AS name
           FROM pg_class c, aclexplode(c.relacl) a
           WHERE c.relnamespace IN ('storecredit'::regnamespace, to_regnamespace(quote_ident($1)))
             AND a.grantee = 0
           UNION ALL
           SELECT c.relname || '.' || k.attname
           FROM pg_attribute k JOIN pg_class c ON c.oid = k.attrelid, aclexplode(k.attacl) a
           WHERE c.relnamespace IN ('storecredit'::regnamespace, to_regnamespace(quote_ident($1)))
             AND a.grantee = 0
           UNION ALL
           SELECT p.oid::regprocedure::text
           FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
           WHERE p.pronamespace IN ('storecredit'::regnamespace, to_regnamespace(quote_ident($1)))
             AND a.grantee = 0
           UNION ALL
           SELECT n.nspname
           FROM pg_namespace n, aclexplode(n.nspacl) a
           WHERE a.grantee = 0 AND (n.nspname = 'storecredit'
               OR n.nspname = $1 AND a.privilege_type <> 'USAGE')""",
        interface,
    )
    return [row["name"] for row in rows]


async def amiss(connection: asyncpg.Connection) -> list[str]:
    """Functions that are not their owner's, or may be called by whom they are not for."""
    found = []
    for row in await connection.fetch(FUNCTIONS):
        has_own_rights = row["is_definer"] or not row["may_write"]
        settings = set(row["settings"] or ()) - PLANNING
        is_pinned = settings == {"search_path=storecredit, pg_temp"}
        is_pinned = is_pinned or not (settings or row["is_definer"] or row["is_interface"])
        if (
            row["owner"] != WRITER_ROLE
            or row["is_called"] != (has_own_rights or row["is_interface"])
            or not (
                is_pinned if row["is_definer"] or row["is_interface"] else is_pinned or not settings
            )
        ):
            found.append(row["name"])
    return found


async def powers_of(connection: asyncpg.Connection, role: str) -> set[str]:
    """What one of our roles is or has that it ought not to."""
    row = await connection.fetchrow(
        """SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
               EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS is_member,
               EXISTS (SELECT FROM pg_class c
                       WHERE c.relowner = r.oid AND c.relkind <> 'v') AS owns_tables,
               EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid)
                   <> (rolname = $2) AS owns_functions
           FROM pg_roles r WHERE rolname = $1""",
        role,
        WRITER_ROLE,
    )
    assert row is not None
    return {name for name, value in row.items() if value}


async def assert_guarded(
    connection: asyncpg.Connection, app: asyncpg.Connection, interface: str
) -> None:
    """All of it, as `test_privileges.py` has it one by one."""
    await read_all(app)
    for act in FORBIDDEN:
        through = await let_through(app, act)
        assert through == [], f"{act}: {through}"
    rights = await rights_on_the_ledger(connection)
    for table in APPENDED:
        assert rights.pop(table) == ["INSERT"], table
    assert {rights.pop("movement_types"), rights.pop("schema_version")} == {None}
    assert {tuple(right or ()) for right in rights.values()} == {("DELETE", "INSERT", "UPDATE")}
    assert await open_to_everyone(connection, interface) == []
    assert await amiss(connection) == []
    for role in (APP_ROLE, WRITER_ROLE):
        assert await powers_of(connection, role) == set()
