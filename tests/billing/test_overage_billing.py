"""Overage of a month becomes one charge at Paddle, whatever gets lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stand_ins.paddle.api import Failure
from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.charge_attempt import NO_SUBSCRIPTION
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.charge_marker import charge_marker
from storecredit.billing.paddle.gateway import Paddle as Gateway
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.billing.everywhere import tamper
from tests.billing.overages import (
    Hold,
    Paddle,
    bills,
    holdable_paddle,
    store_with_overage,
    subscribe,
    use_overage,
)
from tests.billing.sql_sales import account_of
from tests.crash.waiting import until
from tests.sql.ledgers import open_store

CREDITS = 10
STARTER_AMOUNT = 16 * CREDITS
SINGLE_AMOUNT = 18 * CREDITS


@pytest.fixture
async def paddle() -> AsyncIterator[Paddle]:
    async with holdable_paddle() as running:
        yield running


@pytest.fixture
def timeout_seconds() -> float:
    """How long Paddle's answer is waited for; a test that has none come says how short."""
    return 30


@pytest.fixture
def settings(paddle: Paddle, timeout_seconds: float) -> Settings:
    quick = {"paddle_timeout_seconds": timeout_seconds, "billing_backoff_seconds": 0}
    return Settings.model_validate(paddle.api.settings() | quick)


@pytest.fixture
async def process(
    settings: Settings, database_url: str
) -> AsyncIterator[Callable[[], "asyncio.Future[OverageBilling]"]]:
    """Makes what a process of its own has."""
    opened: list[tuple[Database, Gateway]] = []

    async def start() -> OverageBilling:
        database = await Database.open(database_url)
        gateway = Gateway.from_settings(settings)
        assert gateway is not None
        opened.append((database, gateway))
        charges = SubscriptionCharges(database, gateway, settings)
        return OverageBilling(database, charges, load_catalogue(), settings)

    yield lambda: asyncio.ensure_future(start())
    for database, gateway in opened:
        await gateway.close()
        await database.close()


@pytest.fixture
async def billing(process: Callable[[], "asyncio.Future[OverageBilling]"]) -> OverageBilling:
    return await process()


@pytest.fixture
async def store_id(admin: asyncpg.Connection, paddle: Paddle) -> UUID:
    """A store with a subscription that used ten credits of overage last month."""
    store_id = await store_with_overage(admin, CREDITS)
    await subscribe(admin, store_id, paddle.subscribe())
    return store_id


async def pass_time(admin: asyncpg.Connection, interval: str = "2 hours") -> None:
    """Every wait of a bill is so much further on."""
    await tamper(
        admin,
        f"""UPDATE subscription_charges SET due_at = due_at - interval '{interval}',
               charge_begun_at = charge_begun_at - interval '{interval}'""",
    )


def fail_the_charge(paddle: Paddle, failure: Failure) -> None:
    """Let the next charge fail; it is looked for before it is sent."""
    paddle.api.failures.extend((None, failure))


async def the_bill(admin: asyncpg.Connection, store_id: UUID) -> dict[str, Any]:
    [bill] = await bills(admin, store_id)
    return bill


async def assert_charged_once(
    admin: asyncpg.Connection, paddle: Paddle, store_id: UUID, amount: int = STARTER_AMOUNT
) -> None:
    bill = await the_bill(admin, store_id)
    [charge] = paddle.charges()
    assert bill["provider_transaction_id"] == charge["id"]
    assert (bill["credits"], bill["amount"], bill["currency"]) == (CREDITS, amount, "USD")
    assert charge["details"]["totals"]["subtotal"] == str(amount)
    assert (bill["last_error"], bill["charged"]) == (None, True)


async def test_a_month_is_closed_and_charged_once(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    for _ in range(3):
        await billing.run_once()
        await pass_time(admin)
    await assert_charged_once(admin, paddle, store_id)
    bill = await the_bill(admin, store_id)
    last_month = await admin.fetchval("SELECT date_trunc('month', now(), 'UTC') - interval '1 day'")
    assert bill["period"] == date(last_month.year, last_month.month, 1)
    [item] = paddle.charges()[0]["items"]
    assert item["quantity"] == CREDITS
    assert item["price"]["custom_data"] == {
        "storecredit_charge": charge_marker(store_id, bill["request_id"])
    }
    row = await admin.fetchrow("SELECT overage_used, balance FROM store_credits")
    assert row is not None
    assert tuple(row) == (0, 0)


async def test_overage_of_this_month_is_not_closed_yet(
    billing: OverageBilling, admin: asyncpg.Connection, store_id: UUID
) -> None:
    fresh = await store_with_overage(admin, CREDITS)
    await tamper(
        admin,
        "UPDATE movements SET created_at = now() WHERE account_id = $1",
        await account_of(admin, Owner.store(fresh)),
    )
    returned = await store_with_overage(admin, CREDITS)
    request_id = await admin.fetchval(
        "SELECT request_id FROM store_credit_transactions WHERE store_id = $1", returned
    )
    await admin.fetchval("SELECT refund_store_credits($1, $2, $3)", returned, CREDITS, request_id)
    await use_overage(admin, returned, CREDITS, last_month=False)
    await billing.run_once()
    assert (await the_bill(admin, store_id))["charged"]
    assert await bills(admin, fresh) == await bills(admin, returned) == []


async def test_what_paddle_would_not_charge_is_left_for_the_month_after(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await store_with_overage(admin, 4)
    await subscribe(admin, store_id, paddle.subscribe())
    await billing.run_once()
    assert await bills(admin, store_id) == []
    await use_overage(admin, store_id, CREDITS - 4, last_month=True)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_without_a_subscription_a_bill_waits_for_one_and_says_so(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await store_with_overage(admin, CREDITS)
    for _ in range(2):
        await billing.run_once()
        bill = await the_bill(admin, store_id)
        assert (bill["last_error"], bill["attempts"], bill["charged"]) == (
            NO_SUBSCRIPTION,
            0,
            False,
        )
    await subscribe(admin, store_id, paddle.subscribe())
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id, SINGLE_AMOUNT)


@pytest.mark.parametrize("lost", [Failure.DO_THEN_500, Failure.DO_THEN_BREAK_OFF])
async def test_a_charge_whose_answer_is_lost_is_found(
    billing: OverageBilling,
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
    lost: Failure,
) -> None:
    fail_the_charge(paddle, lost)
    await billing.run_once()
    bill = await the_bill(admin, store_id)
    assert (bill["charged"], bill["attempts"]) == (False, 1)
    assert bill["last_error"].startswith("Paddle gave no clear answer")
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


@pytest.mark.parametrize("timeout_seconds", [1])
async def test_a_charge_that_takes_too_long_is_found_however_it_ends(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    paddle.before_charge = hold = Hold()
    await billing.run_once()
    await billing.run_once()
    assert paddle.charges() == []
    hold.may_go_on.set()
    await until(lambda: paddle.charges() != [], "Paddle makes the charge", 20, str)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


@pytest.mark.parametrize("lost", [Failure.REFUSE_503, Failure.REFUSE_429, Failure.BREAK_OFF])
async def test_a_charge_that_was_not_made_is_sent_again_once_that_is_certain(
    billing: OverageBilling,
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
    lost: Failure,
) -> None:
    fail_the_charge(paddle, lost)
    for _ in range(3):
        await billing.run_once()
        await pass_time(admin, "1 second")
    assert len(paddle.api.sent("POST", "/charge")) == 1, "it may still be on its way"
    assert (await the_bill(admin, store_id))["last_error"].endswith("Paddle may list it yet.")
    await pass_time(admin)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 2


async def test_a_charge_that_is_listed_late_is_waited_for(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    paddle.lists_charges = False
    fail_the_charge(paddle, Failure.DO_THEN_BREAK_OFF)
    for _ in range(3):
        await billing.run_once()
        await pass_time(admin, "1 minute")
    paddle.lists_charges = True
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


async def test_a_charge_that_paddle_accepted_is_never_sent_again(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    paddle.lists_charges = False
    for _ in range(3):
        await billing.run_once()
        await pass_time(admin)
    bill = await the_bill(admin, store_id)
    assert (bill["charged"], bill["attempts"]) == (False, 1)
    assert bill["last_error"].startswith("Paddle accepted the charge")
    paddle.lists_charges = True
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_a_charge_counts_only_once_it_is_collected(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    fail_the_charge(paddle, Failure.DO_THEN_BREAK_OFF)
    await billing.run_once()
    [charge] = paddle.charges()
    charge["status"] = "billed"
    await pass_time(admin)
    await billing.run_once()
    bill = await the_bill(admin, store_id)
    assert (bill["charged"], bill["attempts"]) == (False, 1)
    assert "still being collected" in bill["last_error"]
    charge["status"] = "canceled"
    await pass_time(admin)
    await billing.run_once()
    assert [made["status"] for made in paddle.charges()] == ["canceled", "completed"]
    assert (await the_bill(admin, store_id))["provider_transaction_id"] == paddle.charges()[1]["id"]


async def test_a_declined_charge_is_noted_and_tried_again_after_a_day(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    fail_the_charge(paddle, Failure.DECLINE)
    await billing.run_once()
    for _ in range(3):
        await pass_time(admin)
        await billing.run_once()
    bill = await the_bill(admin, store_id)
    assert "subscription_payment_declined" in bill["last_error"]
    assert (bill["charge_begun_at"], bill["attempts"]) == (None, 1)
    await pass_time(admin, "1 day")
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_a_refusal_to_list_is_no_refusal_to_charge(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    paddle.lists_charges = False
    fail_the_charge(paddle, Failure.DO_THEN_BREAK_OFF)
    await billing.run_once()
    key, paddle.api.api_key = paddle.api.api_key, "another"
    await pass_time(admin, "1 minute")
    await billing.run_once()
    bill = await the_bill(admin, store_id)
    assert bill["charge_begun_at"] is not None
    assert bill["last_error"].startswith("Paddle refused (invalid_token)")
    paddle.api.api_key, paddle.lists_charges = key, True
    await pass_time(admin)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_a_charge_is_looked_for_where_it_was_sent_although_the_subscription_has_changed(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    fail_the_charge(paddle, Failure.DO_THEN_BREAK_OFF)
    await billing.run_once()
    await tamper(admin, "UPDATE subscriptions SET status = 'canceled'")
    await subscribe(admin, store_id, paddle.subscribe())
    await pass_time(admin)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_a_database_that_was_restored_to_before_the_charge_does_not_charge_again(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await billing.run_once()
    # The month was not closed yet at the moment that was restored.
    await tamper(admin, "DELETE FROM subscription_charges")
    await tamper(admin, "DELETE FROM movements WHERE type = 'overage_bill'")
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    assert len(paddle.api.sent("POST", "/charge")) == 1


async def test_a_webhook_may_tell_of_the_charge_first(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    fail_the_charge(paddle, Failure.DO_THEN_BREAK_OFF)
    await billing.run_once()
    [charge] = paddle.charges()
    bill = await the_bill(admin, store_id)
    booked = await admin.fetchval(
        "SELECT book_charge_payment('paddle', $1, $2, $3, $4, 'USD', now())",
        charge["id"],
        charge["subscription_id"],
        bill["request_id"],
        STARTER_AMOUNT,
    )
    assert booked == "booked"
    asked = len(paddle.api.requests)
    await billing.run_once()
    assert len(paddle.api.requests) == asked
    await assert_charged_once(admin, paddle, store_id)


async def test_processes_at_once_charge_once(
    process: Callable[[], "asyncio.Future[OverageBilling]"],
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
) -> None:
    others = [await store_with_overage(admin, CREDITS) for _ in range(4)]
    for other in others:
        await subscribe(admin, other, paddle.subscribe())
    processes = [await process() for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(each.run_once() for each in processes))
    charged = [
        (await the_bill(admin, each))["provider_transaction_id"] for each in [store_id, *others]
    ]
    assert sorted(charged) == sorted(charge["id"] for charge in paddle.charges())


async def test_while_one_process_is_at_it_another_leaves_the_bill_alone(
    process: Callable[[], "asyncio.Future[OverageBilling]"],
    paddle: Paddle,
    admin: asyncpg.Connection,
    store_id: UUID,
) -> None:
    one, other = await process(), await process()
    paddle.after_charge = hold = Hold()
    charging = asyncio.create_task(one.run_once())
    await hold.reached.wait()
    asked = len(paddle.api.requests)
    await pass_time(admin)
    await other.run_once()
    assert len(paddle.api.requests) == asked
    hold.may_go_on.set()
    await charging
    await one.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_after_two_months_of_standstill_there_is_one_bill(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await store_with_overage(admin, CREDITS - 5)
    await tamper(admin, "UPDATE movements SET created_at = created_at - interval '2 months'")
    await use_overage(admin, store_id, 5, last_month=True)
    await subscribe(admin, store_id, paddle.subscribe())
    await billing.run_once()
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)


async def test_overage_after_the_closing_goes_to_the_next_bill(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await billing.run_once()
    await use_overage(admin, store_id, CREDITS + 1, last_month=False)
    await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    # A month goes by: the bill there is becomes one of the month before, at Paddle as well.
    [charge] = paddle.charges()
    charge["items"][0]["price"]["custom_data"] = {"storecredit_charge": "of the month before"}
    await tamper(
        admin,
        """UPDATE subscription_charges SET period = period - interval '1 month',
               request_id = 'overage-before'""",
    )
    await tamper(
        admin,
        """UPDATE movements SET created_at = created_at - interval '1 month',
               request_id = replace(request_id, 'overage-', 'before-')""",
    )
    await billing.run_once()
    await billing.run_once()
    first, second = await bills(admin, store_id)
    assert [first["credits"], second["credits"]] == [CREDITS, CREDITS + 1]
    assert {first["provider_transaction_id"], second["provider_transaction_id"]} == {
        charge["id"] for charge in paddle.charges()
    }


async def test_overage_that_came_back_in_part_is_closed_for_the_rest(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin)
    request_id = await use_overage(admin, store_id, CREDITS + 1, last_month=True)
    await admin.execute("SELECT refund_store_credits($1, 1, $2)", store_id, request_id)
    await subscribe(admin, store_id, paddle.subscribe())

    await billing.run_once()

    assert [bill["credits"] for bill in await bills(admin, store_id)] == [CREDITS]


async def test_one_stores_trouble_is_not_anothers(
    billing: OverageBilling, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    troubled = await store_with_overage(admin, CREDITS)
    await subscribe(admin, troubled, "sub_unknown")
    for _ in range(2):
        await billing.run_once()
    await assert_charged_once(admin, paddle, store_id)
    bill = await the_bill(admin, troubled)
    assert bill["last_error"].startswith("Paddle refused (not_found)")
