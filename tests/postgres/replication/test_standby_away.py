"""A synchronous standby is away: nothing is said to be done before it has it, whoever asks.

PostgreSQL commits here first, and waits for the standby before it says so. A wait that is cancelled
ends with success and a warning; after a restart there is nothing left to wait for
(https://www.postgresql.org/docs/18/warm-standby.html#SYNCHRONOUS-REPLICATION).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import asyncpg
import httpx
import pytest

from stand_ins.paddle.api import paddle_stand_in
from storecredit.postgres import group_commit, servers
from storecredit.postgres.group_commit import OutcomeUnknown
from tests.billing.seller import running_seller
from tests.postgres.replication.callers import Shop, served
from tests.postgres.replication.doors import Answer, Doors
from tests.postgres.replication.nodes import WAIT_MAX_SECONDS, Node, Pair, waits_cancelled
from tests.web.users import JWT_SECRET


@pytest.fixture
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than it takes to see that the standby is waited for."""
    monkeypatch.setattr(servers, "COMMAND_TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", 1.0)


@pytest.fixture
async def doors(pair: Pair, shop: Shop, data_dir: Path) -> AsyncIterator[Doors]:
    """A running service that has done all that needs to be done before the standby goes."""
    await pair.make_synchronous()
    admin = await asyncpg.connect(pair.primary.url)
    url = pair.url(target_session_attrs="primary", connect_timeout="2")
    settings = {
        "jwt_secret": JWT_SECRET,
        "commit_deadline_seconds": 0.4,
        "worker": False,
        # Nobody is refused for want of a connection.
        "pool_max": 20,
    }
    async with (
        paddle_stand_in() as paddle,
        running_seller(paddle, url, admin, data_dir, **settings) as seller,
        httpx.AsyncClient(base_url=seller.url, timeout=WAIT_MAX_SECONDS) as http,
    ):
        await admin.close()
        yield await Doors.open(seller, http, shop)
        pair.standby.go_on()


async def told_in_turn(primary: Node, asked: Mapping[str, Callable[[], Answer]]) -> dict[str, int]:
    """What each is told whose wait is cancelled.

    One after the other: who waits for the standby holds locks that the others would wait for.
    """
    async with waits_cancelled(primary):
        return {name: (await ask()).status_code for name, ask in asked.items()}


def all_refused(asked: Mapping[str, Callable[[], Answer]]) -> dict[str, int]:
    return dict.fromkeys(asked, 503)


async def assert_done_once_the_standby_is_back(doors: Doors, pair: Pair) -> None:
    pair.standby.go_on()
    await pair.primary.until_synchronous()
    asked = doors.replayable()
    told = {name: (await served(ask)).status_code for name, ask in asked.items()}
    assert set(told.values()) <= {200, 201}, told
    admin = await asyncpg.connect(pair.primary.url)
    await doors.assert_done_once(admin)
    await admin.close()


@pytest.mark.usefixtures("soon_given_up")
async def test_nothing_is_said_to_be_done_while_it_is_away(doors: Doors, pair: Pair) -> None:
    pair.standby.stand_still()

    asked = doors.all()
    answers = await asyncio.gather(*(ask() for ask in asked.values()))

    told = {name: answer.status_code for name, answer in zip(asked, answers, strict=True)}
    assert told == all_refused(asked)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    await assert_done_once_the_standby_is_back(doors, pair)


async def test_nor_when_the_waits_are_cancelled_nor_after_a_crash_when_all_of_it_is_seen(
    doors: Doors, pair: Pair
) -> None:
    pair.standby.stand_still()
    asked = doors.all()
    assert await told_in_turn(pair.primary, asked) == all_refused(asked)
    again = doors.replayable()
    assert await told_in_turn(pair.primary, again) == all_refused(again)

    await asyncio.to_thread(pair.primary.stop, "immediate")
    await asyncio.to_thread(pair.primary.start)

    assert await told_in_turn(pair.primary, again) == all_refused(again)
    await assert_done_once_the_standby_is_back(doors, pair)


async def test_the_worker_is_not_told_either_that_a_credit_came_back(
    doors: Doors, pair: Pair
) -> None:
    pair.standby.stand_still()
    async with waits_cancelled(pair.primary):
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await doors.fail()
    pair.standby.go_on()
    assert not await doors.fail(), "it had failed already"
