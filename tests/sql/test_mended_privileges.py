"""Owners, rights and roles that are not as a migration leaves them: told, and mended."""

import asyncpg
import pytest

from storecredit.postgres.schema import privileges
from storecredit.postgres.servers import SCHEMA, search_path
from tests.sql.catalog import catalog
from tests.sql.guard import TABLES

FIRST = "accept_subscription_charge"
"""Of all functions, by name."""

# What was done; why the service does not work then (None: it does); and what is said to be mended.
TAMPERINGS = {
    "open": (
        "GRANT EXECUTE ON FUNCTION add_to_account TO PUBLIC",
        "everybody may call the function storecredit.add_to_account, which writes credits",
        "Closed to everybody: 1 function (add_to_account).",
    ),
    "many open": (
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA storecredit TO PUBLIC",
        f"everybody may call the function storecredit.{FIRST} (and {{others}} more), ",
        f"Closed to everybody: {{all}} functions ({FIRST}, account_of, add_chain_links, ",
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


@pytest.mark.parametrize("case", TAMPERINGS)
async def test_what_is_not_as_a_migration_leaves_it_is_told_and_mended(
    books: asyncpg.Connection, case: str
) -> None:
    words = {"me": await books.fetchval("SELECT current_user"), **await _functions(books)}
    tampering, told, renewed = TAMPERINGS[case]
    before = await catalog(books)
    undone = books.transaction()
    await undone.start()
    await books.execute(f"SET LOCAL search_path = {search_path()}; {tampering}")
    assert await catalog(books) != before

    fault = await privileges.fault(books)
    assert told is fault is None or (fault or "").startswith((told or "").format(**words))
    mended = await privileges.mend_owners(books, "public") + await privileges.mend_rights(books)
    assert mended[0].startswith(renewed.format(**words))
    assert await catalog(books) == before
    assert await privileges.fault(books) is None
    await undone.rollback()


async def _functions(books: asyncpg.Connection) -> dict[str, int]:
    """How many functions there are, and besides one how many that lend their rights."""
    row = await books.fetchrow(
        """SELECT count(*) AS "all", count(*) FILTER (WHERE prosecdef) - 1 AS others FROM pg_proc
           WHERE pronamespace = 'storecredit'::regnamespace"""
    )
    assert row is not None
    return dict(row)


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
    "CREATE ROLE storecredit_reader; GRANT storecredit_writer TO storecredit_reader": (
        "the role storecredit_reader may act as storecredit_writer",
        "Took the role storecredit_reader out of storecredit_writer.",
    ),
}


@pytest.mark.parametrize("statement", POWERS)
async def test_a_role_that_may_more_than_it_ought_to_is_told_and_mended(
    admin: asyncpg.Connection, statement: str
) -> None:
    told, renewed = POWERS[statement]
    await admin.execute(f"SET search_path = {search_path()}")
    undone = admin.transaction()
    await undone.start()
    await admin.execute(statement)

    fault = await privileges.fault(admin)
    assert fault is None if told is None else fault is not None and fault.startswith(told)
    assert await privileges.mend_roles(admin) == (renewed,)
    assert await privileges.fault(admin) is None
    assert await privileges.mend_roles(admin) == ()
    await undone.rollback()


async def test_the_names_that_are_read_from_the_files_are_those_of_a_database(
    books: asyncpg.Connection,
) -> None:
    names = privileges.names()
    made = """SELECT proname::text AS name FROM pg_proc
        WHERE proowner = 'storecredit_writer'::regrole AND (pronamespace = $1::text::regnamespace)
        GROUP BY proname ORDER BY proname"""
    views = "SELECT viewname::text AS name FROM pg_views WHERE schemaname = 'public'"

    assert {row["relname"] for row in await books.fetch(TABLES)} == set(names.tables)
    assert [row["name"] for row in await books.fetch(made, SCHEMA)] == sorted(names.functions)
    assert [row["name"] for row in await books.fetch(made, "public")] == sorted(
        names.interface_functions
    )
    assert {row["name"] for row in await books.fetch(views)} == {
        *names.interface_views,
        "storecredit_schema",
    }
