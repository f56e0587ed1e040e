"""Pages show results that are in a bucket, under the policy that allows no other host."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect
from pydantic import SecretStr

from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.s3_bucket import URL, RunningBucket, running_bucket
from tests.web.conftest import web_settings
from tests.web.doors import StoreClient

DRAWN = "picture => picture.complete && picture.naturalWidth > 0"


@pytest.fixture(scope="module")
async def bucket() -> AsyncIterator[RunningBucket]:
    with pytest.MonkeyPatch.context() as patch:
        async with running_bucket(patch) as running:
            yield running


@pytest.fixture(scope="module")
def site_settings(
    books_url: str, bucket: RunningBucket, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A service whose results are in the bucket."""
    own = {"database_url": SecretStr(books_url), "port": 0, "results": URL}
    return web_settings(tmp_path_factory.mktemp("data")).model_copy(update=own)


async def test_both_pages_show_what_is_in_the_bucket(
    site: Site, store: StoreClient, page: Page, bucket: RunningBucket
) -> None:
    done = await store.ended(await store.created())
    assert done["result_url"].startswith(bucket.server.url("/"))
    assert bucket.names() == {f"{store.store_id}/{done['session_id']}.png"}
    await sign_in_to_console(page)
    await page.goto(f"/console/stores/{store.store_id}/generations")
    await _shows_it(page)
    await page.context.clear_cookies()
    await sign_in_to_portal(page, store.api_key)
    await page.goto("/portal/generations")
    await _shows_it(page)


async def _shows_it(page: Page) -> None:
    picture = page.locator("img.thumbnail")
    await expect(picture).to_be_visible()
    await picture.scroll_into_view_if_needed()
    handle = await picture.element_handle()
    assert handle is not None
    await page.wait_for_function(DRAWN, arg=handle)
    # What stands for a picture that is no longer kept is 72 wide.
    assert await picture.evaluate("picture => picture.naturalWidth") > 72
