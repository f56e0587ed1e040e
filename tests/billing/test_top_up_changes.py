"""A top-up while other things happen: its settings change, its store is suspended, is held up."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from stand_ins.paddle.api import Failure
from storecredit.billing.top_ups import ToppingUp
from tests.billing.everywhere import tamper
from tests.billing.overages import Paddle, held, holdable_paddle
from tests.billing.topping_up import (
    CREDITS,
    OPENING,
    THRESHOLD,
    pass_charge_time,
    purchases,
    spend,
    store_on_top_up,
    switch_on,
    top_ups,
    topping_up_process,
)

LOW = OPENING - THRESHOLD
OTHER_CREDITS = 250


@pytest.fixture
async def paddle() -> AsyncIterator[Paddle]:
    async with holdable_paddle() as running:
        yield running


@pytest.fixture
async def topping_up(paddle: Paddle, database_url: str) -> AsyncIterator[ToppingUp]:
    async with topping_up_process(paddle, database_url) as running:
        yield running


@pytest.fixture
async def store_id(admin: asyncpg.Connection, paddle: Paddle) -> UUID:
    return await store_on_top_up(admin, paddle)


async def test_other_credits_count_for_what_was_not_charged_yet(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.REFUSE_503))
    await topping_up.run_once()
    await switch_on(admin, store_id, credits=OTHER_CREDITS)
    for _ in range(3):
        await pass_charge_time(admin, timedelta(hours=2))
        await topping_up.run_once()
    [made] = paddle.charges()
    [dropped, charge] = await top_ups(admin, store_id)
    assert dropped["dropped_at"] is not None
    assert charge["provider_transaction_id"] == made["id"]
    assert await purchases(admin, store_id) == [("top-up-2", OTHER_CREDITS)]


async def test_a_store_that_was_suspended_meanwhile_is_not_charged(
    topping_up: ToppingUp, paddle: Paddle, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await spend(admin, store_id, LOW)
    paddle.api.failures.extend((None, Failure.REFUSE_503))
    await topping_up.run_once()
    await tamper(admin, "UPDATE stores SET status = 'suspended' WHERE store_id = $1", store_id)
    for _ in range(3):
        await pass_charge_time(admin, timedelta(hours=2))
        await topping_up.run_once()
    assert paddle.charges() == []
    await tamper(admin, "UPDATE stores SET status = 'active' WHERE store_id = $1", store_id)
    await pass_charge_time(admin, timedelta(hours=2))
    await topping_up.run_once()
    assert await purchases(admin, store_id) == [("top-up-2", CREDITS)]


@pytest.mark.parametrize("is_opened", [False, True])
async def test_a_store_whose_account_somebody_holds_holds_up_no_other(
    topping_up: ToppingUp,
    paddle: Paddle,
    admin: asyncpg.Connection,
    database_url: str,
    store_id: UUID,
    is_opened: bool,
) -> None:
    """A forgotten transaction, before it is decided to buy, or before what was bought is booked."""
    await spend(admin, store_id, LOW)
    if is_opened:
        opened = "SELECT open_top_up(account_of('store', $1), 18, 'USD', NULL, 'paddle')"
        assert await admin.fetchval(opened, store_id) == "opened"
    other = await store_on_top_up(admin, paddle)
    await spend(admin, other, LOW)
    async with held(database_url, store_id):
        await topping_up.run_once()
        assert await purchases(admin, other) == [("top-up-1", CREDITS)]
        assert await purchases(admin, store_id) == []
    await topping_up.run_once()
    assert await purchases(admin, store_id) == [("top-up-1", CREDITS)]
    assert len(paddle.charges()) == 2
