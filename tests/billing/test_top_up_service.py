"""Auto top-up through the real doors, with the worker and Paddle's own webhooks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import Failure
from storecredit.ledger.owners import Owner
from tests.billing.seller import QUICK_TOP_UPS, SETTLING_SECONDS_MAX, Seller, completed
from tests.billing.sql_sales import account_of
from tests.billing.topping_up import purchases, top_ups
from tests.crash.waiting import until_true
from tests.passing_time import well_within_a_day
from tests.sql.listening import OPERATOR, listen
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.webhooks.hearing import Ear

TOP_UP = "/api/v1/top-up"
WANTED = {"threshold": 700, "credits": 100, "max_per_day": 2, "max_per_month": 3}
AMOUNT = 1800
GROWTH_CREDITS = 800


@pytest.fixture
def seller_changes() -> dict[str, object]:
    return QUICK_TOP_UPS


@pytest.fixture
async def operator(seller: Seller) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(base_url=seller.url) as http:
        yield Operator(http)


@pytest.fixture
async def store(seller: Seller, operator: Operator) -> StoreClient:
    """A store with a subscription and its eight hundred credits."""
    await well_within_a_day(seller.admin)
    store = await operator.store(credits=0)
    await seller.subscribed(owner_of(store), "growth")
    return store


def owner_of(store: StoreClient) -> Owner:
    return Owner.store(UUID(store.store_id))


async def spend(seller: Seller, store: StoreClient, credits: int, request_id: str) -> None:
    await seller.spend(owner_of(store), credits, request_id)


async def setting_is(store: StoreClient, **wanted: object) -> dict[str, Any]:
    """The store's top-up, once it is so."""
    shown: dict[str, Any] = {}

    async def is_so() -> bool:
        shown.update(data_of(await store.get(TOP_UP)))
        return all(shown[name] == value for name, value in wanted.items())

    await until_true(is_so, f"{wanted}", SETTLING_SECONDS_MAX, lambda: str(shown))
    return shown


def told_of_charge(seller: Seller) -> list[Event]:
    """What Paddle tells of the newest charge."""
    [*_, charge] = [
        each
        for each in seller.paddle.account.transactions.values()
        if each["origin"] == "subscription_charge"
    ]
    return [each for each in seller.paddle.account.events if each.data["id"] == charge["id"]]


async def test_a_store_switches_it_on_reads_it_and_switches_it_off(store: StoreClient) -> None:
    off = data_of(await store.get(TOP_UP))
    assert (off["status"], off["threshold"], off["amount"]) == ("off", None, None)
    on = data_of(await store.send("PUT", TOP_UP, json=WANTED))
    assert on == data_of(await store.get(TOP_UP))
    assert {name: on[name] for name in WANTED} == WANTED
    assert (on["status"], on["amount"], on["currency"]) == ("on", AMOUNT, "USD")
    assert (on["bought_today"], on["bought_this_month"], on["under_way"]) == (0, 0, False)
    changed = data_of(await store.send("PUT", TOP_UP, json={"threshold": 0, "credits": 50}))
    assert (changed["credits"], changed["max_per_day"], changed["max_per_month"]) == (50, 1, 10)
    for _ in range(2):
        assert data_of(await store.send("DELETE", TOP_UP)) == off


async def test_the_operator_sees_and_sets_the_same(store: StoreClient, operator: Operator) -> None:
    path = f"/stores/{store.store_id}/top-up"
    on = data_of(await operator.send("PUT", path, json=WANTED))
    assert on == data_of(await store.get(TOP_UP)) == data_of(await operator.get(path))
    assert data_of(await operator.send("DELETE", path))["status"] == "off"


async def test_without_a_subscription_it_is_not_switched_on(operator: Operator) -> None:
    store = await operator.store()
    error = error_of(await store.send("PUT", TOP_UP, json=WANTED), 409, "NO_SUBSCRIPTION")
    assert "subscribe to a plan first" in error["message"]
    assert data_of(await store.get(TOP_UP))["status"] == "off"


@pytest.mark.parametrize(
    "change, named",
    [
        ({"credits": 3}, "credits"),
        ({"credits": 5001}, "credits"),
        ({"credits": 0}, "credits"),
        ({"threshold": -1}, "threshold"),
        ({"max_per_day": 11}, "max_per_day"),
        ({"max_per_month": 0}, "max_per_month"),
        ({"max_per_year": 1}, "max_per_year"),
    ],
)
async def test_settings_that_cannot_be_are_refused_by_name(
    store: StoreClient, change: dict[str, int], named: str
) -> None:
    answer = await store.send("PUT", TOP_UP, json=WANTED | change)
    error = error_of(answer, 400, "VALIDATION_ERROR")
    assert [each["key"] for each in error["details"]] == [named]
    assert data_of(await store.get(TOP_UP))["status"] == "off"


@pytest.mark.several_buckets
async def test_credits_come_once_whether_the_event_or_the_answer_tells_first(
    seller: Seller, store: StoreClient, admin: asyncpg.Connection
) -> None:
    account_id = await account_of(admin, owner_of(store))
    assert account_id is not None
    added = Ear(admin, await listen(admin, account_id, "credits.added"))
    data_of(await store.send("PUT", TOP_UP, json=WANTED))
    await spend(seller, store, 100, "first")
    await setting_is(store, bought_today=1, under_way=False)
    told = told_of_charge(seller)
    await seller.told([*told, completed(told)])
    assert await seller.status(completed(told)) == "processed"
    assert await store.balance() == 800
    # Of the second the answer is lost, and Paddle lists nothing until the event has told.
    seller.paddle.failures.extend((None, Failure.DO_THEN_500, *[Failure.REFUSE_503] * 10_000))
    await spend(seller, store, 100, "second")

    async def is_charged() -> bool:
        return len(seller.paddle.sent("POST", "/charge")) == 2

    await until_true(is_charged, "the second charge", SETTLING_SECONDS_MAX, lambda: "")
    await seller.told(told_of_charge(seller))
    await setting_is(store, bought_today=2, under_way=False)
    seller.paddle.failures.clear()
    store_id = UUID(store.store_id)
    assert await purchases(admin, store_id) == [("top-up-1", 100), ("top-up-2", 100)]
    assert [each["request_id"] for each in await added.said()] == ["top-up-1", "top-up-2"]
    assert len(seller.paddle.sent("POST", "/charge")) == 2


@pytest.mark.several_buckets
async def test_a_refund_takes_its_credits_back(
    seller: Seller, store: StoreClient, admin: asyncpg.Connection
) -> None:
    data_of(await store.send("PUT", TOP_UP, json=WANTED | {"threshold": 100}))
    await spend(seller, store, GROWTH_CREDITS, "all")
    await setting_is(store, bought_today=1, under_way=False)
    data_of(await store.send("DELETE", TOP_UP))
    charge = completed(told_of_charge(seller)).data["id"]
    await seller.told([seller.paddle.account.adjust(charge, status="approved")])
    assert await store.balance() == 0
    clawback = await admin.fetchrow("SELECT credits, taken FROM clawbacks")
    assert clawback is not None
    assert tuple(clawback) == (100, 100)


async def test_a_decline_pauses_it_and_is_told_and_a_new_card_lets_it_go_on(
    seller: Seller, store: StoreClient, admin: asyncpg.Connection
) -> None:
    account_id = await account_of(admin, owner_of(store))
    assert account_id is not None
    ears = [
        Ear(admin, await listen(admin, each, "top_up.failed")) for each in (account_id, OPERATOR)
    ]
    data_of(await store.send("PUT", TOP_UP, json=WANTED))
    seller.paddle.failures.extend((None, Failure.DECLINE))
    await spend(seller, store, 100, "first")
    paused = await setting_is(store, status="paused")
    assert (paused["pause_reason"], paused["bought_today"]) == ("declined", 0)
    expected = {
        "store_id": store.store_id,
        "reason": "declined",
        "request_id": "top-up-1",
        "credits": 100,
        "amount": AMOUNT,
        "currency": "USD",
    }
    for ear in ears:
        assert await ear.said() == [expected]
    [subscription] = seller.paddle.account.subscriptions.values()
    replaced = seller.paddle.account.collect(
        subscription, [], "USD", "subscription_payment_method_change"
    )
    told = [each for each in seller.paddle.account.events if each.data["id"] == replaced["id"]]
    await seller.told(told)
    await setting_is(store, status="on", bought_today=1, under_way=False)
    assert await purchases(admin, UUID(store.store_id)) == [("top-up-2", 100)]


async def test_the_end_of_the_subscription_pauses_it_and_is_told(
    seller: Seller, store: StoreClient, admin: asyncpg.Connection
) -> None:
    account_id = await account_of(admin, owner_of(store))
    assert account_id is not None
    ear = Ear(admin, await listen(admin, account_id, "top_up.failed"))
    data_of(await store.send("PUT", TOP_UP, json=WANTED))
    [subscription_id] = seller.paddle.account.subscriptions
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "past_due"))
    assert data_of(await store.get(TOP_UP))["status"] == "on", "it may yet be paid"
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "canceled"))
    paused = data_of(await store.get(TOP_UP))
    assert (paused["status"], paused["pause_reason"]) == ("paused", "no_subscription")
    [told] = await ear.said()
    assert (told["reason"], told["request_id"], told["amount"]) == ("no_subscription", None, None)
    await spend(seller, store, 100, "first")
    await asyncio.sleep(0)
    assert await top_ups(admin, UUID(store.store_id)) == []


async def test_it_goes_on_as_soon_as_what_kept_it_is_over(
    seller: Seller, store: StoreClient, operator: Operator, admin: asyncpg.Connection
) -> None:
    """A payment that was overdue, a store that was suspended: nobody waits for the next look."""
    put_off = "SELECT count(*) FROM top_ups WHERE due_at > now() + interval '30 minutes'"

    async def is_put_off() -> bool:
        return bool(await admin.fetchval(put_off))

    data_of(await store.send("PUT", TOP_UP, json=WANTED))
    [subscription_id] = seller.paddle.account.subscriptions
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "past_due"))
    await spend(seller, store, 100, "first")
    await until_true(is_put_off, "it is put off", SETTLING_SECONDS_MAX, lambda: "")
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "active"))
    await setting_is(store, bought_today=1, under_way=False)
    path = f"/stores/{store.store_id}"
    data_of(await operator.send("PATCH", path, json={"status": "suspended"}))
    await spend(seller, store, 100, "second")
    await until_true(is_put_off, "it is put off", SETTLING_SECONDS_MAX, lambda: "")
    data_of(await operator.send("PATCH", path, json={"status": "active"}))
    await setting_is(store, bought_today=2, under_way=False)
    assert await purchases(admin, UUID(store.store_id)) == [("top-up-1", 100), ("top-up-2", 100)]
