"""What is old is forgotten, a few rows at a time, whatever is kept for longer before it."""

import asyncio

import asyncpg
import pytest

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.ledger.owners import Account
from storecredit.webhooks import deliveries
from storecredit.webhooks.deliverer import Deliverer
from tests.webhooks.conftest import Deliverers
from tests.webhooks.endpoints import add_credits, add_endpoint


async def known(admin: asyncpg.Connection) -> list[int]:
    """The events that are known, by their places."""
    rows = await admin.fetch("SELECT seq FROM storecredit.events ORDER BY seq")
    return [row["seq"] for row in rows]


async def test_tidying_that_breaks_is_done_again_and_keeps_nothing_from_being_delivered(
    deliverers: Deliverers,
    admin: asyncpg.Connection,
    store: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broke = asyncio.Queue[None]()

    async def broken(_deliveries: object) -> float:
        broke.put_nowait(None)
        raise OverflowError("as of a number that has no form here")

    monkeypatch.setattr(deliveries.Deliveries, "lag_seconds", broken)
    deliverer, stop = await deliverers.open(sweep_interval_seconds=0.01), asyncio.Event()
    running = asyncio.create_task(deliverer.run(stop))
    for _ in range(2):
        await broke.get()
    delivered = asyncio.Event()

    def answer(_request: Received) -> Answer:
        delivered.set()
        return Answer(200)

    async with stand_in(answer) as receiver:
        await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, 10)
        await delivered.wait()
        stop.set()
        await running


async def test_what_was_sent_anew_does_not_keep_what_comes_after_it(
    deliverer: Deliverer,
    admin: asyncpg.Connection,
    store: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliveries, "TIDIED_MAX", 2)
    endpoint = await add_endpoint(admin, store.id, "https://shop.example/")
    await add_credits(admin, store, *range(11, 19))
    *sent_anew, _, _ = seqs = await known(admin)
    for table, columns in (
        ("deliveries", "status = 'delivered', next_attempt_at = NULL, ended_at"),
        ("events", "created_at"),
    ):
        old = f"UPDATE storecredit.{table} SET {columns} = now() - interval '31 days'"
        await admin.execute(old)
    await admin.execute(
        """UPDATE storecredit.deliveries SET ended_at = now()
           WHERE endpoint_id = $1 AND seq = ANY ($2::bigint[])""",
        endpoint.id,
        sent_anew,
    )
    # A few are looked at each time, from where it stopped the time before.
    for _ in seqs:
        await deliverer.tidy()
    assert await known(admin) == sent_anew
    await admin.execute("UPDATE storecredit.deliveries SET ended_at = now() - interval '31 days'")
    for _ in range(2):
        await deliverer.tidy()
    assert await known(admin) == []
