"""A running service that sells through Paddle's stand-in: its real door, its worker, its tables."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import PaddleStandIn
from stand_ins.paddle.webhooks import Webhooks
from storecredit.billing.checkouts import (
    Checkouts,
    CreditsOrder,
    Opened,
    Order,
    PackOrder,
    PlanOrder,
)
from storecredit.ledger.discrepancies import Discrepancy
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.buckets import opened as buckets_of
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.opening import open_database
from storecredit.postgres.pool import Database
from storecredit.processes import listen
from storecredit.service import Service, serve
from storecredit.settings import Settings
from tests.billing.sql_sales import Movement, balance_of, ledger_of, open_owner_anywhere
from tests.web.doors import OPERATOR_TOKEN
from tests.web.frameworks import served_by_one_used_again

SETTLING_SECONDS_MAX = 60.0
QUICK_TOP_UPS: dict[str, object] = {"top_up_interval_seconds": 0.05}
"""Changes of the settings where top-ups are waited for."""
UNSETTLED = "SELECT count(*) FROM provider_events WHERE status IN ('received', 'failing')"


@dataclass(frozen=True, slots=True)
class Seller:
    """What a buyer does, what Paddle tells of it, and what became of it."""

    service: Service
    paddle: PaddleStandIn
    webhooks: Webhooks
    url: str
    database: Database
    buckets: Buckets
    admin: asyncpg.Connection

    @property
    def checkouts(self) -> Checkouts:
        return self.service.parts.checkouts

    async def store(self, credits: int = 0) -> Owner:
        return await open_owner_anywhere(self.buckets, OwnerKind.STORE, credits)

    async def user(self, credits: int = 0) -> Owner:
        return await open_owner_anywhere(self.buckets, OwnerKind.USER, credits)

    async def opened(self, owner: Owner, order: Order, request_id: str = "order") -> Opened:
        """A checkout, started."""
        started = await self.checkouts.start(owner, order, request_id)
        assert isinstance(started, Opened), started
        return started

    async def paid(
        self,
        owner: Owner,
        order: Order | None = None,
        request_id: str = "order",
        *,
        coupon_percent: int = 0,
    ) -> tuple[Event, ...]:
        """What Paddle tells once a checkout is paid; not told yet."""
        if order is None:
            store = owner.kind is OwnerKind.STORE
            order = CreditsOrder(100) if store else PackOrder(self.pack_id)
        opened = await self.opened(owner, order, request_id)
        return self.paddle.account.pay(opened.transaction_id, coupon_percent=coupon_percent)

    async def subscribed(self, owner: Owner, plan: str = "growth") -> str:
        """The id of a subscription whose first month is booked."""
        await self.told(await self.paid(owner, PlanOrder(plan), f"subscribe-{plan}"))
        return list(self.paddle.account.subscriptions)[-1]

    @property
    def pack_id(self) -> str:
        return self.service.parts.catalogue.packs[0].pack_id

    async def spend(self, store: Owner, credits: int, request_id: str) -> None:
        """Take credits of a store for a request."""
        database = await self.buckets.of(store)
        outcomes = await database.fetchval(
            """SELECT outcomes FROM deduct_from_accounts(
                   ARRAY[account_of('store', $1)], ARRAY[$2::int], ARRAY[$3], ARRAY['Spent'])""",
            store.id,
            credits,
            request_id,
        )
        assert outcomes[0] in {"deducted", "overage"}, outcomes

    async def told(self, events: Sequence[Event]) -> None:
        """Deliver in order, and wait until all of it is settled."""
        assert set(await self.webhooks.send_all(events)) <= {200}
        await self.settled()

    async def settled(self) -> None:
        """Wait until no event is open."""
        async with asyncio.timeout(SETTLING_SECONDS_MAX):
            # A row sets no event.
            while await self._is_any_open():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _is_any_open(self) -> bool:
        # From the first bucket on: what leaves it for another is there before it is gone here.
        try:
            for database in self.buckets.all:
                if await database.fetchval(UNSETTLED):
                    return True
        except DatabaseUnavailable:
            return True  # A test may have cut this connection, too.
        return False

    async def event(self, event: Event) -> Any:
        """The row that is kept of an event."""
        (row,) = await self._kept(event, "*")
        return row

    async def _kept(self, event: Event, columns: str) -> Sequence[Any]:
        query = f"SELECT {columns} FROM provider_events WHERE event_id = $1"
        return await fetched(self.buckets, query, event.event_id)

    async def status(self, event: Event) -> str:
        return str((await self.event(event))["status"])

    async def processed(self, event: Event) -> None:
        """Wait until an event is: also one that was ignored before it was known for ours."""
        async with asyncio.timeout(SETTLING_SECONDS_MAX):
            # One that moves is in two buckets, or seen in neither; and no row sets an event.
            while [row[0] for row in await self._kept(event, "status")] != ["processed"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def ledger(self, owner: Owner) -> list[Movement]:
        return await ledger_of(await self.buckets.of(owner), owner)

    async def balance(self, owner: Owner) -> int:
        return await balance_of(await self.buckets.of(owner), owner)

    async def discrepancies(self) -> tuple[Discrepancy, ...]:
        """What of any bucket's ledger does not agree."""
        reports = await self.buckets.each(lambda database: verify(database, every_row=True))
        return tuple(each for report in reports for each in report.discrepancies)

    async def tier(self, owner: Owner) -> str:
        bucket = await self.buckets.of(owner)
        tier = await bucket.fetchval("SELECT tier FROM stores WHERE store_id = $1", owner.id)
        return str(tier)


def only(events: Sequence[Event], event_type: str) -> Event:
    """The one event of that type."""
    (found,) = (event for event in events if event.event_type == event_type)
    return found


def completed(events: Sequence[Event]) -> Event:
    return only(events, "transaction.completed")


@asynccontextmanager
async def running_seller(
    paddle: PaddleStandIn,
    database_url: str,
    admin: asyncpg.Connection,
    data_dir: Path,
    **changes: Any,
) -> AsyncIterator[Seller]:
    """The service, with API and worker, until the context ends."""
    settings = Settings.model_validate(
        {
            "data_dir": data_dir,
            "database_url": SecretStr(database_url),
            "port": 0,
            "admin_token": SecretStr(OPERATOR_TOKEN),
            "sweep_interval_seconds": 3600,
            "sums_interval_seconds": 3600,
            "billing_backoff_seconds": 0.01,
            "billing_interval_seconds": 1,
            "top_up_interval_seconds": 1,
            "billing_attempts": 4,
            # A busy machine may take its time to let a webhook in.
            "paddle_webhook_tolerance_seconds": 300,
            **paddle.settings(),
            **changes,
        }
    )
    listening, stop = listen(settings), asyncio.Event()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ready: asyncio.Future[Service] = asyncio.get_running_loop().create_future()

    async def serving() -> None:
        async with open_database(settings) as database:
            with served_by_one_used_again(settings):
                await serve(settings, database, listening, stop, on_ready=ready.set_result)

    running = asyncio.create_task(serving())
    running.add_done_callback(lambda _: ready.done() or ready.cancel())
    try:
        service = await ready
    except asyncio.CancelledError:
        await running
        raise
    database = service.parts.database
    webhooks = paddle.webhooks(f"{url}/webhooks/paddle")
    try:
        async with buckets_of(database) as buckets:
            yield Seller(service, paddle, webhooks, url, database, buckets, admin)
    finally:
        stop.set()
        await running
