"""A picture whose file is gone: its place says so, with and without a script."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Browsing, Site
from tests.browser.signing_in import sign_in_to_portal
from tests.web.doors import StoreClient


@pytest.mark.parametrize("has_script", [True, False])
async def test_a_picture_that_is_no_longer_kept_says_so(
    browsing: Browsing, site: Site, store: StoreClient, *, has_script: bool
) -> None:
    session_id = await store.created("order-1")
    await store.ended(session_id)
    [file] = (site.settings.data_dir / "results").glob(f"*/{session_id}.*")
    page = await browsing(java_script_enabled=has_script)
    await sign_in_to_portal(page, store.api_key)
    picture = page.get_by_role("img", name="Result of order-1, or that it is no longer kept")
    for type_ in ("image/png", "image/svg+xml"):
        async with page.expect_response("**/picture") as answered:
            await page.goto("/portal/generations")
        answer = await answered.value
        assert answer.headers["content-type"] == type_
        await expect(picture).to_be_visible()
        # Refused for what is no picture.
        await picture.evaluate("(image) => image.decode()")
        file.unlink(missing_ok=True)
    await picture.click()
    await expect(page.locator("svg text").first).to_have_text("Picture")
