"""`storecredit verify` cries about nothing that the functions do, however rarely they do it."""

from datetime import timedelta

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.passing_time import pass_time
from tests.sql.full_accounts import deduct, refund
from tests.sql.ledgers import open_account

LARGEST = 2**31 - 1


@pytest.mark.parametrize("hours", [0, 2])
async def test_what_was_taken_before_a_grant_had_an_end_is_given_back_to_what_has_it(
    database: Database, admin: asyncpg.Connection, hours: int
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    await deduct(admin, account, 4, "work")
    await admin.execute(
        "SELECT set_grant_expiry($1, 1, now() + interval '1 hour', 'sooner', 'somebody')",
        account.id,
    )
    await pass_time(admin, timedelta(hours=hours), account.id)
    await refund(admin, account, 4, "work")

    assert (await verify(database, every_row=True)).discrepancies == ()


async def test_all_is_removed_however_much_it_is(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE, LARGEST)
    await admin.execute(
        """SELECT add_to_account($1, $2, 'purchase', 'more',
               p_expires_at => now() + interval '1 hour')""",
        account.id,
        LARGEST,
    )
    await admin.execute("SELECT remove_from_account($1, NULL, 'all', '', 'somebody')", account.id)

    assert (await verify(database, every_row=True)).discrepancies == ()
