"""Paddle, stood in for."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from stand_ins.paddle.api import PaddleStandIn, paddle_stand_in
from storecredit.billing.paddle.gateway import Paddle
from storecredit.settings import Settings
from tests.billing.everywhere import search_path
from tests.billing.seller import Seller, running_seller


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection that finds the tables first, of all buckets."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"SET search_path = {await search_path(connection)}")
    yield connection
    await connection.close()


@pytest.fixture
async def paddle() -> AsyncIterator[PaddleStandIn]:
    """Paddle itself."""
    async with paddle_stand_in() as running:
        yield running


@pytest.fixture
async def gateway(paddle: PaddleStandIn) -> AsyncIterator[Paddle]:
    """Our way to it."""
    opened = Paddle.from_settings(Settings.model_validate(paddle.settings()))
    assert opened is not None
    yield opened
    await opened.close()


@pytest.fixture
def seller_changes() -> dict[str, object]:
    """What of the service's settings is otherwise in a file's tests."""
    return {}


@pytest.fixture
async def seller(
    paddle: PaddleStandIn,
    database_url: str,
    admin: asyncpg.Connection,
    data_dir: Path,
    seller_changes: dict[str, object],
) -> AsyncIterator[Seller]:
    """A running service that sells through it."""
    async with running_seller(paddle, database_url, admin, data_dir, **seller_changes) as running:
        yield running
