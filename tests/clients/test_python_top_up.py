"""The client for Python has credits bought through a subscription, as it is at the provider."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stand_ins.paddle.api import Failure
from storecredit_client import ApiError, AsyncClient, Client, ErrorCode
from storecredit_client.models import MovementType, PauseReason, TopUpStatus, TopUpView
from tests.clients.selling import MONTHLY_CREDITS, subscriber
from tests.crash.waiting import until_true

SECONDS_MAX = 60


async def shown(read: Callable[[], Awaitable[TopUpView]], **wanted: object) -> TopUpView:
    """The top-up, once it is so."""
    seen = await read()

    async def is_so() -> bool:
        nonlocal seen
        seen = await read()
        return all(getattr(seen, name) == value for name, value in wanted.items())

    await until_true(is_so, f"{wanted}", SECONDS_MAX, lambda: str(seen))
    return seen


async def test_credits_are_bought_by_themselves_until_the_card_is_declined(
    database_url: str, data_dir: Path
) -> None:
    async with subscriber(database_url, data_dir) as (seller, store, other):
        async with AsyncClient(seller.url, store.api_key) as client:
            off = await client.get_top_up()
            assert (off.status, off.threshold) == (TopUpStatus.OFF, None)
            on = await client.set_top_up(MONTHLY_CREDITS - 100, 50, max_per_day=2)
            assert (on.status, on.amount, on.currency) == (TopUpStatus.ON, 50 * 18, "USD")
            assert (on.max_per_day, on.max_per_month) == (2, 10)
            await client.spend_credits(100)
            await shown(client.get_top_up, bought_today=1, under_way=False)
            [bought] = [each async for each in client.list_transactions(type=MovementType.PURCHASE)]
            assert (bought.amount, bought.request_id) == (50, "top-up-1")
            assert (await client.get_balance()).balance == MONTHLY_CREDITS - 50
            # Paddle is asked first what it has charged already.
            seller.paddle.failures.extend((None, Failure.DECLINE))
            await client.spend_credits(50)
            declined = await shown(client.get_top_up, status=TopUpStatus.PAUSED)
            assert declined.pause_reason is PauseReason.DECLINED
        await asyncio.to_thread(go_on_and_switch_off, Client(seller.url, store.api_key))
        charges = seller.paddle.sent("POST", "/charge")
        assert len(charges) == 2, "one was declined"
        with (
            Client(seller.url, other.api_key) as client,
            pytest.raises(ApiError, match="subscribe to a plan") as none,
        ):
            await asyncio.to_thread(client.set_top_up, 50, 500)
        assert none.value.code is ErrorCode.NO_SUBSCRIPTION


def go_on_and_switch_off(client: Client) -> None:
    """Set it anew, for a balance that is far off."""
    with client:
        on = client.set_top_up(0, 500, max_per_day=1, max_per_month=1)
        assert (on.status, on.pause_reason, on.bought_today) == (TopUpStatus.ON, None, 1)
        assert client.delete_top_up() == client.get_top_up()
        assert client.get_top_up().status is TopUpStatus.OFF
