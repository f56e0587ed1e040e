"""Many at once on end users' credits: calls and batches that meet, read back from the tables."""

import asyncio
from uuid import uuid4

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection, connect
from tests.sql.books import Row
from tests.sql.generations import CONTENT
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
)
from tests.sql.user_generations import (
    complete,
    create_in_turn,
    create_one,
    fail,
    session,
    start,
)

RACES = 25

DEDUCT = "SELECT deduct_credits($1, $2, $3)"


async def test_fifty_at_once_get_what_twenty_credits_pay_for(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 20)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(50)))

    answers = await asyncio.gather(
        *(each.fetchval(DEDUCT, user_id, 1, f"r{n}") for n, each in enumerate(connections))
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(answers) == [False] * 30 + [True] * 20
    assert await user_credits_of(books, user_id) == (0, 20, 20, 0, 21)
    await assert_user_books_balance(books, user_id)
    taken = {row.request_id for row in (await user_ledger(books, user_id))[1:]}
    assert taken == {f"r{n}" for n, answer in enumerate(answers) if answer}


async def test_one_request_sent_by_twenty_at_once_deducts_once(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 100)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(DEDUCT, user_id, 2, "r1") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert answers == [True] * 20
    assert (await user_ledger(books, user_id))[1:] == [Row(2, "generation", 2, 98, "r1")]
    await assert_user_books_balance(books, user_id)


async def test_every_kind_of_movement_at_once_counts(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 100)
    for n in range(5):
        await app.fetchval(DEDUCT, user_id, 2, f"old {n}")
    calls = [
        f"SELECT {call}"
        for n in range(5)
        for call in (
            f"add_credits($1, 3, 'purchase', 'order {n}')",
            f"claw_back_credits($1, 4, 'refunded {n}')",
            f"deduct_credits($1, 1, 'new {n}')",
            f"refund_credits($1, 2, 'old {n}')",
        )
    ]
    connections = await asyncio.gather(*(connect(books_url) for _ in calls))

    await asyncio.gather(
        *(each.execute(call, user_id) for each, call in zip(connections, calls, strict=True))
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert await user_credits_of(books, user_id) == (90, 115, 5, 20, 26)
    await assert_user_books_balance(books, user_id)


async def test_one_request_sent_by_twenty_at_once_makes_one_session(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 20)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(create_in_turn(connection, [(user_id, "r1", CONTENT)]) for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    outcomes = [rows[0]["outcome"] for rows in answers]
    assert sorted(outcomes) == ["created"] + ["replayed"] * 19
    assert len({rows[0]["session_id"] for rows in answers}) == 1
    assert (await user_credits_of(books, user_id)).balance == 19


async def test_of_a_completion_and_a_failure_at_once_one_wins(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, RACES)
    other = await connect(books_url)
    refunds = 0

    for race in range(RACES):
        session_id = await create_one(app, user_id, f"r{race}")
        await start(app, user_id, session_id)
        completed, failed = await asyncio.gather(
            complete(app, user_id, session_id), fail(other, user_id, session_id)
        )
        final = (await session(books, user_id, session_id))["status"]
        assert (completed, failed, final) in {
            ("completed", "already_completed", "completed"),
            ("already_failed", "failed", "failed"),
        }
        refunds += final == "failed"
    await other.close()

    assert (await user_credits_of(books, user_id)).balance == refunds
    await assert_user_books_balance(books, user_id)


async def test_of_twenty_failures_at_once_one_refunds(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    outcomes = await asyncio.gather(*(fail(each, user_id, session_id) for each in connections))
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(outcomes) == ["already_failed"] * 19 + ["failed"]
    assert await user_credits_of(books, user_id) == (1, 1, 0, 0, 3)


async def test_batches_over_the_same_users_in_any_order_do_not_deadlock(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    users = [await open_user(app, 1000) for _ in range(6)]
    connections = await asyncio.gather(*(connect(books_url) for _ in range(4)))

    async def create_start_and_fail(connection: Connection, turn: int) -> None:
        for race in range(RACES):
            # Each connection meets the users, and each user's sessions, in an order of its own.
            order = (users[turn:] + users[:turn]) * 2
            order = order if race % 2 else order[::-1]
            ids = [f"{turn} {race} {n}" for n in range(len(order))]
            rows = await connection.fetch(
                "SELECT * FROM create_generations_across_users($1, $2, $3, $4, $5, $5)",
                order,
                [uuid7() for _ in order],
                ids,
                [CONTENT] * len(order),
                [None] * len(order),
            )
            assert {row["outcome"] for row in rows} == {"created"}
            made = [row["session_id"] for row in sorted(rows, key=lambda row: int(row["ord"]))]
            await connection.execute(
                "SELECT start_generations_across_users($1, $2)", order[::-1], made[::-1]
            )
            failed = await connection.fetch(
                "SELECT * FROM fail_generations_across_users($1, $2, $3, $3)", order, made, ids
            )
            assert {row["outcome"] for row in failed} == {"failed"}

    await asyncio.gather(*(create_start_and_fail(each, n) for n, each in enumerate(connections)))
    await asyncio.gather(*(connection.close() for connection in connections))

    for user_id in users:
        assert (await user_credits_of(books, user_id)).balance == 1000
        await assert_user_books_balance(books, user_id)


async def test_workers_that_begin_and_end_the_same_sessions_in_any_order_do_not_deadlock(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    users = [await open_user(app, 8 * RACES), await open_user(app, 8 * RACES)]
    connections = await asyncio.gather(*(connect(books_url) for _ in range(4)))
    begin = "SELECT start_generations_across_users($1, $2)"
    finish = "SELECT complete_generations_across_users($1, $2, $3)"
    give_up = "SELECT fail_generations_across_users($1, $2, $3, $3)"

    for race in range(RACES):
        owners = users * 8
        batch = [(owner, f"r{race} {n}", CONTENT) for n, owner in enumerate(owners)]
        made = [row["session_id"] for row in await create_in_turn(app, batch)]
        keys = ["k"] * len(made)
        await asyncio.gather(
            connections[0].execute(begin, owners, made),
            connections[1].execute(begin, owners[::-1], made[::-1]),
            connections[2].execute(begin, owners[5:] + owners[:5], made[5:] + made[:5]),
        )
        await asyncio.gather(
            connections[0].execute(finish, owners[:12], made[:12], keys[:12]),
            connections[1].execute(finish, owners[11::-1], made[11::-1], keys[:12]),
            connections[2].execute(begin, owners, made),
            connections[3].execute(give_up, owners[::-1], made[::-1], keys),
        )
    await asyncio.gather(*(connection.close() for connection in connections))

    for user_id in users:
        ended = await books.fetchval(
            "SELECT array_agg(status) FROM generation_sessions WHERE user_id = $1", user_id
        )
        assert set(ended) <= {"completed", "failed"}
        assert (await user_credits_of(books, user_id)).balance == ended.count("failed")
        await assert_user_books_balance(books, user_id)


async def test_first_calls_and_everything_after_them_at_once_make_sound_books(
    books_url: str, books: asyncpg.Connection
) -> None:
    users = [uuid4() for _ in range(5)]
    connections = await asyncio.gather(*(connect(books_url) for _ in range(8)))

    async def come_and_generate(connection: Connection, n: int) -> None:
        for user_id in users if n % 2 else users[::-1]:
            await connection.fetchval("SELECT ensure_user($1, 10)", user_id)
            await create_one(connection, user_id, f"r{n}")

    await asyncio.gather(*(come_and_generate(each, n) for n, each in enumerate(connections)))
    await asyncio.gather(*(connection.close() for connection in connections))

    for user_id in users:
        assert await user_credits_of(books, user_id) == (2, 10, 8, 0, 9)
        await assert_user_books_balance(books, user_id)
