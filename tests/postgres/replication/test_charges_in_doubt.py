"""A charge for overage is sent once a standby, too, knows that it was begun: so it is made once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.gateway import Paddle as Gateway
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.billing.overages import Paddle, holdable_paddle, store_with_overage, subscribe
from tests.conftest import connect_as_superuser
from tests.postgres.replication.nodes import Pair, waits_cancelled

CREDITS = 10
LATER = """UPDATE subscription_charges SET due_at = due_at - interval '2 hours',
    charge_begun_at = charge_begun_at - interval '2 hours'"""


@dataclass(frozen=True, slots=True)
class Billed:
    """A store with overage of last month, and who bills it."""

    paddle: Paddle
    billing: OverageBilling
    admin: asyncpg.Connection


@pytest.fixture
async def billed(pair: Pair) -> AsyncIterator[Billed]:
    admin = await connect_as_superuser(pair.primary.url)
    database = await Database.open(pair.url())
    async with holdable_paddle() as paddle:
        settings = Settings.model_validate(paddle.api.settings() | {"billing_backoff_seconds": 0})
        gateway = Gateway.from_settings(settings)
        assert gateway is not None
        store_id = await store_with_overage(admin, CREDITS)
        await subscribe(admin, store_id, paddle.subscribe())
        await pair.make_synchronous()
        charges = SubscriptionCharges(database, gateway, settings)
        yield Billed(paddle, OverageBilling(database, charges, load_catalogue(), settings), admin)
        await gateway.close()
    await database.close()
    await admin.close()


async def test_no_charge_is_sent_that_no_standby_knows_of(pair: Pair, billed: Billed) -> None:
    pair.standby.stand_still()
    async with waits_cancelled(pair.primary):
        for _ in range(2):
            await billed.billing.run_once()
        assert await billed.admin.fetchval("SELECT attempts FROM subscription_charges") == 1, (
            "begun"
        )
    assert billed.paddle.charges() == []

    pair.standby.go_on()
    await pair.primary.until_synchronous()
    await billed.admin.execute(LATER)
    await billed.billing.run_once()
    await billed.billing.run_once()
    assert len(billed.paddle.charges()) == 1
    assert await billed.admin.fetchval("SELECT charged_at IS NOT NULL FROM subscription_charges")
