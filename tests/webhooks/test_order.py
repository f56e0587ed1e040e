"""Who wants events in the order of the ledger gets them so, and others in any."""

import asyncio
from datetime import timedelta
from random import Random

import asyncpg

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.ledger.owners import Account
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.deliveries import LEASE
from tests.passing_time import pass_delivery_time
from tests.webhooks.conftest import Deliverers
from tests.webhooks.endpoints import State, add_credits, add_endpoint, endpoint_row, states

DAY = timedelta(days=1)
AMOUNTS = list(range(11, 31))


def amount_in(request: Received) -> int:
    """Which event it is."""
    data = request.json()["data"]
    assert isinstance(data, dict)
    return int(data["amount"])


async def test_order_is_kept_whatever_fails_and_whoever_sends(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    random, taken, under_way = Random(7), [], 0

    async def answer(request: Received) -> Answer:
        nonlocal under_way
        under_way += 1
        assert under_way == 1, "one after the other"
        await asyncio.sleep(0)
        under_way -= 1
        if random.random() < 0.3:
            return Answer(500)
        taken.append(amount_in(request))
        return Answer(200)

    async with stand_in(answer) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url(), is_ordered=True)
        await add_credits(admin, store, *AMOUNTS)
        senders = [await deliverers.open() for _ in range(2)]
        while len(taken) < len(AMOUNTS):
            await asyncio.gather(*(sender.deliver_due() for sender in senders))
            await pass_delivery_time(admin, DAY)
    assert taken == AMOUNTS
    assert {state.status for state in await states(admin, endpoint)} == {"delivered"}
    assert (await endpoint_row(admin, endpoint))["failing_since"] is None


async def test_what_fails_holds_up_what_comes_after_it_until_it_is_given_up(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    asked: list[int] = []

    def answer(request: Received) -> Answer:
        asked.append(amount_in(request))
        # For longer than the machine could stand still.
        return Answer(500, headers={"Retry-After": "600"}) if asked[-1] == 12 else Answer(200)

    async with stand_in(answer) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url(), is_ordered=True)
        await add_credits(admin, store, 11, 12, 13)
        await deliverer.deliver_due()
        assert asked == [11, 12]
        assert await deliverer.deliver_due() == 0
        pending = State("pending", 0, 0)
        assert await states(admin, endpoint) == [
            State("delivered", 1, 0),
            State("pending", 1, 1),
            pending,
        ]
        # The last of its attempts.
        await admin.execute("UPDATE storecredit.deliveries SET retries = 18 WHERE retries = 1")
        await pass_delivery_time(admin, DAY)
        await deliverer.deliver_due()
    assert asked == [11, 12, 12, 13]
    assert [state.status for state in await states(admin, endpoint)] == [
        "delivered",
        "failed",
        "delivered",
    ]


async def test_a_lease_of_a_dead_process_keeps_the_order(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    hung, taken = asyncio.Event(), list[int]()

    def answer(request: Received) -> Answer:
        if amount_in(request) == 12 and not hung.is_set():
            hung.set()
            return Answer(hang=True, length=1)
        taken.append(amount_in(request))
        return Answer(200)

    async with stand_in(answer) as receiver:
        await add_endpoint(admin, store.id, receiver.url(), is_ordered=True)
        await add_credits(admin, store, 11, 12, 13)
        dying, living = await deliverers.open(), await deliverers.open()
        sending = asyncio.create_task(dying.deliver_due())
        await hung.wait()
        sending.cancel()
        await dying.close()
        assert await living.deliver_due() == 0
        await pass_delivery_time(admin, LEASE)
        await living.deliver_due()
    assert list(dict.fromkeys(taken)) == [11, 12, 13]


async def test_without_an_order_one_that_fails_holds_up_no_other(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    asked: list[int] = []

    def answer(request: Received) -> Answer:
        asked.append(amount_in(request))
        return Answer(500 if asked[-1] == 12 else 200)

    async with stand_in(answer) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, 11, 12, 13)
        await deliverer.deliver_due()
    assert sorted(asked) == [11, 12, 13]
    assert [state.status for state in await states(admin, endpoint)] == [
        "delivered",
        "pending",
        "delivered",
    ]
