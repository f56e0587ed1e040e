"""What `storecredit verify` says of a discrepancy, and of what it cannot or need not know."""

from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verification import last
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.sql.full_accounts import allow_anything, buy, deduct, open_with_everything
from tests.sql.ledgers import open_account


@pytest.mark.parametrize(
    "statement, detail",
    [
        (
            "GRANT EXECUTE ON FUNCTION append_movements, add_to_account TO PUBLIC",
            "everybody may call the function storecredit.add_to_account, which writes credits",
        ),
        (
            "ALTER TABLE movements DROP CONSTRAINT movements_pkey",
            "the key storecredit.movements_pkey is missing, so the ledger is not guarded",
        ),
    ],
    ids=["open", "without a key"],
)
async def test_a_way_around_the_functions_is_named(
    statement: str, detail: str, database: Database, admin: asyncpg.Connection
) -> None:
    await open_with_everything(admin, OwnerKind.STORE)
    await admin.execute(f"SET search_path = storecredit; {statement}")

    (found,) = (await verify(database)).discrepancies

    assert (found.kind, found.detail) == (DiscrepancyKind.UNGUARDED, detail)
    recorded = await last(database)
    assert recorded is not None
    assert recorded.discrepancies == 1


async def test_a_payment_that_came_in_by_another_way_is_no_discrepancy(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute("SELECT add_to_account($1, 5, 'purchase', 'by cheque')", account.id)
    await admin.execute("SELECT claw_back_from_account($1, 5, 'uncovered')", account.id)

    assert (await verify(database, every_row=True)).clean


async def test_no_row_knows_of_the_newest_movements_that_no_verification_has_counted(
    database: Database, admin: asyncpg.Connection
) -> None:
    # The limit that the documents name: a superuser takes off the end what nothing else knows of.
    account = await open_with_everything(admin, OwnerKind.STORE)
    assert (await verify(database)).clean
    await deduct(admin, account, 1, "after the proof")
    await allow_anything(admin)
    await admin.execute("DELETE FROM movements WHERE request_id = 'after the proof'")

    assert (await verify(database, every_row=True)).clean


async def test_a_discrepancy_says_where_it_is_and_the_numbers(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_with_everything(admin, OwnerKind.STORE)
    await allow_anything(admin)
    session_id = await admin.fetchval(
        "UPDATE sessions SET status = 'failed' WHERE request_id = 'done' RETURNING session_id"
    )
    await admin.execute("UPDATE movements SET balance_after = 200 WHERE seq = 11")

    balance, session = (await verify(database)).discrepancies

    assert balance.store_id == account.owner.id
    assert balance.detail == (
        "a clawback of 4 after balance of 104 makes 100, but balance_after is 200"
    )
    assert session.session_id == session_id
    assert session.detail == "the generation failed, but its deduction of 1 was not given back"


async def test_missing_movements_are_named_until_they_are_back(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_with_everything(admin, OwnerKind.USER)
    assert (await verify(database)).clean
    verified = await last(database)
    assert verified is not None
    await allow_anything(admin)
    await admin.execute("CREATE TABLE taken AS SELECT * FROM movements WHERE seq >= 10")
    await admin.execute("DELETE FROM movements WHERE seq >= 10")

    for _ in range(2):
        await deduct(admin, account, 1, str(uuid4()))
        # The grant that one of them began is there still.
        missing, _ = (await verify(database)).discrepancies
        assert missing.detail == (
            f"of the 11 movements from before {verified.verified_at.isoformat()}, which an"
            " earlier `verify` counted, 2 are missing"
        )

    await admin.execute("DELETE FROM movements WHERE seq >= 10")
    await admin.execute("INSERT INTO movements SELECT * FROM taken")
    assert (await verify(database, every_row=True)).clean


async def test_a_discrepancy_of_money_says_which_payment(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.USER, 1)
    user_id = account.owner.id
    adjustment_id = await buy(admin, account)
    await admin.execute("UPDATE storecredit.payments SET credits = 11")
    await admin.execute("UPDATE storecredit.clawbacks SET taken = 4")

    payment, clawback = (await verify(database)).discrepancies

    assert payment.user_id == clawback.user_id == user_id
    assert payment.detail == (
        f"payment txn_{user_id} (purchase) is for 11 credits, but its movement is of 10"
    )
    assert clawback.request_id == adjustment_id
    assert clawback.detail == (
        f"the refund of payment txn_{user_id} took 4 credits, but its movement is of 5"
    )
