"""What has to hold of a database that came from a dump, before anybody relies on it."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pydantic import SecretStr

from storecredit.generation.lifecycle import Created, GenerationInput, Lifecycle
from storecredit.ledger.owners import Account
from storecredit.ledger.summing import Summing
from storecredit.ledger.verify import verify
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.opening import open_database
from storecredit.postgres.servers import connect
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from tests.conftest import SEARCH_PATH, connect_as_superuser
from tests.sql.guard import assert_guarded
from tests.sql.ledgers import open_store

INPUT = GenerationInput(("https://images.example/a.png",), "a red hat")


async def refusal_to_open(url: str) -> str:
    """The sentence with which the service does not start."""
    with pytest.raises(DatabaseMisconfigured) as raised:
        async with open_database(Settings(database_url=SecretStr(url))):
            pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def assert_works(url: str, admin_url: str, account: Account, data_dir: Path) -> None:
    """It opens, proves right, makes a generation, and nobody writes around the functions.

    `url` is the service's, `admin_url` a superuser's; `account` has credits.
    """
    settings = Settings(database_url=SecretStr(url), data_dir=data_dir)
    async with open_database(settings) as database:
        before = await verify(database)
        assert before.clean, before.discrepancies
        lifecycle = Lifecycle(database, settings, Metrics())
        await lifecycle.open()
        try:
            assert isinstance(await lifecycle.create(account, "restored", INPUT, None, 1), Created)
        finally:
            await lifecycle.close()
        async with database.acquire() as connection:
            await open_store(connection, 5)
        # What was counted before the dump is not counted again.
        await Summing(database, Settings(sums_interval_seconds=1e-6)).sum_up()
        after = await verify(database)
        assert after.clean, after.discrepancies
        assert (
            after.movements + after.user_movements == before.movements + before.user_movements + 2
        )
        counted = await database.fetchval("SELECT sum(movements) FROM hourly_sums")
        assert counted == after.movements + after.user_movements
    await _assert_guarded(url, admin_url)


async def _assert_guarded(url: str, admin_url: str) -> None:
    admin, app = await connect_as_superuser(admin_url), await connect(url)
    try:
        await app.execute(f"SET search_path = {SEARCH_PATH}")
        interface = await admin.fetchval("SELECT interface FROM storecredit.schema_version")
        await assert_guarded(admin, app, interface)
    finally:
        await app.close()
        await admin.close()


async def run(url: str, *statements: str) -> None:
    """Each in a transaction of its own, as whom the URL says."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def as_login(url: str, login: str, database: str) -> str:
    """The same server's URL for another login and database."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}:{login}@{host}", path=f"/{database}"))
