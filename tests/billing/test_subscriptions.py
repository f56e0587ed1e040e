"""Subscriptions: their state and tier, and each paid period's credits once, by the real door."""

from random import Random

import pytest

from storecredit.billing.checkouts import CreditsOrder, PlanOrder
from storecredit.billing.subscriptions import SubscriptionStatus
from tests.billing.everywhere import tamper
from tests.billing.seller import Seller, completed, only
from tests.billing.sql_sales import Movement


async def test_the_first_payment_adds_its_period_and_sets_the_tier(seller: Seller) -> None:
    store = await seller.store()

    await seller.told(await seller.paid(store, PlanOrder("growth"), "plan"))

    assert await seller.ledger(store) == [Movement("subscription", 800, 800, "plan")]
    assert await seller.tier(store) == "growth"
    (subscription,) = await seller.service.parts.subscriptions.of_store(store.id)
    assert subscription.status is SubscriptionStatus.ACTIVE
    assert (subscription.plan, subscription.credits, subscription.amount) == ("growth", 800, 9900)
    told = next(iter(seller.paddle.account.subscriptions.values()))
    assert subscription.provider_subscription_id == told["id"]
    starts_at, ends_at = subscription.period_starts_at, subscription.period_ends_at
    assert starts_at is not None
    assert ends_at is not None
    assert starts_at < ends_at
    assert await seller.service.parts.subscriptions.of_store((await seller.store()).id) == ()


@pytest.mark.several_buckets
async def test_each_renewal_adds_its_period_once(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)

    for month in (1, 2, 3):
        events = seller.paddle.account.renew(subscription_id)
        await seller.told([*events, *events, completed(events)])
        assert await seller.balance(store) == 800 * (1 + month)

    renewals = (await seller.ledger(store))[1:]
    assert {row.type for row in renewals} == {"subscription"}
    for row in renewals:
        assert row.request_id.startswith(f"subscription:{subscription_id}:")
    assert (await seller.service.parts.problems.find()).none


async def test_two_transactions_for_one_period_add_once_and_are_shown(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    renewal = completed(seller.paddle.account.renew(subscription_id))
    # Another event, of another transaction, for the same month.
    later = completed(seller.paddle.account.renew(subscription_id))
    twin = later.altered({"billing_period": renewal.data["billing_period"]})

    await seller.told([renewal])
    await seller.told([twin])

    assert await seller.balance(store) == 1600
    (problem,) = (await seller.service.parts.problems.events()).items
    assert problem.event_id == twin.event_id
    assert "refund one of them" in str(problem.reason)


async def test_a_renewal_of_the_first_period_adds_nothing(seller: Seller) -> None:
    store = await seller.store()
    first = await seller.paid(store, PlanOrder("growth"))
    await seller.told(first)
    renewal = completed(
        seller.paddle.account.renew(next(iter(seller.paddle.account.subscriptions)))
    )

    twin = renewal.altered({"billing_period": completed(first).data["billing_period"]})
    await seller.told([twin])

    assert await seller.balance(store) == 800
    assert await seller.status(twin) == "set_aside"


async def test_a_renewal_that_cannot_be_is_set_aside(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    impossible: tuple[dict[str, object], ...] = (
        {"billing_period": None},
        {"details.totals.discount": "9901"},
        {"details.totals.discount": "-1"},
        {"details.line_items.0.quantity": 1_000_000_000},
        {"details.line_items.0.quantity": 0},
        {"details.line_items": []},
    )
    events = [
        completed(seller.paddle.account.renew(subscription_id)).altered(lies) for lies in impossible
    ]

    await seller.told(events)

    assert [await seller.status(event) for event in events] == ["set_aside"] * 6
    assert await seller.balance(store) == 800


async def test_a_renewal_waits_for_the_subscription_it_is_of(seller: Seller) -> None:
    store = await seller.store()
    first = await seller.paid(store, PlanOrder("growth"), "plan")
    renewal = completed(
        seller.paddle.account.renew(next(iter(seller.paddle.account.subscriptions)))
    )

    assert await seller.webhooks.send_all([renewal]) == [200]
    await seller.told(first)

    assert await seller.status(renewal) == "processed"
    assert (await seller.event(renewal))["attempts"] >= 1
    assert await seller.balance(store) == 1600


async def test_a_renewal_of_nothing_we_know_is_shown_in_the_end(seller: Seller) -> None:
    store = await seller.store()
    await seller.paid(store, PlanOrder("growth"), "plan")
    renewal = completed(
        seller.paddle.account.renew(next(iter(seller.paddle.account.subscriptions)))
    )

    await seller.told([renewal])

    (problem,) = (await seller.service.parts.problems.events()).items
    assert (problem.event_id, problem.attempts) == (renewal.event_id, 4)
    assert "is not known (yet)" in str(problem.reason)
    assert await seller.ledger(store) == []


@pytest.mark.parametrize("seed", range(2))
async def test_the_newest_state_holds_in_whatever_order_states_arrive(
    seller: Seller, seed: int
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    account = seller.paddle.account
    events = [
        *account.change_subscription(subscription_id, "past_due"),
        *account.change_subscription(subscription_id, "active"),
        *account.change_subscription(subscription_id, "paused"),
        *account.change_subscription(subscription_id, "canceled"),
    ]

    await seller.webhooks.send_all(events, copies=2, shuffle=Random(seed))
    await seller.settled()

    (subscription,) = await seller.service.parts.subscriptions.of_store(store.id)
    assert subscription.status is SubscriptionStatus.CANCELED
    assert subscription.period_ends_at is not None
    assert await seller.tier(store) == "default"
    assert await seller.balance(store) == 800, "what was paid for stays"


@pytest.mark.several_buckets
async def test_the_tier_goes_with_the_state(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "scale")
    account = seller.paddle.account

    for status, tier in (("past_due", "scale"), ("paused", "default"), ("active", "scale")):
        await seller.told(account.change_subscription(subscription_id, status))
        (subscription,) = await seller.service.parts.subscriptions.of_store(store.id)
        assert subscription.status == status
        assert await seller.tier(store) == tier


async def test_a_change_of_tier_is_announced_to_the_caches_of_keys(seller: Seller) -> None:
    store = await seller.store()
    announced: list[object] = []
    await seller.admin.add_listener("storecredit_keys", lambda *told: announced.append(told[-1]))

    await seller.subscribed(store)
    await seller.admin.fetchval("SELECT 1")

    assert announced == [str(store.id)]


async def test_a_tier_set_by_the_operator_is_kept(seller: Seller) -> None:
    store = await seller.store()
    await seller.service.parts.stores.update(store.id, tier="enterprise")

    subscription_id = await seller.subscribed(store)
    assert await seller.tier(store) == "enterprise"
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "canceled"))

    assert await seller.tier(store) == "enterprise"


async def test_a_plan_as_tier_set_by_the_operator_follows_what_is_paid(seller: Seller) -> None:
    store = await seller.store()
    await seller.service.parts.stores.update(store.id, tier="starter")

    await seller.subscribed(store, "growth")

    assert await seller.tier(store) == "growth"


async def test_a_subscription_with_claims_unlike_our_record_is_set_aside(
    seller: Seller,
) -> None:
    store, other = await seller.store(), await seller.store()
    events = await seller.paid(store, PlanOrder("growth"), "plan")
    created = only(events, "subscription.created")
    activated = only(events, "subscription.activated")
    lies = [
        created.altered({"transaction_id": "txn_01hv8wptq8987qeep44cyrewp9"}),
        activated.altered({"custom_data.store_id": str(other.id)}),
    ]

    for place, lie in enumerate(lies):
        await seller.told([lie])
        assert await seller.status(lie) == "set_aside", place
        await tamper(seller.admin, "DELETE FROM provider_events")

    assert await seller.tier(store) == await seller.tier(other) == "default"
    assert await seller.service.parts.subscriptions.of_store(store.id) == ()


async def test_a_subscription_does_not_begin_by_a_purchase_of_credits(seller: Seller) -> None:
    store = await seller.store()
    bought = await seller.opened(store, CreditsOrder(100), "credits")
    events = await seller.paid(store, PlanOrder("growth"), "plan")
    created = only(events, "subscription.created").altered(
        {"transaction_id": bought.transaction_id, "custom_data": None}
    )

    await seller.told([created])

    assert await seller.status(created) == "set_aside"
    assert await seller.service.parts.subscriptions.of_store(store.id) == ()
