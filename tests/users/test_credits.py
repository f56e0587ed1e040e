"""What an owner has and why, as the application reads it, against the tables themselves."""

from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.credits import (
    AMOUNT_MAX,
    OFFSET_MAX,
    PAGE_MAX,
    AccountMissing,
    Cause,
    Credits,
)
from storecredit.ledger.outcomes import Addition, AdditionType, MovementType, StoreMovementType
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.stores.stores import Stores
from storecredit.users.users import Users

OPENING = 10
"""Credits that an owner of either kind starts with here."""


@pytest.fixture
def credits(database: Database) -> Credits:
    return Credits(database)


async def opened(database: Database, kind: OwnerKind, credit_count: int = OPENING) -> Owner:
    """A new owner of a kind."""
    if kind is OwnerKind.USER:
        owner = Owner.user(uuid4())
        await Users(database, credit_count).ensure(owner.id)
        return owner
    made = await Stores(database).create(
        name="Shop", shop_domain="shop.example", credit_count=credit_count, request_id="signup"
    )
    return Owner.store(made.store_id)


@pytest.fixture(params=list(OwnerKind))
async def owner(request: pytest.FixtureRequest, database: Database) -> Owner:
    """A store and, in a run of its own, an end user: each with `OPENING` credits."""
    return await opened(database, request.param)


async def spend(database: Database, owner: Owner, amount: int, description: str) -> None:
    await database.fetchval(
        "SELECT outcomes FROM deduct_from_accounts("
        "ARRAY[account_of($1, $2)], ARRAY[$3::int], ARRAY['spend'], ARRAY[$4])",
        owner.kind,
        owner.id,
        amount,
        description,
    )


async def give_back(database: Database, owner: Owner, amount: int, description: str) -> None:
    await database.fetchval(
        "SELECT outcomes FROM refund_to_accounts("
        "ARRAY[account_of($1, $2)], ARRAY[$3::int], ARRAY['spend'], ARRAY[$4])",
        owner.kind,
        owner.id,
        amount,
        description,
    )


async def test_the_balance_is_what_the_newest_movement_left(
    credits: Credits, database: Database, owner: Owner, admin: asyncpg.Connection
) -> None:
    before = await credits.balance(owner)
    assert (before.balance, before.total_added, before.total_spent) == (10, 10, 0)
    await spend(database, owner, 3, "three")
    after = await credits.balance(owner)
    assert (after.balance, after.total_added, after.total_spent) == (7, 10, 3)
    assert after.moved_at > before.moved_at
    newest = await admin.fetchval(
        "SELECT created_at FROM movements WHERE account_id = account_of($1, $2) AND seq = 2",
        owner.kind,
        owner.id,
    )
    assert newest == after.moved_at


async def test_who_has_no_account_has_no_balance_rather_than_zero(
    credits: Credits, owner: Owner
) -> None:
    for nobody in (Owner.store(uuid4()), Owner.user(uuid4())):
        with pytest.raises(AccountMissing, match=f"{nobody.kind} {nobody.id}"):
            await credits.balance(nobody)
    with pytest.raises(AccountMissing):
        await credits.balances(owner.kind, [owner.id, uuid4()])


async def test_another_kinds_owner_of_the_same_id_has_no_account(
    credits: Credits, owner: Owner
) -> None:
    (other_kind,) = set(OwnerKind) - {owner.kind}
    with pytest.raises(AccountMissing):
        await credits.balance(Owner(other_kind, owner.id))
    namesake = Owner(other_kind, owner.id)
    assert await credits.movements_from(namesake, limit=50, offset=0) == ()


async def test_movements_come_newest_first_and_in_pages(
    credits: Credits, database: Database, owner: Owner
) -> None:
    await spend(database, owner, 2, "two")
    await give_back(database, owner, 2, "back")
    every = await credits.movements_from(owner, limit=50, offset=0)
    opening = MovementType.GRANT if owner.kind is OwnerKind.STORE else MovementType.SIGNUP_BONUS
    assert [(each.seq, each.type, each.amount, each.balance_after) for each in every] == [
        (3, MovementType.REFUND, 2, 10),
        (2, MovementType.DEDUCTION, 2, 8),
        (1, opening, 10, 10),
    ]
    assert [each.request_id for each in every] == ["spend", "spend", "signup"]
    assert every[1].description == "two"
    assert await credits.movements_from(owner, limit=1, offset=1) == every[1:2]
    assert await credits.movements_from(owner, limit=50, offset=3) == ()
    assert await credits.movements_from(owner, limit=50, offset=OFFSET_MAX + 1) == ()


async def test_a_page_has_a_maximum_whoever_asks(credits: Credits, owner: Owner) -> None:
    for place in range(PAGE_MAX):
        await credits.add(owner, 1, AdditionType.GRANT, Cause(f"grant-{place}"))
    assert len(await credits.movements_from(owner, limit=10**6, offset=0)) == PAGE_MAX


async def test_another_owners_movements_are_not_shown(
    credits: Credits, database: Database, owner: Owner
) -> None:
    other = await opened(database, owner.kind, credit_count=0)
    assert await credits.movements_from(other, limit=50, offset=0) == ()


@pytest.mark.parametrize(
    "kind, type_",
    [
        (kind, type_)
        for kind in OwnerKind
        for type_ in AdditionType
        if (kind, type_) != (OwnerKind.USER, AdditionType.SUBSCRIPTION)
    ],
)
async def test_credits_are_added_once_per_request(
    credits: Credits, database: Database, kind: OwnerKind, type_: AdditionType
) -> None:
    owner = await opened(database, kind)

    async def add(amount: int, to: Owner = owner) -> Addition:
        return await credits.add(to, amount, type_, Cause("pack-1", "a pack"))

    assert await add(5) is Addition.ADDED
    assert await add(5) is Addition.ALREADY_ADDED
    assert await add(6) is Addition.CONFLICT
    assert await add(5, Owner(kind, uuid4())) is Addition.UNKNOWN_OWNER
    balance = await credits.balance(owner)
    assert (balance.balance, balance.total_added) == (15, 15)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
async def test_an_amount_out_of_bounds_is_refused_before_the_database(
    credits: Credits, owner: Owner, amount: int
) -> None:
    with pytest.raises(ValueError, match="amount must be 1 to"):
        await credits.add(owner, amount, AdditionType.GRANT, Cause("r"))


async def test_every_type_the_ledger_can_hold_has_a_name_here(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch("SELECT type, role, owner_kinds FROM movement_types")
    assert {row["type"] for row in rows} == set(MovementType)
    of_stores = {row["type"] for row in rows if OwnerKind.STORE in row["owner_kinds"]}
    assert of_stores == set(StoreMovementType)
    additions = {row["type"] for row in rows if row["role"] == "addition"}
    assert additions == set(AdditionType) | {MovementType.SIGNUP_BONUS}
