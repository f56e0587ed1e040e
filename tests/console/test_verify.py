"""`/console/verify`: the proof, with its progress, and what does not agree."""

import asyncpg

from tests.console.conftest import Browser
from tests.web.doors import StoreClient


async def test_it_is_proven_and_written_down(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    page = await browser.get("/console/verify")
    assert "It was never verified" in page.text
    answer = await browser.send(page, "/console/verify")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<progress" in answer.text
    assert "All of it agrees" in answer.text
    assert answer.text.rstrip().endswith("</html>")
    entries = [
        each
        for each in await admin.fetch("SELECT * FROM audit_log")
        if each["action"] == "ledger.verify"
    ]
    assert [(each["door"], each["actor"]) for each in entries] == [("console", "admin")]
    assert "all of it agreed" in (await browser.get("/console/verify")).text


async def test_what_does_not_agree_is_named(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("UPDATE movements SET balance_after = balance_after + 1")
    answer = await browser.send(await browser.get("/console/verify"), "/console/verify")
    assert "does not agree" in answer.text or "do not agree" in answer.text
    assert "running_balance" in answer.text
    assert f'href="/console/stores/{store.store_id}"' in answer.text
    assert "Something did not agree" in (await browser.get("/console/verify")).text
