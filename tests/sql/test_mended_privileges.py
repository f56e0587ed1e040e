"""Roles, owners and rights that a migration did not leave so: told at the start, and mended."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from storecredit.postgres import privileges
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.migrate import migrate
from storecredit.postgres.opening import open_database
from storecredit.postgres.servers import SCHEMA, SEARCH_PATH
from storecredit.settings import Settings
from tests.sql.catalog import catalog

# What was done; why the service does not work then (None: it does); and what is said to be mended.
TAMPERINGS = {
    "open": (
        "GRANT EXECUTE ON FUNCTION add_to_account TO PUBLIC",
        "everybody may call the function storecredit.add_to_account, which writes credits",
        "Closed to everybody: 1 function (add_to_account).",
    ),
    "many open": (
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA storecredit TO PUBLIC",
        "everybody may call the function storecredit.accept_overage_charge (and 40 more), ",
        "Closed to everybody: 111 functions (accept_overage_charge, account_of, add_to_account, …)",
    ),
    "interface open": (
        "GRANT EXECUTE ON FUNCTION public.deduct_store_credits_many TO PUBLIC",
        "everybody may call the function public.deduct_store_credits_many, which writes credits",
        "Closed to everybody: 1 function (public.deduct_store_credits_many).",
    ),
    "a function's owner": (
        "ALTER FUNCTION lock_accounts OWNER TO CURRENT_USER",
        "the function storecredit.lock_accounts belongs to {me} and not to storecredit_writer",
        "Took from {me}, who owned them, 1 function (lock_accounts).",
    ),
    "an interface's function's owner": (
        "ALTER FUNCTION public.refund_credits OWNER TO CURRENT_USER",
        "the function public.refund_credits belongs to {me} and not to storecredit_writer",
        "Took from {me}, who owned them, 1 function (public.refund_credits).",
    ),
    "views' owner": (
        """ALTER VIEW public.stores OWNER TO CURRENT_USER;
           ALTER VIEW public.storecredit_schema OWNER TO CURRENT_USER""",
        None,
        "Took from {me}, who owned them, 2 views (public.storecredit_schema, public.stores).",
    ),
    "a table's owner": (
        "ALTER TABLE movements OWNER TO storecredit_writer",
        "the role storecredit_writer owns storecredit.movements, so the ledger is not guarded",
        "Took from storecredit_writer, who owned them, 1 table (movements).",
    ),
    "the schema's owner": (
        "ALTER SCHEMA storecredit OWNER TO storecredit_app",
        "the role storecredit_app owns storecredit, so the ledger is not guarded",
        "Took from storecredit_app, who owned them, 1 schema (storecredit).",
    ),
    "a table written": (
        "GRANT UPDATE ON accounts TO storecredit_app",
        "the role storecredit_app may write to the table storecredit.accounts itself",
        "Renewed the rights of storecredit_app on 1 table (accounts).",
    ),
    "a column written": (
        "GRANT INSERT (amount) ON movements TO storecredit_app",
        "the role storecredit_app may write to the table storecredit.movements itself",
        "Renewed the rights of storecredit_app on 1 table (movements).",
    ),
    "written by all": (
        "GRANT TRUNCATE ON movements, sessions TO PUBLIC",
        "the role storecredit_app may write to the table storecredit.movements (and 1 more) itself",
        "Closed to everybody: 2 tables (movements, sessions).",
    ),
    "the ledger changed": (
        "GRANT UPDATE (balance_after) ON movements TO storecredit_writer",
        "the role storecredit_writer may write to the table storecredit.movements itself",
        "Renewed the rights of storecredit_writer on 1 table (movements).",
    ),
    "functions of its own": (
        "GRANT CREATE ON SCHEMA storecredit TO storecredit_app",
        "the role storecredit_app may make functions in the schema storecredit, so the ledger is",
        "Renewed the rights of storecredit_app on 1 schema (storecredit).",
    ),
    "shut": (
        "REVOKE ALL ON SCHEMA storecredit FROM storecredit_app",
        "the role storecredit_app may not use the schema storecredit",
        "Renewed the rights of storecredit_app on 1 schema (storecredit).",
    ),
    "not readable": (
        "REVOKE SELECT ON schema_version, accounts FROM storecredit_app",
        "the role storecredit_app may not read the table storecredit.accounts (and 1 more)",
        "Renewed the rights of storecredit_app on 2 tables (accounts, schema_version).",
    ),
    "not callable": (
        """REVOKE EXECUTE ON FUNCTION create_generations, movement_role,
               public.deduct_credits FROM storecredit_app""",
        "the role storecredit_app may not call the function public.deduct_credits (and 2 more)",
        "Renewed the rights of storecredit_app on 3 functions (create_generations, movement_role, ",
    ),
}


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


@pytest.mark.parametrize("case", TAMPERINGS)
async def test_what_is_not_as_a_migration_leaves_it_is_told_and_mended(
    books: asyncpg.Connection, case: str
) -> None:
    me = await books.fetchval("SELECT current_user")
    tampering, told, renewed = TAMPERINGS[case]
    before = await catalog(books)
    undone = books.transaction()
    await undone.start()
    await books.execute(f"SET LOCAL search_path = {SEARCH_PATH}; {tampering}")
    assert await catalog(books) != before

    fault = await privileges.fault(books)
    assert told is fault is None or (fault or "").startswith((told or "").format(me=me))
    mended = await privileges.mend_owners(books, "public") + await privileges.mend_rights(books)
    assert mended[0].startswith(renewed.format(me=me))
    assert await catalog(books) == before
    assert await privileges.fault(books) is None
    await undone.rollback()


@pytest.mark.parametrize("case", MIGRATED)
async def test_the_service_refuses_and_a_migration_mends(
    database_url: str, admin: asyncpg.Connection, case: str
) -> None:
    tampering, refused, renewed = MIGRATED[case]
    before = await catalog(admin)
    await admin.execute(f"SET search_path = {SEARCH_PATH}; {tampering}")
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


# Roles belong to the whole server, which other tests use too: done in a transaction and undone.
POWERS = {
    "ALTER ROLE storecredit_app SUPERUSER": (
        "the role storecredit_app has power over other roles",
        "Took SUPERUSER from the role storecredit_app.",
    ),
    "ALTER ROLE storecredit_writer CREATEROLE": (
        "the role storecredit_writer has power over other roles",
        "Took CREATEROLE from the role storecredit_writer.",
    ),
    "ALTER ROLE storecredit_writer LOGIN": (
        None,
        "Took LOGIN from the role storecredit_writer.",
    ),
    "GRANT storecredit_writer TO storecredit_app": (
        "the role storecredit_app may act as storecredit_writer",
        "Took the role storecredit_app out of storecredit_writer.",
    ),
    "GRANT pg_write_all_data TO storecredit_writer": (
        "the role storecredit_writer may act as pg_write_all_data",
        "Took the role storecredit_writer out of pg_write_all_data.",
    ),
    """CREATE ROLE in_between; GRANT pg_write_all_data TO in_between;
       GRANT in_between TO storecredit_app""": (
        "the role storecredit_app may act as pg_write_all_data",
        "Took the role storecredit_app out of in_between.",
    ),
}


@pytest.mark.parametrize("statement", POWERS)
async def test_a_role_that_may_more_than_it_ought_to_is_told_and_mended(
    admin: asyncpg.Connection, statement: str
) -> None:
    told, renewed = POWERS[statement]
    await admin.execute(f"SET search_path = {SEARCH_PATH}")
    undone = admin.transaction()
    await undone.start()
    await admin.execute(statement)

    fault = await privileges.fault(admin)
    assert fault is None if told is None else fault is not None and fault.startswith(told)
    assert await privileges.mend_roles(admin) == (renewed,)
    assert await privileges.fault(admin) is None
    assert await privileges.mend_roles(admin) == ()
    await undone.rollback()


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


async def test_the_names_that_are_read_from_the_files_are_those_of_a_database(
    books: asyncpg.Connection,
) -> None:
    names = privileges.names()
    made = """SELECT proname::text AS name FROM pg_proc
        WHERE proowner = 'storecredit_writer'::regrole AND (pronamespace = $1::text::regnamespace)
        GROUP BY proname ORDER BY proname"""
    views = "SELECT viewname::text AS name FROM pg_views WHERE schemaname = 'public'"

    assert [row["name"] for row in await books.fetch(made, SCHEMA)] == sorted(names.functions)
    assert [row["name"] for row in await books.fetch(made, "public")] == sorted(
        names.interface_functions
    )
    assert {row["name"] for row in await books.fetch(views)} == {
        *names.interface_views,
        "storecredit_schema",
    }
