"""Returns of one batch, of an account whose grants are told apart."""

import asyncpg

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.full_accounts import deduct
from tests.sql.ledgers import open_account


async def test_what_a_batch_gives_back_goes_to_the_grants_that_each_of_it_came_from(
    app: Connection, books: asyncpg.Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind, 2)
    await books.execute("SELECT add_to_account($1, 2, 'purchase', 'bought')", account.id)
    await deduct(app, account, 1, "first")
    await deduct(app, account, 3, "all else")

    # After the first of them one grant has something left, and nothing would tell it apart.
    await app.execute(
        "SELECT refund_to_accounts(ARRAY[$1, $1]::bigint[], ARRAY[1, 3], $2, NULL)",
        account.id,
        ["first", "all else"],
    )

    left = "SELECT grants FROM state_of_account($1)"
    assert await books.fetchval(left, account.id) == [1, 2, 2, 2]
