"""The portal over the real application, and a store that is signed in to it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from stand_ins.paddle.api import PaddleStandIn, paddle_stand_in
from tests.console.conftest import Browser
from tests.web.conftest import api, operator, rows, service, settings, store
from tests.web.doors import StoreClient

__all__ = ["api", "operator", "rows", "service", "settings", "store"]


@pytest.fixture
def browser(api: httpx.AsyncClient) -> Browser:
    """Nobody is signed in with it."""
    return Browser(api)


@pytest.fixture
async def portal(browser: Browser, store: StoreClient) -> Browser:
    """The store is signed in with it, by its key."""
    await sign_in(browser, store.api_key)
    return browser


async def sign_in(browser: Browser, key: str) -> None:
    page = await browser.get("/portal/sign-in")
    answer = await browser.send(page, "/portal/sign-in", {"key": key})
    assert answer.status_code == 303, answer.text


@pytest.fixture
async def paddle() -> AsyncIterator[PaddleStandIn]:
    """Paddle, for a file whose settings name it."""
    async with paddle_stand_in() as running:
        yield running
