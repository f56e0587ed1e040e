"""What happens at once: the same purchase, told and asked for by many ways in the same moment."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import PaddleStandIn
from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.owners import Owner
from tests.billing.everywhere import tamper
from tests.billing.seller import Seller, completed, running_seller
from tests.billing.sql_sales import Movement
from tests.web.doors import Operator, bearer

OFTEN = 50
ROUNDS = 5
TRIED_AGAIN = 3


async def at_once(seller: Seller, events: Sequence[Event]) -> None:
    """Deliver all in the same moment, and wait until all are settled."""
    answers = await asyncio.gather(*(seller.webhooks.send(event) for event in events))
    assert {answer.status_code for answer in answers} == {200}
    await seller.settled()


def retold(event: Event, number: int) -> Event:
    """The same, told as another event."""
    return replace(event, event_id=f"evt_{number}x{event.event_id[4:]}")


async def test_a_checkout_asked_for_fifty_times_at_once_is_one(seller: Seller) -> None:
    async with httpx.AsyncClient(base_url=seller.url, timeout=60) as http:
        store = await Operator(http).store(credits=0)
        headers = bearer(store.api_key) | {"X-Request-Id": "order"}
        answers = await asyncio.gather(
            *(
                http.post("/api/v1/billing/checkout", headers=headers, json={"credits": 10})
                for _ in range(OFTEN)
            )
        )

    assert {answer.status_code for answer in answers} <= {200, 201}
    told = [answer.json()["data"] for answer in answers]
    assert len({(each["transaction_id"], each["checkout_url"]) for each in told}) == 1
    attached = await seller.admin.fetch("SELECT provider_transaction_id FROM checkouts")
    assert [row[0] for row in attached] == [told[0]["transaction_id"]]

    # Of the others that Paddle may have made, none is worth anything.
    made = list(seller.paddle.account.transactions)
    for transaction_id in made:
        await seller.told([completed(seller.paddle.account.pay(transaction_id))])
    assert await seller.admin.fetchval("SELECT sum(credits) FROM payments") == 10
    assert await seller.balance(Owner.store(UUID(store.store_id))) == 10


async def test_two_webhooks_of_one_transaction_at_once_book_it_once(seller: Seller) -> None:
    for round_ in range(ROUNDS):
        store = await seller.store()
        paid = completed(await seller.paid(store))
        again = [retold(paid, number) for number in range(4)]

        await at_once(seller, [paid, *again])

        assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")], round_
        assert {await seller.status(event) for event in (paid, *again)} == {"processed"}


async def test_a_payment_and_its_refund_at_once_leave_nothing(seller: Seller) -> None:
    for round_ in range(ROUNDS):
        store = await seller.store()
        paid = completed(await seller.paid(store))
        refund = seller.paddle.account.adjust(paid.data["id"], status="approved")
        chargeback = seller.paddle.account.adjust(paid.data["id"], "chargeback")

        await at_once(seller, [refund, paid, chargeback, retold(refund, 1), retold(paid, 2)])
        for event in (refund, chargeback, retold(refund, 1)):
            await seller.service.parts.paddle_events.retry(event.event_id)
        await seller.settled()

        taken = await seller.admin.fetchval(
            "SELECT sum(taken) FROM clawbacks WHERE provider_transaction_id = $1", paid.data["id"]
        )
        assert (taken, await seller.balance(store)) == (100, 0), round_
        assert [row.type for row in await seller.ledger(store)] == ["purchase", "clawback"]


async def test_a_renewal_told_twenty_times_at_once_is_one_month(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    renewed = seller.paddle.account.renew(subscription_id)

    await at_once(seller, [*renewed, *(retold(completed(renewed), place) for place in range(20))])

    assert [(row.type, row.amount) for row in await seller.ledger(store)] == [
        ("subscription", 800),
        ("subscription", 800),
    ]


@pytest.mark.parametrize("told_first", [0, 1, -1])
async def test_states_in_the_wrong_order_at_once_end_in_the_newest(
    seller: Seller, told_first: int
) -> None:
    store = await seller.store()
    events = list(await seller.paid(store, PlanOrder("growth"), "plan"))
    (subscription_id,) = seller.paddle.account.subscriptions
    for status in ("past_due", "active", "paused", "active", "canceled"):
        events += seller.paddle.account.change_subscription(subscription_id, status)
    events.insert(0, events.pop(told_first))

    await at_once(seller, [*reversed(events), *events])
    for event in events:
        # The wait for the subscription's first event may have been over.
        await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()

    assert await seller.admin.fetchval("SELECT status FROM subscriptions") == "canceled"
    assert await seller.tier(store) == "default"
    assert await seller.balance(store) == 1600, "two months were paid: out of a pause one begins"


async def test_an_event_that_is_tried_again_while_its_job_runs_is_settled_and_booked_once(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> None:
    async with running_seller(paddle, database_url, admin, data_dir, billing_attempts=1) as seller:
        store = await seller.store()
        event = completed(await seller.paid(store))
        await tamper(seller.admin, "ALTER TABLE payments ADD CONSTRAINT broken CHECK (credits < 0)")
        events = seller.service.parts.paddle_events
        bucket = await seller.buckets.of(store)
        status = "SELECT status FROM provider_events WHERE event_id = $1"
        tried = 0

        async def try_again() -> None:
            """Whenever it is set aside: also while the job that did so has not ended."""
            nonlocal tried
            while await bucket.fetchval(status, event.event_id) != "processed":
                # Added once it is known: the other one counts meanwhile.
                is_tried = await events.retry(event.event_id)
                tried += is_tried
                await asyncio.sleep(0.005)

        await seller.webhooks.send(event)
        async with asyncio.timeout(60):
            trying = [asyncio.create_task(try_again()) for _ in range(2)]
            while tried < TRIED_AGAIN:  # noqa: ASYNC110 - a row sets no event
                await asyncio.sleep(0.01)
            await tamper(seller.admin, "ALTER TABLE payments DROP CONSTRAINT broken")
            await asyncio.gather(*trying)

        assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]
        assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 1
        assert not await events.retry(event.event_id)
