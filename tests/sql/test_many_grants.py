"""An account of thousands of grants, as refunds that come late make them, stays within its time."""

from datetime import timedelta

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.kept_connections import SETTINGS
from tests.passing_time import pass_time
from tests.sql.full_grants import spend
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import buffers_read

GRANTS = 2000
USED_UP = 20_000
PAGES_MAX = 30
PARTS = 20
AT_ONCE = 5000
LIMIT = f"SET statement_timeout = '{SETTINGS['statement_timeout']}'"
"""As a connection of the service has it."""


async def open_with_many(books: asyncpg.Connection, grants: int, apart: timedelta) -> Account:
    """A store with so many grants of 2, the first of which ends in an hour."""
    account = await open_account(books, OwnerKind.STORE)
    await books.execute(
        """INSERT INTO grants (account_id, seq, amount, kind, expires_at)
           SELECT $1, i, 2, 'paid', now() + interval '1 hour' + (i - 1) * $3::interval
           FROM generate_series(1, $2::int) i""",
        account.id,
        grants,
        apart,
    )
    await books.execute(
        """INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id, grants_after)
           SELECT $1, $2, 2, 2 * $2::int, 0, 'grant', 'newest', array_agg(n ORDER BY i, p)
           FROM generate_series(1, $2::int) i,
               unnest(ARRAY[i, 2::bigint]) WITH ORDINALITY v (n, p)""",
        account.id,
        grants,
    )
    await books.execute("UPDATE accounts SET next_expiry = now() WHERE account_id = $1", account.id)
    return account


async def test_thousands_of_grants_are_taken_from_given_back_to_and_told_of(
    books: asyncpg.Connection,
) -> None:
    account = await open_with_many(books, GRANTS, apart=timedelta(hours=1))
    await books.execute(LIMIT)
    await spend(books, account, GRANTS, "work")
    for part in range(PARTS):
        given = await books.fetchval(
            """SELECT outcomes[1] FROM refund_spends(
                   ARRAY[$1::bigint], ARRAY['work'], ARRAY[$2], ARRAY[3])""",
            account.id,
            f"part {part}",
        )
        assert given == "refunded"
    left = GRANTS + 3 * PARTS
    for passed, balance in ((0, left), (GRANTS // 2, GRANTS), (GRANTS // 2, 0)):
        await pass_time(books, timedelta(hours=passed, minutes=1), account.id)
        (told,) = await books.fetch(
            "SELECT balance, expired, grants FROM state_of_account($1)", account.id
        )
        assert (told["balance"], told["expired"]) == (balance, left - balance)
        assert sum(told["grants"][1::2]) == balance


async def test_grants_that_are_used_up_are_not_read(books: asyncpg.Connection) -> None:
    account = await open_account(books, OwnerKind.STORE)
    await books.execute(
        """INSERT INTO grants (account_id, seq, amount, kind)
           SELECT $1, i, 1, 'paid' FROM generate_series(1, $2::bigint) i""",
        account.id,
        USED_UP,
    )
    await books.execute(
        """INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id, grants_after)
           VALUES ($1, $2::bigint, 1, 2, $2 - 2, 'grant', 'newest', ARRAY[1, 1, $2, 1])""",
        account.id,
        USED_UP,
    )
    other = await open_account(books, OwnerKind.STORE)
    for call in (
        "SELECT * FROM remove_from_account($1, 1, 'some', '', 'admin') WHERE $2 > 0",
        "SELECT * FROM transfer_credits($1, $2, 1, 'some', '', 'admin')",
    ):
        read = await buffers_read(books, call, account.id, other.id)
        assert 0 < read["grants"] + read["grants_pkey"] <= PAGES_MAX, call


@pytest.mark.torture
@pytest.mark.parametrize("is_swept", [True, False], ids=["by the sweep", "by a spend"])
async def test_thousands_that_end_at_once_are_written_within_the_time_of_a_statement(
    books: asyncpg.Connection, is_swept: bool
) -> None:
    account = await open_with_many(books, AT_ONCE, apart=timedelta(0))
    await books.execute("SELECT add_to_account($1, 10, 'purchase', 'lasting')", account.id)
    await pass_time(books, timedelta(hours=2), account.id)
    await books.execute(LIMIT)
    while is_swept and await books.fetchval("SELECT expire_credits(ARRAY[$1::bigint])", account.id):
        pass
    await spend(books, account, 3, "work")
    written = await books.fetchrow(
        """SELECT count(*) FILTER (WHERE type = 'expiry'), min(balance_after), max(expired_after)
           FROM movements WHERE account_id = $1""",
        account.id,
    )
    assert written is not None
    assert tuple(written) == (AT_ONCE, 7, 2 * AT_ONCE)
