"""Credits handed from node to node: at both ends or at neither, whoever is killed meanwhile."""

import asyncio
import random

import asyncpg
import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.owners import Owner
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import Transferred
from storecredit.postgres.buckets import opened
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.citus.cluster import Cluster
from tests.citus.conftest import BUCKET_COUNT
from tests.operator.bucket_owners import balances, prove, store_in_each

MOVES = 60
_PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"


@pytest.mark.parametrize("victim", [0, 1], ids=["the coordinator", "a worker"])
async def test_what_is_handed_over_while_a_node_is_killed_is_at_both_ends_or_at_neither(
    cluster: Cluster, citus_url: str, victim: int
) -> None:
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        acting = OperatorActions.over(buckets, open_results(Settings()), Settings())
        owners, chosen = await store_in_each(buckets), random.Random(7)
        asked = [chosen.sample(range(BUCKET_COUNT), 2) for _ in range(MOVES)]
        done: dict[int, Transferred] = {}

        async def move(number: int) -> None:
            """Until it is answered; there and back, so that nobody is ever without credits."""
            giver, taker = asked[number]
            for place, source, target in (
                (2 * number, giver, taker),
                (2 * number + 1, taker, giver),
            ):
                by = ActionContext("ann", "api", f"move-{place}", idempotency_key=f"move-{place}")
                while place not in done:
                    try:
                        moved = await acting.credits.transfer(by, owners[source], owners[target], 1)
                    except DatabaseUnavailable:
                        await asyncio.sleep(0.2)
                    else:
                        assert isinstance(moved, Transferred), moved
                        done[place] = moved

        async def some(numbers: range) -> None:
            for number in numbers:
                await move(number)

        moving = asyncio.gather(*(some(range(each, MOVES, 6)) for each in range(6)))
        while len(done) < MOVES // 3:
            assert not moving.done()
            await asyncio.sleep(0.01)
        await cluster.stop_for(1, cluster.nodes[victim])
        await moving
    await home.close()
    await _settled(cluster, citus_url)
    await _is_whole(citus_url, owners)


async def _is_whole(citus_url: str, owners: list[Owner]) -> None:
    """Looked at anew: a bucket whose node was away is asked through the coordinator for a while."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        assert await balances(buckets, owners) == [10] * BUCKET_COUNT
        await prove(buckets)
    await home.close()


async def _settled(cluster: Cluster, citus_url: str) -> None:
    """What was prepared when a node was killed is committed or rolled back, as Citus knows."""
    coordinator = await asyncpg.connect(citus_url)
    name = await coordinator.fetchval("SELECT current_database()")
    at_all = [await cluster.connect(node, name) for node in cluster.nodes]
    while sum([await each.fetchval(_PREPARED) for each in at_all]):
        await coordinator.fetchval("SELECT recover_prepared_transactions()")
        await asyncio.sleep(0.1)
    for each in (coordinator, *at_all):
        await each.close()


async def test_both_nodes_commit_in_two_phases(citus_url: str) -> None:
    """Else a coordinator that dies between the two commits leaves one end without the other."""
    home = await Database.open(citus_url)
    coordinator = await asyncpg.connect(citus_url)
    async with opened(home) as buckets:
        acting = OperatorActions.over(buckets, open_results(Settings()), Settings())
        first, second, third = await store_in_each(buckets)
        for number, (giver, taker) in enumerate(((first, second), (third, first), (second, third))):
            # A participant that has prepared is noted until all is known to be over.
            await coordinator.fetchval("SELECT recover_prepared_transactions()")
            by = ActionContext("ann", "api", f"move-{number}")
            assert isinstance(await acting.credits.transfer(by, giver, taker, 4), Transferred)
            assert await coordinator.fetchval("SELECT count(*) FROM pg_dist_transaction")
        assert await balances(buckets, [first, second, third]) == [10, 10, 10]
        await prove(buckets)
    await coordinator.close()
    await home.close()
