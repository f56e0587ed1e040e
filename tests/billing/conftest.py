"""Paddle, stood in for."""

from collections.abc import AsyncIterator

import pytest

from storecredit.billing.paddle import Paddle
from storecredit.settings import Settings
from tests.billing.paddle_stand_in import PaddleStandIn, paddle_stand_in


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
