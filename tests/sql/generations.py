"""Generation sessions in SQL, for tests: the calls a service makes, and the row they leave."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection

CONTENT, OTHER_CONTENT = b"c" * 32, b"o" * 32
INPUT = '{"image_urls":[]}'


async def create(
    connection: Connection, store_id: UUID, items: Sequence[tuple[str, bytes]]
) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT * FROM create_store_generations($1, $2, $3, $4, $5, $6)",
        store_id,
        [uuid7() for _ in items],
        [request_id for request_id, _ in items],
        [content for _, content in items],
        [INPUT] * len(items),
        ['{"order":"1"}'] * len(items),
    )


async def create_one(
    connection: Connection, store_id: UUID, request_id: str = "r1", content: bytes = CONTENT
) -> UUID:
    (row,) = await create(connection, store_id, [(request_id, content)])
    assert row["outcome"] == "created"
    return UUID(str(row["session_id"]))


async def start(connection: Connection, store_id: UUID, *ids: UUID) -> list[asyncpg.Record]:
    return await connection.fetch("SELECT * FROM start_store_generations($1, $2)", store_id, ids)


async def complete(connection: Connection, store_id: UUID, session_id: UUID, key: str = "k") -> str:
    return str(
        await connection.fetchval(
            "SELECT complete_store_generation($1, $2, $3)", store_id, session_id, key
        )
    )


async def fail(connection: Connection, store_id: UUID, session_id: UUID) -> str:
    return str(
        await connection.fetchval(
            "SELECT fail_store_generation($1, $2, 'GENERATION_FAILED', 'Broke.')",
            store_id,
            session_id,
        )
    )


async def session(connection: Connection, store_id: UUID, session_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(
        "SELECT * FROM store_generation_sessions WHERE store_id = $1 AND session_id = $2",
        store_id,
        session_id,
    )
    assert row is not None
    return dict(row)
