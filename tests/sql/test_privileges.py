"""What the application's role cannot do, and what nobody else can."""

import re
from importlib import resources

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit import sql
from storecredit.postgres.pool import APP_ROLE, Database, connect
from tests.sql.books import credits_of, ledger, open_store, sqlstate_of
from tests.sql.user_books import open_user, user_credits_of, user_ledger

INSUFFICIENT_PRIVILEGE = "42501"
TABLES = (
    "stores",
    "store_api_keys",
    "store_credits",
    "store_credit_transactions",
    "store_generation_sessions",
    "store_overage_bills",
    "users",
    "user_credits",
    "credit_transactions",
    "generation_sessions",
    "checkouts",
    "store_subscriptions",
    "payments",
    "clawbacks",
    "paddle_events",
    "last_verification",
    "storecredit_schema",
)
FORBIDDEN = {
    "insert": "INSERT INTO {table} SELECT * FROM {table}",
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
# Nobody calls these but other functions.
INTERNAL = {
    "raise_credit_error",
    "overage_bill_lock",
    "lock_user_credits",
    "write_user_movement",
    "refuse_bad_user_request",
    "settle_user_deduction",
    "settle_user_refund",
    "take_back_after_downgrade",
    "take_what_downgrades_missed",
    "settle_plain_deductions",
    "settle_plain_failures",
    "lock_sessions_across_stores",
}
# What a function may set besides: how it is planned, never what it may do.
PLANNING = {"plan_cache_mode=force_generic_plan", "enable_seqscan=off"}

OUR_FUNCTIONS = """
    SELECT p.oid, p.proname AS name, p.prosecdef AS is_definer, p.proconfig AS settings,
        p.provolatile = 'v' AS may_write,
        obj_description(p.oid, 'pg_proc') AS comment
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname NOT LIKE '%pgqueuer%'"""


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("act", FORBIDDEN)
async def test_the_application_may_read_but_not(
    app: asyncpg.Connection, books: asyncpg.Connection, act: str, table: str
) -> None:
    assert await app.fetchval(f"SELECT count(*) >= 0 FROM {table}")
    column = await books.fetchval(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1", table
    )

    statement = FORBIDDEN[act].format(table=table, column=column)

    assert await sqlstate_of(app.execute(statement)) == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT raise_credit_error('unknown_store', 'x')",
        "SELECT lock_user_credits(NULL)",
        "SELECT write_user_movement(NULL, 'grant', 1, 'r', '')",
        "SELECT settle_user_deduction(NULL, 1, 'r', '', NULL)",
        "SELECT settle_user_refund(NULL, 1, 'r', '')",
        "SELECT take_back_after_downgrade('txn_1', 'sub_1', 1)",
        "SELECT take_what_downgrades_missed('txn_1', 'sub_1', 1)",
        "CREATE TABLE mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE VIEW public.mine AS SELECT 1",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "DROP FUNCTION deduct_store_credits",
        "ALTER FUNCTION deduct_store_credits SECURITY INVOKER",
        """CREATE OR REPLACE FUNCTION refund_store_credits(p_store_id uuid, p_amount int,
               p_request_id text, p_description text DEFAULT '')
           RETURNS boolean LANGUAGE sql AS 'SELECT true'""",
        "SET session_replication_role = replica",
        "CREATE ROLE mine",
        "SELECT * FROM _yoyo_migration",
        "DELETE FROM _yoyo_migration",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
async def test_the_application_is_refused(app: asyncpg.Connection, statement: str) -> None:
    assert await sqlstate_of(app.execute(statement)) == INSUFFICIENT_PRIVILEGE


async def test_the_applications_role_has_no_powers_of_its_own(books: asyncpg.Connection) -> None:
    powers = await books.fetchrow(
        """SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
               EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS is_member,
               EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid) AS owns_relations,
               EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid) AS owns_functions
           FROM pg_roles r WHERE rolname = $1""",
        APP_ROLE,
    )

    assert powers is not None
    assert set(powers.values()) == {False}


@pytest.mark.parametrize("statement", ["RESET ROLE", "RESET ALL", "DISCARD ALL"])
async def test_nothing_that_resets_a_connection_regains_rights(
    books_url: str, statement: str
) -> None:
    database = await Database.open(books_url)
    async with database.acquire() as connection:
        await connection.execute(statement)

        assert await connection.fetchval("SELECT current_user") == APP_ROLE
        refused = await sqlstate_of(connection.execute("DELETE FROM store_credits"))
        assert refused == INSUFFICIENT_PRIVILEGE
    await database.close()


HOSTILE_OBJECTS = """
    CREATE TABLE {schema}.store_credits (store_id uuid, balance bigint, total_purchased bigint,
        total_spent bigint, last_seq bigint);
    INSERT INTO {schema}.store_credits SELECT store_id, 1000, 1000, 0, 0 FROM public.store_credits;
    CREATE TABLE {schema}.store_credit_transactions (LIKE public.store_credit_transactions);
    CREATE FUNCTION {schema}.deduct_store_credits_many(uuid, int[], text[], text[], uuid[])
        RETURNS TABLE (ord int, outcome text, balance bigint)
        LANGUAGE sql AS $$ SELECT 1, 'deducted', 1000::bigint $$;
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
    if schema == "hostile":
        await books.execute(f"CREATE SCHEMA {schema}; GRANT ALL ON SCHEMA {schema} TO {APP_ROLE}")
    await connection.execute(HOSTILE_OBJECTS.format(schema=schema))
    await connection.execute(f"SET search_path = {schema}, pg_catalog, public")

    deduct = "SELECT public.deduct_store_credits($1, 1, 'r1')"
    assert await connection.fetchval(deduct, store_id) is False
    refund = connection.fetchval("SELECT public.refund_store_credits($1, 1, 'r1')", store_id)
    assert await sqlstate_of(refund) == "SC005"
    create = "SELECT outcome FROM public.create_store_generations($1, $2, '{r2}', $3, '{NULL}', $4)"
    outcome = await connection.fetchval(create, store_id, [store_id], [b"f" * 32], [None])
    assert outcome == "insufficient"
    await connection.close()

    assert await credits_of(books, store_id) == (0, 0, 0, 0)
    assert await ledger(books, store_id) == []


HOSTILE_OBJECTS_FOR_USERS = """
    CREATE TABLE {schema}.user_credits (LIKE public.user_credits);
    INSERT INTO {schema}.user_credits
        SELECT user_id, now(), 1000, 1000, 0, 0, 0 FROM public.user_credits;
    CREATE TABLE {schema}.credit_transactions (LIKE public.credit_transactions);
    CREATE TABLE {schema}.generation_sessions (LIKE public.generation_sessions);
    CREATE FUNCTION {schema}.lock_user_credits(uuid) RETURNS bigint
        LANGUAGE sql AS $$ SELECT 1000::bigint $$;
    CREATE FUNCTION {schema}.write_user_movement(uuid, text, bigint, text, text, uuid)
        RETURNS bigint LANGUAGE sql AS $$ SELECT 1000::bigint $$;
    CREATE FUNCTION {schema}.settle_user_deduction(uuid, int, text, text, uuid)
        RETURNS TABLE (outcome text, balance bigint)
        LANGUAGE sql AS $$ SELECT 'deducted', 1000::bigint $$;
    CREATE FUNCTION {schema}.settle_user_refund(uuid, int, text, text)
        RETURNS TABLE (outcome text, balance bigint)
        LANGUAGE sql AS $$ SELECT 'refunded', 1000::bigint $$;
    CREATE FUNCTION {schema}.raise_credit_error(text, text) RETURNS void
        LANGUAGE sql AS $$ SELECT $$;
    CREATE FUNCTION {schema}.never(int, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
    CREATE OPERATOR {schema}.> (FUNCTION = {schema}.never, LEFTARG = int, RIGHTARG = bigint);
"""


@pytest.mark.parametrize("schema", ["pg_temp", "hostile_to_users"])
async def test_objects_of_the_same_name_deceive_no_function_for_users(
    books_url: str, books: asyncpg.Connection, schema: str
) -> None:
    connection = await connect(books_url)
    user_id = await open_user(connection)
    if schema != "pg_temp":
        await books.execute(f"CREATE SCHEMA {schema}; GRANT ALL ON SCHEMA {schema} TO {APP_ROLE}")
    await connection.execute(HOSTILE_OBJECTS_FOR_USERS.format(schema=schema))
    await connection.execute(f"SET search_path = {schema}, pg_catalog, public")

    deduct = "SELECT public.deduct_credits($1, 1, 'r1')"
    assert await connection.fetchval(deduct, user_id) is False
    refund = connection.fetchval("SELECT public.refund_credits($1, 1, 'r1')", user_id)
    assert await sqlstate_of(refund) == "SC005"
    claw_back = "SELECT public.claw_back_credits($1, 1, 'r1')"
    assert await connection.fetchval(claw_back, user_id) == 0
    create = "SELECT outcome FROM public.create_generation($1, $1, 'r2', $2, NULL, NULL)"
    assert await connection.fetchval(create, user_id, b"f" * 32) == "insufficient"
    assert await connection.fetchval("SELECT public.ensure_user($1, 1)", made := uuid7()) == "made"
    await connection.close()

    assert await user_credits_of(books, user_id) == (0, 0, 0, 0, 0)
    assert await user_ledger(books, user_id) == []
    assert (await user_credits_of(books, made)).balance == 1


async def test_the_tables_here_and_in_the_grants_are_all_there_are(
    books: asyncpg.Connection,
) -> None:
    ours = await books.fetch(
        """SELECT relname FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
             AND relname !~ 'pgqueuer|yoyo'"""
    )

    assert {row["relname"] for row in ours} == set(TABLES) == set(named_in_grants("tables"))


async def test_every_function_that_is_named_in_the_grants_exists(
    books: asyncpg.Connection,
) -> None:
    there = {row["name"] for row in await books.fetch(OUR_FUNCTIONS)}
    named = named_in_grants("functions")

    assert set(named) == there - INTERNAL
    assert len(named) == len(set(named))
    assert set(named_in_grants("internal")) == INTERNAL


def named_in_grants(what: str) -> list[str]:
    """The names in one of the lists of grants.sql."""
    text = resources.files(sql).joinpath("grants.sql").read_text()
    found = re.search(rf"\b{what} CONSTANT text\[\] := ARRAY\[(.*?)\];", text, re.DOTALL)
    assert found, what
    return re.findall(r"'(\w+)'", found[1])


async def test_every_function_is_granted_to_the_application_or_known_as_internal(
    books: asyncpg.Connection,
) -> None:
    functions = await books.fetch(OUR_FUNCTIONS)
    granted = {
        row["name"]
        for row in functions
        if await books.fetchval(
            "SELECT has_function_privilege($1, $2::oid, 'EXECUTE')", APP_ROLE, row["oid"]
        )
    }

    assert {row["name"] for row in functions} == granted | INTERNAL
    assert not granted & INTERNAL


async def test_no_function_may_be_called_by_everyone(books: asyncpg.Connection) -> None:
    open_to_all = await books.fetch(
        f"""SELECT f.name FROM ({OUR_FUNCTIONS}) f JOIN pg_proc p ON p.oid = f.oid,
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE a.grantee = 0"""
    )

    assert open_to_all == []


async def test_nothing_of_ours_is_open_to_everyone(books: asyncpg.Connection) -> None:
    open_to_all = await books.fetch(
        """SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
           WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0
           UNION ALL
           SELECT c.relname || '.' || k.attname, a.privilege_type
           FROM pg_attribute k JOIN pg_class c ON c.oid = k.attrelid, aclexplode(k.attacl) a
           WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0
           UNION ALL
           SELECT 'public', a.privilege_type
           FROM pg_namespace n, aclexplode(n.nspacl) a
           WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type <> 'USAGE'"""
    )

    assert open_to_all == []


async def test_every_function_that_may_write_has_a_fixed_search_path(
    books: asyncpg.Connection,
) -> None:
    for row in await books.fetch(OUR_FUNCTIONS):
        if row["may_write"]:
            settings = set(row["settings"])
            assert settings - PLANNING == {"search_path=public, pg_temp"}, row["name"]
            assert row["is_definer"] is (row["name"] not in INTERNAL), row["name"]
        else:
            assert not row["is_definer"], f"{row['name']} reads, with its caller's rights"


async def test_every_function_says_what_it_does(books: asyncpg.Connection) -> None:
    for row in await books.fetch(OUR_FUNCTIONS):
        assert row["comment"], row["name"]


async def test_every_table_says_what_it_holds(books: asyncpg.Connection) -> None:
    for table in TABLES:
        comment = "SELECT obj_description($1::text::regclass, 'pg_class')"
        assert await books.fetchval(comment, table), table
