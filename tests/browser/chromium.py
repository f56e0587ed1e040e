"""The Chromium on this machine, driven by Playwright: it asks loopback alone and keeps nothing.

Its headless shell where there is one: the same engine without the program around it, which draws
tabs and menus for each page, whoever looks, and costs more than the page.

Without it such tests are skipped, and say so; with STORECREDIT_TEST_BROWSER=required, as in
.ci/run, they fail instead. Another than the one on the path is named by STORECREDIT_TEST_CHROMIUM.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import pytest
from playwright.async_api import Browser, async_playwright

WHOLE: Final = ("chromium", "chromium-browser", "google-chrome")
SHELL: Final = "chromium-headless-shell"
FLAGS: Final = (
    # Tests may run as root, where its sandbox does not.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page names elsewhere is not found, so that no test depends on a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
KEEPS_NO_PAGES: Final = "--disable-back-forward-cache"
START_SECONDS_MAX: Final = 60.0


def chromium_program(*, keeps_pages: bool = False) -> str:
    """Where it is. The shell keeps no pages to go back to."""
    if named := os.environ.get("STORECREDIT_TEST_CHROMIUM"):
        return named
    names = WHOLE if keeps_pages else (SHELL, *WHOLE)
    found = next(filter(None, map(shutil.which, names)), None)
    return found or _cannot(f"none of {', '.join(names)} is here")


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("STORECREDIT_TEST_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT SEEN IN A REAL BROWSER: {reason}")


@asynccontextmanager
async def running_chromium(*, keeps_pages: bool = False) -> AsyncIterator[Browser]:
    """One with an empty profile of its own, which goes when it ends.

    `keeps_pages`: as people's browsers do, for whoever goes back; Playwright has it off.
    """
    program = chromium_program(keeps_pages=keeps_pages)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=FLAGS,
            ignore_default_args=[KEEPS_NO_PAGES] if keeps_pages else None,
            timeout=START_SECONDS_MAX * 1000,
        )
        try:
            yield browser
        finally:
            await browser.close()
