"""Credits that move without a pause, in every way, until they are told to stop.

Or until they have moved so often that on a busy machine no reader of it all could keep up.
"""

import asyncio
from uuid import UUID

from tests.sql.user_books import open_user
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Connection
from tests.sql.books import open_store
from tests.sql.everything import buy, create_generation

MOVES_MAX = 1000
DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"
REFUND = "SELECT refund_store_credits($1, 1, $2)"


async def move_store_credits(connection: Connection, store_id: UUID, stop: asyncio.Event) -> None:
    """Every kind of movement, over and over, at least a few times."""
    for number in range(MOVES_MAX):
        if stop.is_set():
            return
        await connection.execute(DEDUCT, store_id, 2, f"d{number}")
        await connection.execute(REFUND, store_id, f"d{number}")
        done = await create_generation(connection, store_id, f"done {number}")
        failed = await create_generation(connection, store_id, f"failed {number}")
        await connection.execute(
            "SELECT * FROM start_store_generations($1, $2)", store_id, [done, failed]
        )
        await connection.execute("SELECT complete_store_generation($1, $2, 'key')", store_id, done)
        await connection.execute(
            "SELECT fail_store_generation($1, $2, 'GENERATION_FAILED', '')", store_id, failed
        )


async def move_overage(connection: Connection, store_id: UUID, stop: asyncio.Event) -> None:
    """Overage that is given back before its bill and after it, month after month."""
    await connection.execute("SELECT set_store_overage_limit($1, 10)", store_id)
    for month in range(MOVES_MAX):
        if stop.is_set():
            return
        for request_id in ("kept", "early", "late"):
            await connection.execute(DEDUCT, store_id, 1, f"{request_id} {month}")
        await connection.execute(
            "SELECT refund_store_credits($1, 1, $2)", store_id, f"early {month}"
        )
        closed = await connection.fetchval(
            """SELECT close_store_overage(
                   $1, ('2026-01-01'::date + $2 * interval '1 month')::date, 18, 'USD')""",
            store_id,
            month,
        )
        assert closed
        await connection.execute(
            "SELECT refund_store_credits($1, 1, $2)", store_id, f"late {month}"
        )
        await connection.execute(
            "SELECT claw_back_store_credits($1, 1, $2)", store_id, f"late {month}"
        )


async def move_user_credits(connection: Connection, user_id: UUID, stop: asyncio.Event) -> None:
    """What an end user does, over and over."""
    for number in range(MOVES_MAX):
        if stop.is_set():
            return
        await connection.execute("SELECT deduct_credits($1, 2, $2)", user_id, f"d{number}")
        await connection.execute("SELECT refund_credits($1, 1, $2)", user_id, f"d{number}")
        session_id = uuid7()
        await connection.execute(
            "SELECT * FROM create_generation($1, $2, $3, $4, '{}', NULL)",
            user_id,
            session_id,
            f"failed {number}",
            bytes(32),
        )
        await connection.execute(
            "SELECT * FROM fail_generation($1, $2, 'GENERATION_FAILED', '')", user_id, session_id
        )


async def make_buyers(connection: Connection, stop: asyncio.Event) -> None:
    """New stores and end users that pay and get money back."""
    for _ in range(MOVES_MAX):
        if stop.is_set():
            return
        await buy(connection, Owner.store(await open_store(connection, 1)))
        await buy(connection, Owner.user(await open_user(connection, 1)))
