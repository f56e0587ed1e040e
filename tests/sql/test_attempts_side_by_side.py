"""Attempts at one delivery side by side: it was sent anew, or leased again, meanwhile."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection, connect
from tests.sql.deliveries import LEASE, Item, happen, make_endpoints, record_call, take
from tests.sql.ledgers import open_account

MINUTE: Final = timedelta(minutes=1)
LAST: Final = 18
"""So many attempts had failed before the last."""


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.STORE)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Connection]:
    """The service's own connection."""
    opened = await connect(database_url)
    yield opened
    await opened.close()


async def taken(service: Connection) -> list[Item]:
    return [(row["endpoint_id"], row["seq"]) for row in await take(service)]


async def record(service: Connection, item: Item, *outcomes: str, **options: Any) -> list[str]:
    """One batch with an attempt at the same delivery for each outcome, a second apart."""
    query, arguments = record_call([item] * len(outcomes), "retry", **options)
    arguments[2][:] = [datetime.now(UTC) + timedelta(seconds=n) for n in range(len(outcomes))]
    arguments[7][:] = outcomes
    answers: list[str] = await service.fetchval(query, *arguments)
    return answers


async def resend(service: Connection, store: Account, item: Item) -> None:
    outcome = await service.fetchval(
        """SELECT resend_delivery($1, $2, (SELECT event_id FROM events WHERE seq = $3), $4)""",
        store.id,
        *item,
        LEASE,
    )
    assert outcome == "pending"


async def state(admin: Connection) -> tuple[str, int, int]:
    """Status, attempts and retries of the only delivery; each attempt is kept once."""
    row = await admin.fetchrow(
        """SELECT status, attempts, retries, ARRAY(SELECT attempt
               FROM storecredit.delivery_attempts ORDER BY attempted_at) AS kept
           FROM storecredit.deliveries"""
    )
    assert row is not None
    assert row["kept"] == list(range(1, row["attempts"] + 1))
    return row["status"], row["attempts"], row["retries"]


@pytest.mark.parametrize(
    "outcomes, state_after",
    [
        (("retry", "retry"), ("pending", 2, 2)),
        (("delivered", "retry"), ("delivered", 2, 1)),
        (("failed", "delivered"), ("delivered", 2, 1)),
        (("retry", "failed"), ("failed", 2, 2)),
    ],
)
async def test_a_batch_may_hold_two_attempts_at_one_delivery(
    service: Connection,
    admin: asyncpg.Connection,
    store: Account,
    outcomes: tuple[str, ...],
    state_after: tuple[str, int, int],
) -> None:
    """As of a receiver that answers both at once, when its event was sent anew meanwhile."""
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    [item] = await taken(service)
    assert await record(service, item, *outcomes, wait=MINUTE) == ["recorded"] * 2
    assert await state(admin) == state_after


@pytest.mark.parametrize("outcome", ["retry", "failed"])
async def test_what_is_sent_anew_while_an_attempt_is_under_way_stays_due_when_that_fails(
    service: Connection, admin: asyncpg.Connection, store: Account, outcome: str
) -> None:
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    await admin.execute("UPDATE storecredit.deliveries SET retries = $1", LAST)
    [item] = await taken(service)
    await resend(service, store, item)
    await record(service, item, outcome, retries=LAST, wait=MINUTE)
    assert await state(admin) == ("pending", 1, 0)
    assert await taken(service) == [item], "it is due"


async def test_an_ordered_endpoint_resumes_at_once_when_what_was_sent_anew_had_just_failed(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, 1, is_ordered=True)
    await happen(admin, store.id, 2)
    await admin.execute("UPDATE storecredit.deliveries SET retries = $1 WHERE seq = 1", LAST)
    items = await taken(service)
    await resend(service, store, items[0])
    await record(service, items[0], "retry", retries=LAST, resumes=12 * 60 * MINUTE)
    assert await taken(service) == items


async def test_what_was_under_way_when_its_endpoint_became_ordered_comes_in_order(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    """Told by a transaction that still saw it without an order, or attempted before and failed."""
    [endpoint] = await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    items = await taken(service)
    assert await service.fetchval(
        "SELECT update_webhook_endpoint($1, $2, p_is_ordered => true)", store.id, endpoint
    )
    await record(service, items[0], "retry", wait=MINUTE)
    await happen(admin, store.id, 1)
    seqs = [seq for _, seq in await taken(service)]
    assert seqs == sorted(seqs)
    assert items[0][1] in seqs
