"""How an external database is opened that is away, comes back, or cannot be used."""

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.opening import OpeningStopped, Wait, open_database
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.conftest import with_database
from tests.postgres.commits import Line

LONG_SECONDS = 3600.0
NOBODY = "postgresql://open:sesame@127.0.0.1:1/store"
"""Where no server listens."""
OURS = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'storecredit'"""


def settings_for(url: str) -> Settings:
    return Settings(database_url=SecretStr(url))


async def opened(url: str, wait: Wait | None) -> bool:
    async with open_database(settings_for(url), wait=wait) as database:
        return bool(await database.fetchval("SELECT current_user = 'storecredit_app'"))


async def test_it_is_opened_once_it_is_there_and_told_of_once(
    database_url: str, tmp_path: Path
) -> None:
    line = Line(database_url, tmp_path)
    told: list[str] = []
    is_told = asyncio.Event()

    def tell(reason: str) -> None:
        told.append(reason)
        is_told.set()

    opening = asyncio.create_task(opened(line.url, Wait(tell, LONG_SECONDS)))
    await is_told.wait()
    line.is_away = True
    async with line.open():
        await line.turned_away.wait()
        line.is_away = False
        assert await opening
    assert len(told) == 1
    assert told[0].startswith("PostgreSQL is not available: ")


@pytest.mark.parametrize("url", [NOBODY, "postgresql://open@no-such-host.invalid/store"])
async def test_one_that_is_away_is_an_error_at_once_for_who_does_not_wait(url: str) -> None:
    """A name without an address may get one: the host is about to start."""
    with pytest.raises(DatabaseUnavailable):
        await opened(url, None)


async def test_a_wait_that_is_stopped_ends(database_url: str, tmp_path: Path) -> None:
    """Also while a connection is under way to a server that says nothing."""
    line = Line(database_url, tmp_path)
    line.speaks.clear()
    stop = asyncio.Event()
    told: list[str] = []

    def tell(reason: str) -> None:
        told.append(reason)
        stop.set()

    async with line.open():
        with pytest.raises(OpeningStopped):
            await opened(f"{line.url}&connect_timeout=60", Wait(tell, LONG_SECONDS, stop))
    assert told == ["PostgreSQL does not answer"]


@pytest.mark.parametrize("name", ["nowhere", "postgres"])
async def test_one_that_cannot_be_used_is_not_waited_for(server_url: str, name: str) -> None:
    """There is no such database, or it has not been migrated."""
    told: list[str] = []
    with pytest.raises(DatabaseMisconfigured):
        await opened(with_database(server_url, name), Wait(told.append, LONG_SECONDS))
    assert told == []


def kill_background_writer(data_dir: Path) -> None:
    """The server ends all sessions, recovers, and goes on."""
    pid = EmbeddedPostgres(data_dir).pid()
    assert pid is not None
    children = psutil.Process(pid).children()
    (writer,) = [each for each in children if "background writer" in " ".join(each.cmdline())]
    writer.kill()


async def test_a_command_beside_an_embedded_server_that_recovers_gets_through(
    data_dir: Path,
) -> None:
    settings = Settings(data_dir=data_dir)
    told: list[str] = []
    async with open_database(settings):
        kill_background_writer(data_dir)
        async with open_database(settings, wait=Wait(told.append, LONG_SECONDS)) as beside:
            assert isinstance(beside, Database)


async def test_the_connection_that_it_was_opened_by_is_the_first_to_be_used(
    database: Database, admin: asyncpg.Connection
) -> None:
    [opened_by] = await admin.fetch(OURS)
    assert await database.fetchval("SELECT pg_backend_pid()") == opened_by["pid"]
    assert await admin.fetch(OURS) == [opened_by]


async def test_it_is_replaced_if_it_was_cut_before(
    database: Database, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM ({OURS}) a")
    # Whether the word of it has come by now or not: at most one statement pays for it.
    with contextlib.suppress(DatabaseUnavailable):
        await database.fetchval("SELECT 1")
    assert await database.fetchval("SELECT 1") == 1


async def test_it_is_closed_with_a_database_that_nobody_used(
    database_url: str, admin: asyncpg.Connection
) -> None:
    unused = await Database.open(database_url)
    await unused.close()
    while await admin.fetch(OURS):
        pass
