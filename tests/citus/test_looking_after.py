"""A bucket that is spread, over its months: what ends is given back, chained, told and proven."""

import asyncio
from pathlib import Path
from uuid import uuid4

from storecredit.generation.results.store import open_results
from storecredit.ledger.checkpoints.making import Checkpoints
from storecredit.ledger.checkpoints.tampering import Evidence
from storecredit.ledger.expiry import ExpirySweep
from storecredit.ledger.verify import verify
from storecredit.ledger.verify_all import verify_all
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.audit_entries import AuditFilter
from storecredit.operator.credits import Transferred
from storecredit.postgres.bucket_places import move
from storecredit.postgres.buckets import opened
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.expiry_notices import ExpiryNotices
from tests.citus.cluster import Cluster
from tests.citus.conftest import BUCKET_COUNT
from tests.operator.bucket_owners import store_in_each

_HELD = """
    SELECT outcomes[1] FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[3],
        ARRAY['hold'], ARRAY['\\x01'::bytea], ARRAY[60], ARRAY['']::text[], ARRAY[NULL]::json[])"""

_LISTENS = """
    INSERT INTO webhook_endpoints (endpoint_id, account_id, url, event_types)
    VALUES ($1, $2, 'https://hats.example/hook', '{credits.expiring}')"""
_ENDS_SOON = """
    SELECT add_to_account($1, 5, 'grant', 'a gift', p_expires_at => now() + interval '3 seconds')"""
_TOLD = "SELECT count(*) FROM events WHERE account_id = $1 AND type = 'credits.expiring'"
_BALANCE = """
    SELECT balance_after FROM movements WHERE account_id = $1 ORDER BY seq DESC LIMIT 1"""


async def test_grants_that_end_are_told_beforehand_and_swept(
    cluster: Cluster, citus_url: str
) -> None:
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        accounts = []
        for owner, bucket in zip(await store_in_each(buckets), buckets.all, strict=True):
            account_id = await bucket.fetchval(
                "SELECT account_id FROM accounts WHERE owner_id = $1", owner.id
            )
            node = cluster.nodes[0] if bucket.way is None else (bucket.way.host, bucket.way.port)
            admin = await cluster.connect(node, citus_url.rpartition("/")[2])
            await admin.execute("SET citus.override_table_visibility = off")
            await admin.execute(f"SET search_path = {bucket.schema}, public")
            await admin.execute(_LISTENS, uuid4(), account_id)
            await admin.close()
            await bucket.fetchval(_ENDS_SOON, account_id)
            accounts.append((bucket, account_id))
        for _ in range(2):
            await ExpiryNotices(buckets, Settings()).notice()
        assert [await bucket.fetchval(_TOLD, account) for bucket, account in accounts] == [1] * 3
        sweep = ExpirySweep(buckets, Settings(), Metrics())
        await sweep.open()
        await home.fetchval("SELECT pg_sleep(3)")
        assert await sweep.sweep() == len(accounts)
        await sweep.close()
        left = [await bucket.fetchval(_BALANCE, account) for bucket, account in accounts]
        assert left == [10] * 3
        assert (await verify_all(buckets)).discrepancies == ()
    await home.close()


async def test_checkpoints_are_of_all_buckets_and_prove_them(
    citus_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        acting = OperatorActions.over(buckets, open_results(settings), settings)
        first, giver, taker = await store_in_each(buckets)
        made = []
        for number, (from_, to) in enumerate(((first, giver), (giver, taker), (taker, first))):
            by = ActionContext("ann", "api", f"move-{number}")
            assert isinstance(await acting.credits.transfer(by, from_, to, 1), Transferred)
            checkpoint = await Checkpoints(buckets, settings).make(at_once=True)
            assert checkpoint is not None
            made.append(checkpoint.number)
        assert made == [1, 2, 3]
        evidence = Evidence.known(buckets, settings)
        assert (await verify_all(buckets, evidence=evidence)).discrepancies == ()
    await home.close()


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
