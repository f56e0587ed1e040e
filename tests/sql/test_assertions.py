"""What no door can bring about is refused all the same, where it would be written."""

from typing import Final

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.ledgers import open_account

ASSERT_FAILURE: Final = "P0004"
UNKNOWN_ACCOUNT: Final = "SC010"
DOORS: Final = {
    door: f"SELECT {door}($1::bigint[], '{{1,1}}', '{{a,b}}', '{{\"\",\"\"}}')"
    for door in ("deduct_from_accounts", "refund_to_accounts")
}
NOBODY: Final = 2**40 - 1
STATEMENTS: Final = {
    "more than grants have is taken": "SELECT take_from_grants('{1,5}', 6)",
    "more comes back than grants gave": "SELECT fill_grants($1, '{1,10}', 2, 11)",
    "a grant is written twice": "SELECT write_grant($1, 1, 5, 'paid', 100, NULL, '0')",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
async def test_grants_stay_what_they_are(
    books: Connection, kind: OwnerKind, statement: str
) -> None:
    account = await open_account(books, kind, 10)
    parameters = [account.id] if "$1" in statement else []

    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute(statement, *parameters)

    assert refused.value.sqlstate == ASSERT_FAILURE


@pytest.mark.parametrize("batch", DOORS.values(), ids=DOORS)
async def test_a_batch_whose_accounts_are_not_in_order_is_refused_for_that(
    books: Connection, kind: OwnerKind, batch: str
) -> None:
    accounts = [(await open_account(books, kind, 10)).id for _ in range(2)]

    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute(batch, sorted(accounts, reverse=True))

    assert refused.value.sqlstate == ASSERT_FAILURE


@pytest.mark.parametrize("batch", DOORS.values(), ids=DOORS)
async def test_items_of_an_account_that_there_is_not_are_refused_for_that(
    books: Connection, batch: str
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute(batch, [NOBODY, NOBODY])

    assert refused.value.sqlstate == UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    "door",
    [
        "remove_from_account($1, 1, 'r', '', 'ann')",
        "claw_back_from_account($1, 1, 'r')",
        "add_to_account($1, 1, 'purchase', 'r')",
        "transfer_credits($1, $1 - 1, 1, 'r', '', 'ann')",
        "set_grant_expiry($1, 1, NULL, '', 'ann')",
        "extend_hold($1, gen_random_uuid(), 60, 'r')",
        "end_holds(ARRAY[$1], ARRAY[gen_random_uuid()], '{release}', '{NULL}')",
        "refund_spends(ARRAY[$1], '{s}', '{r}', '{1}')",
    ],
)
async def test_each_door_refuses_an_account_that_there_is_not(books: Connection, door: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute(f"SELECT {door.replace('$1', '$1::bigint')}", NOBODY)

    assert refused.value.sqlstate == UNKNOWN_ACCOUNT
