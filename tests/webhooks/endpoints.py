"""Who is told, and what of it stands in the tables: endpoints put there as their door would."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
from standardwebhooks.webhooks import Webhook

from stand_ins.http_server import Received
from storecredit.ledger.owners import Account
from storecredit.postgres.servers import Connection
from storecredit.webhooks.messages import secret_text
from tests.web.webhooks.hearing import assert_of_the_catalogue

OPERATOR = 0
EVENT_TYPES = ("credits.low", "credits.depleted", "credits.added", "endpoint.disabled")


class Endpoint(NamedTuple):
    """An endpoint, and the secret its owner was shown."""

    id: UUID
    secret: str


async def add_endpoint(
    superuser: Connection,
    account_id: int,
    url: str,
    event_types: Sequence[str] = EVENT_TYPES,
    *,
    is_ordered: bool = False,
) -> Endpoint:
    """An endpoint of that account, or of the operator."""
    endpoint_id, secret = uuid4(), os.urandom(32)
    await superuser.execute(
        """INSERT INTO storecredit.webhook_endpoints
               (endpoint_id, account_id, url, event_types, is_ordered)
           VALUES ($1, $2, $3, $4, $5)""",
        endpoint_id,
        account_id,
        url,
        list(event_types),
        is_ordered,
    )
    await superuser.execute(
        "INSERT INTO storecredit.webhook_secrets (endpoint_id, secret) VALUES ($1, $2)",
        endpoint_id,
        secret,
    )
    return Endpoint(endpoint_id, secret_text(secret))


async def add_credits(superuser: Connection, account: Account, *amounts: int) -> None:
    """An event `credits.added` for each, in this order."""
    for amount in amounts:
        await superuser.execute(
            "SELECT add_to_account($1, $2, 'purchase', $3)", account.id, amount, f"add {amount}"
        )


class State(NamedTuple):
    """Where a delivery stands."""

    status: str
    attempts: int
    retries: int


async def states(superuser: Connection, endpoint: Endpoint) -> list[State]:
    """Of each delivery to an endpoint, in the order of their events."""
    rows = await superuser.fetch(
        """SELECT status, attempts, retries FROM storecredit.deliveries
           WHERE endpoint_id = $1 ORDER BY seq""",
        endpoint.id,
    )
    return [State(*row) for row in rows]


async def attempts(superuser: Connection, endpoint: Endpoint) -> list[asyncpg.Record]:
    """Every attempt at an endpoint, oldest first."""
    rows: list[asyncpg.Record] = await superuser.fetch(
        """SELECT seq, attempt, status_code, error, answer FROM storecredit.delivery_attempts
           WHERE endpoint_id = $1 ORDER BY attempted_at""",
        endpoint.id,
    )
    return rows


async def endpoint_row(superuser: Connection, endpoint: Endpoint) -> asyncpg.Record:
    """The endpoint as it stands."""
    row = await superuser.fetchrow(
        "SELECT * FROM storecredit.webhook_endpoints WHERE endpoint_id = $1", endpoint.id
    )
    assert row is not None
    return row


def verified(request: Received, endpoint: Endpoint) -> dict[str, Any]:
    """What a receiver reads, once the official library has found the signature right."""
    content: dict[str, Any] = Webhook(endpoint.secret).verify(request.body, dict(request.headers))
    assert_of_the_catalogue(content)
    return content
