"""Buckets on the nodes of a Citus cluster: made, called over HTTP, moved and killed under load."""

import asyncio
import re
from collections import Counter
from uuid import uuid4

import asyncpg

from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import bucket_of, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import bucket_schema
from tests.citus.busy_stores import STORES, creating, is_on, made, placed, settled, until_it_is
from tests.citus.cluster import Cluster
from tests.citus.conftest import BUCKET_COUNT
from tests.e2e.conftest import Serving, Storecredit

BY_ANN = ("--as", "ann", "--reason", "room")


async def test_each_bucketis_on_a_node_and_its_ids_are_its_own(
    cluster: Cluster, citus_url: str
) -> None:
    again = await migrate(citus_url)
    assert (again.changed, again.buckets) == (False, BUCKET_COUNT)
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        ways = [each.way for each in buckets.all]
        assert ways[0] is None
        assert Counter((way.host, way.port) for way in ways[1:] if way) == Counter(
            dict.fromkeys(cluster.nodes[1:], 1)
        )
        assert len({each.place for each in buckets.all}) == len(cluster.nodes)
        for number, database in enumerate(buckets.all):
            ids = [
                await database.fetchval(
                    "SELECT store_id FROM create_store($1, 'S', $2, 'default', 10, 'opening', 'x')",
                    uuid4(),
                    f"s{number}-{each}.example",
                )
                for each in range(3)
            ]
            rows = await database.fetch("SELECT account_id FROM accounts ORDER BY created_at")
            accounts = [row["account_id"] for row in rows]
            assert len(ids) == len(accounts) == 3
            assert accounts == sorted(accounts)
            assert {bucket_of(each) for each in accounts} == {number}
            report = await verify(database)
            assert (report.discrepancies, report.movements) == ((), 3)
    await home.close()


async def test_a_migration_renews_functions_on_every_node(citus_url: str) -> None:
    connection = await asyncpg.connect(citus_url)
    for number in range(BUCKET_COUNT):
        await connection.execute(
            f"UPDATE {bucket_schema(number)}.schema_version SET fingerprint = 'another'"
        )
    await connection.close()
    assert (await migrate(citus_url)).changed
    assert not (await migrate(citus_url)).changed


async def test_a_killed_node_stops_its_buckets_and_loses_nothing(
    serving: Serving, cluster: Cluster, citus_url: str
) -> None:
    stores = made(serving)
    buckets = await placed(citus_url, stores)
    victim = cluster.nodes[1]
    theirs = [each for each in stores if is_on(buckets.all[each.bucket].way, victim)]
    others = [each for each in stores if each not in theirs]
    assert theirs
    assert others, "one in 10^4 runs puts all stores on one node"
    with creating(stores):
        await until_it_is(lambda: all(len(each.created) > 3 for each in stores), "all create")
        await cluster.stop_for(25, victim)
        await until_it_is(lambda: all(each.refused[503] for each in theirs), "it is away")
        before = {each.store_id: len(each.created) for each in others}
        await until_it_is(
            lambda: all(len(each.created) > before[each.store_id] + 3 for each in others),
            "the others go on",
        )
        counts = {each.store_id: len(each.created) for each in theirs}
        await until_it_is(
            lambda: all(len(each.created) > counts[each.store_id] + 3 for each in theirs),
            "it is there again",
        )
    assert [each.failure for each in stores] == [None] * STORES
    await settled(citus_url, stores)


async def test_a_bucket_is_moved_under_load(
    serving: Serving, new_storecredit: Storecredit, cluster: Cluster, citus_url: str
) -> None:
    stores = made(serving)
    buckets = await placed(citus_url, stores)
    number = next(each.bucket for each in stores if each.bucket)
    way = buckets.all[number].way
    to = next(f"{host}:{port}" for host, port in cluster.nodes[1:] if not is_on(way, (host, port)))
    where = {"STORECREDIT_DATABASE_URL": citus_url}
    with creating(stores):
        await until_it_is(lambda: all(len(each.created) > 3 for each in stores), "all create")
        told = await asyncio.to_thread(
            new_storecredit, *("bucket", "move", number, "--to", to), *BY_ANN, **where
        )
        assert told.output == f"Bucket {number} is on {to} now, and was on {way}.\n", told
        before = {each.store_id: len(each.created) for each in stores}
        await until_it_is(
            lambda: all(len(each.created) > before[each.store_id] + 20 for each in stores),
            "all go on",
        )
    assert [each.failure for each in stores] == [None] * STORES
    await settled(citus_url, stores)
    listed = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    assert listed[number]["node"] == to
    assert sum(each["owners"] for each in listed) == STORES
    again = new_storecredit("bucket", "move", number, "--to", to, **where).output
    assert again == f"Bucket {number} is on {to}: nothing was to do.\n"
    spread = new_storecredit("bucket", "rebalance", *BY_ANN, **where)
    assert spread.status == 0, spread
    listed = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    nodes = {f"{host}:{port}": 1 for host, port in cluster.nodes[1:]}
    assert Counter(each["node"] for each in listed) == Counter({None: 1} | nodes)
    log = new_storecredit("audit", "--by", "ann", "--json", **where).json()["items"]
    assert [(each["action"], each["subject"], each["reason"]) for each in log] == [
        ("bucket.rebalance", "", "room"),
        ("bucket.move", str(number), "room"),
    ]
    assert (log[1]["asked"], log[1]["outcome"]) == ({"to": to}, {"from": str(way)})
    assert log[0]["outcome"] == {"ended": "finished"} | _told_of(spread.output)


def _told_of(output: str) -> dict[str, str]:
    """What a rebalancing said that it moved."""
    lines = re.findall(r"^(\w+) is on (\S+) now, and was on (\S+)\.$", output, re.MULTILINE)
    return {schema: f"from {before} to {now}" for schema, now, before in lines}


def test_what_cannot_be_moved_is_told(new_storecredit: Storecredit, citus_url: str) -> None:
    where = {"STORECREDIT_DATABASE_URL": citus_url}
    for arguments, said in (
        ((0, "--to", "127.0.0.1:1"), "The first bucket stays on the coordinator"),
        ((99, "--to", "127.0.0.1:1"), "There is no bucket 99 that could be moved"),
        ((1, "--to", "127.0.0.1:1"), "There is no node 127.0.0.1:1: the cluster has "),
    ):
        assert said in new_storecredit("bucket", "move", *arguments, **where).sentence()
    backup = new_storecredit("backup", new_storecredit.directory / "kept", **where).sentence()
    assert "back up each node by its own means" in backup
