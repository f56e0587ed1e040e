"""One slow receiver holds up nobody else, and processes side by side send nothing twice."""

import asyncio

import asyncpg

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.ledger.owners import Account
from storecredit.webhooks.capacity import FAILING_SHARE
from tests.webhooks.conftest import Deliverers
from tests.webhooks.endpoints import State, add_credits, add_endpoint, states

AMOUNTS = list(range(11, 51))


class Slow:
    """A receiver that answers when it is let, and counts who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go_on = asyncio.Event()
        self.has_come = asyncio.Event()

    async def answer(self, _request: Received) -> Answer:
        self.waiting += 1
        self.has_come.set()
        await self.go_on.wait()
        return Answer(200)


async def test_a_receiver_that_does_not_answer_holds_up_nobody_else(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    slow, stop, served = Slow(), asyncio.Event(), asyncio.Event()

    def answer(_request: Received) -> Answer:
        if len(quick.received) == len(AMOUNTS):
            served.set()
        return Answer(200)

    deliverer = await deliverers.open(webhook_concurrency=24, webhook_endpoint_concurrency=8)
    async with stand_in(slow.answer) as mute, stand_in(answer) as quick:
        held = [await add_endpoint(admin, store.id, mute.url()) for _ in range(4)]
        running = asyncio.create_task(deliverer.run(stop))
        await add_credits(admin, store, 10)
        await slow.has_come.wait()
        endpoint = await add_endpoint(admin, store.id, quick.url())
        await add_credits(admin, store, *AMOUNTS)
        await served.wait()
        assert slow.waiting < 24, "there is always room for others"
        slow.go_on.set()
        stop.set()
        await running
    assert {state.status for state in await states(admin, endpoint)} == {"delivered"}
    # What was under way when it stopped was finished, and no lease is left of it.
    for each in held:
        begun = [state for state in await states(admin, each) if state.attempts]
        assert {state.status for state in begun} == {"delivered"}


async def test_a_failing_endpoint_is_asked_for_a_few_at_a_time(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    slow = Slow()
    deliverer = await deliverers.open()
    async with stand_in(slow.answer) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await admin.execute(
            "UPDATE storecredit.webhook_endpoints SET failing_since = now() - interval '1 hour'"
        )
        await add_credits(admin, store, *AMOUNTS)
        taken = await deliverer.take(asyncio.Event())
        assert len(taken) == FAILING_SHARE
        assert await deliverer.take(asyncio.Event()) == ()
        slow.go_on.set()
        # One that succeeds is one that does not fail any more.
        while any(state.status == "pending" for state in await states(admin, endpoint)):
            await deliverer.deliver_due()
    assert len(receiver.received) == len(AMOUNTS)


async def test_processes_side_by_side_send_nothing_twice(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    senders = [await deliverers.open() for _ in range(3)]
    async with stand_in(Answer(200)) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, *AMOUNTS)
        # What the first has taken is not the others', answered or not.
        taken = [len(await sender.take(asyncio.Event())) for sender in senders]
        assert taken == [len(AMOUNTS), 0, 0]
        await asyncio.gather(*(sender.deliver_due() for sender in senders))
        await add_credits(admin, store, *(amount + 100 for amount in AMOUNTS))
        counts = await asyncio.gather(*(sender.deliver_due() for sender in senders))
    assert sum(counts) == len(AMOUNTS)
    names = {request.headers["webhook-id"] for request in receiver.received}
    assert len(names) == len(receiver.received) == 2 * len(AMOUNTS)
    assert set(await states(admin, endpoint)) == {State("delivered", 1, 0)}
