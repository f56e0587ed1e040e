"""Endpoints that listen, put there by SQL, and what they were told."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg

from storecredit.ledger.owners import Account
from storecredit.postgres.buckets import bucket_of
from storecredit.postgres.servers import bucket_schema

OPERATOR: Final = 0
"""The account that the operator's endpoints stand under: they hear of all owners."""


class Told(NamedTuple):
    """One event, as its endpoint is to be told it."""

    type: str
    data: dict[str, Any]


async def listen(
    books: asyncpg.Connection, account: Account | int, *types: str, is_ordered: bool = False
) -> UUID:
    """An endpoint of the account, or of the operator, for events of these types."""
    endpoint_id = uuid4()
    account_id = account if isinstance(account, int) else account.id
    await books.execute(
        f"""INSERT INTO {bucket_schema(bucket_of(account_id))}.webhook_endpoints
               (endpoint_id, account_id, url, event_types, is_ordered)
           VALUES ($1, $2, 'https://receiver.example/', $3, $4)""",
        endpoint_id,
        account_id,
        types,
        is_ordered,
    )
    return endpoint_id


async def told(books: asyncpg.Connection, endpoint_id: UUID) -> Sequence[Told]:
    """What is to be delivered to an endpoint, oldest first."""
    rows = await books.fetch(
        """SELECT e.type, e.data FROM storecredit.deliveries d JOIN storecredit.events e USING (seq)
           WHERE d.endpoint_id = $1 ORDER BY seq""",
        endpoint_id,
    )
    return [Told(row["type"], json.loads(row["data"])) for row in rows]
