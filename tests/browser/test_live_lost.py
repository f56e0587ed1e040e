"""Pages that are open while the database or the service goes away: they say so, and catch up."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from pydantic import SecretStr

from storecredit.operator.live_looks import COUNTED_MAX
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.conftest import connect_as_superuser
from tests.free_ports import free_port
from tests.log_stream import LogStream
from tests.web.conftest import web_settings
from tests.web.doors import Operator
from tests.web.wire import running_wire

STATE = ".live-state"
REFUSED = "net::ERR_CONNECTION_REFUSED"


class Running:
    """The service, stopped and started anew on the same port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = AsyncExitStack()

    async def start(self) -> None:
        await self._open.enter_async_context(running_wire(self._settings))

    async def stop(self) -> None:
        await self._open.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of the module's own, to be stopped."""
    own = EmbeddedPostgres(tmp_path_factory.mktemp("own"))
    await own.start()
    await migrate(own.admin_url, app_may_login=True)
    yield own
    await own.stop()


@pytest.fixture(scope="module")
def site_settings(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    own = {"database_url": SecretStr(postgres.app_url), "port": free_port(), "worker": False}
    return web_settings(tmp_path_factory.mktemp("data")).model_copy(update=own)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    chromium: Browser, site_settings: Settings, module_log: LogStream
) -> AsyncIterator[Running]:
    found = Running(site_settings)
    await found.start()
    yield found
    await found.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(running: Running, site_settings: Settings) -> AsyncIterator[Site]:
    url = f"http://127.0.0.1:{site_settings.port}"
    async with httpx.AsyncClient(base_url=url) as client:
        yield Site(url, site_settings, Operator(client))


async def says(page: Page, text: str) -> None:
    await expect(page.locator(STATE)).to_contain_text(text)


async def shows(page: Page, name: str) -> None:
    """That a store's credits came, on top of all others."""
    await expect(page.locator('tbody[data-live-rows="latest"] > tr').first).to_contain_text(name)


async def test_postgresql_goes_away_and_comes_back(
    page: Page, operator: Operator, postgres: EmbeddedPostgres
) -> None:
    await sign_in_to_console(page)
    await says(page, "Live")
    await operator.store(name="Before")
    await shows(page, "Before")

    await postgres.stop()
    await says(page, "The database does not answer, trying again")
    await shows(page, "Before")
    await good_for_everybody(page)

    await postgres.start()
    await says(page, "Up to date again")
    await operator.store(name="Afterwards")
    await shows(page, "Afterwards")
    await says(page, "Live")


async def test_a_long_queue_is_counted_so_far_and_no_further(
    page: Page, postgres: EmbeddedPostgres
) -> None:
    await sign_in_to_console(page)
    await says(page, "Live")
    waiting = page.locator('[data-live="queue.waiting"]')
    await expect(waiting).to_have_text("0")
    admin = await connect_as_superuser(postgres.admin_url)
    await admin.execute(
        """INSERT INTO pgqueuer (priority, status, entrypoint)
           SELECT 0, 'queued', 'generation' FROM generate_series(1, $1)""",
        COUNTED_MAX + 1,
    )
    await expect(waiting).to_have_text("10,000+")
    await page.reload()
    await expect(waiting).to_have_text("10,000+")
    await expect(page.locator('[data-live="queue.oldest_at"]')).to_have_text(re.compile(r"\d"))
    await admin.execute("DELETE FROM pgqueuer")
    await admin.close()
    await expect(waiting).to_have_text("0")
    await expect(page.locator('[data-live="queue.oldest_at"]')).to_have_text("–")


async def test_the_service_is_restarted(
    page: Page, operator: Operator, running: Running, watch: Watch, log: LogStream
) -> None:
    await sign_in_to_console(page)
    await says(page, "Live")
    log.forget()

    await running.stop()
    await says(page, "Connection lost, trying again")
    assert [each for each in log.lines() if each["level"] not in {"info", "debug"}] == []

    await running.start()
    await operator.store(name="Meanwhile")
    await says(page, "Up to date again")
    await shows(page, "Meanwhile")
    # The browser tells of each time that it came again too early.
    watch.faults[:] = [fault for fault in watch.faults if REFUSED not in fault]
