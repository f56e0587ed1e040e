"""What the service does not start with, and a migration mends; and what neither has a say in."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from storecredit.ledger.verify import verify
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.opening import open_database
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import search_path
from storecredit.settings import Settings
from tests.sql.catalog import catalog

# What was done; what the service says at its start (None: it starts); and what is mended.
MIGRATED = {
    "open": (
        """GRANT EXECUTE ON FUNCTION add_to_account TO PUBLIC;
           GRANT UPDATE ON accounts TO storecredit_app""",
        "Everybody may call the function storecredit.add_to_account, which writes credits: run `s",
        (
            "Closed to everybody: 1 function (add_to_account).",
            "Renewed the rights of storecredit_app on 1 table (accounts).",
        ),
    ),
    "missing": (
        "DROP FUNCTION fail_generations, create_generations",
        "The function storecredit.create_generations (and 1 more) is missing: run `storecredit",
        ("Made anew 2 functions (create_generations, fail_generations).",),
    ),
    "changed": (
        """CREATE OR REPLACE FUNCTION refuse_to_write() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN RETURN new; END';
           DROP VIEW public.payments""",
        None,
        ("Made anew 1 function (refuse_to_write), 1 view (public.payments).",),
    ),
}


async def opened(url: str) -> None:
    async with open_database(Settings(database_url=SecretStr(url))):
        pass


async def refusal_to_open(url: str) -> str:
    with pytest.raises(DatabaseMisconfigured) as raised:
        await opened(url)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("case", MIGRATED)
async def test_the_service_refuses_and_a_migration_mends(
    database_url: str, admin: asyncpg.Connection, case: str
) -> None:
    tampering, refused, renewed = MIGRATED[case]
    before = await catalog(admin)
    await admin.execute(f"SET search_path = {search_path()}; {tampering}")
    assert await catalog(admin) != before

    if refused is None:
        await opened(database_url)
    else:
        assert (await refusal_to_open(database_url)).startswith(refused)
    migrated = await migrate(database_url)

    assert (migrated.changed, migrated.applied, migrated.renewed) == (True, (), renewed)
    assert await catalog(admin) == before
    assert not (await migrate(database_url)).changed
    await opened(database_url)


async def test_rights_that_others_were_given_are_taken_back(
    database_url: str, admin: asyncpg.Connection, stranger: str
) -> None:
    before = await catalog(admin)
    await admin.execute(
        f"""GRANT SELECT ON storecredit.movements, public.stores TO {stranger};
            GRANT USAGE ON SCHEMA storecredit TO {stranger};
            GRANT EXECUTE ON FUNCTION public.deduct_credits TO {stranger}"""
    )

    migrated = await migrate(database_url)

    (renewed,) = migrated.renewed
    assert renewed == (
        f"Took from {stranger} its rights on 1 function (public.deduct_credits), 1 schema "
        "(storecredit), 2 tables (movements, public.stores)."
    )
    assert await catalog(admin) == before


@pytest.fixture
async def stranger(admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A role that has nothing to do with us, and nothing in the database afterwards."""
    name = f"stranger_{uuid4().hex}"
    await admin.execute(f"CREATE ROLE {name}")
    yield name
    await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize(
    "given, told",
    [
        ("UPDATE ON storecredit.movements", "may write to the table storecredit.movements itself"),
        (
            "INSERT (amount) ON storecredit.movements",
            "may write to the table storecredit.movements itself",
        ),
        ("CREATE ON SCHEMA storecredit", "may make functions in the schema storecredit"),
    ],
)
async def test_a_stranger_who_may_write_credits_keeps_the_service_from_starting(
    database_url: str, admin: asyncpg.Connection, stranger: str, given: str, told: str
) -> None:
    await admin.execute(f"GRANT {given} TO {stranger}")

    assert (await refusal_to_open(database_url)).startswith(
        f"The role {stranger} {told}, so the ledger is not guarded: "
    )
    assert (await migrate(database_url)).changed
    await opened(database_url)


async def test_what_an_operator_adds_is_nothing_to_mend(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """CREATE INDEX newest ON storecredit.movements (created_at);
           CREATE FUNCTION storecredit.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
           REVOKE ALL ON FUNCTION storecredit.mine FROM PUBLIC;
           CREATE VIEW public.mine AS SELECT count(*) FROM storecredit.movements"""
    )
    before = await catalog(admin)

    for _ in range(2):
        await opened(database_url)
        migrated = await migrate(database_url)
        assert (migrated.changed, migrated.renewed) == (False, ())
    assert await catalog(admin) == before


async def test_a_table_of_an_operators_own_in_our_schema_stops_nobody(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE TABLE storecredit.mine (n int)")

    await opened(database_url)
    database = await Database.open(database_url)
    assert (await verify(database)).clean
    await database.close()


async def test_an_apps_function_of_an_interfaces_name_stays_its_own(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await migrate(database_url, interface_schema="credits")
    await admin.execute(
        """CREATE FUNCTION public.deduct_credits(uuid) RETURNS int SECURITY DEFINER
           LANGUAGE sql SET search_path = storecredit, pg_temp AS 'SELECT 1'"""
    )
    before = await catalog(admin)

    await opened(database_url)
    assert not (await migrate(database_url)).changed
    assert await catalog(admin) == before


async def test_what_a_newer_version_has_made_is_not_mended_but_told(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """UPDATE storecredit.schema_version SET migration = '9999_newer', fingerprint = 'newer';
           DROP FUNCTION storecredit.add_to_account"""
    )
    assert not (await migrate(database_url)).changed
    await admin.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA storecredit TO PUBLIC")
    before = await catalog(admin)

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(database_url)

    assert "newer storecredit, and everybody may call the function storecredit." in str(
        raised.value
    )
    assert str(raised.value).endswith("run `storecredit migrate` of that one.")
    assert await catalog(admin) == before
    assert "Everybody may call" in await refusal_to_open(database_url)
