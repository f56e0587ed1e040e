"""End users are made at their first call: ensure_user, read back from the tables."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from storecredit.ledger.owners import Owner
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.generations import create_one
from tests.sql.ledgers import (
    Credits,
    Row,
    account_of,
    assert_books_balance,
    credits_of,
    ledger,
    open_user,
    snapshot,
    sqlstate_of,
)

RACES = 20
WAIT_SECONDS = 60

ENSURE = "SELECT outcome FROM ensure_user($1, $2)"
WITHHOLD = "SELECT outcome FROM ensure_user($1, $2, true)"


async def user_ledger(connection: Connection, user_id: UUID) -> list[Row]:
    return await ledger(connection, await account_of(connection, Owner.user(user_id)))


async def user_credits_of(connection: Connection, user_id: UUID) -> Credits:
    return await credits_of(connection, await account_of(connection, Owner.user(user_id)))


async def user_snapshot(connection: Connection, user_id: UUID) -> dict[str, list[Any]]:
    return await snapshot(connection, Owner.user(user_id))


async def test_the_first_call_makes_the_user_with_its_starter_credits(
    app: Connection, books: Connection
) -> None:
    user_id = uuid4()

    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    assert await user_credits_of(books, user_id) == (10, 10, 0, 1)
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
    assert await books.fetchval("SELECT count(*) FROM users WHERE user_id = $1", user_id) == 1
    description = "SELECT description FROM public.credit_transactions WHERE user_id = $1"
    assert await books.fetchval(description, user_id) == "Starter credits"


@pytest.mark.parametrize("starter_credits", [0, 10, 500, None])
async def test_every_further_call_changes_nothing(
    app: Connection, books: Connection, starter_credits: int | None
) -> None:
    user_id = await open_user(app, 10)
    await app.execute("SELECT public.deduct_credits($1, 10, 'r1')", user_id)
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(ENSURE, user_id, starter_credits) == "there"

    assert await user_snapshot(books, user_id) == before


@pytest.mark.parametrize("starter_credits", [0, None])
async def test_without_starter_credits_nothing_stands_in_the_ledger(
    app: Connection, books: Connection, starter_credits: int | None
) -> None:
    user_id = uuid4()

    assert await app.fetchval(ENSURE, user_id, starter_credits) == "made"
    # Nor do credits come later, when the setting was changed.
    assert await app.fetchval(ENSURE, user_id, 10) == "there"

    assert await user_credits_of(books, user_id) == (0, 0, 0, 0)
    assert await user_ledger(books, user_id) == []


@pytest.mark.parametrize("user_id, sqlstate", [(uuid4(), "SC002"), (None, "SC002")])
async def test_negative_starter_credits_make_no_user(
    app: Connection, books: Connection, user_id: UUID | None, sqlstate: str
) -> None:
    assert await sqlstate_of(app.fetchval(ENSURE, user_id, -1)) == sqlstate

    if user_id:
        assert not any((await user_snapshot(books, user_id)).values())


async def test_nobody_is_no_user(app: Connection) -> None:
    not_null_violation = "23502"
    assert await sqlstate_of(app.fetchval(ENSURE, None, 10)) == not_null_violation


async def test_of_twenty_first_calls_at_once_one_makes_the_user(
    callers: Callers, books: Connection
) -> None:
    connections = await callers(20)
    for _ in range(RACES):
        user_id = uuid4()

        answers = await asyncio.gather(
            *(connection.fetchval(ENSURE, user_id, 10) for connection in connections)
        )

        assert sorted(answers) == ["made"] + ["there"] * 19
        assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
        assert await user_credits_of(books, user_id) == (10, 10, 0, 1)


async def test_a_call_that_was_not_first_answers_once_the_user_is_there_entirely(
    callers: Callers, app: Connection, books: Connection
) -> None:
    user_id, (other,) = uuid4(), await callers(1)
    making = app.transaction()
    await making.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 10))
    await wait_until_blocked(books, other)
    assert not any((await user_snapshot(books, user_id)).values())
    await making.commit()

    assert await second == "there"
    assert await other.fetchval("SELECT public.deduct_credits($1, 10, 'r1')", user_id) is True
    await assert_books_balance(books, Owner.user(user_id))


async def test_a_user_whose_making_was_undone_is_made_by_the_call_that_waited(
    callers: Callers, app: Connection, books: Connection
) -> None:
    user_id, (other,) = uuid4(), await callers(1)
    making = app.transaction()
    await making.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "made"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 7))
    await wait_until_blocked(books, other)
    await making.rollback()

    assert await second == "made"
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 7, 7, "signup")]


async def test_of_several_calls_that_would_give_what_was_withheld_one_does(
    callers: Callers, app: Connection, books: Connection
) -> None:
    user_id, (other,) = uuid4(), await callers(1)
    assert await app.fetchval(WITHHOLD, user_id, 10) == "made"
    assert await app.fetchval(WITHHOLD, user_id, 10) == "there"
    assert await user_credits_of(books, user_id) == (0, 0, 0, 0)
    giving = app.transaction()
    await giving.start()
    assert await app.fetchval(ENSURE, user_id, 10) == "given"

    second = asyncio.create_task(other.fetchval(ENSURE, user_id, 10))
    await wait_until_blocked(books, other)
    await giving.commit()

    assert await second == "there"
    assert await app.fetchval(WITHHOLD, user_id, 10) == "there"
    assert await user_ledger(books, user_id) == [Row(1, "signup_bonus", 10, 10, "signup")]
    await assert_books_balance(books, Owner.user(user_id))


async def wait_until_blocked(books: Connection, waiting: Connection) -> None:
    """Return once the other connection waits for a lock that somebody holds."""
    blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
    async with asyncio.timeout(WAIT_SECONDS):
        # Locks of a database set no event.
        while not await books.fetchval(blocked, waiting.get_server_pid()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_signing_up_is_not_in_the_way_of_other_requests(
    app: Connection, books: Connection
) -> None:
    user_id = await open_user(app, 3)

    assert await app.fetchval("SELECT public.deduct_credits($1, 1, 'signup')", user_id) is True
    refused = await sqlstate_of(
        app.fetchval("SELECT public.refund_credits($1, 3, 'signup')", user_id)
    )
    assert refused == "SC006", "the bonus is nothing that could be given back"
    assert await app.fetchval("SELECT public.refund_credits($1, 1, 'signup')", user_id) is True

    await assert_books_balance(books, Owner.user(user_id))


@pytest.mark.parametrize("type_", ["grant", "purchase"])
async def test_a_user_who_used_the_bonus_id_is_given_what_was_withheld(
    app: Connection, books: Connection, type_: str
) -> None:
    user_id = uuid4()
    assert await app.fetchval(WITHHOLD, user_id, 5) == "made"
    add = "SELECT public.add_credits($1, 3, $2, 'signup')"
    assert await app.fetchval(add, user_id, type_) is True

    assert await app.fetchval(ENSURE, user_id, 5) == "given"

    assert await app.fetchval(add, user_id, type_) is False
    assert await user_ledger(books, user_id) == [
        Row(1, type_, 3, 3, "signup"),
        Row(2, "signup_bonus", 5, 8, "signup"),
    ]


async def test_what_is_bought_under_the_id_of_the_bonus_is_added(
    app: Connection, books: Connection
) -> None:
    user_id = await open_user(app, 5)

    assert await app.fetchval("SELECT public.add_credits($1, 3, 'purchase', 'signup')", user_id)

    assert (await user_credits_of(books, user_id)).balance == 8


async def test_the_account_is_told_whoever_made_it(app: Connection, books: Connection) -> None:
    user_id = uuid4()

    rows = [await app.fetchrow("SELECT * FROM ensure_user($1, 10)", user_id) for _ in range(2)]

    account = await account_of(books, Owner.user(user_id))
    assert [tuple(row) for row in rows if row] == [("made", account.id), ("there", account.id)]


async def test_first_calls_and_everything_after_them_at_once_make_sound_books(
    callers: Callers, books: Connection
) -> None:
    users = [uuid4() for _ in range(5)]

    async def come_and_generate(connection: Connection, n: int) -> None:
        for user_id in users if n % 2 else users[::-1]:
            await connection.fetchval(ENSURE, user_id, 10)
            account = await account_of(connection, Owner.user(user_id))
            await create_one(connection, account, f"r{n}")

    await asyncio.gather(*(come_and_generate(each, n) for n, each in enumerate(await callers(8))))

    for user_id in users:
        assert await user_credits_of(books, user_id) == (2, 10, 8, 9)
        await assert_books_balance(books, Owner.user(user_id))
