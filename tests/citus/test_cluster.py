"""Buckets on the nodes of a Citus cluster: made, called over HTTP, moved and killed under load."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import SeveralBuckets, bucket_of, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import bucket_schema
from tests.citus.conftest import BUCKET_COUNT, Cluster
from tests.e2e.conftest import Serving, Storecredit, until
from tests.e2e.steady_creates import DOT

OPERATOR = "operator-token-of-a-test"
STORES = 15
# As after a crash; and up again by itself, later than any request waits for its database.
_STOP_AND_START = (
    "setsid sh -c '{bin}/pg_ctl -D {data} -m immediate -w stop; sleep 25;"
    " {bin}/pg_ctl -D {data} -l {data}.log -w start' >/dev/null 2>&1 </dev/null &"
)


@dataclass(slots=True)
class Store:
    """A store's own server, which sends a request again with the same id until it is answered."""

    url: str
    store_id: str
    key: str
    bucket: int = 0
    created: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    failure: str | None = None

    def create_until(self, stop: Event) -> None:
        """One generation after the other."""
        with httpx.Client() as client:
            while not stop.is_set():
                request_id = uuid4().hex
                while not stop.is_set() and not self._is_created(client, request_id):
                    time.sleep(0.05)

    def _is_created(self, client: httpx.Client, request_id: str) -> bool:
        answer = client.post(
            f"{self.url}/api/v1/generation/create",
            json={"image_urls": [DOT]},
            headers={"Authorization": f"Bearer {self.key}", "Idempotency-Key": request_id},
        )
        if answer.status_code in {200, 201}:
            self.created.append(answer.json()["data"]["session_id"])
            return True
        self.refused[answer.status_code] += 1
        if answer.status_code != 503:
            self.failure = answer.text
        return False


@contextmanager
def creating(stores: Sequence[Store]) -> Iterator[None]:
    """All of them at once, for as long as the block lasts."""
    stop = Event()
    threads = [Thread(target=each.create_until, args=[stop], daemon=True) for each in stores]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@pytest.fixture
def serving(new_storecredit: Storecredit, citus_url: str) -> Serving:
    """The API against the coordinator; without a worker, so that what is created stays."""
    return new_storecredit.serve(
        "--no-worker", STORECREDIT_ADMIN_TOKEN=OPERATOR, STORECREDIT_DATABASE_URL=citus_url
    )


def made(serving: Serving, number: int = STORES) -> list[Store]:
    """So many stores."""
    found = []
    for each in range(number):
        store = serving.made_store(
            OPERATOR, shop_domain=f"s{each}.example", credits=100_000, tier="unlimited"
        )
        found.append(Store(serving.url, store["store_id"], store["api_key"]))
    return found


async def settled(citus_url: str, stores: Sequence[Store]) -> None:
    """Every answer's session is there once, with its movement, where its store lives."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        for each in stores:
            database = await buckets.of_store(UUID(each.store_id))
            found = await database.fetch(
                """SELECT m.session_id::text AS id FROM movements m JOIN sessions s
                       ON s.account_id = m.account_id AND s.session_id = m.session_id
                   JOIN accounts a ON a.account_id = m.account_id
                   WHERE a.owner_id = $1 AND m.type = 'deduction'""",
                each.store_id,
            )
            ids = Counter(row["id"] for row in found)
            assert max(ids.values(), default=1) == 1
            assert set(each.created) <= set(ids), "nothing that was answered is lost"
            assert len(set(each.created)) == len(each.created)
        reports = [await verify(each) for each in buckets.all]
        assert [report.discrepancies for report in reports] == [()] * BUCKET_COUNT
    await home.close()


async def placed(citus_url: str, stores: Sequence[Store]) -> SeveralBuckets:
    """Where they are now; the bucket of each store is noted."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        assert isinstance(buckets, SeveralBuckets)
        for each in stores:
            each.bucket = buckets.all.index(await buckets.of_store(UUID(each.store_id)))
    await home.close()
    return buckets


async def test_each_bucket_is_on_a_node_and_its_ids_are_its_own(
    cluster: Cluster, citus_url: str
) -> None:
    again = await migrate(citus_url)
    assert (again.changed, again.buckets) == (False, BUCKET_COUNT)
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        ways = [each.way for each in buckets.all]
        assert ways[0] is None
        assert Counter((way.host, way.port) for way in ways[1:] if way) == Counter(
            dict.fromkeys(cluster.nodes[1:], 2)
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
    theirs = [each for each in stores if _is_on(buckets.all[each.bucket].way, victim)]
    others = [each for each in stores if each not in theirs]
    assert theirs
    assert others, "one in 10^4 runs puts all stores on one node"
    with creating(stores):
        await _until(lambda: all(len(each.created) > 3 for each in stores), "all create")
        await _stop_for_a_while(cluster, victim)
        await _until(lambda: all(each.refused[503] for each in theirs), "it is away")
        before = {each.store_id: len(each.created) for each in others}
        await _until(
            lambda: all(len(each.created) > before[each.store_id] + 3 for each in others),
            "the others go on",
        )
        counts = {each.store_id: len(each.created) for each in theirs}
        await _until(
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
    assert way is not None
    target = next(node for node in cluster.nodes[1:] if not _is_on(way, node))
    to = f"{target[0]}:{target[1]}"
    where = {"STORECREDIT_DATABASE_URL": citus_url}
    with creating(stores):
        await _until(lambda: all(len(each.created) > 3 for each in stores), "all create")
        told = await asyncio.to_thread(
            new_storecredit, "bucket", "move", number, "--to", to, **where
        )
        assert told.output == f"Bucket {number} is on {to} now, and was on {way}.\n", told
        before = {each.store_id: len(each.created) for each in stores}
        await _until(
            lambda: all(len(each.created) > before[each.store_id] + 20 for each in stores),
            "all go on",
        )
    assert [each.failure for each in stores] == [None] * STORES
    await settled(citus_url, stores)
    listed = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    assert listed[number]["node"] == to
    assert sum(each["owners"] for each in listed) == STORES
    again = new_storecredit("bucket", "move", number, "--to", to, **where)
    assert again.output == f"Bucket {number} is on {to}: nothing was to do.\n"
    spread = new_storecredit("bucket", "rebalance", **where)
    assert spread.status == 0, spread
    listed = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    nodes = {f"{host}:{port}": 2 for host, port in cluster.nodes[1:]}
    assert Counter(each["node"] for each in listed) == Counter({None: 1} | nodes)


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


def _is_on(way: Any, node: tuple[str, int]) -> bool:
    return way is not None and (way.host, way.port) == node


async def _until(is_so: Any, what: str) -> None:
    await asyncio.to_thread(until, is_so, what)


async def _stop_for_a_while(cluster: Cluster, node: tuple[str, int]) -> None:
    connection = await cluster.connect(node, "postgres")
    data = await connection.fetchval("SHOW data_directory")
    programs = await connection.fetchval("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    command = _STOP_AND_START.format(bin=programs, data=data).replace("'", "''")
    with ExitStack() as stack:
        stack.callback(connection.terminate)
        await connection.execute(f"COPY (SELECT 1) TO PROGRAM '{command}'")
