"""A bucket that is spread, over its months: what ends is given back, chained, told and proven."""

import asyncio
from uuid import uuid4

from storecredit.generation.results.store import open_results
from storecredit.ledger.verify import verify
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.audit_entries import AuditFilter
from storecredit.operator.credits import Transferred
from storecredit.postgres.bucket_places import move
from storecredit.postgres.buckets import opened
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.citus.cluster import Cluster
from tests.citus.conftest import BUCKET_COUNT
from tests.operator.bucket_owners import store_in_each

_HELD = """
    SELECT outcomes[1] FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[3],
        ARRAY['hold'], ARRAY['\\x01'::bytea], ARRAY[60], ARRAY['']::text[], ARRAY[NULL]::json[])"""


async def test_what_is_newer_has_the_greater_id_whichever_server_was_asked(citus_url: str) -> None:
    """Of a transfer the coordinator is asked, which has sequences of its own."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        acting = OperatorActions.over(buckets, open_results(Settings()), Settings())
        _, giver, taker = await store_in_each(buckets)
        for number in range(3):
            by = ActionContext("ann", "api", f"move-{number}")
            assert isinstance(await acting.credits.transfer(by, giver, taker, 1), Transferred)
            by = ActionContext("ann", "api", f"key-{number}")
            assert await acting.stores.make_key(by, giver.id) is not None
        page = await acting.audit_entries.page(AuditFilter(owner=giver), limit=9, cursor=None)
        told = [each.request_id for each in page.items]
        assert told == [f"{what}-{n}" for n in (2, 1, 0) for what in ("key", "move")]
    await home.close()


async def test_credits_are_held_on_a_node(citus_url: str) -> None:
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        for owner, bucket in zip(await store_in_each(buckets), buckets.all, strict=True):
            account_id = await bucket.fetchval(
                "SELECT account_id FROM accounts WHERE owner_id = $1", owner.id
            )
            outcomes = [await bucket.fetchval(_HELD, account_id, uuid4()) for _ in range(2)]
            assert outcomes == ["held", "replayed"]
            report = await verify(bucket)
            assert report.discrepancies == ()
    await home.close()


async def test_a_ledger_is_proven_while_its_bucket_is_moved(
    cluster: Cluster, citus_url: str
) -> None:
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        owners = await store_in_each(buckets)
        assert len(owners) == BUCKET_COUNT
        bucket = buckets.all[1]
        way = bucket.way
        assert way is not None
        to = next(node for node in cluster.nodes[1:] if node != (way.host, way.port))
        moving = asyncio.create_task(move(citus_url, 1, f"{to[0]}:{to[1]}"))
        proven = 0
        while not moving.done() or proven == 0:
            try:
                report = await verify(bucket)
            except DatabaseUnavailable:
                continue
            assert (report.discrepancies, report.movements) == ((), 1)
            proven += 1
        await moving
    await home.close()
