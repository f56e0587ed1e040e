"""What an end user has and why, as the application reads it, against the tables themselves."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.outcomes import Addition, UserAdditionType, UserMovementType
from storecredit.ledger.store_credits import AMOUNT_MAX, PAGE_MAX, CreditRowMissing
from storecredit.ledger.user_credits import OFFSET_MAX, UserCredits
from storecredit.postgres.pool import Database
from storecredit.users.users import Users

STARTER_CREDITS = 10


@pytest.fixture
def user_credits(database: Database) -> UserCredits:
    return UserCredits(database)


@pytest.fixture
async def user_id(database: Database) -> UUID:
    made = uuid4()
    await Users(database, STARTER_CREDITS).ensure(made)
    return made


async def test_the_balance_is_what_stands_in_the_users_row(
    user_credits: UserCredits, database: Database, user_id: UUID, admin: asyncpg.Connection
) -> None:
    before = await user_credits.balance(user_id)
    assert (before.balance, before.total_earned, before.total_spent) == (10, 10, 0)
    await database.fetchval("SELECT deduct_credits($1, 3, 'spend', 'three')", user_id)
    after = await user_credits.balance(user_id)
    assert (after.balance, after.total_earned, after.total_spent) == (7, 10, 3)
    assert after.updated_at > before.updated_at
    row = await admin.fetchrow("SELECT * FROM user_credits WHERE user_id = $1", user_id)
    assert row is not None
    assert row["updated_at"] == after.updated_at


async def test_who_has_no_account_has_no_balance_rather_than_zero(
    user_credits: UserCredits,
) -> None:
    with pytest.raises(CreditRowMissing):
        await user_credits.balance(uuid4())


async def test_movements_come_newest_first_and_in_pages(
    user_credits: UserCredits, database: Database, user_id: UUID
) -> None:
    await database.fetchval("SELECT deduct_credits($1, 2, 'spend', 'two')", user_id)
    await database.fetchval("SELECT refund_credits($1, 2, 'spend', 'back')", user_id)
    every = await user_credits.movements(user_id, limit=50, offset=0)
    assert [(each.seq, each.type, each.amount, each.balance_after) for each in every] == [
        (3, UserMovementType.REFUND, 2, 10),
        (2, UserMovementType.GENERATION, 2, 8),
        (1, UserMovementType.SIGNUP_BONUS, 10, 10),
    ]
    assert [each.request_id for each in every] == ["spend", "spend", "signup"]
    assert every[1].description == "two"
    assert await user_credits.movements(user_id, limit=1, offset=1) == every[1:2]
    assert await user_credits.movements(user_id, limit=50, offset=3) == ()
    assert await user_credits.movements(user_id, limit=50, offset=OFFSET_MAX + 1) == ()


async def test_a_page_has_a_maximum_whoever_asks(user_credits: UserCredits, user_id: UUID) -> None:
    for place in range(PAGE_MAX):
        await user_credits.add(user_id, 1, UserAdditionType.GRANT, f"grant-{place}", "")
    assert len(await user_credits.movements(user_id, limit=10**6, offset=0)) == PAGE_MAX


async def test_another_users_movements_are_not_shown(
    user_credits: UserCredits, database: Database, user_id: UUID
) -> None:
    other = uuid4()
    await Users(database, 0).ensure(other)
    assert await user_credits.movements(other, limit=50, offset=0) == ()


@pytest.mark.parametrize("type_", list(UserAdditionType))
async def test_credits_are_added_once_per_request(
    user_credits: UserCredits, user_id: UUID, type_: UserAdditionType
) -> None:
    async def add(amount: int, to: UUID = user_id) -> Addition:
        return await user_credits.add(to, amount, type_, "pack-1", "a pack")

    assert await add(5) is Addition.ADDED
    assert await add(5) is Addition.ALREADY_ADDED
    assert await add(6) is Addition.CONFLICT
    assert await add(5, uuid4()) is Addition.UNKNOWN_OWNER
    balance = await user_credits.balance(user_id)
    assert (balance.balance, balance.total_earned) == (15, 15)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
async def test_an_amount_out_of_bounds_is_refused_before_the_database(
    user_credits: UserCredits, user_id: UUID, amount: int
) -> None:
    with pytest.raises(ValueError, match="amount must be 1 to"):
        await user_credits.add(user_id, amount, UserAdditionType.GRANT, "r", "")


async def test_every_type_the_ledger_can_hold_has_a_name_here(admin: asyncpg.Connection) -> None:
    check = await admin.fetchval(
        """SELECT pg_get_constraintdef(oid) FROM pg_constraint
           WHERE conrelid = 'credit_transactions'::regclass AND conname = 'type_is_known'"""
    )
    types = {word for word in check.split("'") if word.isidentifier()}
    assert {type_.value for type_ in UserMovementType} == types
