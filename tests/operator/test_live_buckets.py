"""What pages show live of several buckets: who watches one is told of that one."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.problems import Problems
from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owners import Owner
from storecredit.operator.live import Live
from storecredit.postgres.buckets import Buckets
from storecredit.stores.stores import Stores
from storecredit.webhooks.endpoints import Endpoints
from tests.operator.test_live import LIVE, LOST, OF_ALL, OF_ONE, Reader

pytestmark = pytest.mark.parametrize(
    "bucket_count", [NUMBER := 3], ids=["3_buckets"], indirect=True, scope="session"
)


@pytest.fixture
async def live(buckets: Buckets) -> AsyncIterator[Live]:
    opened = Live(buckets, Problems(buckets), Endpoints(buckets.home), load_catalogue())
    yield opened
    await opened.stop()


@pytest.fixture
async def store_ids(buckets: Buckets) -> list[UUID]:
    """A store with ten credits in each bucket, in their order."""
    made: dict[int, UUID] = {}
    while len(made) < NUMBER:
        store = await Stores(buckets).create(
            name="Hats", shop_domain="a.example", credit_count=10, request_id="opening"
        )
        database = await buckets.of_store(store.store_id)
        made.setdefault(buckets.all.index(database), store.store_id)
    return [made[number] for number in range(NUMBER)]


@pytest.fixture
async def readers(
    live: Live, buckets: Buckets, store_ids: list[UUID]
) -> AsyncIterator[list[Reader]]:
    """Who watches each of the stores, and, last, who watches all of them."""
    accounts = [await Credits(buckets).account_id(Owner.store(each)) for each in store_ids]
    with ExitStack() as stack:
        watches = [
            stack.enter_context(live.watching(uuid4(), account, everything=account is None))
            for account in (*accounts, None)
        ]
        yield [Reader(watch) for watch in watches]


async def add(buckets: Buckets, store_id: UUID, request_id: str) -> None:
    owner = Owner.store(store_id)
    await Credits(buckets).add(owner, 5, AdditionType.GRANT, Cause(request_id))


async def test_each_is_told_of_theirs_and_the_newest_of_all_are_in_order(
    readers: list[Reader], buckets: Buckets, store_ids: list[UUID]
) -> None:
    for reader in readers[:-1]:
        await reader.until_known(OF_ONE)
    await readers[-1].until_known(OF_ALL)
    for number, store_id in enumerate([*store_ids, *store_ids]):
        await add(buckets, store_id, f"more-{number}")
    for reader in readers[:-1]:
        await reader.until_balance(20)
    await readers[-1].until_first("latest", "more-5")
    assert [each["request_id"] for each in readers[-1].seen["latest"]][:6] == [
        f"more-{number}" for number in (5, 4, 3, 2, 1, 0)
    ]


async def test_a_bucket_that_cannot_be_asked_is_lost_to_those_alone_who_watch_it(
    readers: list[Reader],
    buckets: Buckets,
    store_ids: list[UUID],
    admin: asyncpg.Connection,
) -> None:
    *others, of_the_last, of_all = readers
    for reader in readers:
        await reader.until("connection", LIVE)
    await admin.execute("ALTER TABLE storecredit_2.accounts RENAME TO away")
    for reader in (of_the_last, of_all):
        await reader.until("connection", LOST)
    for reader, store_id in zip(others, store_ids, strict=False):
        await add(buckets, store_id, "meanwhile")
        await reader.until_balance(15)
        assert reader.seen["connection"] == LIVE
    await admin.execute("ALTER TABLE storecredit_2.away RENAME TO accounts")
    for reader in (of_the_last, of_all):
        await reader.until("connection", LIVE)
    await add(buckets, store_ids[-1], "afterwards")
    await of_the_last.until_balance(15)
