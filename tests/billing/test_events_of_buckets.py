"""Paddle's events where there are several buckets: each is kept where what it names is, and once.

Owners of every bucket, two processes that are told the same at once, and what one that is killed
leaves half done. With one bucket the same comes to the same.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import PaddleStandIn
from storecredit.billing.checkouts import CreditsOrder, PlanOrder
from storecredit.billing.paddle.messages import CONTENT_TYPES
from storecredit.billing.paddle.reading import keep, read_event
from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from tests.billing.everywhere import tamper
from tests.billing.seller import Seller, completed, running_seller
from tests.billing.sql_sales import Movement
from tests.web.doors import Operator, data_of

pytestmark = pytest.mark.several_buckets


POOL: dict[str, object] = {"pool_max": 4}
"""Of each bucket: the server's connections are for all tests that run."""


@pytest.fixture
def seller_changes() -> dict[str, object]:
    return POOL


@pytest.fixture
async def operator(seller: Seller) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(base_url=seller.url, timeout=60) as http:
        yield Operator(http)


async def store_in(seller: Seller, bucket: Database) -> Owner:
    """A store that lives there."""
    owner = Owner.store(uuid7())
    if seller.buckets.several:
        number = seller.buckets.all.index(bucket)
        place = "SELECT place_owner('store', $1, $2)"
        assert await seller.buckets.home.fetchval(place, owner.id, number) == number
    await bucket.fetchval(
        "SELECT create_store($1, 'Test', 'test.example', 'default', 0, 'opening')", owner.id
    )
    return owner


async def stores_in_each(seller: Seller) -> list[Owner]:
    return [await store_in(seller, bucket) for bucket in seller.buckets.all]


async def kept_in(bucket: Database) -> set[str]:
    return {row[0] for row in await bucket.fetch("SELECT event_id FROM provider_events")}


async def test_what_each_owner_bought_stands_in_its_bucket(seller: Seller) -> None:
    stores = await stores_in_each(seller)
    told: list[tuple[Event, ...]] = []
    for store in stores:
        bought = await seller.paid(store, CreditsOrder(100))
        subscribed = await seller.paid(store, PlanOrder("growth"), "plan")
        told.append((*bought, *subscribed))
    await seller.told([event for events in told for event in events])

    kept = [await kept_in(bucket) for bucket in seller.buckets.all]
    assert sum(map(len, kept)) == sum(map(len, told)), "each is kept once"
    for bucket, store, events, ids in zip(seller.buckets.all, stores, told, kept, strict=True):
        assert {event.event_id for event in events if event.event_type in CONTENT_TYPES} <= ids
        assert await bucket.fetchval("SELECT count(*) FROM payments") == 2
        assert await bucket.fetchval("SELECT count(*) FROM checkouts") == 2
        assert await seller.tier(store) == "growth"
        assert sorted(row.amount for row in await seller.ledger(store)) == [100, 800]
    assert await seller.discrepancies() == ()


async def test_an_event_that_is_sent_again_is_known_wherever_it_is_kept(seller: Seller) -> None:
    for store in await stores_in_each(seller):
        event = completed(await seller.paid(store))
        await seller.told([event])
        for _ in range(2):
            answer = await seller.webhooks.send(event)
            assert answer.json()["data"] == {"receipt": "known"}
        assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]


async def test_two_processes_that_are_told_the_same_at_once_book_it_once(
    seller: Seller,
    paddle: PaddleStandIn,
    database_url: str,
    admin: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    stores = await stores_in_each(seller)
    events = [event for store in stores for event in await seller.paid(store)]
    (tmp_path / "beside").mkdir()
    async with running_seller(paddle, database_url, admin, tmp_path / "beside", **POOL) as beside:
        for number in range(3):
            shuffled = list(events)
            Random(number).shuffle(shuffled)
            answers = await asyncio.gather(
                *(each.webhooks.send(event) for event in shuffled for each in (seller, beside))
            )
            assert {answer.status_code for answer in answers} == {200}
        await seller.settled()

    for store in stores:
        assert [row for row in await seller.ledger(store) if row.type == "purchase"] == [
            Movement("purchase", 100, 100, "order")
        ]
    assert await admin.fetchval("SELECT count(*) FROM payments") == len(stores)
    rows = await admin.fetch("SELECT event_id FROM provider_events")
    assert sorted(row[0] for row in rows) == sorted({event.event_id for event in events})


async def test_a_refund_that_names_a_transaction_finds_it_in_any_bucket(
    seller: Seller, operator: Operator
) -> None:
    account = seller.paddle.account
    for store in await stores_in_each(seller):
        subscription_id = await seller.subscribed(store)
        renewal = completed(account.renew(subscription_id))
        refund = account.adjust(renewal.data["id"], status="approved")
        # The refund first: its payment is not known yet.
        await seller.told([refund])
        assert await seller.status(refund) == "set_aside"
        await seller.told([renewal])
        retried = await operator.post(f"/billing/events/{refund.event_id}/retry")
        assert retried.status_code == 200
        await seller.settled()

        assert await seller.status(refund) == "processed"
        assert [row.type for row in await seller.ledger(store)] == [
            *("subscription", "subscription", "clawback")
        ]
        bucket = await seller.buckets.of(store)
        assert refund.event_id in await kept_in(bucket)
        retries = "SELECT count(*) FROM audit_log WHERE action = 'event.retry' AND subject = $1"
        assert await bucket.fetchval(retries, refund.event_id) == 1
        await seller.told(account.change_subscription(subscription_id, "canceled"))
        assert await seller.tier(store) == "default"


@pytest.mark.parametrize("done", ["nothing", "placed", "taken", "forgotten"])
async def test_a_process_that_is_killed_while_it_moves_an_event_leaves_it_to_the_next(
    seller: Seller, done: str
) -> None:
    """After each step; its job is lost with it, and whoever looks for such events goes on."""
    number = len(seller.buckets.all) - 1
    store = await store_in(seller, seller.buckets.all[number])
    event = completed(await seller.paid(store))
    content = keep(read_event(event.body()))
    receive = "SELECT receive_provider_event('paddle', $1, $2, now(), $3)"
    home = seller.buckets.home
    # At once: a look for events without a job is due each second.
    async with home.acquire() as connection, connection.transaction():
        await connection.fetchval(receive, event.event_id, event.event_type, content)
        if done != "nothing" and number:
            place = "SELECT place_provider_id('paddle', $1, $2)"
            assert await connection.fetchval(place, event.event_id, number) == number
        if done in {"taken", "forgotten"} and number:
            assert await seller.buckets.all[number].fetchval(
                "SELECT take_provider_event('paddle', $1, $2, now(), now(), $3)",
                event.event_id,
                event.event_type,
                content,
            )
        if done == "forgotten" and number:
            leave = "SELECT leave_provider_event('paddle', $1)"
            assert await connection.fetchval(leave, event.event_id)

    answer = await seller.webhooks.send(event)
    assert answer.json()["data"] == {"receipt": "known"}
    await seller.settled()

    kept = [await kept_in(bucket) for bucket in seller.buckets.all]
    assert kept == [set()] * number + [{event.event_id}]
    assert await seller.status(event) == "processed"
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]


async def test_of_two_owners_in_two_buckets_one_is_booked_by_hand(
    seller: Seller, operator: Operator
) -> None:
    buyer, *_, other = [*await stores_in_each(seller), await seller.store()]
    for number in range(5):
        event = completed(await seller.paid(buyer, request_id=f"order-{number}"))
        await tamper(seller.admin, "UPDATE checkouts SET provider_transaction_id = NULL")
        path = f"/billing/transactions/{event.data['id']}/book"
        answers = await asyncio.gather(
            *(
                operator.post(path, credits=5, store_id=str(store.id))
                for store in (buyer, other) * 2
            ),
            seller.webhooks.send(event),
        )
        *booked, _ = (answer.status_code for answer in answers)
        assert min(booked) in {200, 201}
        assert set(booked) <= {200, 201, 400, 422}
        found = await seller.admin.fetch(
            "SELECT account_id FROM payments WHERE provider_transaction_id = $1", event.data["id"]
        )
        assert len(found) == 1
        # It was ignored if it was looked at before anybody had booked it.
        await seller.processed(event)
    assert await seller.balance(buyer) + await seller.balance(other) == 25


@pytest.mark.parametrize("buyers, others", [(0, -1), (-1, 0)])
async def test_what_was_booked_by_hand_elsewhere_is_not_booked_by_its_event(
    seller: Seller, operator: Operator, buyers: int, others: int
) -> None:
    """The buyer's checkout is attached once the operator has given the credits to another store."""
    buyer = await store_in(seller, seller.buckets.all[buyers])
    other = await store_in(seller, seller.buckets.all[others])
    event = completed(await seller.paid(buyer))
    (row,) = await tamper(
        seller.admin,
        """UPDATE checkouts c SET provider_transaction_id = NULL, checkout_url = NULL
           FROM checkouts o WHERE o.checkout_id = c.checkout_id
           RETURNING c.checkout_id, o.provider_transaction_id, o.checkout_url""",
    )
    await seller.told([event])
    assert await seller.status(event) == "set_aside"
    path = f"/billing/transactions/{event.data['id']}/book"

    data_of(await operator.post(path, credits=7, store_id=str(other.id)), 201)

    assert (await seller.event(event))["reason"] == "Booked by hand."
    bucket = await seller.buckets.of(buyer)
    await bucket.fetchrow("SELECT * FROM attach_checkout($1, $2, $3)", *row)
    again = replace(event, event_id="evt_01again")
    await seller.told([event, again])
    assert await seller.status(again) == "processed"
    assert (await seller.balance(buyer), await seller.balance(other)) == (0, 7)
    assert await seller.discrepancies() == ()


async def test_problems_of_all_buckets_are_one_list_and_each_can_be_dismissed(
    seller: Seller, operator: Operator
) -> None:
    """Events that fit nothing, and credits that could not be taken back."""
    short: list[str] = []
    unlike: list[str] = []
    for store in await stores_in_each(seller) * 2:
        number = len(short)
        event = completed(await seller.paid(store, request_id=f"order-{number}"))
        differs = event.altered({"details.totals.subtotal": "1"})
        await seller.told([differs])
        unlike.append(differs.event_id)
        event = completed(await seller.paid(store, request_id=f"spent-{number}"))
        await seller.told([event])
        await seller.spend(store, 100, f"spent-{number}-by-work")
        back = seller.paddle.account.adjust(event.data["id"], "chargeback")
        await seller.told([back])
        short.append(back.data["id"])
    problems = seller.service.parts.problems

    found = await problems.find()
    assert [each.event_id for each in found.events.items] == unlike[::-1], "newest first"
    assert [each.adjustment_id for each in found.clawbacks.items] == short[::-1]
    assert await problems.count() == {"events": len(unlike), "clawbacks": len(short), "bills": 0}
    for problem_id in (*unlike, *short):
        path = f"/billing/problems/{problem_id}/dismiss"
        assert (await operator.post(path)).status_code == 200
        assert (await operator.post(path)).status_code == 404
    assert (await problems.find()).none
    assert set((await problems.count()).values()) == {0}


async def test_what_was_ignored_by_a_process_that_knew_of_one_bucket_is_booked(
    seller: Seller,
) -> None:
    for store in await stores_in_each(seller):
        event = completed(await seller.paid(store))
        home = seller.buckets.home
        async with home.acquire() as connection, connection.transaction():
            await connection.fetchval(
                "SELECT receive_provider_event('paddle', $1, $2, now(), $3)",
                event.event_id,
                event.event_type,
                keep(read_event(event.body())),
            )
            if await seller.buckets.of(store) is not home:
                assert await connection.fetchval(
                    """SELECT settle_provider_event(
                           'paddle', $1, 'ignored', 'Not ours.', NULL, NULL, $2)""",
                    event.event_id,
                    event.data["id"],
                )
        await seller.service.parts.paddle_events.requeue_orphans()
        await seller.settled()

        assert await seller.status(event) == "processed"
        assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]
