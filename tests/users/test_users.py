"""End users are made at their first call: once, with their starter credits, on real PostgreSQL."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import EVERYTHING, Listener
from storecredit.postgres.pool import Database
from storecredit.stores.api_keys import CHANNEL
from storecredit.users.users import UserBlocked, Users
from tests.log_stream import LogStream
from tests.running_listener import WAIT_MAX_SECONDS, Heard, running, until

STARTER_CREDITS = 10
PROCESSES = 4
CALLS_EACH = 25


async def credit_rows(admin: asyncpg.Connection, user_id: UUID) -> list[tuple[str, int, str]]:
    rows = await admin.fetch(
        "SELECT type, amount, request_id FROM credit_transactions WHERE user_id = $1 ORDER BY seq",
        user_id,
    )
    return [(row["type"], row["amount"], row["request_id"]) for row in rows]


async def balance(admin: asyncpg.Connection, user_id: UUID) -> int | None:
    row = await admin.fetchrow("SELECT balance FROM user_credits WHERE user_id = $1", user_id)
    return None if row is None else int(row["balance"])


async def test_however_many_first_calls_race_there_is_one_signup_bonus(
    database_url: str, admin: asyncpg.Connection
) -> None:
    user_ids = [uuid4() for _ in range(5)]
    async with AsyncExitStack() as stack:
        several = []
        for _ in range(PROCESSES):
            database = await Database.open(database_url)
            stack.push_async_callback(database.close)
            several.append(Users(database, STARTER_CREDITS))
        await asyncio.gather(
            *(
                users.ensure(user_id)
                for _ in range(CALLS_EACH)
                for user_id in user_ids
                for users in several
            )
        )
    for user_id in user_ids:
        assert await credit_rows(admin, user_id) == [("signup_bonus", STARTER_CREDITS, "signup")]
        assert await balance(admin, user_id) == STARTER_CREDITS
    assert await admin.fetchval("SELECT count(*) FROM users") == len(user_ids)


async def test_with_no_starter_credits_a_user_has_an_account_and_an_empty_ledger(
    database: Database, admin: asyncpg.Connection
) -> None:
    user_id = uuid4()
    await Users(database, 0).ensure(user_id)
    assert await balance(admin, user_id) == 0
    assert await credit_rows(admin, user_id) == []


async def test_a_known_user_gets_nothing_more_under_another_setting(
    database: Database, admin: asyncpg.Connection
) -> None:
    user_id = uuid4()
    await Users(database, STARTER_CREDITS).ensure(user_id)
    await Users(database, 500).ensure(user_id)
    assert await credit_rows(admin, user_id) == [("signup_bonus", STARTER_CREDITS, "signup")]


async def test_a_user_who_is_known_asks_nothing_of_the_database(database_url: str) -> None:
    database = await Database.open(database_url)
    users, user_id = Users(database, STARTER_CREDITS), uuid4()
    await users.ensure(user_id)
    await database.close()
    await users.ensure(user_id)
    with pytest.raises(DatabaseUnavailable):
        await users.ensure(uuid4())


async def test_nobody_is_known_while_the_database_may_be_another_one(database: Database) -> None:
    """One that took over may not have had the user, and give the account's number to another."""
    listener = Listener(database, "nothing_is_told")
    heard = Heard(listener)
    users, user_id = Users(database, STARTER_CREDITS, listener=listener), uuid4()
    async with running(listener):
        assert await heard.next() == EVERYTHING
        await until(listener.is_fresh)
        account_id = await users.ensure(user_id)
        await database.close()
        assert await users.ensure(user_id) == account_id, "and nothing is asked"
    with pytest.raises(DatabaseUnavailable):
        await users.ensure(user_id)
    async with running(listener):
        assert await heard.next() == EVERYTHING
        await until(listener.is_fresh)
        with pytest.raises(DatabaseUnavailable):
            await users.ensure(user_id)


async def test_who_is_blocked_while_being_asked_about_is_not_taken_for_known(
    database: Database, admin: asyncpg.Connection
) -> None:
    listener = Listener(database, CHANNEL)
    heard = Heard(listener)
    users, user_id = Users(database, STARTER_CREDITS, listener=listener), uuid4()
    # In other databases the table has the same number: all are copies of one.
    waiting = """SELECT count(*) FROM pg_locks w JOIN pg_locks h USING (pid)
        JOIN pg_database d ON d.oid = h.database AND d.datname = current_database()
        WHERE NOT w.granted AND h.relation = 'accounts'::regclass"""
    async with running(listener), asyncio.timeout(WAIT_MAX_SECONDS):
        assert await heard.next() == EVERYTHING
        await until(listener.is_fresh)
        account_id = await Users(database, STARTER_CREDITS).ensure(user_id)
        async with admin.transaction():
            await admin.execute("SELECT FROM accounts WHERE account_id = $1 FOR UPDATE", account_id)
            asking = asyncio.create_task(users.ensure(user_id))
            while True:
                if await database.fetchval(waiting):
                    break
                await asyncio.sleep(0.02)
            assert await database.fetchval("SELECT block_user($1)", user_id)
            assert await heard.next() == str(user_id)
        assert await asking == account_id, "it was not blocked when it was looked at"
        for _ in range(2):
            with pytest.raises(UserBlocked):
                await users.ensure(user_id)
        assert await database.fetchval("SELECT unblock_user($1)", user_id) == "unblocked"
        assert await heard.next() == str(user_id)
        assert await users.ensure(user_id) == account_id


async def test_a_user_whom_the_database_could_not_make_is_not_taken_for_known(
    database: Database, admin: asyncpg.Connection
) -> None:
    users, user_id = Users(database, STARTER_CREDITS), uuid4()
    await admin.execute("ALTER FUNCTION ensure_user(uuid, int, boolean) RENAME TO ensure_user_away")
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await users.ensure(user_id)
    await admin.execute("ALTER FUNCTION ensure_user_away(uuid, int, boolean) RENAME TO ensure_user")
    await users.ensure(user_id)
    assert await balance(admin, user_id) == STARTER_CREDITS


async def test_no_more_users_are_remembered_than_there_is_room_for(database_url: str) -> None:
    database = await Database.open(database_url)
    users = Users(database, STARTER_CREDITS, known_max=2)
    first, second, third = (uuid4() for _ in range(3))
    for user_id in (first, second, first, third):
        await users.ensure(user_id)
    await database.close()
    for user_id in (first, third):
        await users.ensure(user_id)
    with pytest.raises(DatabaseUnavailable):
        await users.ensure(second)


async def test_withheld_credits_are_given_once_when_the_user_signs_up(
    database_url: str, admin: asyncpg.Connection
) -> None:
    user_id = uuid4()
    async with AsyncExitStack() as stack:
        several = []
        for _ in range(PROCESSES):
            database = await Database.open(database_url)
            stack.push_async_callback(database.close)
            several.append(Users(database, STARTER_CREDITS, anonymous_too=False))
        for users in several:
            await users.ensure(user_id, is_anonymous=True)
        assert (await balance(admin, user_id), await credit_rows(admin, user_id)) == (0, [])
        await asyncio.gather(
            *(users.ensure(user_id) for users in several for _ in range(CALLS_EACH))
        )
        for users in several:
            await users.ensure(user_id, is_anonymous=True)
            await users.ensure(user_id)
    assert await credit_rows(admin, user_id) == [("signup_bonus", STARTER_CREDITS, "signup")]


async def test_who_was_never_anonymous_or_is_no_matter_for_the_setting_gets_them_at_once(
    database: Database, admin: asyncpg.Connection
) -> None:
    permanent, anonymous = uuid4(), uuid4()
    await Users(database, STARTER_CREDITS, anonymous_too=False).ensure(permanent)
    await Users(database, STARTER_CREDITS).ensure(anonymous, is_anonymous=True)
    for user_id in (permanent, anonymous):
        assert await balance(admin, user_id) == STARTER_CREDITS


async def test_a_user_from_whom_they_are_withheld_is_known_too(database_url: str) -> None:
    database = await Database.open(database_url)
    users, user_id = Users(database, STARTER_CREDITS, anonymous_too=False), uuid4()
    await users.ensure(user_id, is_anonymous=True)
    await database.close()
    await users.ensure(user_id, is_anonymous=True)
    with pytest.raises(DatabaseUnavailable):
        await users.ensure(user_id)


async def test_a_new_user_is_logged_once(log: LogStream, database: Database) -> None:
    user_id = uuid4()
    for _ in range(3):
        await Users(database, STARTER_CREDITS).ensure(user_id)
    assert [(line["event"], line["user_id"]) for line in log.lines()] == [
        ("user_made", str(user_id))
    ]


async def test_that_withheld_credits_are_given_is_logged(
    log: LogStream, database: Database
) -> None:
    users = Users(database, STARTER_CREDITS, anonymous_too=False)
    user_id = uuid4()
    for is_anonymous in (True, True, False, False):
        await users.ensure(user_id, is_anonymous=is_anonymous)
    told = [(line["event"], line["starter_credits"]) for line in log.lines()]
    assert told == [("user_made", 0), ("starter_credits_given", STARTER_CREDITS)]
