"""Where the interface for other programs goes, and that nothing of theirs is ever touched."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from tests.conftest import connect_as_superuser
from tests.sql.catalog import catalog, rows_of
from tests.sql.ledgers import open_store

GUARD = "public.storecredit_schema"
# What an app of its own may well have, with our names and with others.
APP = """
    CREATE TABLE public.users (id serial PRIMARY KEY, email text UNIQUE);
    CREATE TABLE public.stores (id serial PRIMARY KEY, owner int REFERENCES public.users, n text);
    CREATE TABLE public.store_credits (store int PRIMARY KEY REFERENCES public.stores, n int);
    CREATE TABLE public.orders (id int);
    CREATE TYPE public.payments AS ENUM ('card', 'cash');
    CREATE FUNCTION public.deduct_credits(p_user_id uuid, p_amount int, p_request_id text,
        p_description text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    INSERT INTO public.users (email) VALUES ('ann@shop.example'), ('bob@shop.example');
    INSERT INTO public.stores (owner, n) VALUES (1, 'Hats'), (2, 'Shoes');
    INSERT INTO public.store_credits VALUES (1, 100)"""


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(empty_url)
    yield connection
    await connection.close()


async def views_in(connection: asyncpg.Connection, schema: str) -> int:
    """How many views and functions of the interface a schema has."""
    count: int = await connection.fetchval(
        """SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND relkind = 'v'
                   AND relname <> 'storecredit_schema')
                + (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = n.oid)
           FROM pg_namespace n WHERE n.nspname = $1""",
        schema,
    )
    return count


async def refusal(url: str, schema: str | None = None) -> str:
    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(url, interface_schema=schema)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def of_public(lines: list[str]) -> list[str]:
    """What is in `public` but for the view that keeps the build before out."""
    return [line for line in lines if " public" in line and GUARD not in line]


async def test_an_app_in_the_same_database_is_not_touched(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute(APP)
    before, rows = of_public(await catalog(empty)), await rows_of(empty, "public")

    migrated = await migrate(empty_url)

    assert migrated.interface is None
    (note,) = migrated.notes
    for name in ("users", "stores", "store_credits", "payments", "deduct_credits()"):
        assert name in note
    assert "nothing of it was touched" in note
    assert "--interface NAME" in note
    assert "orders" not in note
    assert of_public(await catalog(empty)) == before
    rows["storecredit_schema"] = []
    assert await rows_of(empty, "public") == rows
    assert (await migrate(empty_url)).notes == ()
    database = await Database.open(empty_url)
    async with database.acquire() as connection:
        await open_store(connection, 5)
    await database.close()
    assert await rows_of(empty, "public") == rows


async def test_an_apps_own_function_of_the_same_name_is_called_as_before(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute(
        """CREATE FUNCTION public.deduct_credits(uuid, bigint, varchar) RETURNS text
           LANGUAGE sql AS $$ SELECT 'the app' $$"""
    )
    call = "SELECT public.deduct_credits('0198c0de-0000-7000-8000-000000000000', 1, 'r')"
    assert await empty.fetchval(call) == "the app"

    migrated = await migrate(empty_url)

    assert await empty.fetchval(call) == "the app"
    assert migrated.interface is None
    assert "deduct_credits()" in migrated.notes[0]
    assert "deduct_credits()" in await refusal(empty_url, "public")


async def test_a_schema_that_is_asked_for_and_taken_is_refused_before_anything_is_written(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute(APP)
    before = await catalog(empty)

    said = await refusal(empty_url, "public")

    assert "The schema public has something of its own named" in said
    assert "users" in said
    assert await catalog(empty) == before


@pytest.mark.parametrize(
    "schema",
    ["api", 'My "own" API', "no.dots; -- 漢字", "$name$", "$$ it's", "back\\slash", "{schema}"],
)
async def test_the_interface_goes_where_it_is_asked_for_and_stays_there(
    empty_url: str, empty: asyncpg.Connection, schema: str
) -> None:
    await empty.execute(APP)
    before = of_public(await catalog(empty))

    assert (await migrate(empty_url, interface_schema=schema)).interface == schema

    made = await views_in(empty, schema)
    assert made > 20
    assert of_public(await catalog(empty)) == before
    await empty.execute("UPDATE schema_version SET fingerprint = 'of another version'")
    assert (await migrate(empty_url)).interface == schema
    assert await views_in(empty, schema) == made


async def test_the_interface_moves_and_goes(empty_url: str, empty: asyncpg.Connection) -> None:
    await migrate(empty_url)
    made = await views_in(empty, "public")
    in_public = await catalog(empty)

    for schema in ("api", "other"):
        moved = await migrate(empty_url, interface_schema=schema)
        assert (moved.changed, moved.interface, moved.applied) == (True, schema, ())
        assert await views_in(empty, schema) == made
        assert await views_in(empty, "public") == 0
    assert await views_in(empty, "api") == 0
    assert not (await migrate(empty_url, interface_schema="other")).changed

    assert (await migrate(empty_url, interface_schema="none")).interface is None
    assert await views_in(empty, "other") == 0
    assert not (await migrate(empty_url)).changed
    assert not (await migrate(empty_url, interface_schema="none")).changed

    await migrate(empty_url, interface_schema="public")
    await empty.execute("DROP SCHEMA api, other")
    assert await catalog(empty) == in_public


@pytest.mark.parametrize(
    "taken, is_free",
    [
        ("CREATE TABLE {name} (n int)", False),
        ("CREATE MATERIALIZED VIEW {name} AS SELECT 1", False),
        ("CREATE SEQUENCE {name}", False),
        ("CREATE DOMAIN {name} AS int", False),
        ("CREATE TABLE other (n int); CREATE INDEX {name} ON other (n)", False),
        ("CREATE VIEW {name} AS SELECT store_id, created_at FROM storecredit.stores", False),
        ("CREATE FUNCTION deduct_credits(uuid, int, text, text) RETURNS int {body}", False),
        ("CREATE PROCEDURE deduct_credits(uuid, int, text, text) {body}", False),
        ("CREATE FUNCTION deduct_credits(uuid, int) RETURNS int {body}", False),
        ("CREATE PROCEDURE add_credits() {body}", False),
        ("CREATE FUNCTION stores() RETURNS int {body}", True),
    ],
)
async def test_a_name_is_taken_by_whatever_else_bears_it(
    database_url: str, admin: asyncpg.Connection, taken: str, is_free: bool
) -> None:
    await admin.execute("CREATE SCHEMA api; SET search_path = api")
    await admin.execute(taken.format(name="stores", body="LANGUAGE sql AS 'SELECT 1'"))
    before = await catalog(admin)

    if is_free:
        assert (await migrate(database_url, interface_schema="api")).interface == "api"
        assert {line for line in before if line.startswith("function api")} <= {
            *await catalog(admin)
        }
    else:
        assert "has something of its own named" in await refusal(database_url, "api")
        assert await catalog(admin) == before


@pytest.mark.parametrize(
    "schema", ["storecredit", "pg_catalog", "pg_mine", "information_schema", "", "é" * 32]
)
async def test_a_schema_that_cannot_be_used_is_refused(
    database_url: str, admin: asyncpg.Connection, schema: str
) -> None:
    before = await catalog(admin)

    assert "name another one" in await refusal(database_url, schema)

    assert await catalog(admin) == before


async def test_what_others_made_on_the_interface_outlives_a_migration_and_stops_a_move(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await migrate(empty_url)
    await empty.execute(
        """CREATE VIEW public.poor_stores AS
               SELECT store_id FROM public.store_credits WHERE balance < 10;
           CREATE VIEW public.charges AS
               SELECT seq FROM storecredit.movements
               WHERE storecredit.movement_role(type) = 'charge';
           CREATE TABLE public.reports (store_credits public.store_credits);
           UPDATE schema_version SET fingerprint = 'of another version'"""
    )
    before = await catalog(empty)

    assert (await migrate(empty_url)).changed
    assert await catalog(empty) == before
    said = await refusal(empty_url, "api")
    assert "poor_stores" in said or "reports" in said
    assert await catalog(empty) == before
