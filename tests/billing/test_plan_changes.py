"""Plans that are changed at Paddle: each pays for its own credits from then on, by the door."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import asyncpg
import pytest

from stand_ins.paddle.api import PaddleStandIn
from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.verify import verify
from tests.billing.everywhere import tamper
from tests.billing.paddle_changes import (
    PLANS_FILE,
    Mode,
    catalogue_price,
    change_items,
    change_plan,
    price,
)
from tests.billing.seller import Seller, completed, only, running_seller


@pytest.fixture
async def seller(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> AsyncIterator[Seller]:
    """A service whose catalogue names prices at Paddle."""
    plans_file = data_dir / "plans.toml"
    plans_file.write_text(PLANS_FILE)
    async with running_seller(
        paddle, database_url, admin, data_dir, plans_file=plans_file
    ) as running:
        yield running
        assert (await verify(running.database, every_row=True)).discrepancies == ()


async def refund(seller: Seller, transaction_id: str, subtotal: int | None = None) -> None:
    """Paddle approves at once."""
    account = seller.paddle.account
    await seller.told([account.adjust(transaction_id, status="approved", subtotal=subtotal)])


async def test_a_plan_changed_at_paddle_brings_its_tier_at_once_and_its_credits_when_paid(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account

    await seller.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))

    assert (await seller.tier(store), await seller.balance(store)) == ("scale", 800)
    (subscription,) = await seller.service.parts.subscriptions.of_store(store.id)
    assert (subscription.plan, subscription.credits, subscription.amount) == ("scale", 1800, 19900)
    await seller.told(account.renew(subscription_id))
    assert await seller.balance(store) == 800 + 1800
    renewal = account.renew(subscription_id)
    await seller.told([*renewal, completed(renewal)])
    assert await seller.balance(store) == 800 + 2 * 1800
    await refund(seller, completed(renewal).data["id"])
    assert await seller.balance(store) == 800 + 1800
    assert (await seller.service.parts.problems.find()).none


@pytest.mark.parametrize("seed", range(2))
async def test_in_whatever_order_it_is_told_the_newest_plan_holds_and_each_bill_counts_once(
    seller: Seller, seed: int
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account
    events = [
        *change_plan(account, subscription_id, "scale", rate="0.75"),
        *change_plan(account, subscription_id, "growth", rate="0.5"),
        *change_plan(account, subscription_id, "scale", rate="0.25"),
        *account.renew(subscription_id),
        *change_plan(account, subscription_id, "starter", Mode.DO_NOT_BILL),
    ]

    await seller.webhooks.send_all(events, copies=2, shuffle=Random(seed))
    await seller.settled()

    assert await seller.tier(store) == "starter"
    assert await seller.balance(store) == 800 + 750 - 500 + 250 + 1800
    assert (await seller.service.parts.problems.find()).none


async def test_a_checkout_of_which_no_price_is_known_is_known_by_what_it_was_sold_for(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    # As checkouts were kept at first.
    await tamper(seller.admin, "UPDATE checkouts SET provider_price_id = NULL")
    account = seller.paddle.account

    await seller.told(account.renew(subscription_id))
    assert await seller.balance(store) == 2 * 800
    await seller.told(change_plan(account, subscription_id, "scale", rate="0.5"))
    assert (await seller.balance(store), await seller.tier(store)) == (2 * 800 + 500, "scale")
    assert (await seller.service.parts.problems.find()).none


@pytest.mark.parametrize(
    "subtotal, status, balance", [(9900, "processed", 1600), (9901, "set_aside", 800)]
)
async def test_a_discounted_renewal_that_was_kept_without_its_lines_is_booked_by_retry(
    seller: Seller, subtotal: int, status: str, balance: int
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    renewal = completed(seller.paddle.account.renew(subscription_id))
    # As an earlier version kept it, and set it aside.
    await seller.admin.execute(
        """INSERT INTO storecredit.provider_events
               (provider, event_id, event_type, occurred_at, status, settled_at, content)
           VALUES ('paddle', $1, $2, now(), 'set_aside', now(), json_build_object(
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

    assert await seller.service.parts.paddle_events.retry(renewal.event_id)
    await seller.settled()

    assert (await seller.status(renewal), await seller.balance(store)) == (status, balance)


async def test_a_prorated_upgrade_adds_its_part_once_and_a_refund_takes_it_back(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")

    # Of 1,000 more a month, rounded down.
    events = change_plan(seller.paddle.account, subscription_id, "scale", rate="0.66966")
    await seller.told([*events, *events])

    assert await seller.balance(store) == 800 + 669
    paid = completed(events).data
    payment = await seller.admin.fetchrow(
        "SELECT * FROM payments WHERE provider_transaction_id = $1", paid["id"]
    )
    assert payment is not None
    assert (payment["credits"], payment["amount"]) == (669, 13326 - 6629)
    # A third of the money, then all of it.
    await refund(seller, paid["id"], payment["amount"] // 3)
    assert await seller.balance(store) == 800 + 669 - 222
    await refund(seller, paid["id"])
    assert await seller.balance(store) == 800
    await seller.told(seller.paddle.account.renew(subscription_id))
    assert await seller.balance(store) == 800 + 1800


async def test_an_upgrade_that_is_billed_with_the_next_period_is_added_with_it(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account

    await seller.told(change_plan(account, subscription_id, "scale", Mode.PRORATED_LATER))
    assert (await seller.balance(store), await seller.tier(store)) == (800, "scale")
    renewal = account.renew(subscription_id)
    await seller.told(renewal)

    assert await seller.balance(store) == 800 + 500 + 1800
    await seller.told(account.renew(subscription_id))
    assert await seller.balance(store) == 800 + 500 + 1800 + 1800
    await refund(seller, completed(renewal).data["id"])
    assert await seller.balance(store) == 800 + 1800


async def test_an_upgrade_that_is_paid_in_full_adds_all_of_its_credits(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")

    await seller.told(change_plan(seller.paddle.account, subscription_id, "scale", Mode.FULL_NOW))

    assert await seller.balance(store) == 800 + 1800


async def test_each_of_several_is_paid_for_and_what_is_no_plan_beside_them_adds_nothing(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account
    items = [(catalogue_price("starter"), 3), (price("pri_01support", 5000), 1)]

    await seller.told(change_items(account, subscription_id, items, Mode.DO_NOT_BILL))
    renewal = account.renew(subscription_id)
    await seller.told(renewal)

    assert (await seller.balance(store), await seller.tier(store)) == (800 + 3 * 350, "starter")
    event = await seller.event(completed(renewal))
    assert event["status"] == "processed"
    assert "pri_01support" in event["reason"]


async def test_a_prorated_downgrade_takes_credits_back_as_the_money_went_back(
    seller: Seller,
) -> None:
    store = await seller.store()
    first = await seller.paid(store, PlanOrder("scale"), "plan")
    await seller.told(first)
    (subscription_id,) = seller.paddle.account.subscriptions

    events = change_plan(seller.paddle.account, subscription_id, "starter", rate="0.333")
    await seller.told([*events, completed(events)])

    # 1,450 fewer a month, of a third: 482.85, rounded down.
    assert await seller.balance(store) == 1800 - 482
    assert await seller.tier(store) == "starter"
    assert [row.type for row in await seller.ledger(store)] == ["subscription", "clawback"]
    await refund(seller, completed(first).data["id"])
    assert await seller.balance(store) == 0
    assert (await seller.service.parts.problems.find()).none


async def test_up_and_down_again_and_again_brings_no_more_than_was_paid_for(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "starter")
    account = seller.paddle.account
    spent = 0

    for number in range(3):
        await seller.told(change_plan(account, subscription_id, "scale", rate="1"))
        balance = await seller.balance(store)
        spent += balance
        if balance:
            await seller.spend(store, balance, f"spent-{number}")
        await seller.told(change_plan(account, subscription_id, "starter", rate="1"))

    assert spent == 1800, "what the first month of scale holds"
    (short,) = (await seller.service.parts.problems.clawbacks()).items
    assert (short.action, short.credits, short.taken) == ("downgrade", 1450, 0)
    # The balance at Paddle, 150 USD, pays for four months, and their credits have been used.
    for _ in range(4):
        await seller.told(account.renew(subscription_id))
        assert await seller.balance(store) == 0
    await seller.told(account.renew(subscription_id))
    assert await seller.balance(store) == 5 * 350 - 1450
    assert (await seller.service.parts.problems.find()).none


async def test_a_downgrade_that_is_told_before_what_it_takes_from_takes_it_then(
    seller: Seller,
) -> None:
    store = await seller.store()
    first = await seller.paid(store, PlanOrder("starter"), "plan")
    account = seller.paddle.account
    (subscription_id,) = account.subscriptions
    up = change_plan(account, subscription_id, "scale", rate="1")
    down = change_plan(account, subscription_id, "starter", rate="0.5")

    await seller.told([only(first, "subscription.created"), completed(down)])
    assert await seller.balance(store) == 0
    (short,) = (await seller.service.parts.problems.clawbacks()).items
    assert (short.credits, short.taken) == (725, 0)
    await seller.told([completed(first)])
    assert await seller.balance(store) == 0
    await seller.told([*first, *up, *down])

    assert await seller.balance(store) == 350 + 1450 - 725
    assert await seller.tier(store) == "starter"
    assert (await seller.service.parts.problems.find()).none


async def test_what_the_operator_forgives_is_not_taken_later(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "scale")
    await seller.spend(store, 1800, "all")
    account = seller.paddle.account
    await seller.told(change_plan(account, subscription_id, "starter"))

    problems = seller.service.parts.problems
    (short,) = (await problems.clawbacks()).items
    assert await problems.dismiss(short.adjustment_id)
    await seller.told(account.renew(subscription_id))

    assert await seller.balance(store) == 350


async def test_what_is_no_plan_of_ours_is_one_problem_however_often_it_is_paid(
    seller: Seller,
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account
    yearly = price("pri_01growth", 99900, "year")
    for unknown in (price("pri_01theirs", 5000), yearly):
        await seller.told(change_items(account, subscription_id, [(unknown, 1)], Mode.DO_NOT_BILL))
        for _ in range(3):
            await seller.told(account.renew(subscription_id))

    assert (await seller.balance(store), await seller.tier(store)) == (800, "growth")
    second, first = (await seller.service.parts.problems.events()).items
    assert "pri_01theirs" in str(first.reason)
    assert "pri_01growth" in str(second.reason)
    assert (len(first.transaction_ids), len(second.transaction_ids)) == (3, 3)


async def test_a_price_that_is_named_later_is_booked_for_all_its_months_by_one_retry(
    paddle: PaddleStandIn, database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> None:
    async with running_seller(paddle, database_url, admin, data_dir) as seller:
        store = await seller.store()
        subscription_id = await seller.subscribed(store, "growth")
        account = seller.paddle.account
        await seller.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))
        for _ in range(3):
            await seller.told(account.renew(subscription_id))
        (problem,) = (await seller.service.parts.problems.events()).items
        assert await seller.balance(store) == 800

    plans_file = data_dir / "plans.toml"
    plans_file.write_text(PLANS_FILE)
    async with running_seller(
        paddle, database_url, admin, data_dir, plans_file=plans_file
    ) as seller:
        assert await seller.service.parts.paddle_events.retry(problem.event_id)
        await seller.settled()

        assert await seller.balance(store) == 800 + 3 * 1800
        assert (await seller.service.parts.problems.find()).none


async def test_paused_and_resumed_with_another_plan_and_canceled(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account

    await seller.told(account.change_subscription(subscription_id, "paused"))
    assert await seller.tier(store) == "default"
    await seller.told(change_plan(account, subscription_id, "scale", Mode.DO_NOT_BILL))
    assert (await seller.tier(store), await seller.balance(store)) == ("default", 800)
    await seller.told(account.change_subscription(subscription_id, "active"))
    assert (await seller.tier(store), await seller.balance(store)) == ("scale", 2600)
    await seller.told(account.change_subscription(subscription_id, "canceled"))
    assert (await seller.tier(store), await seller.balance(store)) == ("default", 2600)
