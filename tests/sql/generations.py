"""Generation sessions in SQL, for tests: the calls a service makes, and the row they leave."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account
from storecredit.postgres.servers import Connection

CONTENT, OTHER_CONTENT = b"c" * 32, b"o" * 32
INPUT: Final = '{"image_urls":[]}'
METADATA: Final = '{"order":"1"}'
ENTRYPOINT: Final = "generate"
CREATE: Final = "SELECT * FROM create_generations($1, $2, $3, $4, $5, $6, $7, $8, $9)"


Request = tuple[Account, str | None, bytes | None]
"""One request for a generation: whose, under which id, and the fingerprint of its content."""


class Created(NamedTuple):
    """What a request for a generation came to."""

    outcome: str
    session_id: UUID | None
    status: str | None
    balance: int
    charged_as: str | None
    credits: int | None


async def create_batch(
    connection: Connection,
    requests: Sequence[Request],
    ids: Sequence[UUID] | None = None,
    prices: Sequence[int | None] | None = None,
) -> list[Created]:
    """Ask for generations of any accounts, ascending; the answers in the requests' order.

    `prices`: what each costs; 1 where none are given.
    """
    ids = ids or [uuid7() for _ in requests]
    row = await connection.fetchrow(
        CREATE,
        [account.id for account, _, _ in requests],
        ids,
        [request_id for _, request_id, _ in requests],
        prices or [1] * len(requests),
        [content for _, _, content in requests],
        [INPUT] * len(requests),
        [METADATA] * len(requests),
        ENTRYPOINT,
        [each.bytes for each in ids],
    )
    assert row is not None
    names = ("outcomes", "session_ids", "statuses", "balances", "charged_as", "credits")
    return [Created(*answer) for answer in zip(*(row[name] for name in names), strict=True)]


async def create(
    connection: Connection, account: Account, items: Sequence[tuple[str | None, bytes]]
) -> list[Created]:
    """Ask for generations of one account."""
    return await create_batch(connection, [(account, *item) for item in items])


async def create_one(
    connection: Connection, account: Account, request_id: str = "r1", content: bytes = CONTENT
) -> UUID:
    (created,) = await create(connection, account, [(request_id, content)])
    assert created.outcome == "created"
    assert created.session_id is not None
    return created.session_id


async def start_batch(
    connection: Connection, items: Sequence[tuple[Account, UUID | None]]
) -> list[asyncpg.Record]:
    rows = await connection.fetch(
        "SELECT * FROM start_generations($1, $2) ORDER BY ord",
        [account.id for account, _ in items],
        [session_id for _, session_id in items],
    )
    assert [row["ord"] for row in rows] == list(range(1, len(items) + 1))
    return rows


async def start(
    connection: Connection, account: Account, *ids: UUID | None
) -> list[asyncpg.Record]:
    return await start_batch(connection, [(account, session_id) for session_id in ids])


async def complete_batch(
    connection: Connection, items: Sequence[tuple[Account, UUID | None, str]]
) -> list[str]:
    rows = await connection.fetch(
        "SELECT ord, outcome FROM complete_generations($1, $2, $3) ORDER BY ord",
        [account.id for account, _, _ in items],
        [session_id for _, session_id, _ in items],
        [key for _, _, key in items],
    )
    assert [row["ord"] for row in rows] == list(range(1, len(items) + 1))
    return [row["outcome"] for row in rows]


async def complete(
    connection: Connection, account: Account, session_id: UUID, key: str = "k"
) -> str:
    (outcome,) = await complete_batch(connection, [(account, session_id, key)])
    return outcome


async def fail_batch(
    connection: Connection,
    items: Sequence[tuple[Account, UUID | None]],
    codes: Sequence[str] | None = None,
    generator_messages: Sequence[str | None] | None = None,
) -> list[str]:
    rows = await connection.fetch(
        "SELECT ord, outcome FROM fail_generations($1, $2, $3, $4, $5) ORDER BY ord",
        [account.id for account, _ in items],
        [session_id for _, session_id in items],
        codes or ["GENERATION_FAILED"] * len(items),
        ["Broke."] * len(items),
        generator_messages or [None] * len(items),
    )
    assert [row["ord"] for row in rows] == list(range(1, len(items) + 1))
    return [row["outcome"] for row in rows]


async def fail(connection: Connection, account: Account, session_id: UUID) -> str:
    (outcome,) = await fail_batch(connection, [(account, session_id)])
    return outcome


async def session(connection: Connection, account: Account, session_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(
        "SELECT * FROM storecredit.sessions WHERE account_id = $1 AND session_id = $2",
        account.id,
        session_id,
    )
    assert row is not None
    return dict(row)


async def session_ids_paid_for(
    connection: Connection, account: Account, type_: str = "deduction"
) -> list[UUID | None]:
    """The sessions that movements of a type stand for, in their order."""
    rows = await connection.fetch(
        "SELECT session_id FROM storecredit.movements WHERE account_id = $1 AND type = $2"
        " ORDER BY seq",
        account.id,
        type_,
    )
    return [row["session_id"] for row in rows]
