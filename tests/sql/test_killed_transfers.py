"""A transfer between buckets, killed at any of its statements, has moved nothing at either end.

As the doors of one bucket in `test_killed_doors.py`, with stops in the tables of both.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets
from tests.operator.bucket_owners import THREE, balances, prove, store_in_each
from tests.sql.test_killed_doors import COUNT, LOCK, STOPS, STOPS_MAX, killed_at

pytestmark = THREE

WRITTEN = ("movements", "grants", "accounts", "transfer_ends")


@pytest.fixture
async def owners(buckets: Buckets) -> list[Owner]:
    return await store_in_each(buckets)


@pytest.fixture
async def stops(buckets: Buckets, admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Triggers on all that a transfer writes, at both ends, and the lock for which they wait."""
    await admin.execute(COUNT)
    for bucket in buckets.all:
        for table in WRITTEN:
            await admin.execute(STOPS.format(table=f"{bucket.schema}.{table}"))
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    yield
    await admin.execute("SELECT pg_advisory_unlock_all()")


async def everything(buckets: Buckets, admin: asyncpg.Connection) -> list[list[str]]:
    """All rows of these tables, of all buckets."""
    return [
        sorted(
            row["row"]
            for row in await admin.fetch(f"SELECT t::text AS row FROM {bucket.schema}.{table} t")
        )
        for bucket in buckets.all
        for table in WRITTEN
    ]


@pytest.mark.parametrize("giver, taker", [(0, 2), (2, 0), (1, 2)])
@pytest.mark.usefixtures("stops")
async def test_a_transfer_killed_at_any_statement_has_moved_nothing(
    buckets: Buckets,
    owners: list[Owner],
    admin: asyncpg.Connection,
    database_url: str,
    giver: int,
    taker: int,
) -> None:
    credits = Credits(buckets)
    source, target = [await credits.account_id(owners[each]) for each in (giver, taker)]
    schemas = buckets.all[giver].schema, buckets.all[taker].schema
    call = (
        "SELECT * FROM transfer_elsewhere($1, $2, $3, 4, 'move', 'why', 'me')",
        (source, schemas[1], target),
    )
    untouched = await everything(buckets, admin)
    answer, stop = None, 0
    while answer is None:
        stop += 1
        assert stop < STOPS_MAX
        assert await everything(buckets, admin) == untouched, f"killed at stop {stop - 1}"
        answer = await killed_at(admin, database_url, stop, call, schemas[0])
    # Two movements, their ends noted and the receiver's grant: each before, after, and at the end.
    assert stop > 20
    expected = [10, 10, 10]
    expected[giver] -= 4
    expected[taker] += 4
    assert answer[0]["outcome"] == "transferred"
    again = await killed_at(admin, database_url, STOPS_MAX, call, schemas[0])
    assert again is not None
    assert again[0]["outcome"] == "already_transferred"
    assert await balances(buckets, owners) == expected
    await prove(buckets)
