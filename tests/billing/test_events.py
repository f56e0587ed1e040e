"""`POST /webhooks/paddle`, and what becomes of the events that come in by it."""

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
import pytest

from stand_ins.paddle.api import PaddleStandIn
from stand_ins.paddle.webhooks import sign
from storecredit.billing.checkouts import BillingOff, CreditsOrder, PlanOrder
from storecredit.billing.paddle.reading import keep, read_event
from storecredit.ledger.credits import Cause
from storecredit.ledger.outcomes import Addition, AdditionType
from tests.billing.everywhere import tamper
from tests.billing.seller import Seller, completed, running_seller
from tests.billing.sql_sales import Movement, everything
from tests.log_stream import LogStream
from tests.web.doors import data_of, error_of


async def test_a_stores_payment_becomes_credits(seller: Seller) -> None:
    store = await seller.store(10)

    events = await seller.paid(store, CreditsOrder(250), "invoice-7")
    assert await seller.balance(store) == 10, "nothing is added before it is paid"
    await seller.told(events)

    assert await seller.ledger(store) == [
        Movement("grant", 10, 10, "opening"),
        Movement("purchase", 250, 260, "invoice-7"),
    ]
    assert await seller.status(completed(events)) == "processed"
    for event in events:
        if event is not completed(events):
            assert await seller.status(event) == "ignored"


async def test_a_users_payment_becomes_credits(seller: Seller) -> None:
    user, store = await seller.user(10), await seller.store()
    pack = seller.service.parts.catalogue.packs[0]

    await seller.told(await seller.paid(user))

    assert (await seller.ledger(user))[1:] == [
        Movement("purchase", pack.credits, 10 + pack.credits, "order")
    ]
    assert await seller.ledger(store) == []


async def test_an_event_that_comes_fifty_times_at_once_books_once(seller: Seller) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))

    answers = await asyncio.gather(*(seller.webhooks.send(event) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    receipts = [data_of(answer)["receipt"] for answer in answers]
    assert sorted(receipts) == ["kept"] + ["known"] * 49
    await seller.settled()
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]
    assert data_of(await seller.webhooks.send(event))["receipt"] == "known"


@pytest.mark.parametrize("seed", range(3))
async def test_events_in_any_order_and_more_than_once_lead_to_the_same_books(
    seller: Seller, seed: int
) -> None:
    store, user = await seller.store(), await seller.user()
    account = seller.paddle.account
    events = [*await seller.paid(store, PlanOrder("growth"), "plan"), *await seller.paid(user)]
    subscription_id = next(iter(account.subscriptions))
    renewed = account.renew(subscription_id)
    bought = await seller.paid(store, CreditsOrder(100), "more")
    adjusted = account.adjust(completed(bought).data["id"])
    events += [*renewed, *bought, adjusted, account.decide(adjusted.data["id"], "approved")]
    events += account.change_subscription(subscription_id, "canceled")

    statuses = await seller.webhooks.send_all(events, copies=2, shuffle=Random(seed))
    await seller.settled()

    assert set(statuses) == {200}
    set_aside = await seller.service.parts.problems.events()
    for problem in set_aside.items:
        # The wait for what it is about was over; in life it is longer than a second.
        assert await seller.service.parts.paddle_events.retry(problem.event_id)
    await seller.settled()
    assert (await seller.service.parts.problems.find()).none
    movements = await seller.ledger(store)
    assert sorted((row.type, row.amount) for row in movements) == [
        ("clawback", 100),
        ("purchase", 100),
        ("subscription", 800),
        ("subscription", 800),
    ]
    assert await seller.balance(store) == 1600
    assert len(await seller.ledger(user)) == 1
    assert await seller.tier(store) == "default"
    assert await seller.admin.fetchval("SELECT status FROM subscriptions") == "canceled"


FORGERIES: tuple[dict[str, Any], ...] = (
    {"secret": "pdl_ntfset_another"},
    {"at": 1_700_000_000.0},
    {"signature": ""},
    {"signature": "ts=1;h1=00"},
    {"signature": "nonsense"},
    {"body": b'{"event_id": "evt_other"}'},
)


async def test_a_forged_or_old_webhook_writes_nothing(seller: Seller) -> None:
    event = completed(await seller.paid(await seller.store()))
    before = await everything(seller.admin)

    for forgery in FORGERIES:
        error_of(await seller.webhooks.send(event, **forgery), 401, "INVALID_SIGNATURE")
        assert await everything(seller.admin) == before, forgery


NO_EVENTS = (
    b"",
    b"[]",
    b"{",
    b"null",
    b'{"event_id": "evt_1"}',
    b'{"event_id":"evt_1","event_type":"a.b","occurred_at":"yesterday","data":{}}',
    b'{"event_id":"jo@buyer.example","event_type":"a","occurred_at":"2026-01-01T00:00:00Z","data":{}}',
    b"[" * 100_000,
)


async def test_what_is_no_event_writes_nothing(seller: Seller) -> None:
    for body in NO_EVENTS:
        error = error_of(await post(seller, body), 400, "VALIDATION_ERROR")
        assert "buyer.example" not in error["message"]
    assert await seller.admin.fetchval("SELECT count(*) FROM provider_events") == 0


async def test_the_body_has_a_largest_size(seller: Seller) -> None:
    answer = await post(seller, b" " * (1024 * 1024 + 1))

    error_of(answer, 413, "PAYLOAD_TOO_LARGE")


async def test_other_methods_are_refused(seller: Seller) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(seller.webhooks.url)
    error_of(answer, 405, "METHOD_NOT_ALLOWED")


async def post(seller: Seller, body: bytes) -> httpx.Response:
    """Send a body with a good signature."""
    headers = {"Paddle-Signature": sign(body, seller.paddle.webhook_secret, at=time.time())}
    async with httpx.AsyncClient() as http:
        return await http.post(seller.webhooks.url, content=body, headers=headers)


ANOTHER = "01900000-0000-7000-8000-000000000000"
MISMATCHES: tuple[tuple[dict[str, object], str], ...] = (
    ({"details.totals.subtotal": "1"}, "the subtotal is 1, not 1800"),
    ({"details.totals.subtotal": "180000"}, "the subtotal is 180000, not 1800"),
    ({"currency_code": "JPY"}, "the currency is JPY, not USD"),
    ({"details.totals.discount": "1801"}, "1801 were taken off"),
    ({"subscription_id": "sub_01hv8x29kz0t586xy6zn1a62ny"}, "it belongs to subscription"),
    ({"custom_data.credits": "5000"}, "another credits"),
    ({"custom_data.store_id": ANOTHER}, "another store_id"),
    ({"custom_data.user_id": ANOTHER}, "another user_id"),
    ({"custom_data.checkout_id": ANOTHER}, "another checkout_id"),
    ({"custom_data.purchase_type": "subscription"}, "another purchase_type"),
    ({"custom_data.request_id": "other"}, "another request_id"),
    ({"id": "txn_01hv8wptq8987qeep44cyrewp9"}, "No checkout of ours"),
    ({"origin": "subscription_charge"}, "not by us"),
)


async def test_what_does_not_fit_our_record_is_set_aside_and_shown(seller: Seller) -> None:
    store = await seller.store(5)
    told = [
        completed(await seller.paid(store, request_id=f"order-{place}")).altered(lies)
        for place, (lies, _) in enumerate(MISMATCHES)
    ]

    await seller.told(told)

    shown = {
        event.event_id: event for event in (await seller.service.parts.problems.events()).items
    }
    for event, (_, sentence) in zip(told, MISMATCHES, strict=True):
        problem = shown.pop(event.event_id)
        assert problem.status == "set_aside"
        assert sentence in str(problem.reason)
        assert problem.about is not None
        assert problem.about["kind"] == "transaction"
    assert not shown
    assert await seller.ledger(store) == [Movement("grant", 5, 5, "opening")]
    assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_request_id_that_was_used_meanwhile_is_not_taken_for_the_payment(
    seller: Seller,
) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    added = await seller.service.parts.credits.add(
        store, 100, AdditionType.PURCHASE, Cause("order")
    )
    assert added is Addition.ADDED

    await seller.told([event])

    assert await seller.status(event) == "set_aside"
    assert len(await seller.ledger(store)) == 1


async def test_an_event_that_keeps_failing_is_shown_and_can_be_tried_again(seller: Seller) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    await tamper(seller.admin, "ALTER TABLE payments ADD CONSTRAINT broken CHECK (credits < 0)")

    await seller.told([event])

    (problem,) = (await seller.service.parts.problems.events()).items
    assert (problem.status, problem.attempts) == ("set_aside", 4)
    assert problem.reason == "Processing broke: CheckViolationError."
    assert await seller.ledger(store) == []

    await tamper(seller.admin, "ALTER TABLE payments DROP CONSTRAINT broken")
    assert await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()
    assert await seller.status(event) == "processed"
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]
    assert (await seller.service.parts.problems.find()).none


async def test_an_event_without_a_job_gets_one(seller: Seller) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    # As if the job had been lost: kept, but not queued.
    await seller.database.fetchval(
        "SELECT receive_provider_event('paddle', $1, $2, now(), $3)",
        event.event_id,
        event.event_type,
        keep(read_event(event.body())),
    )

    await seller.settled()

    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]


async def test_without_billing_the_door_says_so(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> None:
    for missing in ("paddle_api_key", "paddle_webhook_secret"):
        off: dict[str, Any] = {missing: None}
        async with running_seller(paddle, database_url, admin, data_dir, **off) as seller:
            error = error_of(await post(seller, NO_EVENTS[0]), 404, "NOT_FOUND")
            assert "billing is off" in error["message"]
            started = await seller.checkouts.start(await seller.store(), CreditsOrder(1), "r")
            assert started == BillingOff()


async def test_whenever_connections_break_each_payment_is_booked_once(seller: Seller) -> None:
    stores = [await seller.store() for _ in range(12)]
    told = [completed(await seller.paid(store)) for store in stores]
    told += [
        seller.paddle.account.adjust(event.data["id"], subtotal=900, status="approved")
        for event in told
    ]
    cutting = asyncio.create_task(cut_connections(seller.admin))
    try:
        waiting = [*told, *told]
        while waiting:
            # What is not taken is sent again, as Paddle does.
            answers = [await seller.webhooks.send(event) for event in waiting]
            assert {answer.status_code for answer in answers} <= {200, 503}
            waiting = [
                event
                for event, answer in zip(waiting, answers, strict=True)
                if answer.status_code != 200
            ]
    finally:
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
    await seller.settled()

    # An adjustment may have met a connection that broke each time it looked for its payment.
    for problem in (await seller.service.parts.problems.events()).items:
        assert await seller.service.parts.paddle_events.retry(problem.event_id)
    await seller.settled()
    assert (await seller.service.parts.problems.find()).none
    for store in stores:
        assert [(row.type, row.amount) for row in await seller.ledger(store)] == [
            ("purchase", 100),
            ("clawback", 50),
        ]
        assert await seller.balance(store) == 50


async def cut_connections(admin: asyncpg.Connection) -> None:
    """Break every connection of the service, again and again."""
    while True:
        await admin.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'storecredit'"""
        )
        await asyncio.sleep(0.1)


async def test_only_what_is_used_of_an_event_is_kept(log: LogStream, seller: Seller) -> None:
    store, account = await seller.store(), seller.paddle.account
    first = await seller.paid(store, PlanOrder("growth"), "plan")
    renewed = account.renew(next(iter(account.subscriptions)))
    adjusted = account.adjust(completed(first).data["id"], status="approved")
    private = {
        "customer": {"email": "jo@buyer.example", "name": "Jo Buyer"},
        "address": {"first_line": "1 Private Road"},
        "payments": [{"method_details": {"card": {"last4": "4242", "cardholder_name": "J Buyer"}}}],
        "reason": "Jo Buyer asked for it",
    }

    await seller.told([event.altered(private) for event in (*first, *renewed, adjusted)])

    assert await seller.balance(store) == 800
    written = str(await everything(seller.admin))
    queued = str(await seller.admin.fetch("SELECT payload FROM pgqueuer"))
    logged = log.getvalue()
    assert "paddle_event_received" in logged
    for text in ("buyer", "Buyer", "Private", "last4", "cardholder"):
        assert text not in written
        assert text not in queued
        assert text not in logged
