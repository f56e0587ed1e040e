"""A balance that falls to its threshold becomes one charge and one addition, whatever gets lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from stand_ins.paddle.api import Failure
from storecredit.billing.top_ups import ToppingUp
from tests.billing.everywhere import tamper
from tests.billing.overages import Hold, Paddle, holdable_paddle
from tests.billing.topping_up import (
    AMOUNT,
    CREDITS,
    OPENING,
    THRESHOLD,
    balance,
    pass_charge_time,
    purchases,
    setting,
    spend,
    store_on_top_up,
    switch_on,
    top_ups,
    topping_up_process,
)

LOW = OPENING - THRESHOLD

Start = Callable[[], Awaitable[ToppingUp]]


@pytest.fixture
async def paddle() -> AsyncIterator[Paddle]:
    async with holdable_paddle() as running:
        yield running


@pytest.fixture
async def process(paddle: Paddle, database_url: str) -> AsyncIterator[Start]:
    """Makes what a process of its own has."""
    async with AsyncExitStack() as stack:

        async def start() -> ToppingUp:
            return await stack.enter_async_context(topping_up_process(paddle, database_url))

        yield start


@pytest.fixture
async def topping_up(process: Start) -> ToppingUp:
    return await process()


@pytest.fixture
async def store_id(admin: asyncpg.Connection, paddle: Paddle) -> UUID:
    return await store_on_top_up(admin, paddle)


async def assert_bought_once(admin: asyncpg.Connection, paddle: Paddle, store_id: UUID) -> None:
    [made] = paddle.charges()
    [charge] = await top_ups(admin, store_id)
    assert charge["provider_transaction_id"] == made["id"]
    assert (charge["credits"], charge["amount"], charge["last_error"]) == (CREDITS, AMOUNT, None)
    assert made["details"]["totals"]["subtotal"] == str(AMOUNT)
    assert await purchases(admin, store_id) == [("top-up-1", CREDITS)]
    payment = await admin.fetchrow("SELECT * FROM payments")
    assert payment is not None
    assert (payment["kind"], payment["amount"]) == ("purchase", AMOUNT)
    assert payment["provider_transaction_id"] == made["id"]
    assert not await discrepancies(admin)


async def discrepancies(admin: asyncpg.Connection) -> list[str]:
    """What `verify` finds in the records of money and the ledger beside them."""
    found = await admin.fetch(
        """SELECT kind FROM find_payment_discrepancies()
           UNION ALL SELECT kind FROM find_top_up_discrepancies()
           UNION ALL SELECT kind FROM find_bill_discrepancies()"""
    )
    return [row["kind"] for row in found]


async def test_a_balance_at_its_threshold_buys_once(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await topping_up.run_once()
    await spend(admin, store_id, LOW - 1)
    await topping_up.run_once()
    assert await top_ups(admin, store_id) == [], "one credit above it"
    await spend(admin, store_id, 1)
    for _ in range(3):
        await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)
    assert await balance(admin, store_id) == THRESHOLD + CREDITS
    [item] = paddle.charges()[0]["items"]
    assert item["price"]["custom_data"] == {"storecredit_charge": f"top_up:{store_id}:1"}
    assert item["quantity"] == CREDITS


async def test_switched_on_below_the_threshold_it_buys_at_once(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    account = "account_of('store', $1)"
    await admin.execute(f"SELECT remove_top_up({account})", store_id)
    await spend(admin, store_id, OPENING)
    await topping_up.run_once()
    assert paddle.charges() == []
    await switch_on(admin, store_id)
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)


async def test_what_is_below_the_threshold_still_buys_again(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await store_on_top_up(admin, paddle, per_day=5)
    await spend(admin, store_id, OPENING)
    await tamper(admin, "UPDATE top_ups SET threshold = 250")
    for _ in range(5):
        await topping_up.run_once()
    assert await balance(admin, store_id) == 3 * CREDITS
    assert not await discrepancies(admin)


async def test_a_balance_that_is_refilled_in_the_meantime_buys_nothing(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    assert (await setting(admin, store_id))["due_at"] is not None
    await admin.execute("SELECT add_store_credits($1, 100, 'grant', 'refill')", store_id)
    await topping_up.run_once()
    assert await top_ups(admin, store_id) == []
    assert (await setting(admin, store_id))["due_at"] is None


async def test_no_more_a_day_and_a_month_than_are_allowed(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await store_on_top_up(admin, paddle, per_day=1, per_month=2)

    async def use_up() -> None:
        await spend(admin, store_id, await balance(admin, store_id))
        await topping_up.run_once()

    await use_up()
    await use_up()
    assert len(paddle.charges()) == 1, "no second on this day"
    midnight = "date_trunc('day', now() + interval '1 day', 'UTC')"
    due = await admin.fetchval(f"SELECT due_at = {midnight} FROM top_ups")
    month_ends_too = await admin.fetchval(f"SELECT extract(day FROM {midnight}) = 1")
    assert due or month_ends_too
    # Midnight: what was bought today was bought yesterday; within one month, for the next limit.
    await tamper(
        admin,
        """UPDATE subscription_charges
           SET created_at = date_trunc('day', now(), 'UTC') - interval '1 second'""",
    )
    await tamper(admin, "UPDATE top_ups SET due_at = now()")
    await topping_up.run_once()
    assert len(paddle.charges()) == 2, "the next day"
    await tamper(
        admin,
        """UPDATE subscription_charges
           SET created_at = date_trunc('month', now(), 'UTC') + interval '1 microsecond'""",
    )
    await tamper(admin, "UPDATE top_ups SET max_per_day = 10")
    await use_up()
    assert len(paddle.charges()) == 2, "no third in this month"
    next_month = "date_trunc('month', now(), 'UTC') + interval '1 month'"
    assert await admin.fetchval(f"SELECT due_at = {next_month} FROM top_ups")
    await tamper(
        admin,
        """UPDATE subscription_charges
           SET created_at = date_trunc('month', now(), 'UTC') - interval '1 microsecond'""",
    )
    await tamper(admin, "UPDATE top_ups SET due_at = now()")
    await topping_up.run_once()
    assert len(paddle.charges()) == 3, "the next month"


@pytest.mark.parametrize("lost", [Failure.DO_THEN_500, Failure.DO_THEN_BREAK_OFF])
async def test_a_charge_whose_answer_is_lost_is_found(
    topping_up: ToppingUp,
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
    lost: Failure,
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, lost))
    await topping_up.run_once()
    await spend(admin, store_id, 1)
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


async def test_a_declined_charge_pauses_it_until_it_is_switched_on_again(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.DECLINE))
    for _ in range(2):
        await topping_up.run_once()
        await spend(admin, store_id, 1)
        await pass_charge_time(admin, timedelta(days=2))
    found = await setting(admin, store_id)
    assert (found["status"], found["pause_reason"]) == ("paused", "declined")
    [declined] = await top_ups(admin, store_id)
    assert declined["dropped_at"] is not None
    assert "subscription_payment_declined" in declined["last_error"]
    assert paddle.charges() == []
    await switch_on(admin, store_id)
    await topping_up.run_once()
    assert await purchases(admin, store_id) == [("top-up-2", CREDITS)]
    assert len(paddle.charges()) == 1


@pytest.mark.parametrize("ended", ["canceled", "paused"])
async def test_without_a_running_subscription_nothing_is_bought(
    topping_up: ToppingUp,
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
    ended: str,
) -> None:
    await spend(admin, store_id, LOW)
    await tamper(admin, "UPDATE subscriptions SET status = $1", ended)
    await topping_up.run_once()
    assert await top_ups(admin, store_id) == []
    assert await switch_on(admin, store_id) == "no_subscription"
    await tamper(admin, "UPDATE subscriptions SET status = 'active'")
    await pass_charge_time(admin, timedelta(hours=1))
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)


@pytest.mark.parametrize(
    "meanwhile",
    [
        "SELECT remove_top_up(account_of('store', $1))",
        "UPDATE subscriptions SET status = 'canceled' WHERE account_id = account_of('store', $1)",
        "SELECT add_store_credits($1, 100, 'grant', 'refill')",
    ],
)
async def test_one_that_is_not_wanted_any_more_is_given_up_and_not_charged(
    topping_up: ToppingUp,
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
    meanwhile: str,
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.REFUSE_503))
    await topping_up.run_once()
    await admin.execute(meanwhile, store_id)
    await pass_charge_time(admin, timedelta(minutes=1))
    await topping_up.run_once()
    [charge] = await top_ups(admin, store_id)
    assert charge["dropped_at"] is None, "it may still be on its way"
    await pass_charge_time(admin, timedelta(hours=2))
    await topping_up.run_once()
    [charge] = await top_ups(admin, store_id)
    assert charge["dropped_at"] is not None
    assert paddle.charges() == []


async def test_credits_come_only_once_the_charge_is_paid(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.DO_THEN_BREAK_OFF))
    await topping_up.run_once()
    [made] = paddle.charges()
    made["status"] = "past_due"
    await topping_up.run_once()
    assert await purchases(admin, store_id) == []
    [charge] = await top_ups(admin, store_id)
    assert "past_due" in charge["last_error"]
    made["status"] = "paid"
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)


async def test_a_charge_of_another_amount_is_shown_and_adds_nothing(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.DO_THEN_BREAK_OFF))
    await topping_up.run_once()
    [made] = paddle.charges()
    made["details"]["totals"]["subtotal"] = "1"
    await topping_up.run_once()
    assert await purchases(admin, store_id) == []
    [charge] = await top_ups(admin, store_id)
    assert "is not what was sold" in charge["last_error"]


async def test_a_database_that_was_restored_to_before_the_charge_does_not_charge_again(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    await topping_up.run_once()
    await tamper(admin, "DELETE FROM payments")
    await tamper(admin, "DELETE FROM subscription_charges")
    await tamper(admin, "DELETE FROM grants WHERE seq = 3")
    await tamper(admin, "DELETE FROM movements WHERE type = 'purchase'")
    await tamper(admin, "UPDATE top_ups SET due_at = now()")
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


async def test_processes_at_once_buy_once(
    process: Start, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    processes = [await process() for _ in range(4)]
    await spend(admin, store_id, LOW - 1)
    await asyncio.gather(*(each.run_once() for each in processes))
    await spend(admin, store_id, 1)
    for _ in range(3):
        await asyncio.gather(*(each.run_once() for each in processes))
    await assert_bought_once(admin, paddle, store_id)


async def test_while_one_is_under_way_the_balance_may_fall_on(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    paddle.after_charge = hold = Hold()
    await spend(admin, store_id, LOW)
    charging = asyncio.create_task(topping_up.run_once())
    await hold.reached.wait()
    await spend(admin, store_id, 1)
    await admin.execute(
        "SELECT open_top_up(account_of('store', $1), 18, 'USD', 0, 'paddle')", store_id
    )
    hold.may_go_on.set()
    await charging
    await topping_up.run_once()
    await assert_bought_once(admin, paddle, store_id)
