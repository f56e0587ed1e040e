"""SIGKILL after the commit and before the answer: who asks again is told what was done."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import asyncpg
import httpx
import pytest

from tests.conftest import connect_as_superuser
from tests.crash.processes import Processes
from tests.crash.waiting import until_true
from tests.web.doors import StoreClient, data_of
from tests.web.spends import BATCH, item, read, refund, spend, spend_batch, spent
from tests.web.table_rows import ACCOUNT, Rows

PATIENCE_SECONDS = 30.0
WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
      AND application_name = 'storecredit' AND wait_event_type = 'Lock'
"""


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Processes of the service on a database that is not theirs."""
    started = Processes(tmp_path_factory.mktemp("lost"))
    yield started
    started.end_all()


@pytest.fixture
async def in_the_way(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that locks what the service needs."""
    connection = await connect_as_superuser(database_url)
    yield connection
    await connection.close()


async def test_what_was_done_by_a_killed_service_is_told_by_the_next(
    store: StoreClient,
    rows: Rows,
    admin: asyncpg.Connection,
    in_the_way: asyncpg.Connection,
    database_url: str,
    processes: Processes,
) -> None:
    await spent(store, "before", 10)
    environment = {"STORECREDIT_DATABASE_URL": database_url}
    service = await processes.start("serve", "--no-worker", "--port", "0", environment=environment)
    many = {"items": [item("call-1", 2), item("call-2", 3)]}

    async def is_waiting() -> bool:
        waiting: int = await admin.fetchval(WAITING)
        return waiting == 3

    async def is_done() -> bool:
        return len(await rows.ledger(store.store_id)) == 6

    async with httpx.AsyncClient(base_url=service.url) as http:
        there = replace(store, http=http)
        async with in_the_way.transaction():
            await in_the_way.execute(
                f"SELECT FROM accounts WHERE account_id = {ACCOUNT} FOR UPDATE", store.store_id
            )
            asked = [
                asyncio.create_task(asking)
                for asking in (
                    spend(there, "order-1", 5),
                    there.send("POST", BATCH, json=many),
                    refund(there, "before", "refund-1", 4),
                )
            ]
            await until_true(is_waiting, "all three wait", PATIENCE_SECONDS, service.log_tail)
            # It hears no answer from now on, and the database goes on without it.
            service.pause()
        await until_true(is_done, "all is committed", PATIENCE_SECONDS, service.log_tail)
        service.kill()
        for lost in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(lost, httpx.TransportError)

    before = await rows.counts()
    answer = await spend(store, "order-1", 5)
    assert data_of(answer, 200)["balance"] == 84
    assert answer.headers["idempotent-replayed"] == "true"
    again = await spend_batch(store, *many["items"])
    assert [each["outcome"] for each in again] == ["replayed", "replayed"]
    given = data_of(await refund(store, "before", "refund-1", 4), 200)
    assert (given["amount"], given["refundable"], given["balance"]) == (4, 6, 84)
    assert (await read(store, "order-1"))["amount"] == 5
    assert await rows.counts() == before
