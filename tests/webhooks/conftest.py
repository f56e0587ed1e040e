"""A store that is told, and deliverers as processes have one each."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.outbound.addresses import Resolver
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.deliverer import Deliverer
from tests.sql.ledgers import open_account

TIMEOUT_SECONDS = 0.5
"""Of an attempt at a receiver that is to be too slow; the others answer at once."""


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    """A store's account with 100 credits."""
    return await open_account(admin, OwnerKind.STORE, 100)


class Deliverers:
    """Makes deliverers on the test's database."""

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self._database = database
        self._stack = stack
        self.metrics = Metrics()

    async def open(self, *, resolve: Resolver | None = None, **settings: object) -> Deliverer:
        """One, as another process would have it; `settings` in place of the usual ones."""
        given = {"allow_private_hosts": True, "webhook_timeout_seconds": 15.0} | settings
        made = Deliverer(
            self._database, Settings.model_validate(given), self.metrics, resolve=resolve
        )
        await made.open()
        self._stack.push_async_callback(made.close)
        return made


@pytest.fixture
async def deliverers(database: Database) -> AsyncIterator[Deliverers]:
    """Closed at the end."""
    async with AsyncExitStack() as stack:
        yield Deliverers(database, stack)


@pytest.fixture
async def deliverer(deliverers: Deliverers) -> Deliverer:
    """One that may ask receivers on loopback."""
    return await deliverers.open()
