"""An account of thousands of grants, as refunds that come late make them, stays within its time."""

from datetime import timedelta

import asyncpg

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.kept_connections import SETTINGS
from tests.passing_time import pass_time
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import buffers_read

GRANTS = 2000
USED_UP = 20_000
PAGES_MAX = 30
PARTS = 20


async def test_thousands_of_grants_are_taken_from_given_back_to_and_told_of(
    books: asyncpg.Connection,
) -> None:
    account = await open_account(books, OwnerKind.STORE)
    await books.execute(
        """INSERT INTO grants (account_id, seq, amount, kind, expires_at)
           SELECT $1, i, 2, 'paid', now() + make_interval(hours => i)
           FROM generate_series(1, $2::int) i""",
        account.id,
        GRANTS,
    )
    await books.execute(
        """INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id, grants_after)
           SELECT $1, $2, 2, 2 * $2::int, 0, 'grant', 'newest', array_agg(n ORDER BY i, p)
           FROM generate_series(1, $2::int) i,
               unnest(ARRAY[i, 2::bigint]) WITH ORDINALITY v (n, p)""",
        account.id,
        GRANTS,
    )
    await books.execute("UPDATE accounts SET next_expiry = now() WHERE account_id = $1", account.id)
    await books.execute(f"SET statement_timeout = '{SETTINGS['statement_timeout']}'")
    await books.fetch(
        """SELECT * FROM spend_credits(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY['work'],
               ARRAY['\\x00'::bytea], ARRAY[''], ARRAY[NULL::json])""",
        account.id,
        GRANTS,
    )
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
