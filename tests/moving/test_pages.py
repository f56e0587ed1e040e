"""The console shows what was imported: all pages of such a store and such an end user."""

import re
from html import unescape
from uuid import UUID

from tests.console.conftest import (
    Browser,
    api,
    browser,
    operator,
    rows,
    service,
    settings,
)
from tests.moving.conftest import Command
from tests.moving.old_system import OldSystem

__all__ = ["api", "browser", "operator", "rows", "service", "settings"]


async def test_every_page_of_who_was_imported_opens(
    old: OldSystem, storecredit: Command, browser: Browser
) -> None:
    store_id = await old.store()
    await old.key(store_id)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -2, "req_1")
    await old.moved(store_id, "deduction", -2, "req_2")
    await old.shows(store_id, 5)
    for status, request_id in [("completed", "req_1"), ("queued", "req_2"), ("failed", "req_3")]:
        await old.generation(store_id, status, request_id)
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.generation(user_id, "completed", kind="user")
    assert (await storecredit("import", "--history", "--from", old.url)).status == 0

    seen = await opened(browser, f"/console/stores/{store_id}", store_id)
    seen |= await opened(browser, f"/console/users/{user_id}", user_id)

    told = "\n".join(seen.values())
    for words in ("import:opening", "import:correction", "wk_…", "Imported"):
        assert words in told or words in unescape(told), words


async def opened(browser: Browser, address: str, owner_id: UUID) -> dict[str, str]:
    """The pages of an owner that links lead to, from its first one on."""
    waiting, seen = [address], dict[str, str]()
    while waiting:
        page = waiting.pop()
        answer = await browser.get(page)
        assert answer.status_code == 200, (page, answer.text[-2000:])
        seen[page] = answer.text
        links = {unescape(link) for link in re.findall(r'href="(/console/[^"#]*)"', answer.text)}
        ours = {link for link in links if str(owner_id) in link and len(seen) < 80}
        waiting += [link for link in sorted(ours) if link not in seen and link not in waiting]
    assert len(seen) > 5
    return seen
