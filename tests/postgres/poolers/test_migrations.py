"""A migration through PgBouncer, in whichever mode, leaves nothing behind in its sessions."""

import asyncio

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema.migrate import migrate
from tests.postgres.poolers.pgbouncer import owner_of, pgbouncer

RENEW = "UPDATE storecredit.schema_version SET fingerprint = 'of another version'"
LEFT_BEHIND = """
    SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
        + (SELECT count(*) FROM pg_prepared_statements)
        + (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name IN
               ('search_path', 'lock_timeout', 'statement_timeout', 'transaction_timeout'))"""
SESSIONS = 3


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_migration_leaves_no_lock_behind_and_the_next_one_does_not_hang(
    empty_url: str, mode: str
) -> None:
    owner = owner_of(empty_url)
    with pgbouncer(
        empty_url,
        pool_mode=mode,
        ignore_startup_parameters="search_path",
        default_pool_size=SESSIONS,
        server_round_robin=1,
    ) as made:
        async with made.running(owner) as bouncer:
            url = bouncer.url(owner)
            several = await asyncio.gather(*(migrate(url) for _ in range(SESSIONS)))
            assert sorted(each.changed for each in several) == [False, False, True]

            admin = await asyncpg.connect(empty_url)
            for _ in range(2):
                await admin.execute(RENEW)
                assert (await migrate(url)).changed
                assert not (await migrate(url)).changed
            await admin.close()

            sessions = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(SESSIONS)]
            for each in sessions:
                await each.execute("BEGIN")
            pids = {await each.fetchval("SELECT pg_backend_pid()") for each in sessions}
            assert len(pids) == SESSIONS
            assert [await each.fetchval(LEFT_BEHIND) for each in sessions] == [0] * SESSIONS
            for each in sessions:
                await each.close()


async def test_statement_mode_has_no_transactions_and_is_refused(empty_url: str) -> None:
    owner = owner_of(empty_url)
    with pgbouncer(
        empty_url, pool_mode="statement", ignore_startup_parameters="search_path"
    ) as made:
        async with made.running(owner) as bouncer:
            with pytest.raises(DatabaseMisconfigured, match="statement mode") as raised:
                await migrate(bouncer.url(owner))
    assert "PgBouncer" in str(raised.value)
