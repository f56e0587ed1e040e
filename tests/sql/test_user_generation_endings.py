"""An end user's generation ends: completed, or failed and refunded, once and for all."""

from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.sql.books import Row, sqlstate_of
from tests.sql.generations import CONTENT, INPUT
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)
from tests.sql.user_generations import complete, create_one, fail, session, start


async def test_each_start_counts_an_attempt_and_hands_out_the_input(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)

    for attempt in (1, 2, 3):
        (row,) = await start(app, user_id, session_id)
        assert (row["outcome"], row["attempts"], row["request_id"]) == ("started", attempt, "r1")
        assert row["input"] == INPUT

    begun = await session(books, user_id, session_id)
    assert (begun["status"], begun["attempts"]) == ("processing", 3)
    (again,) = await start(app, user_id, session_id)
    assert (await session(books, user_id, session_id))["started_at"] == begun["started_at"]
    assert again["created_at"] == begun["created_at"]
    assert (await user_credits_of(books, user_id)).balance == 0, "a worker never deducts"


async def test_a_completed_generation_keeps_its_result_and_its_credit(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)
    assert await complete(app, user_id, session_id) == "not_started"
    await start(app, user_id, session_id)

    assert await complete(app, user_id, session_id, "first") == "completed"
    before = await user_snapshot(books, user_id)
    assert await complete(app, user_id, session_id, "first") == "completed"
    assert await complete(app, user_id, session_id, "other") == "already_completed"
    assert await fail(app, user_id, session_id) == "already_completed"
    (row,) = await start(app, user_id, session_id)
    assert (row["outcome"], row["input"]) == ("already_completed", None)

    assert await user_snapshot(books, user_id) == before
    done = await session(books, user_id, session_id)
    assert (done["status"], done["result_key"], done["input"]) == ("completed", "first", None)
    assert done["error_code"] is None
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]
    assert (await user_credits_of(books, user_id)).balance == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_a_failed_generation_gives_its_credit_back_once(
    app: asyncpg.Connection, books: asyncpg.Connection, begun: bool
) -> None:
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)
    if begun:
        await start(app, user_id, session_id)

    assert await fail(app, user_id, session_id) == "failed"
    before = await user_snapshot(books, user_id)
    assert await fail(app, user_id, session_id) == "already_failed"
    assert await complete(app, user_id, session_id) == "already_failed"
    (row,) = await start(app, user_id, session_id)
    assert (row["outcome"], row["input"]) == ("already_failed", None)

    assert await user_snapshot(books, user_id) == before
    assert (await user_ledger(books, user_id))[1:] == [
        Row(2, "generation", 1, 0, "r1"),
        Row(3, "refund", 1, 1, "r1"),
    ]
    lost = await session(books, user_id, session_id)
    assert (lost["status"], lost["error_code"]) == ("failed", "GENERATION_FAILED")
    assert (lost["error_message"], lost["input"]) == ("Broke.", None)
    refund = await books.fetchrow(
        "SELECT session_id, description FROM credit_transactions"
        " WHERE user_id = $1 AND type = 'refund'",
        user_id,
    )
    assert refund is not None
    assert tuple(refund) == (session_id, "Image generation failed")
    await assert_user_books_balance(books, user_id)


async def test_the_singular_forms_answer_as_their_batches(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 2)
    done, lost = await create_one(app, user_id, "done"), await create_one(app, user_id, "lost")

    outcome = "SELECT outcome FROM start_generation($1, $2)"
    assert await app.fetchval(outcome, user_id, done) == "started"
    complete_one = "SELECT complete_generation($1, $2, 'k')"
    assert await app.fetchval(complete_one, user_id, done) == "completed"
    failed = await app.fetchrow("SELECT * FROM fail_generation($1, $2, 'E', 'e')", user_id, lost)
    assert failed is not None
    assert tuple(failed) == ("failed", 1)

    assert await app.fetchval(outcome, user_id, uuid4()) == "not_found"
    assert await app.fetchval(complete_one, user_id, lost) == "already_failed"
    await assert_user_books_balance(books, user_id)


async def test_a_batch_of_failures_refunds_each_session_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, other = await open_user(app, 4), await open_user(app, 5)
    queued, begun, done, lost = [await create_one(app, user_id, f"r{n}") for n in range(4)]
    others = await create_one(app, other, "r1")
    await start(app, user_id, begun, done)
    await complete(app, user_id, done)
    await fail(app, user_id, lost)

    rows = await app.fetch(
        "SELECT ord, outcome FROM fail_generations_across_users($1, $2, $3, $3) ORDER BY ord",
        [user_id, other, user_id, user_id, user_id, user_id, other, user_id],
        [lost, others, begun, done, queued, begun, begun, None],
        [f"CODE {n}" for n in range(1, 9)],
    )

    assert [tuple(row) for row in rows] == [
        (1, "already_failed"),
        (2, "failed"),
        (3, "failed"),
        (4, "already_completed"),
        (5, "failed"),
        (6, "already_failed"),
        (7, "not_found"),
        (8, "not_found"),
    ]
    assert (await session(books, user_id, begun))["error_code"] == "CODE 3"
    assert (await session(books, user_id, queued))["error_code"] == "CODE 5"
    refunds = [row.request_id for row in await user_ledger(books, user_id) if row.type == "refund"]
    assert sorted(refunds) == ["r0", "r1", "r3"]
    assert await user_credits_of(books, user_id) == (3, 4, 1, 0, 8)
    assert await user_credits_of(books, other) == (5, 5, 0, 0, 3)
    for each in (user_id, other):
        await assert_user_books_balance(books, each)


async def test_each_failure_answers_with_the_balance_of_its_user(
    app: asyncpg.Connection,
) -> None:
    users = [await open_user(app, credits) for credits in (1, 10)]
    sessions = [await create_one(app, user_id) for user_id in users]

    for _ in range(2):
        rows = await app.fetch(
            "SELECT balance FROM fail_generations_across_users($1, $2, $3, $3) ORDER BY ord",
            users,
            sessions,
            ["E", "E"],
        )
        assert [row["balance"] for row in rows] == [1, 10]


async def test_batches_of_starts_and_completions_answer_each_item(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, other = await open_user(app, 3), await open_user(app, 1)
    one, two, queued = [await create_one(app, user_id, f"r{n}") for n in range(3)]
    others = await create_one(app, other, "others")

    begun = await app.fetch(
        "SELECT * FROM start_generations_across_users($1, $2) ORDER BY ord",
        [user_id, user_id, other, user_id, user_id, user_id],
        [two, uuid4(), others, one, two, others],
    )
    answers = [(row["ord"], row["outcome"], row["attempts"], row["request_id"]) for row in begun]
    assert answers == [
        (1, "started", 1, "r1"),
        (2, "not_found", None, None),
        (3, "started", 1, "others"),
        (4, "started", 1, "r0"),
        (5, "started", 1, "r1"),  # twice in one batch is one attempt
        (6, "not_found", None, None),
    ]

    rows = await app.fetch(
        "SELECT ord, outcome FROM complete_generations_across_users($1, $2, $3) ORDER BY ord",
        [user_id, user_id, other, user_id, user_id, user_id],
        [two, queued, others, one, uuid4(), two],
        ["key two", "key queued", "key others", "key one", "key none", "late key"],
    )
    assert [tuple(row) for row in rows] == [
        (1, "completed"),
        (2, "not_started"),
        (3, "completed"),
        (4, "completed"),
        (5, "not_found"),
        (6, "already_completed"),
    ]
    assert (await session(books, user_id, one))["result_key"] == "key one"
    assert (await session(books, user_id, two))["result_key"] == "key two"
    assert (await session(books, other, others))["result_key"] == "key others"


async def test_a_session_whose_credit_was_given_back_before_fails_without_another_refund(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)
    await app.execute("SELECT refund_credits($1, 1, 'r1')", user_id)

    assert await fail(app, user_id, session_id) == "failed"

    assert await user_credits_of(books, user_id) == (1, 1, 0, 0, 3)


async def test_a_session_without_its_deduction_refuses_to_fail(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    good, bad = await create_one(app, user_id), uuid7()
    await books.execute(
        """INSERT INTO generation_sessions (user_id, session_id, request_id, fingerprint)
           VALUES ($1, $2, 'never paid', $3)""",
        user_id,
        bad,
        CONTENT,
    )
    before = await user_snapshot(books, user_id)

    both = app.fetch(
        "SELECT fail_generations_across_users($1, $2, '{E,E}', '{e,e}')",
        [user_id] * 2,
        [good, bad],
    )
    assert await sqlstate_of(both) == "SC005"

    assert await user_snapshot(books, user_id) == before


async def test_a_forgotten_result_leaves_the_session_completed(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    forget = "SELECT forget_generation_result($1, $2)"
    user_id = await open_user(app, 1)
    session_id = await create_one(app, user_id)
    assert await app.fetchval(forget, user_id, session_id) is False
    await start(app, user_id, session_id)
    await complete(app, user_id, session_id)

    assert await app.fetchval(forget, user_id, session_id) is True
    assert await app.fetchval(forget, user_id, session_id) is False

    forgotten = await session(books, user_id, session_id)
    assert (forgotten["status"], forgotten["result_key"]) == ("completed", None)
    assert await complete(app, user_id, session_id, "new") == "already_completed"
