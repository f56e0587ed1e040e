"""Credits that come back: in a batch of plain and told ones, and after their grant got another end.

And amounts beyond what one request can name.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.passing_time import pass_time
from tests.sql.full_grants import give_back, spend
from tests.sql.ledgers import open_account

HOUR = timedelta(hours=1)
LARGEST = 2**31 - 1

Items = list[tuple[Account, int, str]]


async def add(
    books: asyncpg.Connection,
    account: Account,
    amount: int,
    request_id: str,
    lasts: timedelta | None = None,
    priority: int = 100,
) -> None:
    await books.execute(
        """SELECT add_to_account($1, $2, 'purchase', $3, p_priority => $5,
               p_expires_at => now() + $4::interval)""",
        account.id,
        amount,
        request_id,
        lasts,
        priority,
    )


async def moved(books: asyncpg.Connection, door: str, *items: tuple[Account, int, str]) -> None:
    """Every item of a batch does what it is for."""
    ordered: Items = sorted(items, key=lambda item: item[0].id)
    outcomes = await books.fetchval(
        f"SELECT outcomes FROM {door}($1, $2, $3, NULL)",
        [account.id for account, _, _ in ordered],
        [amount for _, amount, _ in ordered],
        [request_id for _, _, request_id in ordered],
    )
    assert set(outcomes) <= {"deducted", "refunded"}


async def grants_of(books: asyncpg.Connection, account: Account) -> dict[int, int]:
    """What each grant has left; together it is the balance."""
    ((balance, grants),) = await books.fetch(
        "SELECT balance, grants FROM state_of_account($1)", account.id
    )
    left: dict[int, int] = dict(zip(grants[::2], grants[1::2], strict=True))
    assert sum(left.values()) == balance
    return left


async def expire_at(books: asyncpg.Connection, account: Account, seq: int, end: timedelta) -> Any:
    return await books.fetchrow(
        "SELECT * FROM set_grant_expiry($1, $2, now() + $3::interval, 'Later', 'admin')",
        account.id,
        seq,
        end,
    )


async def test_plain_credits_and_told_ones_come_back_in_one_batch(
    books: asyncpg.Connection,
) -> None:
    plain, told = [await open_account(books, OwnerKind.STORE, 10) for _ in range(2)]
    await add(books, told, 10, "first", priority=1)
    await moved(books, "deduct_from_accounts", (plain, 2, "a"), (told, 13, "a"))
    await moved(books, "deduct_from_accounts", (told, 2, "b"))
    # By now nothing tells the credits of either apart; one charge was of two grants.
    await moved(books, "refund_to_accounts", (plain, 2, "a"), (told, 13, "a"))
    assert await grants_of(books, plain) == {1: 10}
    assert await grants_of(books, told) == {2: 10, 1: 8}
    await moved(books, "deduct_from_accounts", (plain, 9, "c"), (told, 11, "c"))
    assert await grants_of(books, plain) == {1: 1}
    assert await grants_of(books, told) == {1: 7}


@pytest.mark.parametrize("passed", [timedelta(0), 2 * HOUR])
async def test_what_was_taken_before_a_grant_had_an_end_comes_back_to_what_has_it(
    books: asyncpg.Connection, passed: timedelta
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    await moved(books, "deduct_from_accounts", (account, 4, "work"))
    assert (await expire_at(books, account, 1, HOUR))["seq"] == 3
    await pass_time(books, passed, account.id)
    await moved(books, "refund_to_accounts", (account, 4, "work"))
    assert await grants_of(books, account) == ({5: 4} if passed else {3: 10})
    assert (await expire_at(books, account, 1, 3 * HOUR))["outcome"] == "ended"
    ends = await books.fetch(
        "SELECT expires_at - now() AS lasts FROM grants WHERE account_id = $1 AND seq > 1",
        account.id,
    )
    assert all(end["lasts"] is not None for end in ends), "what has an end does not lose it"


async def test_all_is_removed_however_much_it_is(books: asyncpg.Connection) -> None:
    account = await open_account(books, OwnerKind.STORE, LARGEST)
    await add(books, account, LARGEST, "as much again", HOUR)
    remove = (
        "SELECT outcome, removed, balance FROM remove_from_account($1, NULL, 'all', '', 'admin')"
    )
    for outcome in ("removed", "already_removed"):
        (told,) = await books.fetch(remove, account.id)
        assert tuple(told) == (outcome, 2 * LARGEST, 0)
    assert await grants_of(books, account) == {}


async def test_what_comes_back_to_a_used_up_grant_ends_with_it(
    books: asyncpg.Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    await add(books, account, 10, "soon", HOUR)
    await add(books, account, 20, "later", 48 * HOUR)
    spend = "SELECT * FROM spend_credits($1, $2, $3, $4, NULL, NULL)"
    await books.fetchrow(spend, [account.id], [10], ["work"], [b"f"])
    hold = "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, NULL, NULL)"
    await books.fetchrow(hold, [account.id], [uuid4()], [5], ["aside"], [b"f"], [60])
    await pass_time(books, timedelta(minutes=2), account.id)
    # The hold is over; the next to end is the later grant, since nothing is left of the other.
    assert await books.fetchval("SELECT expire_credits($1)", [account.id]) == 1
    refund = "SELECT * FROM refund_spends($1, $2, $3, $4)"
    await books.fetchrow(refund, [account.id], ["work"], ["back"], [None])

    await pass_time(books, HOUR, account.id)

    state = "SELECT balance, expired FROM state_of_account($1)"
    assert tuple(await books.fetchrow(state, account.id) or ()) == (20, 10)
    assert await books.fetchval("SELECT expire_credits($1)", [account.id]) == 1
    assert tuple(await books.fetchrow(state, account.id) or ()) == (20, 10)


async def test_what_nothing_told_apart_comes_back_to_what_it_was(
    admin: asyncpg.Connection, database: Database
) -> None:
    """Paid credits stay paid, though a promo that is used up has the room, and is the newer."""
    account = await open_account(admin, OwnerKind.STORE)
    await add(admin, account, 100, "paid")
    await admin.execute("SELECT add_to_account($1, 10, 'grant', 'promo')", account.id)
    await spend(admin, account, 10, "of the promo")
    await spend(admin, account, 5, "of what was paid")
    assert await grants_of(admin, account) == {1: 95}
    await give_back(admin, account, "of what was paid", 2, "while nothing tells")
    assert await grants_of(admin, account) == {1: 97}
    await add(admin, account, 3, "month", HOUR)
    await give_back(admin, account, "of what was paid", 3, "while something does")
    assert await grants_of(admin, account) == {6: 3, 1: 100}
    assert (await verify(database)).clean


@pytest.mark.parametrize("is_generation", [False, True], ids=["a spend", "a generation"])
async def test_promo_goes_first_though_older_paid_credits_come_back_beside_it(
    admin: asyncpg.Connection, database: Database, is_generation: bool
) -> None:
    """Of a generation the credits come back by the way of those that nothing tells apart."""
    account = await open_account(admin, OwnerKind.STORE)

    async def back(request_id: str, amount: int) -> None:
        if is_generation:
            await moved(admin, "refund_to_accounts", (account, amount, request_id))
        else:
            await give_back(admin, account, request_id, amount, f"back {request_id}")

    await add(admin, account, 10, "paid")
    await spend(admin, account, 5, "a half")
    await spend(admin, account, 5, "the other half")
    await admin.execute("SELECT add_to_account($1, 10, 'grant', 'promo')", account.id)
    await spend(admin, account, 1, "a promo")
    await back("a half", 5)
    await spend(admin, account, 6, "of the promo")
    assert await grants_of(admin, account) == {4: 3, 1: 5}
    await spend(admin, account, 8, "the rest")
    await back("the other half", 5)
    assert await grants_of(admin, account) == {1: 5}
    await add(admin, account, 1, "month", HOUR)
    assert await grants_of(admin, account) == {1: 5, 10: 1}
    assert (await verify(database)).clean
