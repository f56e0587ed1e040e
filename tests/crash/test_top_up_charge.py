"""Processes that top up are killed at every step: one charge, one payment, one addition."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg
import pytest

from tests.billing.overages import Hold, Paddle, holdable_paddle
from tests.billing.topping_up import (
    CREDITS,
    OPENING,
    balance,
    purchases,
    spend,
    store_on_top_up,
    top_ups,
)
from tests.crash.audit import books_of
from tests.crash.processes import Processes, RunningProcess
from tests.crash.waiting import until, until_true

SETTLE_SECONDS = 4.0
DONE_MAX_SECONDS = 60.0
BRIEF_WAITS = {
    "STORECREDIT_BILLING_BACKOFF_SECONDS": "0.05",
    "STORECREDIT_TOP_UP_INTERVAL_SECONDS": "0.1",
    "STORECREDIT_CHARGE_SETTLE_SECONDS": str(SETTLE_SECONDS),
    "STORECREDIT_LOG_FORMAT": "json",
    "STORECREDIT_PADDLE_TIMEOUT_SECONDS": "2",
}


class ToppingUp:
    """A store whose balance is low, and the processes that see to it."""

    def __init__(
        self, processes: Processes, paddle: Paddle, books: asyncpg.Connection, store_id: UUID
    ) -> None:
        self.processes = processes
        self.paddle = paddle
        self.books = books
        self.store_id = store_id

    async def work(self) -> RunningProcess:
        settings = self.paddle.api.settings()
        environment = {f"STORECREDIT_{name.upper()}": value for name, value in settings.items()}
        return await self.processes.start("worker", environment=environment | BRIEF_WAITS)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        await until(is_so, what, DONE_MAX_SECONDS, self.processes.log_tails)

    async def assert_bought_once(self) -> None:
        """Wait until a top-up has ended, and count everything there is of it."""

        async def has_ended() -> bool:
            return any(each["charged_at"] for each in await top_ups(self.books, self.store_id))

        await until_true(has_ended, "a top-up", DONE_MAX_SECONDS, self.processes.log_tails)
        [charge] = await top_ups(self.books, self.store_id)
        [made] = self.paddle.charges()
        assert charge["provider_transaction_id"] == made["id"]
        paid = await self.books.fetch("SELECT provider_transaction_id FROM storecredit.payments")
        assert [row["provider_transaction_id"] for row in paid] == [made["id"]]
        assert await purchases(self.books, self.store_id) == [("top-up-1", CREDITS)]
        assert await balance(self.books, self.store_id) == CREDITS


@pytest.fixture
async def topping_up(processes: Processes) -> AsyncIterator[ToppingUp]:
    async with AsyncExitStack() as stack:
        paddle = await stack.enter_async_context(holdable_paddle())
        books = await stack.enter_async_context(books_of(processes.data_dir))
        store_id = await store_on_top_up(books, paddle)
        await spend(books, store_id, OPENING)
        yield ToppingUp(processes, paddle, books, store_id)


async def test_killed_between_the_answer_and_the_record(topping_up: ToppingUp) -> None:
    topping_up.paddle.after_charge = charged = Hold()
    killed = await topping_up.work()
    await topping_up.until(charged.reached.is_set, "Paddle has charged")
    topping_up.paddle.at_listing = hold = Hold()
    charged.may_go_on.set()
    await topping_up.until(hold.reached.is_set, "the charge is looked for")
    killed.kill()
    await topping_up.work()
    await topping_up.assert_bought_once()


@pytest.mark.torture
async def test_killed_while_it_sends_and_the_charge_is_made_later(topping_up: ToppingUp) -> None:
    topping_up.paddle.before_charge = hold = Hold()
    killed = await topping_up.work()
    await topping_up.until(hold.reached.is_set, "Paddle is asked")
    killed.kill()
    hold.may_go_on.set()
    await topping_up.work()
    await topping_up.assert_bought_once()


@pytest.mark.torture
async def test_killed_after_it_began_and_before_it_sent(topping_up: ToppingUp) -> None:
    """PostgreSQL is slow to begin the charge, and does so when the process is gone."""
    opened = "SELECT open_top_up(account_of('store', $1), 18, 'USD', NULL, 'paddle')"
    assert await topping_up.books.fetchval(opened, topping_up.store_id) == "opened"
    async with topping_up.books.transaction():
        await topping_up.books.execute("SELECT FROM storecredit.subscription_charges FOR UPDATE")
        killed = await topping_up.work()

        async def someone_waits() -> bool:
            waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
            return bool(await topping_up.books.fetchval(waiting))

        await until_true(
            someone_waits, "it is begun", DONE_MAX_SECONDS, topping_up.processes.log_tails
        )
        killed.kill()
    await topping_up.work()
    await topping_up.assert_bought_once()
    [charge] = await top_ups(topping_up.books, topping_up.store_id)
    assert charge["attempts"] == 2, "the first was begun, and sent nothing"


@pytest.mark.torture
async def test_killed_between_the_charge_and_its_answer(topping_up: ToppingUp) -> None:
    topping_up.paddle.after_charge = hold = Hold()
    killed = await topping_up.work()
    await topping_up.until(hold.reached.is_set, "Paddle is asked")
    killed.kill()
    await topping_up.work()
    await topping_up.assert_bought_once()
