"""Which bucket is where, how much is in it, and how it is moved to another node of a Citus cluster.

Citus moves a schema while it is written to (logical replication), and has whoever writes wait for
the moment of the switch.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import asyncpg

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable, translated
from storecredit.postgres.nodes import places
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.spreading import Cluster
from storecredit.postgres.servers import bucket_schema, connect

POLL_SECONDS: Final = 0.5
# Of a table on a Citus node the rows are in a shard, which has its name and a number.
_SIZES: Final = r"""
    SELECT (SELECT count(*) FROM accounts) AS owners,
        (sum(c.reltuples) FILTER (WHERE c.relname ~ '^movements(_[0-9]+)?$' AND c.reltuples >= 0)
            )::bigint AS movements,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"""
FINISHED: Final = "finished"
_REBALANCING: Final = f"""
    SELECT coalesce((SELECT state::text FROM citus_rebalance_status()), '{FINISHED}')"""  # noqa: S608 - a constant
_REFUSALS: Final = (
    asyncpg.FeatureNotSupportedError,
    asyncpg.RaiseError,
    asyncpg.InternalServerError,
)
_ENDED: Final = frozenset({FINISHED, "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as it is now.

    `movements` is what PostgreSQL last counted (ANALYZE), None where it has not. `node` None: the
    server that the database URL names. A bucket whose node is away has `owners`, `movements` and
    `bytes` of None.
    """

    number: int
    schema: str
    owners: int | None
    movements: int | None
    bytes: int | None
    node: str | None


@dataclass(frozen=True, slots=True)
class Rebalanced:
    """What a rebalancing came to.

    `moved`: from where to where, by schema. `ended`: Citus's word for its end, "finished" if it is
    done.
    """

    moved: dict[str, tuple[str, str]]
    ended: str

    @property
    def is_done(self) -> bool:
        """Whether the buckets are spread as they ought to be."""
        return self.ended == FINISHED


async def listed(buckets: Buckets) -> list[Bucket]:
    """All buckets, in the order of their numbers."""
    return [await _bucket(number, each) for number, each in enumerate(buckets.all)]


async def _bucket(number: int, database: Database) -> Bucket:
    node = None if database.way is None else str(database.way)
    try:
        row = await database.fetchrow(_SIZES)
    except DatabaseUnavailable:
        return Bucket(number, database.schema, None, None, None, node)
    assert row is not None, "an aggregate has one row"
    return Bucket(number, database.schema, row["owners"], row["movements"], row["bytes"], node)


async def move(url: str, number: int, node: str) -> str | None:
    """Move a bucket to a node, named as `host:port`; returns where it was, None: it is there.

    `url` is of the login that migrates. Raises DatabaseMisconfigured where that cannot be,
    DatabaseUnavailable.
    """
    cluster = await _cluster(url)
    schema = bucket_schema(number)
    connection = await connect(url, as_app=False)
    try:
        with translated():
            there = await places(connection)
            if schema not in there:
                raise DatabaseMisconfigured(_not_to_be_moved(number, len(there)))
            before = str(there[schema])
            if before == node:
                return None
            await cluster.make_way(schema, node)
            host, _, port = node.rpartition(":")
            await _told(
                connection,
                "SELECT citus_schema_move($1::text::regnamespace, $2, $3::int)",
                schema,
                host,
                int(port),
            )
            await connection.execute("CALL citus_cleanup_orphaned_resources()")
            return before
    finally:
        await connection.close()


async def rebalance(url: str) -> Rebalanced:
    """Spread the buckets over all nodes by their size; returns what was moved, and how it ended.

    Raises as `move` does.
    """
    cluster = await _cluster(url)
    connection = await connect(url, as_app=False)
    try:
        with translated():
            before = await places(connection)
            for schema in before:
                await cluster.make_way_everywhere(schema, before[schema])
            await _told(connection, "SELECT citus_rebalance_start()")
            # Citus has a function that waits, and says nothing of how it ended.
            while (state := await connection.fetchval(_REBALANCING)) not in _ENDED:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
            after = await places(connection)
            if state == FINISHED:
                await connection.execute("CALL citus_cleanup_orphaned_resources()")
    finally:
        await connection.close()
    moved = {
        schema: (str(node), str(after[schema]))
        for schema, node in before.items()
        if after[schema] != node
    }
    return Rebalanced(moved, state)


async def _cluster(url: str) -> Cluster:
    cluster = await Cluster.of(url)
    if cluster is None:
        raise DatabaseMisconfigured(
            "There is one node, which has all buckets: they are moved between the nodes of a Citus "
            "cluster."
        )
    return cluster


def _not_to_be_moved(number: int, movable: int) -> str:
    if number == 0:
        return "The first bucket stays on the coordinator, and cannot be moved."
    return f"There is no bucket {number} that could be moved: {movable} of them can."


async def _told(connection: asyncpg.Connection, statement: str, *args: object) -> None:
    """Run what Citus may refuse in a sentence of its own."""
    try:
        await connection.fetchval(statement, *args)
    except (
        asyncpg.FeatureNotSupportedError,
        asyncpg.RaiseError,
        asyncpg.InternalServerError,
    ) as error:
        raise DatabaseMisconfigured(f"Citus refuses it: {str(error).splitlines()[0]}.") from error
