"""Plans that are changed at Paddle: each pays for its own credits from then on, by the door."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import asyncpg
import pytest

from stand_ins.paddle.api import PaddleStandIn
from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.verify import verify
from tests.billing.desk import Desk, completed, desk_of, only
from tests.billing.paddle_changes import (
    PLANS_FILE,
    Mode,
    catalogue_price,
    change_items,
    change_plan,
    price,
)


@pytest.fixture
async def desk(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> AsyncIterator[Desk]:
    """A service whose catalogue names prices at Paddle."""
    plans_file = data_dir / "plans.toml"
    plans_file.write_text(PLANS_FILE)
    async with desk_of(paddle, database_url, admin, data_dir, plans_file=plans_file) as running:
        yield running
        assert (await verify(running.database, every_row=True)).discrepancies == ()


async def refund(desk: Desk, transaction_id: str, subtotal: int | None = None) -> None:
    """Paddle approves at once."""
    account = desk.paddle.account
    await desk.told([account.adjust(transaction_id, status="approved", subtotal=subtotal)])


async def test_a_plan_changed_at_paddle_brings_its_tier_at_once_and_its_credits_when_paid(
    desk: Desk,
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account

    await desk.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))

    assert (await desk.tier(store), await desk.balance(store)) == ("scale", 800)
    (subscription,) = await desk.service.parts.subscriptions.of_store(store.id)
    assert (subscription.plan, subscription.credits, subscription.amount) == ("scale", 1800, 19900)
    await desk.told(account.renew(subscription_id))
    assert await desk.balance(store) == 800 + 1800
    renewal = account.renew(subscription_id)
    await desk.told([*renewal, completed(renewal)])
    assert await desk.balance(store) == 800 + 2 * 1800
    await refund(desk, completed(renewal).data["id"])
    assert await desk.balance(store) == 800 + 1800
    assert (await desk.service.parts.problems.find()).none


@pytest.mark.parametrize("seed", range(2))
async def test_in_whatever_order_it_is_told_the_newest_plan_holds_and_each_bill_counts_once(
    desk: Desk, seed: int
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account
    events = [
        *change_plan(account, subscription_id, "scale", rate="0.75"),
        *change_plan(account, subscription_id, "growth", rate="0.5"),
        *change_plan(account, subscription_id, "scale", rate="0.25"),
        *account.renew(subscription_id),
        *change_plan(account, subscription_id, "starter", Mode.DO_NOT_BILL),
    ]

    await desk.webhooks.send_all(events, copies=2, shuffle=Random(seed))
    await desk.settled()

    assert await desk.tier(store) == "starter"
    assert await desk.balance(store) == 800 + 750 - 500 + 250 + 1800
    assert (await desk.service.parts.problems.find()).none


async def test_a_checkout_of_which_no_price_is_known_is_known_by_what_it_was_sold_for(
    desk: Desk,
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    # As checkouts were kept at first.
    await desk.admin.execute("UPDATE checkouts SET provider_price_id = NULL")
    account = desk.paddle.account

    await desk.told(account.renew(subscription_id))
    assert await desk.balance(store) == 2 * 800
    await desk.told(change_plan(account, subscription_id, "scale", rate="0.5"))
    assert (await desk.balance(store), await desk.tier(store)) == (2 * 800 + 500, "scale")
    assert (await desk.service.parts.problems.find()).none


@pytest.mark.parametrize(
    "subtotal, status, balance", [(9900, "processed", 1600), (9901, "set_aside", 800)]
)
async def test_a_discounted_renewal_that_was_kept_without_its_lines_is_booked_by_retry(
    desk: Desk, subtotal: int, status: str, balance: int
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    renewal = completed(desk.paddle.account.renew(subscription_id))
    # As an earlier version kept it, and set it aside.
    await desk.admin.execute(
        """INSERT INTO provider_events
               (event_id, event_type, occurred_at, status, settled_at, content)
           VALUES ($1, $2, now(), 'set_aside', now(), json_build_object(
               'kind', 'transaction', 'id', $3::text, 'origin', 'subscription_recurring',
               'currency_code', 'USD', 'subscription_id', $4::text,
               'details', json_build_object('totals', json_build_object(
                   'subtotal', $5::text, 'discount', '990')),
               'billing_period', json_build_object('starts_at', $6::text, 'ends_at', $7::text)))""",
        renewal.event_id,
        renewal.event_type,
        renewal.data["id"],
        subscription_id,
        str(subtotal),
        renewal.data["billing_period"]["starts_at"],
        renewal.data["billing_period"]["ends_at"],
    )

    assert await desk.service.parts.paddle_events.retry(renewal.event_id)
    await desk.settled()

    assert (await desk.status(renewal), await desk.balance(store)) == (status, balance)


async def test_a_prorated_upgrade_adds_its_part_once_and_a_refund_takes_it_back(
    desk: Desk,
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")

    # Of 1,000 more a month, rounded down.
    events = change_plan(desk.paddle.account, subscription_id, "scale", rate="0.66966")
    await desk.told([*events, *events])

    assert await desk.balance(store) == 800 + 669
    paid = completed(events).data
    payment = await desk.admin.fetchrow(
        "SELECT * FROM payments WHERE provider_transaction_id = $1", paid["id"]
    )
    assert payment is not None
    assert (payment["credits"], payment["amount"]) == (669, 13326 - 6629)
    # A third of the money, then all of it.
    await refund(desk, paid["id"], payment["amount"] // 3)
    assert await desk.balance(store) == 800 + 669 - 222
    await refund(desk, paid["id"])
    assert await desk.balance(store) == 800
    await desk.told(desk.paddle.account.renew(subscription_id))
    assert await desk.balance(store) == 800 + 1800


async def test_an_upgrade_that_is_billed_with_the_next_period_is_added_with_it(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account

    await desk.told(change_plan(account, subscription_id, "scale", Mode.PRORATED_LATER))
    assert (await desk.balance(store), await desk.tier(store)) == (800, "scale")
    renewal = account.renew(subscription_id)
    await desk.told(renewal)

    assert await desk.balance(store) == 800 + 500 + 1800
    await desk.told(account.renew(subscription_id))
    assert await desk.balance(store) == 800 + 500 + 1800 + 1800
    await refund(desk, completed(renewal).data["id"])
    assert await desk.balance(store) == 800 + 1800


async def test_an_upgrade_that_is_paid_in_full_adds_all_of_its_credits(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")

    await desk.told(change_plan(desk.paddle.account, subscription_id, "scale", Mode.FULL_NOW))

    assert await desk.balance(store) == 800 + 1800


async def test_each_of_several_is_paid_for_and_what_is_no_plan_beside_them_adds_nothing(
    desk: Desk,
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account
    items = [(catalogue_price("starter"), 3), (price("pri_01support", 5000), 1)]

    await desk.told(change_items(account, subscription_id, items, Mode.DO_NOT_BILL))
    renewal = account.renew(subscription_id)
    await desk.told(renewal)

    assert (await desk.balance(store), await desk.tier(store)) == (800 + 3 * 350, "starter")
    event = await desk.event(completed(renewal))
    assert event["status"] == "processed"
    assert "pri_01support" in event["reason"]


async def test_a_prorated_downgrade_takes_credits_back_as_the_money_went_back(desk: Desk) -> None:
    store = await desk.store()
    first = await desk.paid(store, PlanOrder("scale"), "plan")
    await desk.told(first)
    (subscription_id,) = desk.paddle.account.subscriptions

    events = change_plan(desk.paddle.account, subscription_id, "starter", rate="0.333")
    await desk.told([*events, completed(events)])

    # 1,450 fewer a month, of a third: 482.85, rounded down.
    assert await desk.balance(store) == 1800 - 482
    assert await desk.tier(store) == "starter"
    assert [row.type for row in await desk.ledger(store)] == ["subscription", "clawback"]
    await refund(desk, completed(first).data["id"])
    assert await desk.balance(store) == 0
    assert (await desk.service.parts.problems.find()).none


async def test_up_and_down_again_and_again_brings_no_more_than_was_paid_for(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "starter")
    account = desk.paddle.account
    spent = 0

    for number in range(3):
        await desk.told(change_plan(account, subscription_id, "scale", rate="1"))
        balance = await desk.balance(store)
        spent += balance
        if balance:
            await desk.database.fetchval(
                "SELECT public.deduct_store_credits($1, $2, $3)",
                store.id,
                balance,
                f"spent-{number}",
            )
        await desk.told(change_plan(account, subscription_id, "starter", rate="1"))

    assert spent == 1800, "what the first month of scale holds"
    (short,) = (await desk.service.parts.problems.clawbacks()).items
    assert (short.action, short.credits, short.taken) == ("downgrade", 1450, 0)
    # The balance at Paddle, 150 USD, pays for four months, and their credits have been used.
    for _ in range(4):
        await desk.told(account.renew(subscription_id))
        assert await desk.balance(store) == 0
    await desk.told(account.renew(subscription_id))
    assert await desk.balance(store) == 5 * 350 - 1450
    assert (await desk.service.parts.problems.find()).none


async def test_a_downgrade_that_is_told_before_what_it_takes_from_takes_it_then(
    desk: Desk,
) -> None:
    store = await desk.store()
    first = await desk.paid(store, PlanOrder("starter"), "plan")
    account = desk.paddle.account
    (subscription_id,) = account.subscriptions
    up = change_plan(account, subscription_id, "scale", rate="1")
    down = change_plan(account, subscription_id, "starter", rate="0.5")

    await desk.told([only(first, "subscription.created"), completed(down)])
    assert await desk.balance(store) == 0
    (short,) = (await desk.service.parts.problems.clawbacks()).items
    assert (short.credits, short.taken) == (725, 0)
    await desk.told([completed(first)])
    assert await desk.balance(store) == 0
    await desk.told([*first, *up, *down])

    assert await desk.balance(store) == 350 + 1450 - 725
    assert await desk.tier(store) == "starter"
    assert (await desk.service.parts.problems.find()).none


async def test_what_the_operator_forgives_is_not_taken_later(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "scale")
    await desk.database.fetchval("SELECT public.deduct_store_credits($1, 1800, 'all')", store.id)
    account = desk.paddle.account
    await desk.told(change_plan(account, subscription_id, "starter"))

    problems = desk.service.parts.problems
    (short,) = (await problems.clawbacks()).items
    assert await problems.dismiss(short.adjustment_id)
    await desk.told(account.renew(subscription_id))

    assert await desk.balance(store) == 350


async def test_what_is_no_plan_of_ours_is_one_problem_however_often_it_is_paid(
    desk: Desk,
) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account
    yearly = price("pri_01growth", 99900, "year")
    for unknown in (price("pri_01theirs", 5000), yearly):
        await desk.told(change_items(account, subscription_id, [(unknown, 1)], Mode.DO_NOT_BILL))
        for _ in range(3):
            await desk.told(account.renew(subscription_id))

    assert (await desk.balance(store), await desk.tier(store)) == (800, "growth")
    second, first = (await desk.service.parts.problems.events()).items
    assert "pri_01theirs" in str(first.reason)
    assert "pri_01growth" in str(second.reason)
    assert (len(first.transaction_ids), len(second.transaction_ids)) == (3, 3)


async def test_a_price_that_is_named_later_is_booked_for_all_its_months_by_one_retry(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> None:
    async with desk_of(paddle, database_url, admin, data_dir) as desk:
        store = await desk.store()
        subscription_id = await desk.subscribed(store, "growth")
        account = desk.paddle.account
        await desk.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))
        for _ in range(3):
            await desk.told(account.renew(subscription_id))
        (problem,) = (await desk.service.parts.problems.events()).items
        assert await desk.balance(store) == 800

    plans_file = data_dir / "plans.toml"
    plans_file.write_text(PLANS_FILE)
    async with desk_of(paddle, database_url, admin, data_dir, plans_file=plans_file) as desk:
        assert await desk.service.parts.paddle_events.retry(problem.event_id)
        await desk.settled()

        assert await desk.balance(store) == 800 + 3 * 1800
        assert (await desk.service.parts.problems.find()).none


async def test_paused_and_resumed_with_another_plan_and_canceled(desk: Desk) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account

    await desk.told(account.change_subscription(subscription_id, "paused"))
    assert await desk.tier(store) == "default"
    await desk.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))
    assert (await desk.tier(store), await desk.balance(store)) == ("default", 800)
    await desk.told(account.change_subscription(subscription_id, "active"))
    assert (await desk.tier(store), await desk.balance(store)) == ("scale", 2600)
    await desk.told(account.change_subscription(subscription_id, "canceled"))
    assert (await desk.tier(store), await desk.balance(store)) == ("default", 2600)
