"""What ends does so at its instant, to the microsecond: told and written alike."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.ledgers import add_ending, ledger, open_account

HOUR = timedelta(hours=1)
BEFORE = timedelta(microseconds=-1)
AT = timedelta()
STATE = "SELECT balance, held, expired FROM state_of_account($1, $2)"
NEWEST = """
    SELECT balance_after, coalesce(held_after, 0), coalesce(expired_after, 0) FROM movements
    WHERE account_id = $1 ORDER BY seq DESC LIMIT 1"""


SECONDS_MAX = 7 * 24 * 3600
INVALID_TERMS = "SC011"


async def settled(
    books: Connection, account: Account, at: datetime, enough: int | None = None
) -> int:
    """How many movements are written of what has ended by then."""
    statement = "SELECT settle_accounts(ARRAY[$1::bigint], $2, $3)"
    count: int = await books.fetchval(statement, account.id, at, enough)
    return count


async def hold_for(books: Connection, account: Account, amount: int, seconds: int) -> UUID:
    """Credits that are set aside for so long."""
    hold_id = uuid4()
    await books.execute(
        """SELECT FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3::int], ARRAY[$4],
               ARRAY['\\x00'::bytea], ARRAY[$5::int], ARRAY[''], ARRAY[NULL::json])""",
        account.id,
        hold_id,
        amount,
        str(hold_id),
        seconds,
    )
    return hold_id


async def hold(books: Connection, account: Account, amount: int, at: datetime) -> None:
    """Credits that are set aside until then."""
    hold_id = await hold_for(books, account, amount, 3600)
    await books.execute("UPDATE holds SET expires_at = $2 WHERE hold_id = $1", hold_id, at)
    await books.execute(
        "UPDATE accounts SET next_expiry = least(next_expiry, $2) WHERE account_id = $1",
        account.id,
        at,
    )


@pytest.mark.parametrize("moment, written, state", [(BEFORE, 0, (10, 0, 0)), (AT, 1, (0, 0, 10))])
async def test_a_grant_ends_at_its_instant(
    books: Connection,
    kind: OwnerKind,
    moment: timedelta,
    written: int,
    state: tuple[int, int, int],
) -> None:
    account = await open_account(books, kind)
    at = moment + await add_ending(books, [account], 10, HOUR)

    assert tuple(await books.fetchrow(STATE, account.id, at) or ()) == state
    assert await settled(books, account, at) == written
    assert tuple(await books.fetchrow(NEWEST, account.id) or ()) == state


@pytest.mark.parametrize("moment, written, state", [(BEFORE, 0, (4, 6, 0)), (AT, 1, (10, 0, 0))])
async def test_a_hold_ends_at_its_instant(
    books: Connection,
    kind: OwnerKind,
    moment: timedelta,
    written: int,
    state: tuple[int, int, int],
) -> None:
    account = await open_account(books, kind, 10)
    end = HOUR + await books.fetchval("SELECT clock_timestamp()")
    await hold(books, account, 6, end)

    assert tuple(await books.fetchrow(STATE, account.id, end + moment) or ()) == state
    assert await settled(books, account, end + moment) == written
    assert tuple(await books.fetchrow(NEWEST, account.id) or ()) == state


async def test_of_a_grant_and_a_hold_that_end_at_one_instant_the_hold_ends_first(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    at = await add_ending(books, [account], 10, HOUR)
    await hold(books, account, 6, at)

    told = await books.fetchrow(STATE, account.id, at)
    await settled(books, account, at)

    rows = await ledger(books, account)
    assert [row.type for row in rows[2:4]] == ["hold_expiry", "expiry"]
    assert tuple(told or ()) == tuple(await books.fetchrow(NEWEST, account.id) or ())


async def test_no_more_is_written_once_it_is_enough(books: Connection, kind: OwnerKind) -> None:
    account = await open_account(books, kind, 10)
    start = await books.fetchval("SELECT clock_timestamp()")
    for hours in (1, 2, 3):
        await hold(books, account, 2, start + hours * HOUR)

    assert await settled(books, account, start + 3 * HOUR, enough=2) == 2
    assert await settled(books, account, start + 3 * HOUR) == 1


@pytest.mark.parametrize("seconds", [1, SECONDS_MAX])
async def test_a_hold_lasts_as_short_and_as_long_as_it_may(
    books: Connection, kind: OwnerKind, seconds: int
) -> None:
    account = await open_account(books, kind, 10)
    hold_id = await hold_for(books, account, 4, seconds)

    lasts = "SELECT expires_at - created_at FROM holds WHERE hold_id = $1"
    assert await books.fetchval(lasts, hold_id) == timedelta(seconds=seconds)
    extend = "SELECT outcome FROM extend_hold($1, $2, $3, 'more')"
    longer = await hold_for(books, account, 4, SECONDS_MAX)
    assert await books.fetchval(extend, account.id, longer, seconds) == "extended"


@pytest.mark.parametrize("seconds", [0, SECONDS_MAX + 1])
async def test_a_hold_lasts_no_shorter_and_no_longer(
    books: Connection, kind: OwnerKind, seconds: int
) -> None:
    account = await open_account(books, kind, 10)
    hold_id = await hold_for(books, account, 4, 60)

    with pytest.raises(asyncpg.PostgresError) as refused:
        await hold_for(books, account, 4, seconds)
    assert refused.value.sqlstate == INVALID_TERMS
    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute("SELECT extend_hold($1, $2, $3, 'more')", account.id, hold_id, seconds)
    assert refused.value.sqlstate == INVALID_TERMS
