"""One service per module here, which sells, and tells receivers of webhooks on loopback."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from stand_ins.http_server import stand_in
from stand_ins.paddle.api import PaddleStandIn
from storecredit.settings import Settings
from tests.browser.acting.world import Receiver, World
from tests.browser.conftest import Site
from tests.browser.furnished.conftest import paddle
from tests.conftest import connect_as_superuser

__all__ = ["paddle"]


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    async with stand_in(found.answer) as found.server:
        yield found


@pytest.fixture(scope="module")
def site_settings(site_settings: Settings, paddle: PaddleStandIn) -> Settings:
    own = {
        "allow_private_hosts": True,
        "billing_backoff_seconds": 0.01,
        "paddle_webhook_tolerance_seconds": 300,
        **paddle.settings(),
    }
    return Settings.model_validate(site_settings.model_dump() | own)


@pytest.fixture(scope="module")
async def world(
    books_url: str,
    site: Site,
    admin: asyncpg.Connection,
    paddle: PaddleStandIn,
    receiver: Receiver,
) -> AsyncIterator[World]:
    locks = await connect_as_superuser(books_url)
    yield World(site, admin, locks, paddle, receiver)
    await locks.close()
