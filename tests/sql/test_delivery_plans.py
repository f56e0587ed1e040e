"""What a deliverer asks for costs by what it takes, not by what there is, whenever planned."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection, connect
from tests.sql.deliveries import TIDY, happen, make_endpoints, record_call, take, take_call
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import buffers_read, undone

ENDPOINTS = 3
EVENTS = 5_000
"""Told to each endpoint: most are delivered, and all of the last endpoint's wait."""
TAKEN = 10
PAGES_PER_ITEM_MAX = 18
"""As in test_early_plans.py. A plan that walks through what there is reads hundreds."""
RESEND = (
    """SELECT * FROM resend_deliveries($1, $2, now() - interval '1 hour', '{delivered}', 0, 10)"""
)
WAITING = 500
"""Endpoints with something that is not due yet."""
LOOK_PAGES_MAX = 3
"""Of an index with two levels, and a page more."""
AHEAD = 60
"""Endpoints that PostgreSQL looks up before it is asked for them: 10, then 50."""
TABLES = ("events", "deliveries", "delivery_attempts", "webhook_endpoints", "webhook_secrets")


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.STORE)


@pytest.fixture(params=["never", "empty", "few"])
async def early(
    request: pytest.FixtureRequest, database_url: str, admin: asyncpg.Connection, store: Account
) -> AsyncIterator[Connection]:
    """A connection that planned all of it when there was little; what ANALYZE saw, if it ran."""
    for table in TABLES:
        await admin.execute(f"ALTER TABLE storecredit.{table} SET (autovacuum_enabled = off)")
    if request.param == "few":
        await make_endpoints(admin, store.id, 1)
        await happen(admin, store.id, 2)
    if request.param != "never":
        await admin.execute("ANALYZE")
    connection = await connect(database_url)
    for query, args in calls([(UUID(int=1), 1)]):
        for _ in range(7):
            async with undone(connection):
                await connection.fetch(query, *args)
    yield connection
    await connection.close()


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


def calls(items: list[tuple[UUID, int]]) -> list[tuple[str, tuple[Any, ...]]]:
    """All that a deliverer asks."""
    return [
        take_call(TAKEN),
        *(record_call(items, outcome) for outcome in ("delivered", "retry", "failed", "gone")),
        *((query, ()) for query in TIDY),
        ("SELECT delivery_lag()", ()),
    ]


@pytest.mark.parametrize("is_ordered", [False, True])
async def test_no_call_reads_more_when_there_is_more(
    early: Connection, admin: asyncpg.Connection, store: Account, is_ordered: bool
) -> None:
    await make_endpoints(admin, store.id, ENDPOINTS, is_ordered=is_ordered)
    for _ in range(5):
        await happen(admin, store.id, EVENTS // 5)
    ended = """UPDATE storecredit.deliveries
               SET status = 'delivered', ended_at = now(), next_attempt_at = NULL
               WHERE endpoint_id < (SELECT max(endpoint_id::text)::uuid
                                    FROM storecredit.webhook_endpoints)"""
    await admin.execute(ended)
    await admin.execute("VACUUM storecredit.deliveries")
    async with undone(early):
        rows = await take(early, TAKEN)
    assert len(rows) == TAKEN
    items = [(row["endpoint_id"], row["seq"]) for row in rows]
    for query, args in calls(items):
        read = await buffers_read(early, query, *args)
        # A batch has at least its own look-ups, and each endpoint one.
        most = PAGES_PER_ITEM_MAX * (TAKEN + ENDPOINTS)
        too_many = {name: pages for name, pages in read.items() if pages > most}
        assert not too_many, query


async def test_an_endpoint_that_waits_costs_a_look_into_one_index(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, WAITING)
    await happen(admin, store.id, 1)
    await admin.execute(
        "UPDATE storecredit.deliveries SET next_attempt_at = now() + interval '1 hour'"
    )
    await admin.execute("VACUUM storecredit.deliveries")
    query, args = take_call(TAKEN)
    read = await buffers_read(service, query, *args)
    assert read.pop("due_deliveries") <= LOOK_PAGES_MAX * WAITING
    assert max(read.values()) <= PAGES_PER_ITEM_MAX, "not for each of them"
    # And of those that do not wait no more are looked at than are taken.
    await admin.execute("UPDATE storecredit.deliveries SET next_attempt_at = now()")
    await admin.execute("VACUUM storecredit.deliveries")
    read = await buffers_read(service, query, *args)
    assert max(read.values()) <= PAGES_PER_ITEM_MAX * AHEAD


async def test_what_is_sent_again_is_looked_for_where_it_is(
    early: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    endpoint, *_ = await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, EVENTS)
    await admin.execute(
        """UPDATE storecredit.events SET created_at = now()
               - ((SELECT max(seq) FROM storecredit.events) - seq) * interval '10 minutes'"""
    )
    await admin.execute(
        """UPDATE storecredit.deliveries
           SET status = 'delivered', ended_at = now(), next_attempt_at = NULL"""
    )
    for table in ("events", "deliveries"):
        await admin.execute(f"VACUUM storecredit.{table}")
    read = await buffers_read(early, RESEND, store.id, endpoint)
    # Those of two hours, and as many halvings as there are.
    most = PAGES_PER_ITEM_MAX * (2 * 6 + EVENTS.bit_length())
    assert {name: pages for name, pages in read.items() if pages > most} == {}
    async with undone(early):
        assert tuple(await early.fetchrow(RESEND, store.id, endpoint) or ())[:2] == ("pending", 6)
