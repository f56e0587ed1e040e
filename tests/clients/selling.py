"""A service that sells through Paddle's stand-in, and a store that subscribes to a plan there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx

from stand_ins.paddle.api import paddle_stand_in
from storecredit.ledger.owners import Owner
from storecredit.postgres.servers import SCHEMA
from tests.billing.seller import QUICK_TOP_UPS, Seller, running_seller
from tests.web.doors import Operator, StoreClient

MONTHLY_CREDITS = 800


@asynccontextmanager
async def subscriber(
    database_url: str, data_dir: Path
) -> AsyncIterator[tuple[Seller, StoreClient, StoreClient]]:
    """The service, a store with the credits of its first month, and one that never subscribed."""
    admin = await asyncpg.connect(database_url, server_settings={"search_path": SCHEMA})
    try:
        async with (
            paddle_stand_in() as paddle,
            running_seller(paddle, database_url, admin, data_dir, **QUICK_TOP_UPS) as seller,
            httpx.AsyncClient(base_url=seller.url) as http,
        ):
            operator = Operator(http)
            store = await operator.store(credits=0)
            await seller.subscribed(Owner.store(UUID(store.store_id)), "growth")
            yield seller, store, await operator.store()
    finally:
        await admin.close()
