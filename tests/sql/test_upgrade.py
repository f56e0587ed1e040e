"""A database of the build before becomes one of today, with every row, or stays as it is."""

import json
from urllib.parse import urlsplit

import asyncpg
import pytest

from storecredit.generation.lifecycle import GenerationJob
from storecredit.ledger.verify import verify
from storecredit.postgres.job_queue import Job, enqueue
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import SchemaState, schema_state
from tests.conftest import connect_as_superuser, with_database
from tests.sql.catalog import catalog, login, rows_of
from tests.sql.earlier_build import WITH_0008, load_earlier_build
from tests.sql.ledgers import open_store

# What that build had beside its tables.
NOT_SHOWN = {"last_verification", "storecredit_schema"}
# What has come to the views of credits since then, last, and what a row of that build has there.
TOTALS = (["held bigint", "total_expired bigint", "total_removed bigint"], ",0,0,0)")
ACTOR = (["actor text"], ",)")
WIDER = {
    "store_credits": TOTALS,
    "user_credits": TOTALS,
    "store_credit_transactions": ACTOR,
    "credit_transactions": ACTOR,
}
SAME: tuple[list[str], str] = ([], ")")
JOBS = "SELECT entrypoint, dedupe_key, status::text, attempts, payload FROM {}.pgqueuer ORDER BY id"
COLUMNS = """
    SELECT c.relname::text AS name,
        array_agg(format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod))
            ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND c.relkind = ANY ($1)
      AND c.relname !~ 'yoyo|pgqueuer'
    GROUP BY 1"""


async def columns_of(connection: asyncpg.Connection, kind: str) -> dict[str, list[str]]:
    return {row["name"]: row["columns"] for row in await connection.fetch(COLUMNS, [kind.encode()])}


async def test_every_row_is_there_afterwards_under_the_names_of_before(
    earlier_url: str, earlier: asyncpg.Connection
) -> None:
    before, columns = await rows_of(earlier, "public"), await columns_of(earlier, "r")
    assert all(rows for table, rows in before.items() if table in columns), "a table is empty"

    migrated = await migrate(earlier_url)

    assert migrated.interface == "public"
    assert migrated.notes == (
        "The tables of the earlier storecredit were moved out of the schema public.",
    )
    shown = await columns_of(earlier, "v")
    assert shown.pop("storecredit_schema") == ["migration text", "fingerprint text"]
    assert shown == {
        name: columns[name] + WIDER.get(name, SAME)[0] for name in columns.keys() - NOT_SHOWN
    }
    after = await rows_of(earlier, "public")
    assert after.pop("storecredit_schema") == []
    assert after == {
        name: [row[:-1] + WIDER.get(name, SAME)[1] for row in before[name]] for name in shown
    }
    # That build did not count the movements.
    assert (await rows_of(earlier, "storecredit"))["last_verification"] == [
        f"{row[:-1]},,)" for row in before["last_verification"]
    ]


async def test_nothing_of_the_earlier_build_is_left(
    earlier_url: str, earlier: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    assert await schema_state(earlier) is SchemaState.OUTDATED

    await migrate(earlier_url)

    assert await schema_state(earlier) is SchemaState.CURRENT
    assert await catalog(earlier) == await catalog(admin)
    assert not (await migrate(earlier_url)).changed


async def test_a_build_with_fewer_migrations_is_moved_as_well(
    empty_url: str, template: str, admin: asyncpg.Connection
) -> None:
    await load_earlier_build(empty_url, WITH_0008)
    earlier = await connect_as_superuser(empty_url)
    before, columns = await rows_of(earlier, "public"), await columns_of(earlier, "r")
    assert "last_verification" not in columns

    await migrate(empty_url)

    assert await catalog(earlier) == await catalog(admin)
    shown = await columns_of(earlier, "v")
    for table in columns.keys() - NOT_SHOWN:
        added = len(shown[table]) - len(columns[table])
        assert added >= 0
        if added == 0:
            assert (await rows_of(earlier, "public"))[table] == before[table]
    database = await Database.open(empty_url)
    assert (await verify(database, every_row=True)).clean
    await database.close()
    await earlier.close()


async def test_jobs_wait_on_and_name_their_account(
    earlier_url: str, earlier: asyncpg.Connection
) -> None:
    before = await earlier.fetch(JOBS.format("public"))
    log = (await rows_of(earlier, "public"))["pgqueuer_log"]
    assert {job["entrypoint"] for job in before} == {"generation", "paddle_event"}
    assert {job["status"] for job in before} == {"queued", "picked"}

    await migrate(earlier_url)

    after = await earlier.fetch(JOBS.format("storecredit"))
    for old, new in zip(before, after, strict=True):
        assert [*new.values()][:4] == [*old.values()][:4]
        if new["entrypoint"] == "paddle_event":
            assert new["payload"] == old["payload"]
            continue
        names = json.loads(new["payload"])
        kind = "store" if "store_id" in names else "user"
        account_id = await earlier.fetchval(
            "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
            kind,
            names[f"{kind}_id"],
        )
        job = GenerationJob.from_payload(new["payload"])
        assert (job.account.id, str(job.session_id)) == (account_id, new["dedupe_key"])
        assert names.pop("account_id") == str(account_id)
        assert names == json.loads(old["payload"])
    assert (await rows_of(earlier, "storecredit"))["pgqueuer_log"] == log
    await enqueue(earlier, "paddle_event", [Job("evt_0", b""), Job("evt_new", b"evt_new")])
    assert len(await earlier.fetch(JOBS.format("storecredit"))) == len(before) + 1


async def test_the_service_works_on_where_the_earlier_one_stopped(
    earlier_url: str, earlier: asyncpg.Connection
) -> None:
    await migrate(earlier_url)

    store_id = await earlier.fetchval("SELECT store_id FROM store_credits WHERE balance > 100")
    database = await Database.open(earlier_url)
    proven = await verify(database, every_row=True)
    assert (proven.clean, proven.stores, proven.users) == (True, 6, 5)
    async with database.acquire() as connection:
        spend = "SELECT public.deduct_store_credits($1, $2, $3)"
        # Requests of before are known, under what they took.
        assert await connection.fetchval(spend, store_id, 3, "direct")
        with pytest.raises(asyncpg.PostgresError) as raised:
            await connection.fetchval(spend, store_id, 4, "direct")
        assert raised.value.sqlstate == "SC004"
        assert await connection.fetchval(spend, store_id, 1, "new")
        refund = "SELECT public.refund_store_credits($1, 2, 'returned')"
        assert await connection.fetchval(refund, store_id) is False
        await open_store(connection, 1)
    assert (await verify(database)).clean
    await database.close()
    newest = await earlier.fetch(
        """SELECT request_id, balance_after FROM store_credit_transactions
           WHERE store_id = $1 ORDER BY seq DESC LIMIT 2""",
        store_id,
    )
    assert newest[0]["request_id"] == "new"
    assert newest[0]["balance_after"] == newest[1]["balance_after"] - 1


async def test_what_others_have_beside_it_stays(
    earlier_url: str, earlier: asyncpg.Connection
) -> None:
    await earlier.execute(
        """CREATE TABLE public.orders (id int);
           CREATE FUNCTION public.balance_change(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
           INSERT INTO public._yoyo_migration (migration_hash, migration_id)
               VALUES ('h', '0001_orders')"""
    )

    await migrate(earlier_url)

    kept = {table for table in await rows_of(earlier, "public") if "yoyo" in table}
    assert kept == {"_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock"}
    applied = await earlier.fetch("SELECT migration_id FROM public._yoyo_migration")
    assert [row[0] for row in applied] == ["0001_orders"]
    assert await earlier.fetchval("SELECT public.balance_change('x')") == 1
    assert await earlier.fetchval("SELECT count(*) FROM public.orders") == 0


async def test_an_owner_who_is_no_superuser_can_upgrade(
    server_url: str, template: str, admin: asyncpg.Connection
) -> None:
    name = "owner_of_an_earlier_build"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    await admin.execute(f"GRANT storecredit_app, storecredit_writer TO {name}")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    try:
        url = login(server_url, name)
        assert urlsplit(with_database(server_url, name)).path == urlsplit(url).path
        await load_earlier_build(url)
        assert (await migrate(url)).interface == "public"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
