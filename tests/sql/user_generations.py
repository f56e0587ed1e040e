"""End users' generation sessions in SQL, for tests: the calls of a service, and the row left."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection
from tests.sql.generations import CONTENT, INPUT


async def create_in_turn(
    connection: Connection, items: Sequence[tuple[UUID, str | None, bytes]]
) -> list[asyncpg.Record]:
    """Create for each (user, request id, content) in one batch; the answers in its order."""
    rows = await connection.fetch(
        "SELECT * FROM create_generations_across_users($1, $2, $3, $4, $5, $6) ORDER BY ord",
        [user_id for user_id, _, _ in items],
        [uuid7() for _ in items],
        [request_id for _, request_id, _ in items],
        [content for _, _, content in items],
        [INPUT] * len(items),
        ['{"order":"1"}'] * len(items),
    )
    assert [row["ord"] for row in rows] == list(range(1, len(items) + 1))
    return rows


async def create_one(
    connection: Connection, user_id: UUID, request_id: str = "r1", content: bytes = CONTENT
) -> UUID:
    (row,) = await create_in_turn(connection, [(user_id, request_id, content)])
    assert row["outcome"] == "created"
    return UUID(str(row["session_id"]))


async def start(connection: Connection, user_id: UUID, *ids: UUID | None) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT * FROM start_generations_across_users($1, $2) ORDER BY ord",
        [user_id] * len(ids),
        ids,
    )


async def complete(connection: Connection, user_id: UUID, session_id: UUID, key: str = "k") -> str:
    return str(
        await connection.fetchval(
            "SELECT outcome FROM complete_generations_across_users($1, $2, $3)",
            [user_id],
            [session_id],
            [key],
        )
    )


async def fail(connection: Connection, user_id: UUID, session_id: UUID) -> str:
    return str(
        await connection.fetchval(
            "SELECT outcome FROM fail_generations_across_users($1, $2, $3, $4)",
            [user_id],
            [session_id],
            ["GENERATION_FAILED"],
            ["Broke."],
        )
    )


async def session(connection: Connection, user_id: UUID, session_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(
        "SELECT * FROM generation_sessions WHERE user_id = $1 AND session_id = $2",
        user_id,
        session_id,
    )
    assert row is not None
    return dict(row)
