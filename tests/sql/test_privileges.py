"""What the application's role cannot do, nor the role that owns the functions, nor anybody else."""

import asyncpg
import pytest

from storecredit.postgres.pool import Database
from storecredit.postgres.servers import APP_ROLE, WRITER_ROLE, connect
from tests.sql.guard import (
    APPENDED,
    FORBIDDEN,
    FUNCTIONS,
    INSUFFICIENT_PRIVILEGE,
    TABLES,
    amiss,
    let_through,
    open_to_everyone,
    powers_of,
    read_all,
    rights_on_the_ledger,
)
from tests.sql.ledgers import open_store, sqlstate_of


@pytest.mark.parametrize("act", FORBIDDEN)
async def test_the_application_may_read_every_table_but_not(
    app: asyncpg.Connection, act: str
) -> None:
    await read_all(app)
    assert await let_through(app, act) == []


@pytest.mark.parametrize("act", ["insert", "update", "delete from", "merge into"])
async def test_the_application_may_read_the_interface_but_not(
    app: asyncpg.Connection, act: str
) -> None:
    views = await app.fetch(TABLES.replace("'storecredit'", "'public'").replace("'r'", "'v'"))
    assert len(views) > 12
    for view in views:
        assert await app.fetchval(f"SELECT count(*) >= 0 FROM {view['name']}")
        statement = FORBIDDEN[act].format(table=view["name"], column=view["column"])
        assert await sqlstate_of(app.execute(statement)) in {
            INSUFFICIENT_PRIVILEGE,
            "0A000",  # MERGE, which PostgreSQL 15 does not know for a view
        }, view["name"]


async def test_not_even_the_owner_writes_through_a_view(books: asyncpg.Connection) -> None:
    await open_store(books, 10)
    views = await books.fetch(TABLES.replace("'storecredit'", "'public'").replace("'r'", "'v'"))
    for statement in (
        *(FORBIDDEN["insert"].format(table=view["name"]) for view in views),
        "UPDATE public.store_credits SET balance = 1000",
        "DELETE FROM public.store_credit_transactions",
        "UPDATE public.stores SET status = 'suspended'",
        "DELETE FROM public.stores",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="by functions only"):
            await books.execute(statement)


@pytest.mark.parametrize("act", [act for act in FORBIDDEN if act not in {"insert", "copy into"}])
async def test_not_even_the_functions_owner_can_change_a_movement(
    books: asyncpg.Connection, act: str
) -> None:
    statement = FORBIDDEN[act].format(table="storecredit.movements", column="seq")
    async with books.transaction():
        await books.execute(f"SET LOCAL ROLE {WRITER_ROLE}")
        assert await books.fetchval("SELECT count(*) >= 0 FROM storecredit.movements")
        assert await sqlstate_of(books.execute(statement)) == INSUFFICIENT_PRIVILEGE


async def test_the_functions_owner_writes_every_table_but_the_ledger_and_what_migrations_write(
    books: asyncpg.Connection,
) -> None:
    rights = await rights_on_the_ledger(books)

    for appended in APPENDED:
        assert rights.pop(appended) == ["INSERT"]
    assert rights.pop("movement_types") is None
    assert rights.pop("schema_version") is None
    assert {tuple(right or ()) for right in rights.values()} == {("DELETE", "INSERT", "UPDATE")}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT append_movement(1, 'grant', 1, 'r', '')",
        "SELECT open_account('store', gen_random_uuid())",
        "SELECT lock_account(1)",
        "SELECT charge_accounts('{1}', '{1}', '{r}', '{NULL}', '{NULL}')",
        "CREATE TABLE mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE VIEW public.mine AS SELECT 1",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "DROP FUNCTION deduct_from_accounts",
        "DROP FUNCTION public.deduct_store_credits",
        "DROP VIEW public.store_credits",
        "ALTER FUNCTION deduct_from_accounts SECURITY INVOKER",
        """CREATE OR REPLACE FUNCTION public.refund_store_credits(p_store_id uuid, p_amount int,
               p_request_id text, p_description text DEFAULT '')
           RETURNS boolean LANGUAGE sql AS 'SELECT true'""",
        "SET ROLE storecredit_writer",
        "SET session_replication_role = replica",
        "CREATE ROLE mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
async def test_the_application_is_refused(app: asyncpg.Connection, statement: str) -> None:
    # Whether a superuser logged in is the test's affair: the service's login is a member only.
    if statement.startswith("SET ROLE"):
        member = "SELECT pg_has_role($1::text, $2::text, 'MEMBER')"
        assert not await app.fetchval(member, APP_ROLE, WRITER_ROLE)
        return
    assert await sqlstate_of(app.execute(statement)) == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize("role", [APP_ROLE, WRITER_ROLE])
async def test_our_roles_have_no_powers_of_their_own(books: asyncpg.Connection, role: str) -> None:
    assert await powers_of(books, role) == set()


@pytest.mark.parametrize("statement", ["RESET ROLE", "RESET ALL", "DISCARD ALL"])
async def test_nothing_that_resets_a_connection_regains_rights(
    books_url: str, statement: str
) -> None:
    database = await Database.open(books_url)
    async with database.acquire() as connection:
        await connection.execute(statement)

        assert await connection.fetchval("SELECT current_user") == APP_ROLE
        assert await connection.fetchval("SELECT current_schema()") == "storecredit"
        refused = await sqlstate_of(connection.execute("DELETE FROM accounts"))
        assert refused == INSUFFICIENT_PRIVILEGE
    await database.close()


HOSTILE_OBJECTS = """
    CREATE TABLE {schema}.movements (LIKE storecredit.movements INCLUDING DEFAULTS);
    INSERT INTO {schema}.movements (account_id, seq, type, amount, balance_after, spent_after,
        request_id, description)
    SELECT account_id, 1000, 'grant', 1000, 1000, 0, 'mine', '' FROM storecredit.accounts;
    CREATE TABLE {schema}.accounts (LIKE storecredit.accounts);
    CREATE TABLE {schema}.movement_types (LIKE storecredit.movement_types);
    CREATE FUNCTION {schema}.account_of(text, uuid) RETURNS bigint
        LANGUAGE sql AS $$ SELECT 1::bigint $$;
    CREATE FUNCTION {schema}.movement_effect(text) RETURNS int[]
        LANGUAGE sql AS $$ SELECT '{{1,1,1,1,1}}'::int[] $$;
    CREATE FUNCTION {schema}.raise_credit_error(text, text) RETURNS void
        LANGUAGE sql AS $$ SELECT $$;
    CREATE FUNCTION {schema}.never(int, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
    CREATE OPERATOR {schema}.> (FUNCTION = {schema}.never, LEFTARG = int, RIGHTARG = bigint);
"""


@pytest.mark.parametrize("schema", ["pg_temp", "hostile"])
async def test_objects_of_the_same_name_deceive_no_function(
    books_url: str, books: asyncpg.Connection, schema: str
) -> None:
    connection = await connect(books_url)
    store_id = await open_store(connection)
    await connection.execute("SELECT ensure_user($1, 0)", store_id)
    if schema == "hostile":
        await books.execute(f"CREATE SCHEMA {schema}; GRANT ALL ON SCHEMA {schema} TO {APP_ROLE}")
    await connection.execute(HOSTILE_OBJECTS.format(schema=schema))
    await connection.execute(f"SET search_path = {schema}, pg_catalog, storecredit, public")

    for of in ("store_", ""):
        deduct = f"SELECT public.deduct_{of}credits($1, 1, 'r1')"
        assert await connection.fetchval(deduct, store_id) is False
        refund = connection.fetchval(f"SELECT public.refund_{of}credits($1, 1, 'r1')", store_id)
        assert await sqlstate_of(refund) == "SC005"
        claw_back = f"SELECT public.claw_back_{of}credits($1, 1, 'r1')"
        assert await connection.fetchval(claw_back, store_id) == 0
    account = "(SELECT account_id FROM storecredit.accounts WHERE owner_id = $1 LIMIT 1)"
    charged = f"storecredit.deduct_from_accounts(ARRAY[{account}], '{{1}}', '{{r}}', '{{x}}')"
    await connection.fetchval(f"SELECT count(*) FROM {charged}", store_id)
    await connection.close()

    moved = """SELECT count(*) FROM storecredit.movements m JOIN storecredit.accounts a
        USING (account_id) WHERE a.owner_id = $1"""
    assert await books.fetchval(moved, store_id) == 0


async def test_every_function_is_its_owners_and_called_by_whom_it_is_for(
    books: asyncpg.Connection,
) -> None:
    functions = await books.fetch(FUNCTIONS)
    assert sum(row["is_interface"] for row in functions) > 10
    assert await amiss(books) == []


async def test_every_function_has_its_words(books: asyncpg.Connection) -> None:
    for row in await books.fetch(FUNCTIONS):
        assert row["comment"], row["name"]


async def test_nothing_of_ours_is_open_to_everyone(books: asyncpg.Connection) -> None:
    assert await open_to_everyone(books, "public") == []


async def test_every_table_says_what_it_holds(books: asyncpg.Connection) -> None:
    for table in await books.fetch(TABLES):
        comment = "SELECT obj_description($1::text::regclass, 'pg_class')"
        assert await books.fetchval(comment, table["name"]), table["name"]
