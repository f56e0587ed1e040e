"""The pictures of pages in docs/pictures, made where the tests run: as the pages are now.

`STORECREDIT_SCREENSHOTS=1 make test ARGS=tests/browser` makes all of them anew.
"""

import os
from pathlib import Path
from typing import Final

from playwright.async_api import Page

PICTURES: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"


async def shot(page: Page, name: str) -> None:
    """Make docs/pictures/NAME.png of what the page shows, if pictures are wanted; it is there."""
    picture = PICTURES / f"{name}.png"
    if os.environ.get("STORECREDIT_SCREENSHOTS") == "1":
        picture.parent.mkdir(exist_ok=True)
        await page.screenshot(path=picture, animations="disabled", caret="hide")
    assert picture.exists(), f"{picture} is not there: make it with STORECREDIT_SCREENSHOTS=1"
