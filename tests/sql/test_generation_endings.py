"""A generation is worked on and ends: completed, or failed and refunded, once and for all."""

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
    complete,
    create_one,
    fail,
    session,
    start,
)


async def test_each_start_counts_an_attempt_and_hands_out_the_input(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    session_id = await create_one(app, store_id)

    for attempt in (1, 2, 3):
        (row,) = await start(app, store_id, session_id)
        assert (row["outcome"], row["attempts"], row["request_id"]) == ("started", attempt, "r1")
        assert row["input"] == INPUT

    begun = await session(books, store_id, session_id)
    assert (begun["status"], begun["attempts"]) == ("processing", 3)
    (again,) = await start(app, store_id, session_id)
    assert (await session(books, store_id, session_id))["started_at"] == begun["started_at"]
    assert again["created_at"] == begun["created_at"]
    assert (await credits_of(books, store_id)).balance == 0, "a worker never deducts"


async def test_a_completed_generation_keeps_its_result_and_its_credit(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    session_id = await create_one(app, store_id)
    assert await complete(app, store_id, session_id) == "not_started"
    await start(app, store_id, session_id)

    assert await complete(app, store_id, session_id, "first") == "completed"
    before = await snapshot(books, store_id)
    assert await complete(app, store_id, session_id, "first") == "completed"
    assert await complete(app, store_id, session_id, "other") == "already_completed"
    assert await fail(app, store_id, session_id) == "already_completed"
    (row,) = await start(app, store_id, session_id)
    assert (row["outcome"], row["input"]) == ("already_completed", None)

    assert await snapshot(books, store_id) == before
    done = await session(books, store_id, session_id)
    assert (done["status"], done["result_key"], done["input"]) == ("completed", "first", None)
    assert done["error_code"] is None
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]
    assert (await credits_of(books, store_id)).balance == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_a_failed_generation_gives_its_credit_back_once(
    app: asyncpg.Connection, books: asyncpg.Connection, begun: bool
) -> None:
    store_id = await open_store(app, 1)
    session_id = await create_one(app, store_id)
    if begun:
        await start(app, store_id, session_id)

    assert await fail(app, store_id, session_id) == "failed"
    before = await snapshot(books, store_id)
    assert await fail(app, store_id, session_id) == "already_failed"
    assert await complete(app, store_id, session_id) == "already_failed"
    (row,) = await start(app, store_id, session_id)
    assert (row["outcome"], row["input"]) == ("already_failed", None)

    assert await snapshot(books, store_id) == before
    assert (await ledger(books, store_id))[1:] == [
        Row(2, "deduction", 1, 0, "r1"),
        Row(3, "refund", 1, 1, "r1"),
    ]
    lost = await session(books, store_id, session_id)
    assert (lost["status"], lost["error_code"]) == ("failed", "GENERATION_FAILED")
    assert (lost["error_message"], lost["input"]) == ("Broke.", None)
    refund_of = await books.fetchval(
        "SELECT session_id FROM store_credit_transactions WHERE store_id = $1 AND type = 'refund'",
        store_id,
    )
    assert refund_of == session_id
    await assert_books_balance(books, store_id)


async def test_a_batch_of_failures_refunds_each_session_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 4)
    queued, begun, done, lost = [await create_one(app, store_id, f"r{n}") for n in range(4)]
    await start(app, store_id, begun, done)
    await complete(app, store_id, done)
    await fail(app, store_id, lost)

    rows = await app.fetch(
        "SELECT ord, outcome, balance FROM fail_store_generations($1, $2, $3, $3)",
        store_id,
        [lost, begun, done, uuid4(), queued, begun, None],
        [f"CODE {n}" for n in range(1, 8)],
    )

    assert [tuple(row) for row in rows] == [
        (1, "already_failed", 3),
        (2, "failed", 3),
        (3, "already_completed", 3),
        (4, "not_found", 3),
        (5, "failed", 3),
        (6, "already_failed", 3),
        (7, "not_found", 3),
    ]
    assert (await session(books, store_id, begun))["error_code"] == "CODE 2"
    assert (await session(books, store_id, queued))["error_code"] == "CODE 5"
    refunds = [row.request_id for row in await ledger(books, store_id) if row.type == "refund"]
    assert sorted(refunds) == ["r0", "r1", "r3"]
    await assert_books_balance(books, store_id)


async def test_batches_of_starts_and_completions_answer_each_item(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 3)
    one, two, queued = [await create_one(app, store_id, f"r{n}") for n in range(3)]

    begun = await start(app, store_id, two, uuid4(), one, two)
    assert [(row["ord"], row["outcome"], row["attempts"]) for row in begun] == [
        (1, "started", 1),
        (2, "not_found", None),
        (3, "started", 1),
        (4, "started", 1),  # twice in one batch is one attempt
    ]

    rows = await app.fetch(
        "SELECT ord, outcome FROM complete_store_generations($1, $2, $3)",
        store_id,
        [two, queued, one, uuid4(), two],
        ["key two", "key queued", "key one", "key none", "late key"],
    )
    assert [tuple(row) for row in rows] == [
        (1, "completed"),
        (2, "not_started"),
        (3, "completed"),
        (4, "not_found"),
        (5, "already_completed"),
    ]
    assert (await session(books, store_id, one))["result_key"] == "key one"
    assert (await session(books, store_id, two))["result_key"] == "key two"


async def test_arrays_that_do_not_count_from_one_fail_the_sessions_they_name(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    one, two = await create_one(app, store_id, "r1"), await create_one(app, store_id, "r2")

    outcomes = await app.fetch(
        f"""SELECT outcome FROM fail_store_generations(
                $1, '[0:1]={{{one},{uuid4()}}}', '[5:6]={{A,B}}', '[2:3]={{a,b}}')""",
        store_id,
    )

    assert [row["outcome"] for row in outcomes] == ["failed", "not_found"]
    assert (await session(books, store_id, one))["error_code"] == "A"
    assert (await session(books, store_id, two))["status"] == "queued"
    assert (await ledger(books, store_id))[-1] == Row(4, "refund", 1, 1, "r1")


async def test_a_session_whose_credit_was_given_back_before_fails_without_another_refund(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    session_id = await create_one(app, store_id)
    await app.execute("SELECT refund_store_credits($1, 1, 'r1')", store_id)

    assert await fail(app, store_id, session_id) == "failed"

    assert await credits_of(books, store_id) == (1, 1, 0, 3)


async def test_a_session_without_its_deduction_refuses_to_fail(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    good, bad = await create_one(app, store_id), uuid7()
    await books.execute(
        """INSERT INTO store_generation_sessions (store_id, session_id, request_id, fingerprint)
           VALUES ($1, $2, 'never paid', $3)""",
        store_id,
        bad,
        CONTENT,
    )
    before = await snapshot(books, store_id)

    both = app.fetch(
        "SELECT fail_store_generations($1, $2, '{E,E}', '{e,e}')", store_id, [good, bad]
    )
    assert await sqlstate_of(both) == "SC005"

    assert await snapshot(books, store_id) == before


async def test_a_forgotten_result_leaves_the_session_completed(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    forget = "SELECT forget_store_generation_result($1, $2)"
    store_id = await open_store(app, 1)
    session_id = await create_one(app, store_id)
    assert await app.fetchval(forget, store_id, session_id) is False
    await start(app, store_id, session_id)
    await complete(app, store_id, session_id)

    assert await app.fetchval(forget, store_id, session_id) is True
    assert await app.fetchval(forget, store_id, session_id) is False

    forgotten = await session(books, store_id, session_id)
    assert (forgotten["status"], forgotten["result_key"]) == ("completed", None)
    assert await complete(app, store_id, session_id, "new") == "already_completed"
