"""One service for a module here, with something of everything in it; its tests only look at it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from stand_ins.http_server import StandIn
from stand_ins.paddle.api import PaddleStandIn, paddle_stand_in
from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.furnished.asking import Visitor, visitor
from tests.browser.furnished.furnishing import GENERATE, HOOK, Furnished, furnish, outside
from tests.web.conftest import web_settings
from tests.web.doors import OPERATOR_TOKEN


@pytest.fixture(scope="module")
async def outside_services() -> AsyncIterator[StandIn]:
    async with outside() as running:
        yield running


@pytest.fixture(scope="module")
async def paddle() -> AsyncIterator[PaddleStandIn]:
    async with paddle_stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def site_settings(
    books_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    outside_services: StandIn,
    paddle: PaddleStandIn,
) -> Settings:
    own = {
        "database_url": SecretStr(books_url),
        "port": 0,
        "generator": "http",
        "generator_url": outside_services.url(GENERATE),
        # The receivers of webhooks are on loopback.
        "allow_private_hosts": True,
        "billing_backoff_seconds": 0.01,
        "sums_interval_seconds": 0.1,
        "paddle_webhook_tolerance_seconds": 300,
        **paddle.settings(),
    }
    usual = web_settings(tmp_path_factory.mktemp("data"))
    return Settings.model_validate(usual.model_dump() | own)


@pytest.fixture(scope="module")
async def furnished(
    site: Site, admin: asyncpg.Connection, paddle: PaddleStandIn, outside_services: StandIn
) -> Furnished:
    return await furnish(site.operator, admin, paddle, outside_services.url(HOOK))


@pytest.fixture(scope="module")
async def console(site: Site, furnished: Furnished) -> AsyncIterator[Visitor]:
    async with visitor(site, "console", OPERATOR_TOKEN) as operator:
        yield operator


@pytest.fixture(scope="module")
async def portal(site: Site, furnished: Furnished) -> AsyncIterator[Visitor]:
    async with visitor(site, "portal", furnished.store.api_key) as store:
        yield store


@pytest.fixture
def visitors(console: Visitor, portal: Visitor) -> dict[str, Visitor]:
    return {"console": console, "portal": portal}
