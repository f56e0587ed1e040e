"""Subscriptions: their state and tier, and each paid period's credits once, by the real door."""

from random import Random

import pytest

from storecredit.billing.checkouts import CreditsOrder, PlanOrder
from storecredit.billing.subscriptions import SubscriptionStatus
from tests.billing.desk import Desk, completed, only
from tests.billing.sales import Movement


async def test_the_first_payment_adds_its_period_and_sets_the_tier(desk: Desk) -> None:
    store = await desk.store()

    await desk.told(await desk.paid(store, PlanOrder("growth"), "plan"))

    assert await desk.ledger(store) == [Movement("subscription", 800, 800, "plan")]
    assert await desk.tier(store) == "growth"
    (subscription,) = await desk.service.parts.subscriptions.of_store(store.id)
    assert subscription.status is SubscriptionStatus.ACTIVE
    assert (subscription.plan, subscription.credits, subscription.amount) == ("growth", 800, 9900)
    told = next(iter(desk.paddle.account.subscriptions.values()))
    assert subscription.provider_subscription_id == told["id"]
    starts_at, ends_at = subscription.period_starts_at, subscription.period_ends_at
    assert starts_at is not None
    assert ends_at is not None
    assert starts_at < ends_at
    assert await desk.service.parts.subscriptions.of_store((await desk.store()).id) == ()


async def test_each_renewal_adds_its_period_once(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store)

    for month in (1, 2, 3):
        events = desk.paddle.account.renew(subscription_id)
        await desk.told([*events, *events, completed(events)])
        assert await desk.balance(store) == 800 * (1 + month)

    renewals = (await desk.ledger(store))[1:]
    assert {row.type for row in renewals} == {"subscription"}
    for row in renewals:
        assert row.request_id.startswith(f"subscription:{subscription_id}:")
    assert (await desk.service.parts.problems.find()).none


async def test_two_transactions_for_one_period_add_once_and_are_shown(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store)
    renewal = completed(desk.paddle.account.renew(subscription_id))
    # Another event, of another transaction, for the same month.
    later = completed(desk.paddle.account.renew(subscription_id))
    twin = later.altered({"billing_period": renewal.data["billing_period"]})

    await desk.told([renewal])
    await desk.told([twin])

    assert await desk.balance(store) == 1600
    (problem,) = (await desk.service.parts.problems.events()).items
    assert problem.event_id == twin.event_id
    assert "refund one of them" in str(problem.reason)


async def test_a_renewal_of_the_first_period_adds_nothing(desk: Desk) -> None:
    store = await desk.store()
    first = await desk.paid(store, PlanOrder("growth"))
    await desk.told(first)
    renewal = completed(desk.paddle.account.renew(next(iter(desk.paddle.account.subscriptions))))

    twin = renewal.altered({"billing_period": completed(first).data["billing_period"]})
    await desk.told([twin])

    assert await desk.balance(store) == 800
    assert await desk.status(twin) == "set_aside"


async def test_a_renewal_that_cannot_be_is_set_aside(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store)
    impossible: tuple[dict[str, object], ...] = (
        {"billing_period": None},
        {"details.totals.discount": "9901"},
        {"details.totals.discount": "-1"},
        {"details.line_items.0.quantity": 1_000_000_000},
        {"details.line_items.0.quantity": 0},
        {"details.line_items": []},
    )
    events = [
        completed(desk.paddle.account.renew(subscription_id)).altered(lies) for lies in impossible
    ]

    await desk.told(events)

    assert [await desk.status(event) for event in events] == ["set_aside"] * 6
    assert await desk.balance(store) == 800


async def test_a_renewal_waits_for_the_subscription_it_is_of(desk: Desk) -> None:
    store = await desk.store()
    first = await desk.paid(store, PlanOrder("growth"), "plan")
    renewal = completed(desk.paddle.account.renew(next(iter(desk.paddle.account.subscriptions))))

    assert await desk.webhooks.send_all([renewal]) == [200]
    await desk.told(first)

    assert await desk.status(renewal) == "processed"
    assert (await desk.event(renewal))["attempts"] >= 1
    assert await desk.balance(store) == 1600


async def test_a_renewal_of_nothing_we_know_is_shown_in_the_end(desk: Desk) -> None:
    store = await desk.store()
    await desk.paid(store, PlanOrder("growth"), "plan")
    renewal = completed(desk.paddle.account.renew(next(iter(desk.paddle.account.subscriptions))))

    await desk.told([renewal])

    (problem,) = (await desk.service.parts.problems.events()).items
    assert (problem.event_id, problem.attempts) == (renewal.event_id, 4)
    assert "is not known (yet)" in str(problem.reason)
    assert await desk.ledger(store) == []


@pytest.mark.parametrize("seed", range(2))
async def test_the_newest_state_holds_in_whatever_order_states_arrive(
    desk: Desk, seed: int
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store)
    account = desk.paddle.account
    events = [
        *account.change_subscription(subscription_id, "past_due"),
        *account.change_subscription(subscription_id, "active"),
        *account.change_subscription(subscription_id, "paused"),
        *account.change_subscription(subscription_id, "canceled"),
    ]

    await desk.webhooks.send_all(events, copies=2, shuffle=Random(seed))
    await desk.settled()

    (subscription,) = await desk.service.parts.subscriptions.of_store(store.id)
    assert subscription.status is SubscriptionStatus.CANCELED
    assert subscription.period_ends_at is not None
    assert await desk.tier(store) == "default"
    assert await desk.balance(store) == 800, "what was paid for stays"


async def test_the_tier_goes_with_the_state(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "scale")
    account = desk.paddle.account

    for status, tier in (("past_due", "scale"), ("paused", "default"), ("active", "scale")):
        await desk.told(account.change_subscription(subscription_id, status))
        (subscription,) = await desk.service.parts.subscriptions.of_store(store.id)
        assert subscription.status == status
        assert await desk.tier(store) == tier


async def test_a_change_of_tier_is_announced_to_the_caches_of_keys(desk: Desk) -> None:
    store = await desk.store()
    announced: list[object] = []
    await desk.admin.add_listener("storecredit_keys", lambda *told: announced.append(told[-1]))

    await desk.subscribed(store)
    await desk.admin.fetchval("SELECT 1")

    assert announced == [str(store.id)]


async def test_a_tier_set_by_the_operator_is_kept(desk: Desk) -> None:
    store = await desk.store()
    await desk.service.parts.stores.update(store.id, tier="enterprise")

    subscription_id = await desk.subscribed(store)
    assert await desk.tier(store) == "enterprise"
    await desk.told(desk.paddle.account.change_subscription(subscription_id, "canceled"))

    assert await desk.tier(store) == "enterprise"


async def test_a_plan_as_tier_set_by_the_operator_follows_what_is_paid(desk: Desk) -> None:
    store = await desk.store()
    await desk.service.parts.stores.update(store.id, tier="starter")

    await desk.subscribed(store, "growth")

    assert await desk.tier(store) == "growth"


async def test_a_subscription_with_claims_unlike_our_record_is_set_aside(
    desk: Desk,
) -> None:
    store, other = await desk.store(), await desk.store()
    events = await desk.paid(store, PlanOrder("growth"), "plan")
    created = only(events, "subscription.created")
    activated = only(events, "subscription.activated")
    lies = [
        created.altered({"transaction_id": "txn_01hv8wptq8987qeep44cyrewp9"}),
        activated.altered({"custom_data.store_id": str(other.id)}),
    ]

    for place, lie in enumerate(lies):
        await desk.told([lie])
        assert await desk.status(lie) == "set_aside", place
        await desk.admin.execute("DELETE FROM provider_events")

    assert await desk.tier(store) == await desk.tier(other) == "default"
    assert await desk.service.parts.subscriptions.of_store(store.id) == ()


async def test_a_subscription_does_not_begin_by_a_purchase_of_credits(desk: Desk) -> None:
    store = await desk.store()
    bought = await desk.opened(store, CreditsOrder(100), "credits")
    events = await desk.paid(store, PlanOrder("growth"), "plan")
    created = only(events, "subscription.created").altered(
        {"transaction_id": bought.transaction_id, "custom_data": None}
    )

    await desk.told([created])

    assert await desk.status(created) == "set_aside"
    assert await desk.service.parts.subscriptions.of_store(store.id) == ()
