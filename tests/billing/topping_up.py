"""Stores that buy credits by themselves, and what became of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.paddle.gateway import Paddle as Gateway
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.billing.top_ups import ToppingUp
from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.billing.overages import Paddle, subscribe
from tests.billing.sql_sales import account_of
from tests.passing_time import well_within_a_day
from tests.sql.ledgers import open_store

THRESHOLD = 20
CREDITS = 100
AMOUNT = 18 * CREDITS
OPENING = 50


QUICK = {"paddle_timeout_seconds": 30, "billing_backoff_seconds": 0}


@asynccontextmanager
async def topping_up_process(paddle: Paddle, database_url: str) -> AsyncIterator[ToppingUp]:
    """What a process of its own has."""
    settings = Settings.model_validate(paddle.api.settings() | QUICK)
    database, gateway = await Database.open(database_url), Gateway.from_settings(settings)
    assert gateway is not None
    charges = SubscriptionCharges(database, gateway, settings)
    yield ToppingUp(database, charges, load_catalogue(), settings)
    await gateway.close()
    await database.close()


async def store_on_top_up(
    admin: asyncpg.Connection, paddle: Paddle, *, per_day: int = 2, per_month: int = 5
) -> UUID:
    """A store with fifty credits that buys a hundred at twenty."""
    await well_within_a_day(admin)
    store_id = await open_store(admin, OPENING)
    await subscribe(admin, store_id, paddle.subscribe())
    assert await switch_on(admin, store_id, per_day, per_month) == "set"
    return store_id


async def switch_on(
    admin: asyncpg.Connection,
    store_id: UUID,
    per_day: int = 2,
    per_month: int = 5,
    *,
    credits: int = CREDITS,
) -> str:
    """Let it buy from now on; what that came to."""
    outcome: str = await admin.fetchval(
        "SELECT set_top_up(account_of('store', $1), $2, $3, $4, $5)",
        store_id,
        THRESHOLD,
        credits,
        per_day,
        per_month,
    )
    return outcome


async def spend(admin: asyncpg.Connection, store_id: UUID, credits: int) -> None:
    """So many credits go."""
    deducted = "SELECT deduct_store_credits($1, $2, $3)"
    assert await admin.fetchval(deducted, store_id, credits, f"spend-{uuid4()}")


async def top_ups(admin: asyncpg.Connection, store_id: UUID) -> list[dict[str, Any]]:
    """The store's, in their order."""
    rows = await admin.fetch(
        "SELECT * FROM subscription_charges WHERE account_id = $1 AND kind = 'top_up'"
        " ORDER BY number",
        await account_of(admin, Owner.store(store_id)),
    )
    return [dict(row) for row in rows]


async def setting(admin: asyncpg.Connection, store_id: UUID) -> dict[str, Any]:
    """How the store's top-up is set."""
    row = await admin.fetchrow(
        "SELECT * FROM top_ups WHERE account_id = $1",
        await account_of(admin, Owner.store(store_id)),
    )
    assert row is not None
    return dict(row)


async def balance(admin: asyncpg.Connection, store_id: UUID) -> int:
    """What it has."""
    found: int = await admin.fetchval(
        "SELECT balance FROM store_credits WHERE store_id = $1", store_id
    )
    return found


async def purchases(admin: asyncpg.Connection, store_id: UUID) -> list[tuple[str, int]]:
    """The additions by top-ups, each with its request id."""
    rows = await admin.fetch(
        "SELECT request_id, amount FROM movements"
        " WHERE account_id = $1 AND type = 'purchase' ORDER BY seq",
        await account_of(admin, Owner.store(store_id)),
    )
    return [(row["request_id"], row["amount"]) for row in rows]


async def pass_charge_time(superuser: asyncpg.Connection, time: timedelta) -> None:
    """Let so much time pass for what is charged and looked at."""
    for table, columns in (
        ("subscription_charges", ("created_at", "due_at", "charge_begun_at", "accepted_at")),
        ("top_ups", ("due_at",)),
    ):
        older = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
        await superuser.execute(f"UPDATE storecredit.{table} SET {older}", time)
