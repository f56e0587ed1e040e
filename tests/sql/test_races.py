"""Many at once: deductions, sessions and batches that meet, read back from the tables."""

import asyncio

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection, connect
from tests.sql.books import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_store,
)
from tests.sql.generations import (
    CONTENT,
    complete,
    create,
    create_one,
    fail,
    session,
    start,
)

RACES = 25

DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"


async def test_fifty_at_once_get_what_twenty_credits_pay_for(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 20)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(50)))

    answers = await asyncio.gather(
        *(
            connection.fetchval(DEDUCT, store_id, 1, f"r{n}")
            for n, connection in enumerate(connections)
        )
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(answers) == [False] * 30 + [True] * 20
    assert await credits_of(books, store_id) == (0, 20, 20, 21)
    await assert_books_balance(books, store_id)
    taken = {row.request_id for row in (await ledger(books, store_id))[1:]}
    assert taken == {f"r{n}" for n, answer in enumerate(answers) if answer}


async def test_one_request_sent_by_twenty_at_once_deducts_once(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 100)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(DEDUCT, store_id, 2, "r1") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert answers == [True] * 20
    assert (await ledger(books, store_id))[1:] == [Row(2, "deduction", 2, 98, "r1")]
    await assert_books_balance(books, store_id)


async def test_of_a_completion_and_a_failure_at_once_one_wins(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, RACES)
    other = await connect(books_url)
    refunds = 0

    for race in range(RACES):
        session_id = await create_one(app, store_id, f"r{race}")
        await start(app, store_id, session_id)
        completed, failed = await asyncio.gather(
            complete(app, store_id, session_id), fail(other, store_id, session_id)
        )
        final = (await session(books, store_id, session_id))["status"]
        assert (completed, failed, final) in {
            ("completed", "already_completed", "completed"),
            ("already_failed", "failed", "failed"),
        }
        refunds += final == "failed"
    await other.close()

    assert (await credits_of(books, store_id)).balance == refunds
    await assert_books_balance(books, store_id)


async def test_one_request_sent_by_twenty_at_once_makes_one_session(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 20)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(create(connection, store_id, [("r1", CONTENT)]) for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    outcomes = [rows[0]["outcome"] for rows in answers]
    assert sorted(outcomes) == ["created"] + ["replayed"] * 19
    assert len({rows[0]["session_id"] for rows in answers}) == 1
    assert (await credits_of(books, store_id)).balance == 19


async def test_batches_over_the_same_stores_in_any_order_do_not_deadlock(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    stores = [await open_store(app, 1000) for _ in range(6)]
    connections = await asyncio.gather(*(connect(books_url) for _ in range(4)))

    async def create_start_and_fail(connection: Connection, turn: int) -> None:
        for race in range(RACES):
            # Each connection meets the stores, and each store's sessions, in an order of its own.
            order = (stores[turn:] + stores[:turn]) * 2
            order = order if race % 2 else order[::-1]
            ids = [f"{turn} {race} {n}" for n in range(len(order))]
            rows = await connection.fetch(
                "SELECT * FROM create_generations_across_stores($1, $2, $3, $4, $5, $5)",
                order,
                [uuid7() for _ in order],
                ids,
                [CONTENT] * len(order),
                [None] * len(order),
            )
            assert {row["outcome"] for row in rows} == {"created"}
            made = [row["session_id"] for row in sorted(rows, key=lambda row: int(row["ord"]))]
            await connection.execute(
                "SELECT start_generations_across_stores($1, $2)", order[::-1], made[::-1]
            )
            failed = await connection.fetch(
                "SELECT * FROM fail_generations_across_stores($1, $2, $3, $3)", order, made, ids
            )
            assert {row["outcome"] for row in failed} == {"failed"}

    await asyncio.gather(*(create_start_and_fail(each, n) for n, each in enumerate(connections)))
    await asyncio.gather(*(connection.close() for connection in connections))

    for store_id in stores:
        assert (await credits_of(books, store_id)).balance == 1000
        await assert_books_balance(books, store_id)


async def test_workers_that_end_the_same_sessions_in_any_order_do_not_deadlock(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 8)
    made = [await create_one(app, store_id, f"r{n}") for n in range(8)]
    connections = await asyncio.gather(*(connect(books_url) for _ in range(4)))
    keys = ["k"] * len(made)

    for _ in range(RACES):
        await asyncio.gather(
            start(connections[0], store_id, *made),
            start(connections[1], store_id, *made[::-1]),
            start(connections[2], store_id, *made[4:], *made[:4]),
        )
    await asyncio.gather(
        start(connections[0], store_id, *made),
        connections[1].execute(
            "SELECT complete_store_generations($1, $2, $3)", store_id, made, keys
        ),
        connections[2].execute(
            "SELECT complete_store_generations($1, $2, $3)", store_id, made[::-1], keys
        ),
        connections[3].execute(
            "SELECT fail_store_generations($1, $2, $3, $3)", store_id, made[::-1], keys
        ),
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    ended = [(await session(books, store_id, each))["status"] for each in made]
    assert set(ended) <= {"completed", "failed"}
    assert (await credits_of(books, store_id)).balance == ended.count("failed")
    await assert_books_balance(books, store_id)
