"""What the commands do is told as what the doors over HTTP do: in its transaction, once."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from tests.e2e.conftest import Done
from tests.e2e.in_process import InProcess
from tests.sql.ledgers import open_account
from tests.sql.listening import OPERATOR, listen
from tests.web.webhooks.hearing import Ear


@pytest.fixture
def command(database_url: str) -> Callable[..., "asyncio.Future[Done]"]:
    """Runs a command, which has an event loop of its own."""
    in_process = InProcess(database_url)
    return lambda *words: asyncio.ensure_future(asyncio.to_thread(in_process, *words))


async def test_a_key_made_rotated_and_revoked_and_a_store_suspended(
    command: Callable[..., "asyncio.Future[Done]"], admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    store_id = str(account.owner.id)
    ears = {
        name: Ear(admin, await listen(admin, account, name))
        for name in ("key.created", "key.revoked", "store.suspended")
    }

    async def run(*words: object) -> Any:
        done = await command(*words, "--json")
        assert done.status == 0, done
        return done.json()

    made = await run("key", "create", store_id)
    rotated = await run("key", "rotate", store_id, made["key_id"])
    for _ in range(2):
        await run("key", "revoke", store_id, made["key_id"])
        await run("store", "suspend", store_id)

    whose = {"store_id": store_id}
    assert await ears["key.created"].said() == [
        whose | {"key_id": each["key_id"], "expires_at": None} for each in (made, rotated)
    ]
    assert await ears["key.revoked"].said() == [whose | {"key_id": made["key_id"]}]
    assert await ears["store.suspended"].said() == [whose]


async def test_a_ledger_that_does_not_agree_is_told_to_the_operator(
    command: Callable[..., "asyncio.Future[Done]"], admin: asyncpg.Connection
) -> None:
    failed = Ear(admin, await listen(admin, OPERATOR, "verify.failed"))
    account = await open_account(admin, OwnerKind.STORE, 10)
    assert (await command("verify")).status == 0
    assert await failed.said() == []
    await admin.execute(
        "UPDATE storecredit.movements SET balance_after = 11 WHERE account_id = $1", account.id
    )
    assert (await command("verify")).status == 1
    [told] = await failed.said()
    assert told["discrepancies"] > 0
