"""End users are made at their first call: ensure_user, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import connect
from tests.sql.books import Row, sqlstate_of
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)

NOTHING: list[list[object]] = [[], [], [], []]
RACES = 20
WAIT_SECONDS = 60

ENSURE = "SELECT ensure_user($1, $2)"


async def test_the_first_call_makes_the_user_with_its_starter_credits(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = uuid4()

    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    assert await user_credits_of(books, user_id) == (10, 10, 0, 0, 1)
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
    assert await books.fetchval("SELECT count(*) FROM users WHERE user_id = $1", user_id) == 1
    description = "SELECT description FROM credit_transactions WHERE user_id = $1"
    assert await books.fetchval(description, user_id) == "Starter credits"


@pytest.mark.parametrize("starter_credits", [0, 10, 500, None])
async def test_every_further_call_changes_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection, starter_credits: int | None
) -> None:
    user_id = await open_user(app, 10)
    await app.execute("SELECT deduct_credits($1, 10, 'r1')", user_id)
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(ENSURE, user_id, starter_credits) == "there"

    assert await user_snapshot(books, user_id) == before


@pytest.mark.parametrize("starter_credits", [0, None])
async def test_without_starter_credits_nothing_stands_in_the_ledger(
    app: asyncpg.Connection, books: asyncpg.Connection, starter_credits: int | None
) -> None:
    user_id = uuid4()

    assert await app.fetchval(ENSURE, user_id, starter_credits) == "made"
    # Nor do credits come later, when the setting was changed.
    assert await app.fetchval(ENSURE, user_id, 10) == "there"

    assert await user_credits_of(books, user_id) == (0, 0, 0, 0, 0)
    assert await user_ledger(books, user_id) == []


@pytest.mark.parametrize("user_id, sqlstate", [(uuid4(), "SC002"), (None, "SC002")])
async def test_negative_starter_credits_make_no_user(
    app: asyncpg.Connection, books: asyncpg.Connection, user_id: UUID | None, sqlstate: str
) -> None:
    assert await sqlstate_of(app.fetchval(ENSURE, user_id, -1)) == sqlstate

    if user_id:
        assert await user_snapshot(books, user_id) == NOTHING


async def test_nobody_is_no_user(app: asyncpg.Connection) -> None:
    not_null_violation = "23502"
    assert await sqlstate_of(app.fetchval(ENSURE, None, 10)) == not_null_violation


async def test_of_twenty_first_calls_at_once_one_makes_the_user(
    books_url: str, books: asyncpg.Connection
) -> None:
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))
    for _ in range(RACES):
        user_id = uuid4()

        answers = await asyncio.gather(
            *(connection.fetchval(ENSURE, user_id, 10) for connection in connections)
        )

        assert sorted(answers) == ["made"] + ["there"] * 19
        assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
        assert await user_credits_of(books, user_id) == (10, 10, 0, 0, 1)
    await asyncio.gather(*(connection.close() for connection in connections))


async def test_a_call_that_was_not_first_answers_once_the_user_is_there_entirely(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, other = uuid4(), await connect(books_url)
    making = app.transaction()
    await making.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 10))
    await wait_until_blocked(books, other)
    assert await user_snapshot(books, user_id) == NOTHING
    await making.commit()

    assert await second == "there"
    assert await other.fetchval("SELECT deduct_credits($1, 10, 'r1')", user_id) is True
    await assert_user_books_balance(books, user_id)
    await other.close()


async def test_a_user_whose_making_was_undone_is_made_by_the_call_that_waited(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id, other = uuid4(), await connect(books_url)
    making = app.transaction()
    await making.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 7))
    await wait_until_blocked(books, other)
    await making.rollback()

    assert await second == "made"
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 7, 7, "signup")]
    await other.close()


async def test_of_several_calls_that_would_give_what_was_withheld_one_does(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    withholding = "SELECT ensure_user($1, $2, true)"
    user_id, other = uuid4(), await connect(books_url)
    assert await app.fetchval(withholding, user_id, 10) == "made"
    assert await app.fetchval(withholding, user_id, 10) == "there"
    assert await user_credits_of(books, user_id) == (0, 0, 0, 0, 0)
    giving = app.transaction()
    await giving.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "given"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 10))
    await wait_until_blocked(books, other)
    await giving.commit()

    assert await second == "there"
    assert await app.fetchval(withholding, user_id, 10) == "there"
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
    await assert_user_books_balance(books, user_id)
    await other.close()


async def wait_until_blocked(books: asyncpg.Connection, waiting: asyncpg.Connection) -> None:
    """Return once the other connection waits for a lock that somebody holds."""
    blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
    async with asyncio.timeout(WAIT_SECONDS):
        # Locks of a database set no event.
        while not await books.fetchval(blocked, waiting.get_server_pid()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_signing_up_is_not_in_the_way_of_other_requests(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 3)

    assert await app.fetchval("SELECT deduct_credits($1, 1, 'signup')", user_id) is True
    refused = await sqlstate_of(app.fetchval("SELECT refund_credits($1, 3, 'signup')", user_id))
    assert refused == "SC006", "the bonus is nothing that could be given back"
    assert await app.fetchval("SELECT refund_credits($1, 1, 'signup')", user_id) is True

    await assert_user_books_balance(books, user_id)
