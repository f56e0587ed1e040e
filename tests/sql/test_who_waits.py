"""Two transactions, interleaved by hand: the second waits, and decides by what the first left.

And who waits for an account holds nothing yet that its holder may need: each door locks in the
order that its comment tells, or the two would wait for each other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.deliveries import happen, make_endpoints, take
from tests.sql.generations import create_one, fail, session, start
from tests.sql.interface import deduct
from tests.sql.ledgers import Row, add_ending, assert_books_balance, ledger, open_account

WAIT_SECONDS: Final = 60
HOLD: Final = """
    SELECT FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[4], ARRAY[$2::text],
        ARRAY['\\x00'::bytea], ARRAY[600], ARRAY[''], ARRAY[NULL::json])"""
CAPTURE: Final = """
    SELECT outcomes[1] FROM end_holds(
        ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY['capture'], ARRAY[NULL::int])"""
EXTEND: Final = "SELECT outcome FROM extend_hold($1, $2, 3600, 'longer')"
TRANSFER: Final = "SELECT outcome FROM transfer_credits($1, $2, 3, $3, '', 'ann')"
EXPIRE: Final = "SELECT expire_credits($1)"


@dataclass(frozen=True)
class Two:
    """Two connections, the second of which comes after the first."""

    first: Connection
    second: Connection
    books: Connection

    @asynccontextmanager
    async def waiting(self, asked: Awaitable[Any]) -> AsyncIterator["asyncio.Future[Any]"]:
        """What the second asks, once it waits for a lock of the first's transaction."""
        waiting = asyncio.ensure_future(asked)
        blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
        async with asyncio.timeout(WAIT_SECONDS):
            # Locks of a database set no event.
            while not await self.books.fetchval(blocked, self.second.get_server_pid()):
                assert not waiting.done(), "it did not wait"
                await asyncio.sleep(0.01)
        yield waiting


@pytest_asyncio.fixture(loop_scope="module")
async def two(callers: Callers, books: Connection) -> Two:
    first, second = await callers(2)
    return Two(first, second, books)


async def hold(two: Two, account: Account) -> UUID:
    hold_id = uuid4()
    await two.first.execute(HOLD, account.id, hold_id)
    return hold_id


async def test_who_extends_a_hold_waits_for_the_account_first(two: Two, kind: OwnerKind) -> None:
    account = await open_account(two.first, kind, 10)
    hold_id = await hold(two, account)

    async with two.first.transaction():
        assert await deduct(two.first, account, 1, "first")
        async with two.waiting(two.second.fetchval(EXTEND, account.id, hold_id)) as extended:
            assert await two.first.fetchval(CAPTURE, account.id, hold_id) == "ended"

    assert await extended == "hold_ended"
    await assert_books_balance(two.books, account.owner)


async def test_who_fails_a_generation_waits_for_the_account_first(
    two: Two, kind: OwnerKind
) -> None:
    account = await open_account(two.first, kind, 10)
    session_id = await create_one(two.first, account)

    async with two.first.transaction():
        assert await deduct(two.first, account, 1, "first")
        async with two.waiting(fail(two.second, account, session_id)) as failed:
            assert await fail(two.first, account, session_id) == "failed"

    assert await failed == "already_failed"
    assert [row.type for row in await ledger(two.books, account)] == [
        *("grant", "deduction", "deduction", "refund"),
    ]


async def test_attempts_that_begin_at_once_are_counted_each(two: Two, kind: OwnerKind) -> None:
    account = await open_account(two.first, kind, 10)
    session_id = await create_one(two.first, account)

    async with two.first.transaction():
        (one,) = await start(two.first, account, session_id)
        async with two.waiting(start(two.second, account, session_id)) as started:
            assert (one["outcome"], one["attempts"]) == ("started", 1)

    (other,) = await started
    assert (other["outcome"], other["attempts"]) == ("started", 2)
    assert (await session(two.books, account, session_id))["attempts"] == 2


async def test_who_hands_credits_over_waits_for_the_older_account_first(
    two: Two, kind: OwnerKind
) -> None:
    older, newer = [await open_account(two.first, kind, 10) for _ in range(2)]

    async with two.first.transaction():
        assert await deduct(two.first, older, 1, "first")
        asked = two.second.fetchval(TRANSFER, newer.id, older.id, "over")
        async with two.waiting(asked) as transferred:
            assert await deduct(two.first, newer, 8, "first")

    # Eight of ten are gone: the two that are left were looked at after that.
    assert await transferred == "insufficient"


async def test_what_has_ended_is_written_once_and_by_whoever_comes_first(
    two: Two, kind: OwnerKind
) -> None:
    account = await open_account(two.first, kind)
    await add_ending(two.books, [account], 10, timedelta(hours=1))
    for table, column in (("grants", "expires_at"), ("accounts", "next_expiry")):
        await two.books.execute(
            f"UPDATE {table} SET {column} = clock_timestamp() WHERE account_id = $1", account.id
        )

    async with two.first.transaction():
        assert await two.first.fetchval(EXPIRE, [account.id]) == 1
        async with two.waiting(two.second.fetchval(EXPIRE, [account.id])) as expired:
            pass

    assert await expired == 0
    assert (await ledger(two.books, account))[1:] == [Row(2, "expiry", 10, 0, "grant:1")]


async def test_the_sweep_waits_for_the_older_account_first(two: Two, kind: OwnerKind) -> None:
    older, newer = [await open_account(two.first, kind, 10) for _ in range(2)]

    async with two.first.transaction():
        assert await deduct(two.first, older, 1, "first")
        async with two.waiting(two.second.fetchval(EXPIRE, [newer.id, older.id])) as expired:
            assert await deduct(two.first, newer, 1, "first")

    assert await expired == 0


@pytest.mark.parametrize("is_ordered", [False, True], ids=["in any order", "in order"])
async def test_what_one_deliverer_takes_another_passes_over_and_does_not_wait_for(
    two: Two, is_ordered: bool
) -> None:
    account = await open_account(two.first, OwnerKind.STORE, 10)
    await make_endpoints(two.books, account.id, 1, is_ordered=is_ordered)
    await happen(two.books, account.id, 3)
    # Who waits for a row is told so instead.
    await two.second.execute("SET lock_timeout = '1ms'")

    async with two.first.transaction():
        assert len(await take(two.first)) == 3
        assert await take(two.second) == []

    assert await take(two.second) == []
