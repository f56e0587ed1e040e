"""A batch that cannot end holds few connections, and holds nobody up but who it is about."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from storecredit.postgres import group_commit
from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from tests.postgres.commits import stopped_clock, until
from tests.postgres.replication.callers import Shop, assert_refused_for_now, served
from tests.postgres.replication.nodes import Pair
from tests.web.conftest import http_client
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient

WAVES = 2
ATTEMPTS = 5
OTHERS = 30
DEADLINE_SECONDS = 2
CONNECTIONS_MAX = 8
OURS = "FROM pg_stat_activity WHERE application_name = 'storecredit'"


@pytest.fixture
async def api(
    pair: Pair, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """The application with one lane, which soon sees that it is held up."""
    monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(group_commit, "LOCK_WAIT_MS", 200)
    settings = Settings(
        data_dir=data_dir,
        admin_token=SecretStr(OPERATOR_TOKEN),
        commit_lanes=1,
        commit_deadline_seconds=DEADLINE_SECONDS,
    )
    database = await Database.open(pair.primary.url)
    async with assembled(settings, database) as service, http_client(service) as client:
        yield client
    await database.close()


async def connections(admin: asyncpg.Connection) -> int:
    count: int = await admin.fetchval(f"SELECT count(*) {OURS}")
    return count


async def ask_in_vain(store: StoreClient, name: str, times: int) -> None:
    """At once: each is told at its own deadline."""
    asked = (store.create(f"{name}-{place}") for place in range(times))
    for answer in await asyncio.gather(*asked):
        assert_refused_for_now(answer)


@contextlib.asynccontextmanager
async def account_locked(admin: asyncpg.Connection, shop: Shop) -> AsyncIterator[None]:
    """Another session has the account of a store, and does not let go."""
    async with admin.transaction():
        await admin.execute(
            "SELECT FROM storecredit.accounts WHERE owner_id = $1 FOR UPDATE", shop.store_id
        )
        yield


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(pair.primary.url)
    yield connection
    await connection.close()


async def test_no_connections_pile_up_while_the_standby_is_away(
    pair: Pair, shop: Shop, api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await pair.make_synchronous()
    store = StoreClient(api, str(shop.store_id), "", shop.api_key)
    assert (await served(lambda: store.create("before"))).status_code == 201
    pair.standby.stand_still()

    await ask_in_vain(store, "first", 1)
    for wave in range(WAVES):
        await ask_in_vain(store, f"wave-{wave}", ATTEMPTS)
        # As below: one request may not have needed as many as several that come at once.
        assert await connections(admin) <= CONNECTIONS_MAX

    pair.standby.go_on()
    assert (await served(lambda: store.create("first-0"))).status_code == 200


async def test_a_locked_account_holds_up_no_other_owner(
    shop: Shop,
    api: httpx.AsyncClient,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = stopped_clock(monkeypatch)
    blocked = StoreClient(api, str(shop.store_id), "", shop.api_key)
    other = await Operator(api).store(credits=10_000)
    async with account_locked(admin, shop):
        asking = asyncio.create_task(ask_in_vain(blocked, "blocked", ATTEMPTS))
        await until(lambda: admin.fetch("SELECT FROM pg_locks WHERE NOT granted"))
        created = [(await other.create()).status_code for _ in range(OTHERS)]
        assert not asking.done()
        clock.now += 2 * DEADLINE_SECONDS
        await asking
        # Its lane, the siding, the listener, and who was asked for keys and stores.
        assert await connections(admin) <= CONNECTIONS_MAX
    assert created == [201] * OTHERS
    assert (await served(lambda: blocked.create("blocked-0"))).status_code == 201
