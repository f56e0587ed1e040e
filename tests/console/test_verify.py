"""`/console/verify`: the proof, with its progress, and what does not agree."""

import asyncio

import asyncpg

from tests.console.conftest import Browser
from tests.web.doors import Operator, StoreClient


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
    assert "<dd>1 with 1 movement and 0 generations</dd>" in answer.text
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


async def test_one_is_under_way_at_a_time(
    browser: Browser, store: StoreClient, operator: Operator, admin: asyncpg.Connection
) -> None:
    async with admin.transaction():
        await admin.execute("LOCK TABLE movements IN ACCESS EXCLUSIVE MODE")
        page = await browser.get("/console/verify")
        first = asyncio.create_task(browser.send(page, "/console/verify"))
        await held_up(admin)
        others = await asyncio.gather(*(browser.send(page, "/console/verify") for _ in range(10)))
        by_api = await operator.get("/verify")
    assert {answer.status_code for answer in others} == {503}
    assert all("verification is under way" in answer.text for answer in others)
    assert (by_api.status_code, by_api.headers["Retry-After"]) == (503, "1")
    assert "All of it agrees" in (await first).text
    assert (await operator.get("/verify")).json()["data"]["clean"] is True


async def held_up(admin: asyncpg.Connection) -> None:
    """Until a verification waits for the table, and is under way therefore."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
    async with asyncio.timeout(30):
        while not await admin.fetchval(waits):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)
