"""The operator's endpoints hear of what happens in every bucket, and in each bucket's order."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext, AuditLog
from storecredit.operator.webhooks import OperatedWebhooks
from storecredit.postgres.buckets import SeveralBuckets, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from storecredit.telemetry import Metrics
from storecredit.webhooks.capacity import Capacity
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.delivering import Delivering
from storecredit.webhooks.delivery_records import DeliveryRecords, Resent
from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT, Endpoints, IssuedSecret
from storecredit.webhooks.relay import Relay
from tests.webhooks.endpoints import Endpoint, verified

BUCKETS = 3
SETTINGS = Settings(allow_private_hosts=True)


@pytest.fixture
async def buckets(database_url: str) -> AsyncIterator[SeveralBuckets]:
    """Those of a database that has three."""
    await migrate(database_url, buckets=BUCKETS, open_after_seconds=0)
    home = await Database.open(database_url)
    async with opened(home) as several:
        assert isinstance(several, SeveralBuckets)
        yield several
    await home.close()


async def one_in_each(buckets: SeveralBuckets) -> list[UUID]:
    """A store of each bucket."""
    found: dict[int, UUID] = {}
    while len(found) < BUCKETS:
        made = await Stores(buckets).create(
            name="A", shop_domain="a.example", credit_count=1, request_id="opening"
        )
        found[buckets.all.index(await buckets.of_store(made.store_id))] = made.store_id
    return [found[bucket] for bucket in range(BUCKETS)]


async def add(buckets: SeveralBuckets, store_id: UUID, *amounts: int) -> None:
    """An event `credits.added` for each, in this order."""
    for amount in amounts:
        await Credits(buckets).add(
            Owner.store(store_id), amount, AdditionType.GRANT, Cause(f"add {amount}")
        )


async def brought(buckets: SeveralBuckets) -> int:
    """How many events came to the first bucket from the others."""
    parts = Capacity(SETTINGS, BUCKETS).parts
    return sum(
        [
            await Relay(buckets.home, database, part).bring()
            for database, part in zip(buckets.all[1:], parts[1:], strict=True)
        ]
    )


async def hearing(
    buckets: SeveralBuckets, url: str, *, ordered: bool = False, account_id: int = OPERATOR_ACCOUNT
) -> Endpoint:
    """An endpoint that hears of added credits, made as its door makes it."""
    made = await Endpoints(buckets).create(
        account_id, url=url, event_types=["credits.added"], ordered=ordered
    )
    assert isinstance(made, IssuedSecret)
    return Endpoint(made.endpoint.endpoint_id, made.secret)


async def test_the_operator_is_told_what_happens_in_each_bucket_signed_and_in_its_order(
    buckets: SeveralBuckets,
) -> None:
    stores = await one_in_each(buckets)
    received: list[Received] = []

    def answer(request: Received) -> Answer:
        received.append(request)
        return Answer(200)

    async with stand_in(answer) as receiver:
        endpoint = await hearing(buckets, receiver.url(), ordered=True)
        for amount in range(1, 6):
            for store_id in stores:
                await add(buckets, store_id, amount)
        delivering, stop = Delivering(buckets, SETTINGS, Metrics()), asyncio.Event()
        await delivering.open()
        running = asyncio.create_task(delivering.run(stop))
        async with asyncio.timeout(60):
            while len(received) < 15:  # noqa: ASYNC110 - a receiver sets no event
                await asyncio.sleep(0.01)
        stop.set()
        await running
        await delivering.close()
    told = [verified(request, endpoint)["data"] for request in received]
    for store_id in stores:
        amounts = [data["amount"] for data in told if data["store_id"] == str(store_id)]
        assert amounts == [1, 2, 3, 4, 5]
    page = await DeliveryRecords(buckets).list(OPERATOR_ACCOUNT, endpoint.id)
    assert len(page.items) == 15
    elsewhere = page.items[0].event_id
    followed = await DeliveryRecords(buckets).get(OPERATOR_ACCOUNT, endpoint.id, elsewhere)
    assert followed is not None
    assert followed.body in {request.body.decode() for request in received}
    assert await DeliveryRecords(buckets).resend(
        OPERATOR_ACCOUNT, endpoint.id, elsewhere
    ) == Resent(1, None)


async def test_an_event_is_brought_once_whoever_died_over_it(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    _, store_id, _ = await one_in_each(buckets)
    await hearing(buckets, "https://operator.example/")
    await add(buckets, store_id, 1, 2)
    taken = "SELECT count(*) FROM take_relayed(10, '1 hour')"
    assert await buckets.all[1].fetchval(taken) == 2, "by a worker that dies now"
    assert await brought(buckets) == 0
    await admin.execute("UPDATE storecredit_1.webhook_endpoints SET resumes_at = now()")
    assert await brought(buckets) == 2
    # That one had only not said so.
    await admin.execute(
        """INSERT INTO storecredit_1.deliveries (endpoint_id, seq)
           SELECT '00000000-0000-0000-0000-000000000000', seq FROM storecredit_1.events"""
    )
    assert await brought(buckets) == 2
    told = "SELECT (data->>'amount')::int AS amount FROM storecredit.events ORDER BY seq"
    assert [row["amount"] for row in await admin.fetch(told)] == [1, 2]


async def test_what_an_operator_makes_hears_all_buckets_from_then_on(
    buckets: SeveralBuckets,
) -> None:
    _, store_id, _ = await one_in_each(buckets)
    context = ActionContext("ada@example.com", "api", "any")
    made = (
        await OperatedWebhooks(buckets, AuditLog(buckets))
        .endpoints(context, None)
        .create(OPERATOR_ACCOUNT, url="https://operator.example/", event_types=["credits.added"])
    )
    assert isinstance(made, IssuedSecret)
    await add(buckets, store_id, 1)
    assert await brought(buckets) == 1
    page = await DeliveryRecords(buckets).list(OPERATOR_ACCOUNT, made.endpoint.endpoint_id)
    assert [item.type for item in page.items] == ["credits.added"]


async def test_nothing_is_written_in_other_buckets_while_the_operator_hears_nothing(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    _, store_id, _ = await one_in_each(buckets)
    written = "SELECT count(*) FROM storecredit_1.events"
    await add(buckets, store_id, 1)
    assert await admin.fetchval(written) == 0
    endpoint = await hearing(buckets, "https://operator.example/")
    await add(buckets, store_id, 2)
    assert await admin.fetchval(written) == 1
    endpoints = Endpoints(buckets)
    await endpoints.update(OPERATOR_ACCOUNT, endpoint.id, event_types=["store.created"])
    await add(buckets, store_id, 3)
    assert await admin.fetchval(written) == 1
    await endpoints.update(OPERATOR_ACCOUNT, endpoint.id, event_types=["*"])
    await add(buckets, store_id, 4)
    assert await admin.fetchval(written) == 2
    await endpoints.delete(OPERATOR_ACCOUNT, endpoint.id)
    await add(buckets, store_id, 5)
    assert await admin.fetchval(written) == 2


async def test_what_happens_while_the_operator_s_endpoint_is_disabled_is_kept_to_be_resent(
    buckets: SeveralBuckets,
) -> None:
    _, store_id, _ = await one_in_each(buckets)
    endpoint = await hearing(buckets, "https://operator.example/")
    await Endpoints(buckets).set_status(OPERATOR_ACCOUNT, endpoint.id, "disabled")
    await add(buckets, store_id, 1)
    assert await brought(buckets) == 1
    records = DeliveryRecords(buckets)
    (missed,) = (await records.list(OPERATOR_ACCOUNT, endpoint.id)).items
    assert missed.status == "failed"
    await Endpoints(buckets).set_status(OPERATOR_ACCOUNT, endpoint.id, "enabled")
    since = missed.created_at - timedelta(seconds=1)
    assert await records.resend_since(OPERATOR_ACCOUNT, endpoint.id, since) == Resent(1, None)


async def test_the_relay_is_nobody_s_endpoint(buckets: SeveralBuckets) -> None:
    stores = await one_in_each(buckets)
    await hearing(buckets, "https://operator.example/")
    own = [await Credits(buckets).account_id(Owner.store(store_id)) for store_id in stores]
    for account_id in own:
        await hearing(buckets, "https://store.example/", account_id=account_id)
    endpoints = Endpoints(buckets)
    assert await endpoints.count() == {"working": 4, "failing": 0, "given_up": 0}
    assert len(await endpoints.list(OPERATOR_ACCOUNT)) == 1
    assert [len(await endpoints.list(account_id)) for account_id in own] == [1, 1, 1]


async def test_a_store_is_told_from_its_bucket(buckets: SeveralBuckets) -> None:
    stores = await one_in_each(buckets)
    async with stand_in(Answer(200)) as receiver:
        for store_id in stores:
            account_id = await Credits(buckets).account_id(Owner.store(store_id))
            await hearing(buckets, receiver.url(), account_id=account_id)
            await add(buckets, store_id, 7)
        for database in buckets.all:
            deliverer = Deliverer(database, SETTINGS, Metrics())
            await deliverer.open()
            assert await deliverer.deliver_due() == 1
            await deliverer.close()
    told = [json.loads(request.body)["data"]["store_id"] for request in receiver.received]
    assert sorted(told) == sorted(map(str, stores))
