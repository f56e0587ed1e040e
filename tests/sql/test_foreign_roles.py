"""Roles of hosted PostgreSQL, and a login of the application's own: who ends up with which rights.

Roles belong to the whole server, which other tests use too: each test makes its own, with names of
their own, or takes everything back.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import Database
from storecredit.postgres.schema import privileges
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import APP_ROLE, search_path
from tests.sql.ledgers import open_store, sqlstate_of

INSUFFICIENT_PRIVILEGE = "42501"
# Everything of ours: the tables, those of the job queue, their sequences, the interface; and which
# rights there are on them.
OURS = "IN ('storecredit'::regnamespace, 'public'::regnamespace)"
RIGHTS_ON_RELATIONS = f"""
    SELECT c.oid::regclass || ': ' || p.privilege FROM pg_class c,
        unnest('{{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[])
            AS p (privilege)
    WHERE c.relnamespace {OURS} AND c.relkind IN ('r', 'v')
      AND (has_table_privilege($1, c.oid, p.privilege)
           OR p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
              AND has_any_column_privilege($1, c.oid, p.privilege))
    UNION ALL
    SELECT c.oid::regclass || ': ' || p.privilege FROM pg_class c,
        unnest('{{USAGE,SELECT,UPDATE}}'::text[]) AS p (privilege)
    WHERE c.relnamespace {OURS} AND c.relkind = 'S'
      AND has_sequence_privilege($1, c.oid, p.privilege)"""
RIGHTS_ON_FUNCTIONS = f"""
    SELECT p.oid::regproc::text FROM pg_proc p
    WHERE p.pronamespace {OURS} AND has_function_privilege($1, p.oid, 'EXECUTE')"""
FORGET_WHAT_WAS_APPLIED = "UPDATE storecredit.schema_version SET fingerprint = 'another'"


async def rights_of(connection: asyncpg.Connection, role: str) -> list[str]:
    relations = await connection.fetch(RIGHTS_ON_RELATIONS, role)
    functions = await connection.fetch(RIGHTS_ON_FUNCTIONS, role)
    return sorted(row[0] for row in [*relations, *functions])


@pytest.fixture
async def role(server_url: str) -> AsyncIterator[str]:
    """A role that can log in and has no rights; dropped with whatever it was given."""
    name = f"role_{uuid4().hex}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    yield name
    await connection.execute(f"DROP ROLE {name}")
    await connection.close()


@pytest.fixture
async def foreign_role(role: str, admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A role that holds rights in the fresh database when the test begins, and none afterwards."""
    yield role
    await admin.execute(f"DROP OWNED BY {role}")


async def test_rights_given_by_default_are_taken_back(
    template: str, role: str, empty_url: str
) -> None:
    owner = await asyncpg.connect(empty_url)
    for kind in ("TABLES", "FUNCTIONS", "SEQUENCES", "SCHEMAS"):
        await owner.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {role}")
        await owner.execute(
            f"""ALTER DEFAULT PRIVILEGES FOR ROLE storecredit_writer
                GRANT ALL ON {kind} TO {role} WITH GRANT OPTION"""
        )

    await migrate(empty_url)
    may_use = "SELECT has_schema_privilege($1, 'storecredit', 'USAGE')"
    assert not await owner.fetchval(may_use, role)

    assert await rights_of(owner, role) == []
    assert await rights_of(owner, "pg_monitor") == [], "nor has anyone through PUBLIC"
    await owner.close()


async def test_rights_given_by_hand_are_taken_back_by_the_next_version(
    database_url: str, admin: asyncpg.Connection, foreign_role: str
) -> None:
    before = [await rights_of(admin, role) for role in (APP_ROLE, "storecredit_writer")]
    await admin.execute(
        f"""GRANT ALL ON ALL TABLES IN SCHEMA storecredit, public TO {foreign_role};
            GRANT ALL ON ALL SEQUENCES IN SCHEMA storecredit TO {foreign_role} WITH GRANT OPTION;
            GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA storecredit, public TO {foreign_role};
            GRANT UPDATE ON movements, accounts, schema_version
                TO PUBLIC, {APP_ROLE}, storecredit_writer;
            GRANT UPDATE (amount) ON movements TO {APP_ROLE}, storecredit_writer;
            GRANT EXECUTE ON FUNCTION append_movement, public.deduct_credits
                TO PUBLIC, {APP_ROLE};
            GRANT USAGE ON SCHEMA storecredit TO {foreign_role};
            SET ROLE {foreign_role};
            GRANT USAGE ON SEQUENCE storecredit.pgqueuer_id_seq TO {APP_ROLE};
            RESET ROLE;
            {FORGET_WHAT_WAS_APPLIED}"""
    )

    assert (await migrate(database_url)).changed

    assert await rights_of(admin, foreign_role) == []
    after = [await rights_of(admin, role) for role in (APP_ROLE, "storecredit_writer")]
    assert after == before


async def test_rights_on_single_columns_are_taken_back(
    database_url: str, admin: asyncpg.Connection, foreign_role: str
) -> None:
    await admin.execute(
        f"""GRANT UPDATE (balance_after) ON movements TO {foreign_role};
            GRANT SELECT (balance) ON public.store_credits TO {foreign_role};
            {FORGET_WHAT_WAS_APPLIED}"""
    )

    await migrate(database_url)

    assert await rights_of(admin, foreign_role) == []


async def test_the_hosters_own_backend_role_may_read_and_call(admin: asyncpg.Connection) -> None:
    # Rolled back, so that no other database of this server ever meets the role.
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(
        """DO $$ BEGIN CREATE ROLE service_role;
           EXCEPTION WHEN duplicate_object THEN NULL; END $$"""
    )
    await admin.execute("GRANT ALL ON movements, public.store_credits TO service_role")
    await admin.execute(f"SET LOCAL search_path = {search_path()}")
    await privileges.mend_rights(admin)
    service, app = await rights_of(admin, "service_role"), await rights_of(admin, APP_ROLE)
    await transaction.rollback()

    assert {"deduct_store_credits", "deduct_credits"} <= {name.split(".")[-1] for name in service}
    assert service == [right for right in app if "pgqueuer" not in right]


async def test_a_login_that_is_no_more_than_a_member_can_run_the_application(
    database_url: str, admin: asyncpg.Connection, role: str
) -> None:
    await admin.execute(f"GRANT {APP_ROLE} TO {role}")
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{role}:{role}@{host}"))
    database = await Database.open(url)

    async with database.acquire() as connection:
        store_id = await open_store(connection, 1)
        assert await connection.fetchval("SELECT public.deduct_store_credits($1, 1, 'r')", store_id)
        # Not even by leaving the role: behind it stands nobody who may write.
        await connection.execute("SET ROLE NONE")
        refused = await sqlstate_of(connection.execute("UPDATE accounts SET overage_limit = 9"))
        assert refused == INSUFFICIENT_PRIVILEGE
    await database.close()
