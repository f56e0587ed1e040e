"""The nodes of a Citus cluster: which there are, and which one each bucket's schema is on.

Citus keeps schemas whole, each on one node (schema-based sharding, Citus 12 and later), and knows
where in catalogues that every node has: https://docs.citusdata.com/en/stable/develop/api_metadata.html.
A PostgreSQL without Citus has none of it, and is asked only whether it has.
"""

from dataclasses import dataclass
from typing import Final

from storecredit.postgres.servers import Connection, Node

NODES_SCHEMA: Final = "storecredit_nodes"
"""On the coordinator, of what concerns the cluster and no bucket."""
IN_TWO_PHASES: Final = f"DELETE FROM {NODES_SCHEMA}.two_phases WHERE number = 0"  # noqa: S608 - a name
"""Has Citus commit a transaction in two phases that works on the coordinator and on one node.

The first bucket's tables are none of Citus's: it would take such a transaction for one of that node
alone, and a coordinator that dies at the wrong moment would keep half of it. This table is Citus's
own, and empty; that it was written to on the coordinator is enough (tried with Citus 15).
"""
_IS_CITUS: Final = "SELECT to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL"
_IS_SPREAD: Final = (
    "SELECT EXISTS (SELECT FROM pg_dist_schema WHERE schemaid = to_regnamespace($1))"
)
_WORKERS: Final = """
    SELECT nodename AS host, nodeport AS port, groupid AS number FROM pg_dist_node
    WHERE noderole = 'primary' AND isactive AND groupid <> 0 ORDER BY groupid"""
_PLACES: Final = """
    SELECT s.schemaid::regnamespace::text AS schema, n.nodename AS host, n.nodeport AS port
    FROM pg_dist_schema s
    JOIN pg_class c ON c.relnamespace = s.schemaid AND c.relname = 'accounts'
    JOIN pg_dist_shard h ON h.logicalrelid = c.oid
    JOIN pg_dist_placement p ON p.shardid = h.shardid
    JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A node that holds schemas; `number` is Citus's own for it, and never another's."""

    node: Node
    number: int


async def is_citus(connection: Connection) -> bool:
    """Whether the database can spread schemas over nodes."""
    answer: bool = await connection.fetchval(_IS_CITUS)
    return answer


async def is_spread(connection: Connection, schema: str) -> bool:
    """Whether a schema is one that Citus keeps, on whichever node."""
    if not await is_citus(connection):
        return False
    answer: bool = await connection.fetchval(_IS_SPREAD, schema)
    return answer


async def workers(connection: Connection) -> list[Worker]:
    """The nodes of a cluster that hold schemas, but for the coordinator, which is asked."""
    rows = await connection.fetch(_WORKERS)
    return [Worker(Node(row["host"], row["port"]), row["number"]) for row in rows]


async def places(connection: Connection) -> dict[str, Node]:
    """The node of each schema that is on one; all others are on the coordinator."""
    rows = await connection.fetch(_PLACES)
    return {row["schema"]: Node(row["host"], row["port"]) for row in rows}
