"""A migration beside a service that is at work: both wait for each other's locks in one order."""

import asyncio
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import yoyo
from uuid_utils.compat import uuid7

from storecredit import sql
from storecredit.postgres.migrate import migrate

WAITS_MAX_SECONDS = 20.0
WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def migrate_until(url: str, first_left_out: str) -> None:
    """Bring an empty database to where an older version had left it."""
    backend = yoyo.get_backend(urlunsplit(urlsplit(url)._replace(scheme="postgresql+psycopg")))
    try:
        with resources.as_file(resources.files(sql) / "migrations") as folder:
            known = yoyo.read_migrations(str(folder))
            older = known.filter(lambda migration: str(migration.id) < first_left_out)
            with backend.lock():
                backend.apply_migrations(backend.to_apply(older))
    finally:
        backend.connection.close()


async def until_somebody_waits(onlooker: asyncpg.Connection) -> None:
    async with asyncio.timeout(WAITS_MAX_SECONDS):
        # The server tells nobody when a session begins to wait.
        while not await onlooker.fetchval(WAITS_FOR_A_LOCK):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def test_0008_waits_for_a_create_under_way_and_the_create_never_for_it(
    empty_url: str,
) -> None:
    """A create holds its credit row and then writes its session: so must the migration wait."""
    await asyncio.to_thread(migrate_until, empty_url, "0008")
    service, onlooker = await asyncpg.connect(empty_url), await asyncpg.connect(empty_url)
    store_id = uuid7()
    await service.execute("INSERT INTO store_credits (store_id) VALUES ($1)", store_id)
    async with service.transaction():
        await service.execute("SELECT FROM store_credits WHERE store_id = $1 FOR UPDATE", store_id)
        migrating = asyncio.create_task(migrate(empty_url))
        await until_somebody_waits(onlooker)
        await service.execute(
            "INSERT INTO store_generation_sessions (store_id, session_id, request_id, fingerprint)"
            " VALUES ($1, $2, 'r', $3)",
            store_id,
            uuid7(),
            bytes(32),
        )
    assert "0008_hot_updates" in (await migrating).applied
    await service.close()
    await onlooker.close()
