"""The real service as a browser meets it: one Chromium per test process, a fresh context per test.

A module shares one service over one database of its own; a test that disturbs others has a module
to itself, or makes its own stores. What drives the browser lives on one loop, the session's: every
test and fixture here runs on it, without a word of its own.
"""

from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Error, Page, expect
from pydantic import SecretStr

from storecredit.settings import Settings
from tests.browser.chromium import running_chromium
from tests.browser.judging import HEIGHT, WAIT_SECONDS_MAX, WIDE
from tests.browser.watching import Watch
from tests.conftest import connect_as_superuser
from tests.log_stream import LogStream, logged
from tests.web.conftest import web_settings
from tests.web.doors import Operator, StoreClient
from tests.web.table_rows import Rows
from tests.web.wire import running_wire

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On the session's loop. Pytest hands over the tests of all directories."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """On the session's loop, too, by the name that pytest-asyncio 1.5 has for what is asked for."""
    function = fixturedef.func
    if iscoroutinefunction(function) or isasyncgenfunction(function):
        vars(function)["_loop_scope"] = "session"
    return (yield)


@dataclass(frozen=True, slots=True)
class Site:
    """The service a browser is pointed at, and its operator's API."""

    url: str
    settings: Settings
    operator: Operator


class Browsing(Protocol):
    def __call__(self, **options: Any) -> Awaitable[Page]:
        """A page in a context of its own: a browser that has not been here before.

        Options are those of Playwright's `new_context()`: `java_script_enabled`, `locale`, …
        """


# Of the session, it is made where the hook above is not asked.
@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    expect.set_options(timeout=WAIT_SECONDS_MAX * 1000)
    async with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def module_log() -> Iterator[LogStream]:
    yield from logged()


@pytest.fixture
def log(module_log: LogStream) -> LogStream:
    """What is logged from here on; what is forgotten for it must not tell of a broken request."""
    assert module_log.events("request_broke") == []
    module_log.forget()
    return module_log


@pytest.fixture(scope="module")
def site_settings(books_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Those of the module's service. One that wants others has a fixture of this name."""
    own = {"database_url": SecretStr(books_url), "port": 0}
    return web_settings(tmp_path_factory.mktemp("data")).model_copy(update=own)


@pytest.fixture(scope="module")
async def site(site_settings: Settings, module_log: LogStream) -> AsyncIterator[Site]:
    """The module's service on a real socket."""
    async with running_wire(site_settings) as wire:
        url = f"http://127.0.0.1:{wire.port}"
        async with httpx.AsyncClient(base_url=url) as client:
            yield Site(url, site_settings, Operator(client))


@pytest.fixture
def operator(site: Site) -> Operator:
    return site.operator


@pytest.fixture(scope="module")
async def admin(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, for reading rows back and letting time pass."""
    connection = await connect_as_superuser(books_url)
    yield connection
    await connection.close()


@pytest.fixture
def rows(admin: asyncpg.Connection) -> Rows:
    return Rows(admin)


@pytest.fixture
def watch(site: Site) -> Iterator[Watch]:
    """Whatever the test's pages do that none may do fails it."""
    watch = Watch({site.url})
    yield watch
    watch.assert_faultless()


@pytest.fixture
async def browsing(chromium: Browser, site: Site, watch: Watch) -> AsyncIterator[Browsing]:
    async with AsyncExitStack() as contexts:

        async def browse(**options: Any) -> Page:
            usual = {
                "base_url": site.url,
                "viewport": {"width": WIDE, "height": HEIGHT},
                # Neither the service's nor that of most machines.
                "timezone_id": "America/New_York",
                "locale": "en-US",
                "reduced_motion": "reduce",
                "service_workers": "block",
            }
            context = await chromium.new_context(**usual | options)
            contexts.push_async_callback(_close, context)
            context.set_default_timeout(WAIT_SECONDS_MAX * 1000)
            await watch.begin(context)
            return await context.new_page()

        yield browse


async def _close(context: BrowserContext) -> None:
    """Close it once what its pages said so far has been heard."""
    for page in context.pages:
        with suppress(Error):
            await page.evaluate("0")
    await context.close()


@pytest.fixture
async def store(operator: Operator) -> StoreClient:
    """A store with 100 credits and no rate limit."""
    return await operator.store()


@pytest.fixture
async def page(browsing: Browsing) -> Page:
    """An empty page of a browser that has not been here before."""
    return await browsing()
