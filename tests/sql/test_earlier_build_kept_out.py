"""A process of the build before makes no second ledger, wherever the interface is."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import schema_state
from tests.conftest import connect_as_superuser
from tests.sql.catalog import catalog, login
from tests.sql.earlier_build import load_earlier_build

# What that build asks before anything else, and then again when it migrates.
ASKED = "SELECT migration FROM public.storecredit_schema"


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(empty_url)
    yield connection
    await connection.close()


async def refuse_the_earlier_build(url: str) -> None:
    for role in ({}, {"role": "storecredit_app"}):
        connection = await asyncpg.connect(
            url, server_settings={"application_name": "storecredit", **role}
        )
        with pytest.raises(asyncpg.CannotConnectNowError, match="a later storecredit"):
            await connection.fetchval(ASKED)
        await connection.close()


@pytest.mark.parametrize(
    "schemas",
    [
        (None, "credits", "public", "none", "other"),
        ("public", "credits"),
        ("credits", "credits"),
        ("none", "credits"),
    ],
    ids=lambda schemas: f"first {schemas[0]}",
)
async def test_it_is_refused_wherever_the_interface_is(
    empty_url: str, schemas: tuple[str | None, ...]
) -> None:
    for schema in schemas:
        await migrate(empty_url, interface_schema=schema)
        await refuse_the_earlier_build(empty_url)


async def test_it_is_refused_after_the_upgrade_of_its_own_database(
    empty_url: str, template: str
) -> None:
    await load_earlier_build(empty_url)
    await migrate(empty_url, interface_schema="credits")
    await refuse_the_earlier_build(empty_url)


async def test_it_is_refused_beside_an_app_whose_names_are_ours(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute("CREATE TABLE public.users (id int)")
    assert (await migrate(empty_url)).interface is None
    await refuse_the_earlier_build(empty_url)


async def test_whoever_else_looks_finds_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert await connection.fetch("SELECT * FROM public.storecredit_schema") == []
    await connection.close()


@pytest.mark.parametrize(
    "before",
    [
        "CREATE VIEW public.storecredit_schema AS SELECT 1 AS mine",
        "CREATE TYPE public.storecredit_schema AS ENUM ('mine')",
        "CREATE TABLE public.t (n int); CREATE INDEX storecredit_schema ON public.t (n)",
        "DROP SCHEMA public",
    ],
)
async def test_what_has_its_name_stays(
    empty_url: str, empty: asyncpg.Connection, before: str
) -> None:
    await empty.execute(before)
    public = [line for line in await catalog(empty) if " public" in line]

    await migrate(empty_url, interface_schema="none")

    assert [line for line in await catalog(empty) if " public" in line] == public


async def test_a_login_that_may_make_nothing_in_public_migrates_all_the_same(
    server_url: str, admin: asyncpg.Connection
) -> None:
    name = "owner_without_public"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    await admin.execute(f"GRANT storecredit_app, storecredit_writer TO {name}")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    try:
        url = login(server_url, name)
        superuser = await connect_as_superuser(url.replace(f"{name}:{name}@", "postgres@"))
        await superuser.execute("ALTER SCHEMA public OWNER TO postgres")
        await superuser.close()
        assert (await migrate(url, interface_schema="credits")).interface == "credits"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_tables_that_it_made_all_the_same_are_refused(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await migrate(database_url, interface_schema="none")
    await admin.execute("DROP VIEW public.storecredit_schema")
    await load_earlier_build(database_url)
    before = await catalog(admin)

    for asked in (None, "credits"):
        with pytest.raises(DatabaseMisconfigured) as raised:
            await migrate(database_url, interface_schema=asked)
        assert "beside the ledger of this one, and nothing was changed" in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(DatabaseMisconfigured, match="beside the ledger"):
        await schema_state(admin)

    assert await catalog(admin) == before
