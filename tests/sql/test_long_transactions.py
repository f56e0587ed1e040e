"""A door decides by the moment at which it acts, not by the one at which its transaction began.

Whoever waits for an account's lock acts later than it began. Here time passes within a transaction:
what has ended since it began has ended for it, too.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import complete, create_one, fail, session, start
from tests.sql.ledgers import add_ending, ledger, open_account

HOUR: Final = timedelta(hours=1)
INVALID_TERMS: Final = "SC011"
HOLD: Final = """
    SELECT outcomes[1] AS outcome, expires_ats[1] AS expires_at FROM hold_credits(
        ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3::int], ARRAY[$2::text], ARRAY['\\x00'::bytea],
        ARRAY[60], ARRAY[''], ARRAY[NULL::json])"""
SPEND: Final = """
    SELECT outcomes[1] FROM spend_credits(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3],
        ARRAY['\\x00'::bytea], ARRAY[''], ARRAY[NULL::json])"""
# What only the moment at which it is asked makes insufficient, or nothing.
TAKERS: Final = {
    "spend": (("SELECT outcomes[1] FROM spend_credits(ARRAY[$1::bigint], ARRAY[1], ARRAY['r'],"
              " ARRAY['\\x00'::bytea], ARRAY[''], ARRAY[NULL::json])"), "insufficient"),
    "hold": (("SELECT outcomes[1] FROM hold_credits(ARRAY[$1::bigint], ARRAY[gen_random_uuid()],"
             " ARRAY[1], ARRAY['r'], ARRAY['\\x00'::bytea], ARRAY[60], ARRAY[''],"
             " ARRAY[NULL::json])"), "insufficient"),
    "deduct": (("SELECT outcomes[1] FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[1],"
               " ARRAY['r'], ARRAY[''])"), "insufficient"),
    "remove": ("SELECT outcome FROM remove_from_account($1, NULL, 'r', '', 'op')", "insufficient"),
    "claw back": ("SELECT claw_back_from_account($1, 1, 'r')", 0),
    "another expiry": ("SELECT outcome FROM set_grant_expiry($1, 1, NULL, '', 'op')", "ended"),
    "sweep": ("SELECT expire_credits(ARRAY[$1::bigint])", 1),
}  # fmt: skip


async def end_now(books: Connection, account: Account) -> datetime:
    """All grants of the account end at this moment, which is told."""
    at: datetime = await books.fetchval("SELECT clock_timestamp()")
    await books.execute(
        """UPDATE grants SET expires_at = $2 WHERE account_id = $1 AND expires_at IS NOT NULL""",
        account.id,
        at,
    )
    await books.execute(
        "UPDATE accounts SET next_expiry = $2 WHERE account_id = $1", account.id, at
    )
    return at


async def end_hold_now(books: Connection, account: Account) -> None:
    """Holds of the account end at this moment."""
    await books.execute(
        "UPDATE holds SET expires_at = clock_timestamp() WHERE account_id = $1", account.id
    )
    await books.execute(
        "UPDATE accounts SET next_expiry = clock_timestamp() WHERE account_id = $1", account.id
    )


@pytest_asyncio.fixture(loop_scope="module")
async def begun(books: Connection) -> AsyncIterator[Connection]:
    """A superuser's connection whose transaction has begun already; nothing of it stays."""
    transaction = books.transaction()
    await transaction.start()
    await books.fetchval("SELECT now()")
    yield books
    await transaction.rollback()


async def hold(begun: Connection, account: Account, amount: int) -> UUID:
    hold_id = uuid4()
    row = await begun.fetchrow(HOLD, account.id, hold_id, amount)
    assert row is not None
    assert row["outcome"] == "held"
    return hold_id


@pytest.mark.parametrize("statement, outcome", TAKERS.values(), ids=TAKERS)
async def test_what_has_ended_since_pays_for_nothing(
    begun: Connection, kind: OwnerKind, statement: str, outcome: object
) -> None:
    account = await open_account(begun, kind)
    await add_ending(begun, [account], 10, HOUR)
    await end_now(begun, account)

    assert await begun.fetchval(statement, account.id) == outcome
    assert [row.type for row in await ledger(begun, account)] == ["purchase", "expiry"]


@pytest.mark.parametrize("are_told_apart", [False, True])
async def test_movements_of_a_transaction_are_of_the_moment_at_which_it_began(
    begun: Connection, kind: OwnerKind, are_told_apart: bool
) -> None:
    account = await open_account(begun, kind, 10)
    if are_told_apart:
        await add_ending(begun, [account], 10, HOUR)
    for request in ("one", "two"):
        assert await begun.fetchval(SPEND, account.id, 1, request) == "spent"

    moments = await begun.fetch(
        "SELECT DISTINCT created_at = now() AS is_its FROM movements WHERE account_id = $1",
        account.id,
    )

    assert [row["is_its"] for row in moments] == [True]


async def test_a_hold_lasts_from_when_it_is_made(begun: Connection, kind: OwnerKind) -> None:
    account = await open_account(begun, kind, 10)
    asked_at = await begun.fetchval("SELECT clock_timestamp()")

    row = await begun.fetchrow(HOLD, account.id, uuid4(), 1)

    assert row is not None
    assert row["expires_at"] >= asked_at + timedelta(seconds=60)


@pytest.mark.parametrize("action", ["capture", "release"])
async def test_a_hold_that_has_ended_since_is_not_ended_again(
    begun: Connection, kind: OwnerKind, action: str
) -> None:
    account = await open_account(begun, kind, 10)
    hold_id = await hold(begun, account, 4)
    await end_hold_now(begun, account)

    row = await begun.fetchrow(
        """SELECT outcomes[1] AS outcome, statuses[1] AS status, balances[1] AS balance
           FROM end_holds(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3], ARRAY[NULL::int])""",
        account.id,
        hold_id,
        action,
    )

    assert tuple(row or ()) == ("hold_ended", "expired", 10)


@pytest.mark.parametrize("action", ["capture", "release"])
async def test_a_hold_has_ended_when_that_was_asked(
    begun: Connection, kind: OwnerKind, action: str
) -> None:
    account = await open_account(begun, kind, 10)
    hold_id = await hold(begun, account, 4)
    asked_at = await begun.fetchval("SELECT clock_timestamp()")

    ended_at = await begun.fetchval(
        """SELECT ended_ats[1]
           FROM end_holds(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3], ARRAY[NULL::int])""",
        account.id,
        hold_id,
        action,
    )

    assert ended_at >= asked_at


async def test_a_hold_that_has_ended_since_is_not_extended(
    begun: Connection, kind: OwnerKind
) -> None:
    account = await open_account(begun, kind, 10)
    hold_id = await hold(begun, account, 4)
    await end_hold_now(begun, account)

    row = await begun.fetchrow(
        "SELECT outcome, status, balance FROM extend_hold($1, $2, 600, 'more')", account.id, hold_id
    )

    assert tuple(row or ()) == ("hold_ended", "expired", 10)


async def test_a_hold_is_extended_from_when_that_is_asked(
    begun: Connection, kind: OwnerKind
) -> None:
    account = await open_account(begun, kind, 10)
    hold_id = await hold(begun, account, 4)
    asked_at = await begun.fetchval("SELECT clock_timestamp()")

    expires_at = await begun.fetchval(
        "SELECT expires_at FROM extend_hold($1, $2, 600, 'more')", account.id, hold_id
    )

    assert expires_at >= asked_at + timedelta(seconds=600)


REFUNDS: Final = {
    "a part of a spend": (
        "SELECT outcomes[1] FROM refund_spends(ARRAY[$1::bigint], ARRAY['spent'], ARRAY['back'],"
        " ARRAY[10])"
    ),
    "a charge": (
        "SELECT outcomes[1] FROM refund_to_accounts(ARRAY[$1::bigint], ARRAY[10], ARRAY['spent'],"
        " ARRAY[''])"
    ),
}


@pytest.mark.parametrize("statement", REFUNDS.values(), ids=REFUNDS)
async def test_what_comes_back_to_a_grant_that_has_ended_since_lives_on_for_its_grace(
    begun: Connection, kind: OwnerKind, statement: str
) -> None:
    account = await open_account(begun, kind)
    await add_ending(begun, [account], 10, HOUR)
    await begun.execute("UPDATE grants SET grace = '1 day' WHERE account_id = $1", account.id)
    assert await begun.fetchval(SPEND, account.id, 10, "spent") == "spent"
    ended_at = await end_now(begun, account)

    assert await begun.fetchval(statement, account.id) == "refunded"

    ends = await begun.fetchval(
        "SELECT max(expires_at) FROM grants WHERE account_id = $1", account.id
    )
    assert ends >= ended_at + timedelta(days=1)


@pytest.mark.parametrize("end", [complete, fail], ids=["completed", "failed"])
async def test_what_a_transaction_does_to_a_generation_is_of_the_moment_at_which_it_began(
    begun: Connection, kind: OwnerKind, end: Callable[..., Awaitable[str]]
) -> None:
    account = await open_account(begun, kind, 10)
    session_id = await create_one(begun, account)
    await start(begun, account, session_id)

    await end(begun, account, session_id)

    # So a failure is of the moment of its refund, and a list by time has neither without the other.
    ended = await session(begun, account, session_id)
    moment = await begun.fetchval("SELECT now()")
    assert (ended["created_at"], ended["started_at"], ended["completed_at"]) == (moment,) * 3


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT add_to_account($1, 5, 'purchase', 'late', p_expires_at => $2)",
        "SELECT set_grant_expiry($1, 1, $2, '', 'op')",
    ],
)
async def test_no_grant_is_to_end_at_a_moment_that_is_over(
    begun: Connection, kind: OwnerKind, statement: str
) -> None:
    account = await open_account(begun, kind, 10)
    at = await begun.fetchval("SELECT clock_timestamp()")

    with pytest.raises(asyncpg.PostgresError) as refused:
        await begun.execute(statement, account.id, at)

    assert refused.value.sqlstate == INVALID_TERMS
