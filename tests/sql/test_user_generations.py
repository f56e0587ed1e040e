"""An end user's generation begins: replay check, deduction and session are one."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.sql.books import Row, sqlstate_of
from tests.sql.generations import CONTENT, INPUT, OTHER_CONTENT
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)
from tests.sql.user_generations import (
    complete,
    create_in_turn,
    create_one,
    fail,
    session,
    start,
)


async def test_a_generation_takes_one_credit_and_is_queued(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 2)

    (row,) = await create_in_turn(app, [(user_id, "r1", CONTENT)])

    assert (row["outcome"], row["status"], row["balance"]) == ("created", "queued", 1)
    assert (await user_ledger(books, user_id))[1:] == [Row(2, "generation", 1, 1, "r1")]
    made = await session(books, user_id, row["session_id"])
    assert made["request_id"] == "r1"
    assert made["fingerprint"] == CONTENT
    assert (made["input"], made["metadata"]) == (INPUT, '{"order":"1"}')
    assert (made["status"], made["attempts"]) == ("queued", 0)
    assert made["started_at"] is made["completed_at"] is None
    paid_for = await books.fetchrow(
        "SELECT session_id, description FROM credit_transactions"
        " WHERE user_id = $1 AND type = 'generation'",
        user_id,
    )
    assert paid_for is not None
    assert tuple(paid_for) == (row["session_id"], "Image generation")
    await assert_user_books_balance(books, user_id)


async def test_one_generation_can_be_created_by_itself(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, session_id = await open_user(app, 1), uuid7()

    row = await app.fetchrow(
        "SELECT * FROM create_generation($1, $2, 'r1', $3, '{}', NULL)",
        user_id,
        session_id,
        CONTENT,
    )

    assert row is not None
    assert tuple(row) == ("created", session_id, "queued", 0, "balance")
    assert (await session(books, user_id, session_id))["status"] == "queued"


async def test_the_same_request_answers_with_its_session_at_every_status(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 2)
    done, lost = await create_one(app, user_id, "done"), await create_one(app, user_id, "lost")

    async def replay() -> list[tuple[object, ...]]:
        rows = await create_in_turn(app, [(user_id, "done", CONTENT), (user_id, "lost", CONTENT)])
        return [tuple(row) for row in rows]

    def answers(first: str, second: str, balance: int) -> list[tuple[object, ...]]:
        return [
            (1, "replayed", done, first, balance, "balance"),
            (2, "replayed", lost, second, balance, "balance"),
        ]

    assert await replay() == answers("queued", "queued", 0)
    await start(app, user_id, done, lost)
    assert await replay() == answers("processing", "processing", 0)
    await complete(app, user_id, done)
    await fail(app, user_id, lost)
    before = await user_snapshot(books, user_id)
    assert await replay() == answers("completed", "failed", 1)
    assert await user_snapshot(books, user_id) == before


async def test_the_same_request_with_other_content_is_a_conflict(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 2)
    await create_one(app, user_id, "r1", CONTENT)
    before = await user_snapshot(books, user_id)

    (row,) = await create_in_turn(app, [(user_id, "r1", OTHER_CONTENT)])

    assert row["outcome"] == "conflict"
    assert await user_snapshot(books, user_id) == before


async def test_a_request_that_deducted_directly_is_a_conflict(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 9)
    await app.execute("SELECT deduct_credits($1, 1, 'one')", user_id)
    await app.execute("SELECT deduct_credits($1, 3, 'three')", user_id)
    before = await user_snapshot(books, user_id)

    rows = await create_in_turn(
        app, [(user_id, "one", CONTENT), (user_id, "three", CONTENT), (user_id, "one", b"x" * 32)]
    )

    answers = [(row["outcome"], row["session_id"], row["status"]) for row in rows]
    assert answers == [("conflict", None, None)] * 3
    assert await user_snapshot(books, user_id) == before


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)
    before = await user_snapshot(books, user_id)

    (row,) = await create_in_turn(app, [(user_id, "r1", CONTENT)])
    assert tuple(row) == (1, "insufficient", None, None, 0, None)
    assert await user_snapshot(books, user_id) == before

    await app.execute("SELECT add_credits($1, 1, 'purchase', 'order')", user_id)
    await create_one(app, user_id, "r1", OTHER_CONTENT)
    assert (await user_credits_of(books, user_id)).balance == 0


async def test_a_batch_settles_each_request_at_its_place(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, poor, other = await open_user(app, 3), await open_user(app), await open_user(app, 5)
    old = await create_one(app, user_id, "old")

    rows = await create_in_turn(
        app,
        [
            (other, "a", CONTENT),
            (user_id, "a", CONTENT),
            (user_id, "a", CONTENT),
            (user_id, "a", OTHER_CONTENT),
            (poor, "a", CONTENT),
            (user_id, "old", CONTENT),
            (user_id, "old", OTHER_CONTENT),
            (user_id, "b", CONTENT),
            (user_id, "c", CONTENT),
            (user_id, "c", CONTENT),
            (user_id, "c", OTHER_CONTENT),
            (other, "b", CONTENT),
            (user_id, "b", CONTENT),
        ],
    )

    assert [(row["outcome"], row["balance"]) for row in rows] == [
        ("created", 4),
        ("created", 1),
        ("replayed", 1),
        ("conflict", 1),
        ("insufficient", 0),
        ("replayed", 1),
        ("conflict", 1),
        ("created", 0),
        ("insufficient", 0),
        ("insufficient", 0),
        ("insufficient", 0),  # a refused request leaves no trace to be in conflict with
        ("created", 3),
        ("replayed", 0),
    ]
    a, b = rows[1]["session_id"], rows[7]["session_id"]
    assert rows[2]["session_id"] == a
    assert (rows[5]["session_id"], rows[12]["session_id"]) == (old, b)
    made = await books.fetch(
        "SELECT session_id, request_id FROM generation_sessions WHERE user_id = $1"
        " ORDER BY session_id",
        user_id,
    )
    assert [tuple(row) for row in made] == [(old, "old"), (a, "a"), (b, "b")]
    assert (await user_ledger(books, user_id))[2:] == [
        Row(3, "generation", 1, 1, "a"),
        Row(4, "generation", 1, 0, "b"),
    ]
    for each in (user_id, poor, other):
        await assert_user_books_balance(books, each)


async def test_an_empty_batch_does_nothing(app: asyncpg.Connection) -> None:
    assert await create_in_turn(app, []) == []
    for call in (
        "start_generations_across_users('{}', '{}')",
        "complete_generations_across_users('{}', '{}', '{}')",
        "fail_generations_across_users('{}', '{}', '{}', '{}')",
    ):
        assert await app.fetch(f"SELECT * FROM {call}") == []


async def test_arrays_that_do_not_count_from_one_create_what_they_say(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    rich, poor = await open_user(app, 1), await open_user(app)
    one, two = uuid7(), uuid7()

    rows = await app.fetch(
        f"""SELECT ord, outcome, session_id FROM create_generations_across_users(
                '[0:1]={{{rich},{poor}}}', '[5:6]={{{one},{two}}}', '[-1:0]={{a,b}}', $1,
                '[3:4]={{NULL,NULL}}', '{{NULL,NULL}}') ORDER BY ord""",
        [CONTENT, CONTENT],
    )

    assert [tuple(row) for row in rows] == [(1, "created", one), (2, "insufficient", None)]
    assert (await session(books, rich, one))["request_id"] == "a"


async def test_another_users_session_is_not_found(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    owner, other = await open_user(app, 2), await open_user(app, 1)
    begun, done = await create_one(app, owner, "begun"), await create_one(app, owner, "done")
    await start(app, owner, begun, done)
    await complete(app, owner, done)
    before = await user_snapshot(books, owner)

    for session_id in (begun, done):
        assert [row["outcome"] for row in await start(app, other, session_id)] == ["not_found"]
        assert await complete(app, other, session_id) == "not_found"
        assert await fail(app, other, session_id) == "not_found"
        assert not await app.fetchval("SELECT forget_generation_result($1, $2)", other, session_id)

    assert await user_snapshot(books, owner) == before
    assert (await user_credits_of(books, other)).balance == 1


@pytest.mark.parametrize("request_id", ["", "x" * 201, None])
async def test_a_bad_request_id_refuses_the_whole_batch(
    app: asyncpg.Connection, books: asyncpg.Connection, request_id: Any
) -> None:
    user_id = await open_user(app, 5)
    before = await user_snapshot(books, user_id)

    batch = [(user_id, "good", CONTENT), (user_id, request_id, CONTENT)]
    assert await sqlstate_of(create_in_turn(app, batch)) == "SC003"

    assert await user_snapshot(books, user_id) == before
    await create_one(app, user_id, "x" * 200)


async def test_an_unknown_user_refuses_the_whole_batch(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 5)
    session_id = await create_one(app, user_id)
    before = await user_snapshot(books, user_id)

    batch = [(user_id, "good", CONTENT), (uuid4(), "good", CONTENT)]
    assert await sqlstate_of(create_in_turn(app, batch)) == "SC008"
    failing = app.execute(
        "SELECT fail_generations_across_users($1, $2, '{E,E}', '{e,e}')",
        [user_id, uuid4()],
        [session_id, session_id],
    )
    assert await sqlstate_of(failing) == "SC008"

    assert await user_snapshot(books, user_id) == before
