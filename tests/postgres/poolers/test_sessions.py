"""What of PgBouncer's sessions is taken, and what is refused in one sentence that names it."""

import asyncio
from functools import partial

import asyncpg
import pytest
from structlog.testing import capture_logs

from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import connect
from tests.conftest import with_database
from tests.postgres.poolers.pgbouncer import PARAMETERS, PgBouncer, pgbouncer
from tests.running_listener import running, until

SAYS_WHAT_TO_DO = "name the server's direct address in the database URL, or set the pooler up as"


async def refusal(url: str) -> str:
    with pytest.raises(DatabaseMisconfigured) as raised:
        await Database.open(url)
    said = str(raised.value)
    assert "PgBouncer" in said
    assert SAYS_WHAT_TO_DO in said
    assert said.endswith(".")
    assert "\n" not in said
    return said


async def use_at_once(url: str, count: int) -> None:
    """Have PgBouncer open so many sessions of its own."""
    connections = [await asyncpg.connect(url) for _ in range(count)]
    asking = [connection.execute("SELECT pg_sleep(0.05)") for connection in connections]
    await asyncio.gather(*asking)
    for connection in connections:
        await connection.close()


async def test_a_pooler_as_it_comes_knows_no_parameters_and_is_refused(
    database_url: str, login: str
) -> None:
    with pgbouncer(database_url) as made:
        async with made.running(login) as bouncer:
            assert "unsupported startup parameter: search_path" in await refusal(bouncer.url(login))


async def test_a_pooler_that_keeps_the_role_back_does_not_let_us_work_as_the_owner(
    keeping_parameters: PgBouncer, owner: str
) -> None:
    async with keeping_parameters.running(owner) as bouncer:
        said = await refusal(bouncer.url(owner))
    assert f"role is {owner}, not storecredit_app" in said
    assert "enable_seqscan is on, not off" in said


@pytest.mark.parametrize(
    "setting, found",
    [
        ("search_path = public", "search_path is public, not storecredit, pg_temp"),
        (
            "default_transaction_isolation = 'repeatable read'",
            "default_transaction_isolation is repeatable read, not read committed",
        ),
        ("enable_seqscan = on", "enable_seqscan is on, not off"),
        ("enable_bitmapscan = on", "enable_bitmapscan is on, not off"),
        ("jit = on", "jit is on, not off"),
    ],
)
async def test_each_setting_that_is_not_what_was_asked_for_is_named(
    keeping_parameters: PgBouncer,
    admin: asyncpg.Connection,
    login: str,
    setting: str,
    found: str,
) -> None:
    await admin.execute(f"ALTER ROLE {login} SET {setting}")
    async with keeping_parameters.running(login) as bouncer:
        assert f"({found})" in await refusal(bouncer.url(login))


async def test_a_login_that_brings_its_settings_along_works_in_session_mode(
    keeping_parameters: PgBouncer, login: str
) -> None:
    """Also in a session that somebody has used before, and PgBouncer has reset (DISCARD ALL)."""
    async with keeping_parameters.with_settings(default_pool_size=2).running(login) as bouncer:
        for _ in range(3):
            database = await Database.open(bouncer.url(login))
            row = await database.fetchrow(
                "SELECT current_user, session_user, current_setting('search_path') AS path"
            )
            await database.close()
            assert row is not None
            assert tuple(row) == ("storecredit_app", login, "storecredit, pg_temp")


@pytest.mark.parametrize(
    "login, database, said",
    [
        ("nobody_here", "", '"trust" authentication failed'),
        ("", "nowhere", 'database "nowhere" does not exist'),
    ],
)
async def test_a_login_that_gets_nowhere_is_told_as_one_and_not_waited_for(
    keeping_parameters: PgBouncer, owner: str, login: str, database: str, said: str
) -> None:
    """PgBouncer tells both by the same code as a server that is away."""
    async with keeping_parameters.running(owner) as bouncer:
        url = bouncer.url(login or owner)
        if database:
            url = with_database(url, database)
        with pytest.raises(DatabaseMisconfigured) as raised:
            await Database.open(url)
    assert f"({said})" in str(raised.value)
    assert "check the database URL" in str(raised.value)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("idle", [1, 2, 3])
async def test_a_pooler_that_shares_sessions_out_is_refused(
    database_url: str, login: str, mode: str, order: int, idle: int
) -> None:
    """Whichever of its idle sessions it lends: what was used last (its default), or first."""
    with pgbouncer(
        database_url,
        pool_mode=mode,
        ignore_startup_parameters=PARAMETERS,
        server_round_robin=order,
        default_pool_size=idle,
    ) as made:
        async with made.running(login) as bouncer:
            await use_at_once(bouncer.url(login), idle)
            assert "in transaction or statement mode" in await refusal(bouncer.url(login))


async def test_what_a_connect_query_sets_is_gone_for_the_second_who_uses_the_session(
    keeping_parameters: PgBouncer, admin: asyncpg.Connection, login: str
) -> None:
    """PgBouncer resets sessions (DISCARD ALL), and runs the query once."""
    await admin.execute(f"ALTER ROLE {login} RESET search_path")
    query = "connect_query='SET search_path = storecredit, pg_temp'"
    once = keeping_parameters.with_settings(default_pool_size=1)
    async with once.running(login, options=query) as bouncer:
        connection = await connect(bouncer.url(login))
        await connection.close()
        assert "search_path is" in await refusal(bouncer.url(login))


async def test_a_pool_takes_no_session_that_became_unfit_and_goes_on_when_it_is_mended(
    keeping_parameters: PgBouncer, admin: asyncpg.Connection, login: str
) -> None:
    async with keeping_parameters.running(login) as bouncer:
        database = await Database.open(bouncer.url(login))
        assert await database.fetchval("SELECT current_user") == "storecredit_app"
    await admin.execute(f"ALTER ROLE {login} RESET role")
    async with keeping_parameters.running(login):
        for use in (partial(database.fetchval, "SELECT 1"), database.connect):
            with pytest.raises(DatabaseUnavailable, match=f"role is {login}, not storecredit_app"):
                await use()
    await admin.execute(f"ALTER ROLE {login} SET role = storecredit_app")
    async with keeping_parameters.running(login):
        assert await database.fetchval("SELECT current_user") == "storecredit_app"
        await database.close()


async def test_sessions_that_are_shared_out_from_now_on_are_named_in_the_log(
    keeping_parameters: PgBouncer, login: str
) -> None:
    shares = keeping_parameters.with_settings(pool_mode="transaction", server_round_robin=1)
    async with keeping_parameters.running(login) as bouncer:
        database = await Database.open(bouncer.url(login))
    with capture_logs() as logs:
        async with shares.running(login):
            await use_at_once(bouncer.url(login), 3)
            async with running(Listener(database, "a channel")):
                await until(lambda: any("transaction or statement" in str(line) for line in logs))
            await database.close()
    assert {line["event"] for line in logs} == {"listener_lost"}
