"""The assembled service on real PostgreSQL, and an account of each kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.worker.owners import Books, store, user


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(
        data_dir=data_dir,
        generator_backoff_seconds=0.01,
        worker_heartbeat_timeout_seconds=2,
        worker_drain_seconds=10,
        sweep_interval_seconds=3600,
        sums_interval_seconds=3600,
    )


@pytest.fixture
async def service(settings: Settings, database: Database) -> AsyncIterator[Service]:
    async with assembled(settings, database) as running:
        yield running


@pytest.fixture(params=list(OwnerKind))
async def account(request: pytest.FixtureRequest, service: Service) -> Account:
    """A store and, in a run of its own, an end user: each with ten credits."""
    return await (store if request.param is OwnerKind.STORE else user)(service)


@pytest.fixture
async def books(account: Account, admin: asyncpg.Connection) -> Books:
    found = Books(account, admin)
    await admin.execute(f"SET search_path = public, {found.bucket}")
    return found
