"""The primary dies under load, the standby takes over, and later they change places again."""

import asyncio

from tests.e2e.conftest import Storecredit
from tests.postgres.replication.callers import BRIEF_WAITS, Shop, assert_verified
from tests.postgres.replication.nodes import Pair

A_FEW = 15


async def test_what_was_acknowledged_outlives_the_primary_and_the_switch_back(
    pair: Pair, shop: Shop, command: Storecredit
) -> None:
    first, second = pair.nodes
    await pair.make_synchronous()
    url = pair.url()
    serving = command.serve("--no-worker", STORECREDIT_DATABASE_URL=url, **BRIEF_WAITS)
    async with shop.asking(serving) as load:
        await load.until_acknowledged(A_FEW)

        first.kill()
        await second.promote()
        await load.until_acknowledged(A_FEW)

        await asyncio.to_thread(first.follow, second)
        await second.set("synchronous_standby_names", "*")
        await second.until_synchronous()
        await load.until_acknowledged(A_FEW)
        # A planned switch-over: what the one has written, the other has when it stops.
        await asyncio.to_thread(second.stop)
        await first.promote()
        await load.until_acknowledged(A_FEW)
        await load.ask_again()
    await shop.assert_in_ledger(first, load)
    assert_verified(command, url)
