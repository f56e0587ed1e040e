"""A generation begins: replay check, deduction and session are one, read back from the tables."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.sql.books import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_store,
    snapshot,
    sqlstate_of,
)
from tests.sql.generations import (
    CONTENT,
    INPUT,
    OTHER_CONTENT,
    complete,
    create,
    create_one,
    fail,
    session,
    start,
)


async def test_a_generation_takes_one_credit_and_is_queued(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)

    (row,) = await create(app, store_id, [("r1", CONTENT)])

    assert (row["ord"], row["outcome"], row["status"], row["balance"]) == (
        1,
        "created",
        "queued",
        1,
    )
    assert (await ledger(books, store_id))[1:] == [Row(2, "deduction", 1, 1, "r1")]
    made = await session(books, store_id, row["session_id"])
    assert made["request_id"] == "r1"
    assert made["fingerprint"] == CONTENT
    assert (made["input"], made["metadata"]) == (INPUT, '{"order":"1"}')
    assert (made["status"], made["attempts"]) == ("queued", 0)
    assert made["started_at"] is made["completed_at"] is None
    paid_for = await books.fetchval(
        "SELECT session_id FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'deduction'",
        store_id,
    )
    assert paid_for == row["session_id"]
    await assert_books_balance(books, store_id)


async def test_the_same_request_answers_with_its_session_at_every_status(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    done, lost = await create_one(app, store_id, "done"), await create_one(app, store_id, "lost")

    async def replay() -> list[tuple[object, ...]]:
        rows = await create(app, store_id, [("done", CONTENT), ("lost", CONTENT)])
        return [tuple(row) for row in rows]

    def answers(first: str, second: str, balance: int) -> list[tuple[object, ...]]:
        return [
            (1, "replayed", done, first, balance, "balance"),
            (2, "replayed", lost, second, balance, "balance"),
        ]

    assert await replay() == answers("queued", "queued", 0)
    await start(app, store_id, done, lost)
    assert await replay() == answers("processing", "processing", 0)
    await complete(app, store_id, done)
    await fail(app, store_id, lost)
    before = await snapshot(books, store_id)
    assert await replay() == answers("completed", "failed", 1)
    assert await snapshot(books, store_id) == before


async def test_the_same_request_with_other_content_is_a_conflict(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    await create_one(app, store_id, "r1", CONTENT)
    before = await snapshot(books, store_id)

    (row,) = await create(app, store_id, [("r1", OTHER_CONTENT)])

    assert row["outcome"] == "conflict"
    assert await snapshot(books, store_id) == before


async def test_a_request_that_deducted_directly_is_a_conflict(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 9)
    await app.execute("SELECT deduct_store_credits($1, 1, 'one')", store_id)
    await app.execute("SELECT deduct_store_credits($1, 3, 'three')", store_id)
    before = await snapshot(books, store_id)

    rows = await create(
        app, store_id, [("one", CONTENT), ("three", CONTENT), ("one", CONTENT), ("one", b"x" * 32)]
    )

    assert [row["outcome"] for row in rows] == ["conflict"] * 4
    assert await snapshot(books, store_id) == before


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    before = await snapshot(books, store_id)

    (row,) = await create(app, store_id, [("r1", CONTENT)])
    assert tuple(row) == (1, "insufficient", None, None, 0, None)
    assert await snapshot(books, store_id) == before

    await app.execute("SELECT add_store_credits($1, 1, 'purchase', 'order')", store_id)
    await create_one(app, store_id, "r1", OTHER_CONTENT)
    assert (await credits_of(books, store_id)).balance == 0


async def test_a_batch_settles_each_request_in_order(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 3)
    old = await create_one(app, store_id, "old")

    rows = await create(
        app,
        store_id,
        [
            ("a", CONTENT),
            ("a", CONTENT),
            ("a", OTHER_CONTENT),
            ("old", CONTENT),
            ("old", OTHER_CONTENT),
            ("b", CONTENT),
            ("c", CONTENT),
            ("c", CONTENT),
            ("c", OTHER_CONTENT),
            ("b", CONTENT),
        ],
    )

    assert [row["ord"] for row in rows] == list(range(1, 11))
    assert [row["outcome"] for row in rows] == [
        "created",
        "replayed",
        "conflict",
        "replayed",
        "conflict",
        "created",
        "insufficient",
        "insufficient",
        "insufficient",  # a refused request leaves no trace to be in conflict with
        "replayed",
    ]
    a, b = rows[0]["session_id"], rows[5]["session_id"]
    assert (rows[1]["session_id"], rows[1]["status"]) == (a, "queued")
    assert (rows[3]["session_id"], rows[9]["session_id"]) == (old, b)
    made = await books.fetch(
        "SELECT session_id, request_id FROM store_generation_sessions WHERE store_id = $1"
        " ORDER BY session_id",
        store_id,
    )
    assert [tuple(row) for row in made] == [(old, "old"), (a, "a"), (b, "b")]
    assert (await ledger(books, store_id))[2:] == [
        Row(3, "deduction", 1, 1, "a"),
        Row(4, "deduction", 1, 0, "b"),
    ]
    await assert_books_balance(books, store_id)


async def test_stores_do_not_share_request_ids(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    one, other = await open_store(app, 1), await open_store(app, 1)

    made = [await create_one(app, one, "r1"), await create_one(app, other, "r1", OTHER_CONTENT)]

    assert made[0] != made[1]
    assert (await credits_of(books, one)).balance == (await credits_of(books, other)).balance == 0


async def test_another_stores_session_is_not_found(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    owner, other = await open_store(app, 1), await open_store(app, 1)
    session_id = await create_one(app, owner)
    before = await snapshot(books, owner)

    assert [row["outcome"] for row in await start(app, other, session_id)] == ["not_found"]
    assert await complete(app, other, session_id) == "not_found"
    assert await fail(app, other, session_id) == "not_found"
    assert not await app.fetchval(
        "SELECT forget_store_generation_result($1, $2)", other, session_id
    )

    assert await snapshot(books, owner) == before
    assert (await credits_of(books, other)).balance == 1


@pytest.mark.parametrize("request_id", ["", "x" * 201, None])
async def test_a_bad_request_id_refuses_the_whole_batch(
    app: asyncpg.Connection, books: asyncpg.Connection, request_id: Any
) -> None:
    store_id = await open_store(app, 5)
    before = await snapshot(books, store_id)

    batch = [("good", CONTENT), (request_id, CONTENT)]
    assert await sqlstate_of(create(app, store_id, batch)) == "SC003"

    assert await snapshot(books, store_id) == before
    await create_one(app, store_id, "x" * 200)


async def test_an_unknown_store_is_refused(app: asyncpg.Connection) -> None:
    assert await sqlstate_of(create(app, uuid4(), [("r1", CONTENT)])) == "SC001"
    assert await sqlstate_of(fail(app, uuid4(), uuid4())) == "SC001"


async def test_a_batch_across_stores_answers_each_item_at_its_place(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    one, poor, other = await open_store(app, 5), await open_store(app), await open_store(app, 5)
    order = [other, one, poor, other, one]
    sessions = [uuid7() for _ in order]

    rows = await app.fetch(
        "SELECT * FROM create_generations_across_stores($1, $2, $3, $4, $5, $5)",
        order,
        sessions,
        ["a", "a", "a", "b", "a"],
        [CONTENT] * 5,
        [None] * 5,
    )

    answers = {row["ord"]: (row["outcome"], row["session_id"], row["balance"]) for row in rows}
    assert answers == {
        1: ("created", sessions[0], 4),
        2: ("created", sessions[1], 4),
        3: ("insufficient", None, 0),
        4: ("created", sessions[3], 3),
        5: ("replayed", sessions[1], 4),
    }
    begun = await app.fetch(
        "SELECT ord, outcome, request_id FROM start_generations_across_stores($1, $2)",
        order,
        sessions,
    )
    assert {tuple(row) for row in begun} == {
        (1, "started", "a"),
        (2, "started", "a"),
        (3, "not_found", None),
        (4, "started", "b"),
        (5, "not_found", None),
    }
    ended = await app.fetch(
        "SELECT * FROM complete_generations_across_stores($1, $2, $3)",
        [one, other],
        [sessions[1], sessions[0]],
        ["key one", "key other"],
    )
    assert {tuple(row) for row in ended} == {(1, "completed"), (2, "completed")}
    assert (await session(books, one, sessions[1]))["result_key"] == "key one"
    failed = await app.fetch(
        "SELECT * FROM fail_generations_across_stores($1, $2, $3, $3)",
        [other, one],
        [sessions[3], sessions[1]],
        ["E", "E"],
    )
    assert {tuple(row) for row in failed} == {(1, "failed", 4), (2, "already_completed", 4)}
