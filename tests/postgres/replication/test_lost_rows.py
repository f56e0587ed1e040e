"""A standby takes over that had not received all: what is lost is lost, and mistaken for nobody's.

That is how asynchronous replication ends. Numbers that were given to lost rows are given again.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from tests.crash.waiting import until_true
from tests.postgres.replication.nodes import WAIT_MAX_SECONDS, Node, Pair
from tests.running_listener import until
from tests.web.conftest import http_client
from tests.web.users import JWT_SECRET, UserClient, user_of

STARTER_CREDITS = 10


@pytest.fixture
async def api(pair: Pair, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The application on both servers, once it remembers who is there."""
    settings = Settings(
        data_dir=data_dir, jwt_secret=SecretStr(JWT_SECRET), starter_credits=STARTER_CREDITS
    )
    database = await Database.open(pair.url())
    async with assembled(settings, database) as service, http_client(service) as client:
        await until(service.listener.is_fresh)
        yield client
    await database.close()


async def account_of(node: Node, user: UserClient) -> int | None:
    connection = await asyncpg.connect(node.url)
    try:
        account_id: int | None = await connection.fetchval(
            "SELECT account_id FROM storecredit.accounts WHERE owner_id = $1", user.user_id
        )
        return account_id
    finally:
        await connection.close()


async def test_an_account_that_was_lost_is_not_taken_for_the_one_with_its_number(
    pair: Pair, api: httpx.AsyncClient
) -> None:
    lost, later = user_of(api), user_of(api)
    pair.standby.stop()
    assert await lost.balance() == STARTER_CREDITS
    number = await account_of(pair.primary, lost)
    pair.primary.kill()
    pair.standby.start()
    await pair.standby.promote()

    async def is_served() -> bool:
        return (await later.query("credits.getBalance")).status_code == httpx.codes.OK

    await until_true(is_served, "the new primary is found", WAIT_MAX_SECONDS, pair.standby.log_tail)
    assert await account_of(pair.standby, later) == number, "the number was given again"

    await lost.created("a-request")

    assert await later.balance() == STARTER_CREDITS
    assert await lost.balance() == STARTER_CREDITS - 1
    assert await account_of(pair.standby, lost) != number
