"""A store whose account somebody holds keeps no other from its bill."""

import asyncpg

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.gateway import Paddle as Gateway
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.billing.overages import bills, held, holdable_paddle, store_with_overage, subscribe

CREDITS = 10


async def test_a_store_whose_account_somebody_holds_holds_up_no_other(
    database: Database, database_url: str, admin: asyncpg.Connection
) -> None:
    async with holdable_paddle() as paddle:
        settings = Settings.model_validate(paddle.api.settings())
        gateway = Gateway.from_settings(settings)
        assert gateway is not None
        charges = SubscriptionCharges(database, gateway, settings)
        billing = OverageBilling(database, charges, load_catalogue(), settings)
        stores = [await store_with_overage(admin, CREDITS) for _ in range(2)]
        for store_id in stores:
            await subscribe(admin, store_id, paddle.subscribe())
        first, other = stores
        async with held(database_url, first):
            await billing.run_once()
            assert [bill["charged"] for bill in await bills(admin, other)] == [True]
            assert await bills(admin, first) == []
        await billing.run_once()
        assert [bill["charged"] for bill in await bills(admin, first)] == [True]
        await gateway.close()
