"""Migrations: applied once, again without effect, by whom they may be; and the schema's rules."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.migrate import (
    Migrated,
    SchemaState,
    fingerprint,
    migrate,
    newest_migration,
    schema_state,
)
from storecredit.postgres.pool import (
    APP_ROLE,
    Database,
    DatabaseMisconfigured,
    check_version,
)
from tests.sql.books import credits_of, open_store, snapshot, sqlstate_of

FORGET_WHAT_WAS_APPLIED = "UPDATE storecredit_schema SET fingerprint = 'of another version'"
MIGRATIONS = (
    "0001_stores",
    "0002_ledger",
    "0003_generation",
    "0004_schema",
    "0005_overage",
    "0006_users",
    "0007_billing",
    "0008_hot_updates",
    "0009_verification",
    "0010_anonymous_users",
    "0011_plan_changes",
    "0012_generator_messages",
    "0013_foreign_events",
    "0014_foreign_transactions",
)

# Whatever a migration makes, one line each; rights in order of name, since a right that is taken
# and given again may change its place.
CATALOG = """
    SELECT format('%s %s %s %s %s', c.relkind, c.relname, c.reloptions,
        obj_description(c.oid, 'pg_class'),
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM aclexplode(c.relacl) a)) AS line
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT format('column %s.%s %s %s %s', a.attrelid::regclass, a.attname,
        format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    UNION ALL
    SELECT format('constraint %s %s %s', o.conrelid::regclass, o.conname,
        pg_get_constraintdef(o.oid))
    FROM pg_constraint o WHERE o.connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('function %s %s %s %s', p.oid::regprocedure, md5(pg_get_functiondef(p.oid)),
        obj_description(p.oid, 'pg_proc'),
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM aclexplode(p.proacl) a))
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    ORDER BY 1"""


async def catalog(connection: asyncpg.Connection) -> list[str]:
    return [row["line"] for row in await connection.fetch(CATALOG)]


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


async def test_a_second_migration_changes_nothing(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    assert await migrate(empty_url) == Migrated(applied=MIGRATIONS, changed=True)
    made = await catalog(empty)
    row = await empty.fetchrow("SELECT * FROM storecredit_schema")
    assert row is not None
    assert (row["migration"], row["fingerprint"]) == (newest_migration(), fingerprint())

    assert await migrate(empty_url) == Migrated(applied=(), changed=False)
    assert await empty.fetchrow("SELECT * FROM storecredit_schema") == row
    assert await catalog(empty) == made

    await empty.execute(FORGET_WHAT_WAS_APPLIED)
    assert await migrate(empty_url) == Migrated(applied=(), changed=True)
    assert await catalog(empty) == made
    assert await empty.fetchval("SELECT fingerprint FROM storecredit_schema") == fingerprint()


async def test_a_migration_replaces_functions_and_keeps_the_books(
    database_url: str, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin, 5)
    before, books = await catalog(admin), await snapshot(admin, store_id)
    await admin.execute(
        f"""CREATE OR REPLACE FUNCTION deduct_store_credits(p_store_id uuid, p_amount int,
                p_request_id text, p_description text DEFAULT 'free')
            RETURNS boolean LANGUAGE sql AS 'SELECT true';
            {FORGET_WHAT_WAS_APPLIED}"""
    )
    assert await catalog(admin) != before

    await migrate(database_url)

    assert await catalog(admin) == before
    assert await snapshot(admin, store_id) == books


async def test_what_a_newer_version_has_made_is_left_alone(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        f"""CREATE OR REPLACE FUNCTION raise_credit_error(p_error text, p_detail text)
            RETURNS void LANGUAGE sql AS 'SELECT';
            UPDATE storecredit_schema SET migration = '9999_of_a_newer_version';
            {FORGET_WHAT_WAS_APPLIED}"""
    )
    newer = await catalog(admin)

    assert await migrate(database_url) == Migrated(applied=(), changed=False)

    assert await catalog(admin) == newer


async def test_several_migrations_at_once_make_one_schema(
    empty_url: str, empty: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    results = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))

    assert sorted(result.changed for result in results) == [False, False, True]
    assert {result.applied for result in results} == {(), MIGRATIONS}
    assert await catalog(empty) == await catalog(admin)


async def test_a_migration_killed_halfway_does_not_keep_the_next_one_out(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("INSERT INTO yoyo_lock (locked, pid) VALUES (1, 1)")
    await admin.execute(FORGET_WHAT_WAS_APPLIED)

    assert (await migrate(database_url)).changed


async def test_the_state_of_a_schema_is_told(empty_url: str, empty: asyncpg.Connection) -> None:
    set_migration = "UPDATE storecredit_schema SET migration = $1"
    assert await schema_state(empty) is SchemaState.MISSING

    await migrate(empty_url)
    assert await schema_state(empty) is SchemaState.CURRENT
    await empty.execute(set_migration, "0003_generation")
    assert await schema_state(empty) is SchemaState.OUTDATED
    await empty.execute(set_migration, "9999_of_a_newer_version")
    assert await schema_state(empty) is SchemaState.CURRENT
    await empty.execute("DELETE FROM storecredit_schema")
    assert await schema_state(empty) is SchemaState.OUTDATED


def test_a_server_that_is_too_old_is_told_in_one_sentence() -> None:
    for major in (15, 18, 19):
        check_version(major)
    with pytest.raises(DatabaseMisconfigured) as raised:
        check_version(14)
    assert str(raised.value) == "PostgreSQL 14 is too old: storecredit needs 15 or later."


@pytest.fixture
async def owner_url(server_url: str) -> AsyncIterator[str]:
    """An empty database that belongs to a login which is no superuser but may make roles."""
    name = f"owner_{uuid4().hex}"
    superuser = await asyncpg.connect(server_url)
    await superuser.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    await superuser.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    if superuser.get_server_version().major >= 16:
        # What the maker of a role holds since then. This server's role was made by another.
        await superuser.execute(
            f"GRANT {APP_ROLE} TO {name} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE"
        )
    yield login(server_url, name)
    await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await superuser.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    await superuser.close()


def login(server_url: str, name: str) -> str:
    """The server's URL for the login `name`, in the database of that name."""
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{name}@{host}", path=f"/{name}"))


async def test_an_owner_who_is_no_superuser_can_migrate_and_run(
    template: str, owner_url: str
) -> None:
    assert (await migrate(owner_url)).changed
    assert not (await migrate(owner_url)).changed

    database = await Database.open(owner_url)
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT current_user") == APP_ROLE
        store_id = await open_store(connection, 1)
        assert await connection.fetchval("SELECT deduct_store_credits($1, 1, 'r')", store_id)
        assert await sqlstate_of(connection.execute("DELETE FROM store_credits")) == "42501"
        assert (await credits_of(connection, store_id)).balance == 0
    await database.close()


async def test_an_owner_who_may_only_use_the_role_can_migrate(
    server_url: str, template: str, owner_url: str
) -> None:
    name = urlsplit(owner_url).username
    superuser = await asyncpg.connect(server_url)
    await superuser.execute(f"ALTER ROLE {name} NOCREATEROLE; GRANT {APP_ROLE} TO {name}")
    await superuser.close()

    assert (await migrate(owner_url)).changed
    await (await Database.open(owner_url)).close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER DATABASE {name} OWNER TO CURRENT_USER",
        "ALTER ROLE {name} NOCREATEROLE; REVOKE {role} FROM {name}",
    ],
)
async def test_a_login_that_may_not_migrate_is_told_in_one_sentence(
    server_url: str, template: str, owner_url: str, change: str
) -> None:
    superuser = await asyncpg.connect(server_url)
    await superuser.execute(change.format(name=urlsplit(owner_url).username, role=APP_ROLE))
    await superuser.close()

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(owner_url)

    assert "This login may not migrate the database" in str(raised.value)
    assert "\n" not in str(raised.value)


TABLES_OF_AN_OWNER = """
    SELECT a.attrelid AS oid, a.attrelid::regclass::text AS name, a.attnum AS owner_id
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = $1
      AND c.relname <> ALL ($2)"""
# Looked up by Paddle's ids, before the buyer is known, and few rows beside the ledgers: on a
# cluster they stay on one node.
ON_ONE_NODE = ["checkouts", "payments", "clawbacks", "paddle_events"]


@pytest.mark.parametrize(
    "column, sharded",
    [
        (
            "store_id",
            {
                "stores",
                "store_api_keys",
                "store_credits",
                "store_credit_transactions",
                "store_generation_sessions",
                "store_overage_bills",
                "store_subscriptions",
            },
        ),
        ("user_id", {"users", "user_credits", "credit_transactions", "generation_sessions"}),
    ],
)
async def test_the_schema_is_ready_to_be_sharded_by_owner(
    books: asyncpg.Connection, column: str, sharded: set[str]
) -> None:
    tables = await books.fetch(TABLES_OF_AN_OWNER, column, ON_ONE_NODE)
    assert {table["name"] for table in tables} == sharded
    for table in tables:
        unique = await books.fetch(
            "SELECT indisprimary, $2 = ANY (indkey::int[]) AS has_owner FROM pg_index"
            " WHERE indrelid = $1 AND indisunique",
            table["oid"],
            table["owner_id"],
        )
        assert any(index["indisprimary"] for index in unique), table["name"]
        assert all(index["has_owner"] for index in unique), table["name"]
        triggers = await books.fetch(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal", table["oid"]
        )
        assert triggers == []
        counted = await books.fetch(
            """SELECT a.attname FROM pg_attribute a
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
               WHERE a.attrelid = $1 AND (a.attidentity <> ''
                   OR pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval%')""",
            table["oid"],
        )
        assert counted == []
        owner_id_type = await books.fetchval(
            "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = $1 AND attnum = $2",
            table["oid"],
            table["owner_id"],
        )
        assert owner_id_type == "uuid"
        foreign = await books.fetch(
            """SELECT confrelid::regclass::text AS target, $2 = ANY (conkey) AS has_owner
               FROM pg_constraint WHERE conrelid = $1 AND contype = 'f'""",
            table["oid"],
            table["owner_id"],
        )
        assert all(key["has_owner"] and key["target"] in sharded for key in foreign)
