"""Processes that bill overage are killed at every step: the store is charged once all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from tests.billing.overages import (
    Hold,
    Paddle,
    bills,
    holdable_paddle,
    store_with_overage,
    subscribe,
)
from tests.crash.audit import books_of
from tests.crash.processes import Processes, RunningProcess
from tests.crash.waiting import POLL_SECONDS, until

CREDITS = 10
SETTLE_SECONDS = 4.0
BILLED_MAX_SECONDS = 60.0

BRIEF_WAITS = {
    "STORECREDIT_BILLING_BACKOFF_SECONDS": "0.05",
    "STORECREDIT_BILLING_INTERVAL_SECONDS": "0.1",
    "STORECREDIT_LOG_FORMAT": "json",
    "STORECREDIT_PADDLE_TIMEOUT_SECONDS": "2",
}


class Billing:
    """A store whose overage is to be billed, and the processes that do it."""

    def __init__(
        self, processes: Processes, paddle: Paddle, books: asyncpg.Connection, store_id: UUID
    ) -> None:
        self.processes = processes
        self.paddle = paddle
        self.books = books
        self.store_id = store_id

    async def work(self, settle_seconds: float = SETTLE_SECONDS) -> RunningProcess:
        settings = self.paddle.api.settings()
        environment = {f"STORECREDIT_{name.upper()}": value for name, value in settings.items()}
        environment |= BRIEF_WAITS
        environment["STORECREDIT_CHARGE_SETTLE_SECONDS"] = str(settle_seconds)
        return await self.processes.start("worker", environment=environment)

    async def held(self, hold: Hold) -> None:
        """Wait until a process is there."""
        await self._until(hold.reached.is_set, "Paddle is asked")

    async def logged(self, process: RunningProcess, event: str) -> None:
        await self._until(lambda: process.events(event) != [], f"{event} is logged")

    @asynccontextmanager
    async def beginning_is_slow(self) -> AsyncIterator[None]:
        """While the block lasts no charge of the store's bill can be begun."""
        month = "(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date"
        close = f"SELECT close_overage(account_of('store', $1), {month}, 16, 'USD')"
        assert await self.books.fetchval(close, self.store_id)
        async with self.books.transaction():
            await self.books.execute("SELECT FROM subscription_charges FOR UPDATE")
            yield

    async def someone_waits_for_a_lock(self) -> None:
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        async with asyncio.timeout(BILLED_MAX_SECONDS):
            # Another process's wait announces itself to nobody.
            while not await self.books.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)

    async def _until(self, is_so: Callable[[], bool], what: str) -> None:
        await until(is_so, what, BILLED_MAX_SECONDS, self.processes.log_tails)

    async def assert_charged_once(self, *processes: RunningProcess) -> None:
        """Wait until one of them has recorded the charge, and count what Paddle has made."""
        await self._until(
            lambda: any(process.events("subscription_charged") for process in processes),
            "the bill is charged",
        )
        [bill] = await bills(self.books, self.store_id)
        [charge] = self.paddle.charges()
        assert (bill["provider_transaction_id"], bill["credits"]) == (charge["id"], CREDITS)
        assert bill["last_error"] is None


@pytest.fixture
async def billing(processes: Processes) -> AsyncIterator[Billing]:
    async with AsyncExitStack() as stack:
        paddle = await stack.enter_async_context(holdable_paddle())
        books = await stack.enter_async_context(books_of(processes.data_dir))
        store_id = await store_with_overage(books, CREDITS)
        await subscribe(books, store_id, paddle.subscribe())
        yield Billing(processes, paddle, books, store_id)


async def test_killed_after_it_began_and_before_it_sent(billing: Billing) -> None:
    """PostgreSQL is slow to begin the charge, and does so when the process is gone."""
    async with billing.beginning_is_slow():
        killed = await billing.work()
        await billing.someone_waits_for_a_lock()
        killed.kill()
    await billing.assert_charged_once(await billing.work())
    [bill] = await bills(billing.books, billing.store_id)
    assert bill["attempts"] == 2, "the first was begun, and sent nothing"


async def test_one_that_began_long_ago_sends_nothing_any_more(billing: Billing) -> None:
    """Meanwhile it may have lost its lock, and another one may have sent the charge."""
    async with billing.beginning_is_slow():
        late = await billing.work()
        await billing.someone_waits_for_a_lock()
        late.pause()
    # It stands still, not in line for the lock: that it would not do for so long.
    await asyncio.sleep(SETTLE_SECONDS / 2 + 0.1)
    late.go_on()
    await billing.logged(late, "subscription_charge_too_late")
    await billing.assert_charged_once(late)
    assert len(billing.paddle.api.sent("POST", "/charge")) == 1
    [bill] = await bills(billing.books, billing.store_id)
    assert bill["attempts"] == 1 + len(late.events("subscription_charge_too_late"))


async def test_killed_while_it_sends_and_the_charge_is_never_made(billing: Billing) -> None:
    billing.paddle.before_charge = hold = Hold()
    killed = await billing.work()
    await billing.held(hold)
    killed.kill()
    await billing.assert_charged_once(await billing.work())
    assert len(billing.paddle.api.sent("POST", "/charge")) == 1


async def test_killed_while_it_sends_and_the_charge_is_made_later(billing: Billing) -> None:
    billing.paddle.before_charge = hold = Hold()
    # However long a start takes, nobody concludes meanwhile that the charge does not exist.
    killed = await billing.work(settle_seconds=BILLED_MAX_SECONDS)
    await billing.held(hold)
    killed.kill()
    successor = await billing.work(settle_seconds=BILLED_MAX_SECONDS)
    await billing.logged(successor, "subscription_not_charged")
    hold.may_go_on.set()
    await billing.assert_charged_once(successor)


async def test_killed_between_the_charge_and_its_answer(billing: Billing) -> None:
    billing.paddle.after_charge = hold = Hold()
    killed = await billing.work()
    await billing.held(hold)
    killed.kill()
    await billing.assert_charged_once(await billing.work())


async def test_killed_between_the_answer_and_the_record(billing: Billing) -> None:
    billing.paddle.after_charge = charged = Hold()
    killed = await billing.work()
    await billing.held(charged)
    # Before it had been sent, it was looked for, too.
    billing.paddle.at_listing = hold = Hold()
    charged.may_go_on.set()
    await billing.held(hold)
    killed.kill()
    await billing.assert_charged_once(await billing.work())


async def test_one_that_stands_still_keeps_the_others_from_it(billing: Billing) -> None:
    billing.paddle.before_charge = hold = Hold()
    paused = await billing.work()
    await billing.held(hold)
    paused.pause()
    other = await billing.work()
    await billing.logged(other, "subscription_charge_locked")
    hold.may_go_on.set()
    paused.go_on()
    await billing.assert_charged_once(paused, other)
