"""Proves the sums of hours and days right: the part of `verify` that runs beside the rest of it.

Grouping the ledger by hour takes about as long as all else that `verify` asks of a movement. So it
is asked over a connection of its own, which sees the same snapshot, while the rest is under way:
where a second processor is free, a proof takes no longer for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

# It reads each table once, from end to end, and what it groups has few groups. The memory is for
# the accounts: what they do not fit in is written to disk, and with it the ledger.
_SETTINGS: Final = """
    SET LOCAL row_security = off;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_nestloop = off;
    SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL work_mem = '64MB'
"""
_AT_OWNER: Final = """
    SELECT f.kind, f.seq, f.detail,
        CASE a.owner_kind WHEN 'store' THEN a.owner_id END AS store_id,
        CASE a.owner_kind WHEN 'user' THEN a.owner_id END AS user_id
    FROM {function}() f LEFT JOIN accounts a ON a.account_id = f.account_id
    ORDER BY f.account_id, f.detail LIMIT $1
"""
_FIND: Final = tuple(
    _AT_OWNER.format(function=function)
    for function in (
        "find_sum_discrepancies",
        "find_accounts_summed_too_far",
        "find_summed_balance_discrepancies",
        "find_money_sum_discrepancies",
    )
)


@asynccontextmanager
async def looked_at_beside(
    database: Database, connection: Connection, *, most: int, statement_seconds: float
) -> AsyncIterator["asyncio.Task[list[Discrepancy]]"]:
    """A task that recomputes the sums in the snapshot of this connection's transaction.

    Awaited, it gives up to `most` of what does not agree, and raises DatabaseUnavailable. It is cut
    off when the context ends.
    """
    snapshot_id = await connection.fetchval("SELECT pg_export_snapshot()")
    looking = asyncio.create_task(
        _find(database, snapshot_id, most, statement_seconds), name="sums-proof"
    )
    try:
        yield looking
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await looking


async def _find(
    database: Database, snapshot_id: str, most: int, statement_seconds: float
) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    async with database.snapshot(statement_seconds=statement_seconds) as connection:
        await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot_id}'")
        await connection.execute(_SETTINGS)
        for statement in _FIND:
            rows = await connection.fetch(statement, most - len(found)) if len(found) < most else []
            found += [
                Discrepancy(
                    DiscrepancyKind(row["kind"]),
                    row["store_id"],
                    row["user_id"],
                    row["seq"],
                    None,
                    None,
                    row["detail"],
                )
                for row in rows
            ]
    return found
