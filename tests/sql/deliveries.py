"""Events and deliveries by the thousand, and the calls that a deliverer makes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from storecredit.postgres.servers import Connection

LEASE: Final = timedelta(minutes=1)
TAKE: Final = "SELECT * FROM take_deliveries($1, $2, $3, $4, $5, $6, $7)"
RECORD: Final = "SELECT record_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
TIDY: Final = ("SELECT end_undeliverable(100)", "SELECT * FROM forget_events(100)")

Item = tuple[UUID, int]
"""An endpoint and an event."""


async def make_endpoints(
    superuser: Connection, account_id: int, count: int, *, is_ordered: bool = False
) -> list[UUID]:
    """Endpoints that listen to `credits.low`, in ascending order of their ids."""
    made = sorted(uuid4() for _ in range(count))
    await superuser.execute(
        """INSERT INTO storecredit.webhook_endpoints
               (endpoint_id, account_id, url, event_types, is_ordered)
           SELECT i.id, $2, 'https://shop.example/', '{credits.low}', $3
           FROM unnest($1::uuid[]) i (id)""",
        made,
        account_id,
        is_ordered,
    )
    await superuser.execute(
        """INSERT INTO storecredit.webhook_secrets (endpoint_id, secret)
           SELECT i.id, sha256(i.id::text::bytea) FROM unnest($1::uuid[]) i (id)""",
        made,
    )
    return made


async def happen(superuser: Connection, account_id: int, count: int) -> None:
    """So many events of that account, told to whoever listens."""
    await superuser.execute(
        """SELECT storecredit.tell(array_agg('credits.low'::text), array_agg($1::bigint),
               array_agg(json_build_object('balance', n)))
           FROM generate_series(1, $2) n""",
        account_id,
        count,
    )


def take_call(limit: int, share: int = 64) -> tuple[str, tuple[Any, ...]]:
    """A take by somebody who has nothing under way."""
    return TAKE, (limit, share, share, LEASE, None, [], [])


async def take(connection: Connection, limit: int = 1000, share: int = 64) -> list[asyncpg.Record]:
    """What is due now, leased."""
    query, args = take_call(limit, share)
    rows: list[asyncpg.Record] = await connection.fetch(query, *args)
    return rows


def record_call(
    items: Sequence[Item],
    outcome: str,
    *,
    at: datetime | None = None,
    retries: int = 0,
    wait: timedelta | None = None,
    resumes: timedelta | None = None,
    configured_at: datetime | None = None,
) -> tuple[str, tuple[Any, ...]]:
    """The record of one attempt at each, all alike."""
    count = len(items)
    moment = at or datetime.now(UTC)
    return RECORD, (
        [endpoint for endpoint, _ in items],
        [seq for _, seq in items],
        [moment] * count,
        [5] * count,
        [200 if outcome == "delivered" else 500] * count,
        [None] * count,
        ["said"] * count,
        [outcome] * count,
        [retries] * count,
        [wait] * count,
        [resumes] * count,
        [configured_at] * count,
    )
