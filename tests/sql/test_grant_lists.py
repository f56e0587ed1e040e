"""What the lists of grants are worked out to be, `{seq, credits, ...}`, to the last credit.

These functions are pure, or read what is written: each is asked for itself, at its edges.
"""

from datetime import timedelta
from typing import Final

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.interface import deduct
from tests.sql.ledgers import add_ending, open_account

HOUR: Final = timedelta(hours=1)
ADD: Final = "SELECT add_to_account($1, $2, $3, $4, p_priority => $5)"
PURE: Final = {
    # The first ones are taken first; one that is used up is no longer told of.
    "take_from_grants('{1,5,2,5}', 0)": [1, 5, 2, 5],
    "take_from_grants('{1,5,2,5}', 4)": [1, 1, 2, 5],
    "take_from_grants('{1,5,2,5}', 5)": [2, 5],
    "take_from_grants('{1,5,2,5}', 6)": [2, 4],
    "take_from_grants('{1,5,2,5}', 10)": [],
    "credits_together('{1,5,2,7}')": 12,
    "credits_together('{}')": 0,
    "credits_in_grants('{1,5,2,7}', 2)": 7,
    "credits_in_grants('{1,5,2,7}', 5)": 0,
    "credits_in_grants(NULL, 1)": 0,
    "grants_without('{1,5,2,7,3,9}', 1)": [2, 7, 3, 9],
    "grants_without('{1,5,2,7,3,9}', 2)": [1, 5, 3, 9],
    "grants_without('{1,5,2,7,3,9}', 3)": [1, 5, 2, 7],
    "grants_without('{1,5,2,7,3,9}', 7)": [1, 5, 2, 7, 3, 9],
    "part_of_grants('{1,5,2,5,3,5}', 0, 5)": [1, 5],
    "part_of_grants('{1,5,2,5,3,5}', 0, 6)": [1, 5, 2, 1],
    "part_of_grants('{1,5,2,5,3,5}', 4, 3)": [1, 1, 2, 2],
    "part_of_grants('{1,5,2,5,3,5}', 5, 5)": [2, 5],
    "part_of_grants('{1,5,2,5,3,5}', 7, 8)": [2, 3, 3, 5],
    "part_of_grants('{1,5,2,5}', 3, 0)": [],
    "part_of_grants('{}', 0, 1)": [],
    "part_of_grants(NULL, 0, 1)": None,
    # A single grant that does not end is like any other credits.
    "grants_told_apart('{1,5}', NULL)": None,
    "grants_told_apart('{}', NULL)": None,
    "grants_told_apart('{1,5}', now())": [1, 5],
    "grants_told_apart('{1,5,2,5}', NULL)": [1, 5, 2, 5],
}


@pytest.mark.parametrize("call, told", PURE.items(), ids=PURE)
async def test_lists_are_worked_out_to_the_last_credit(
    books: Connection, call: str, told: object
) -> None:
    assert await books.fetchval(f"SELECT {call}") == told


async def add(
    books: Connection, account: Account, amount: int, type_: str = "purchase", priority: int = 100
) -> None:
    """One more grant, at the next place of the ledger."""
    request = await books.fetchval("SELECT gen_random_uuid()::text")
    await books.execute(ADD, account.id, amount, type_, request, priority)


async def room_between(
    books: Connection, account: Account, has: list[int], after: int, before: int, amount: int
) -> list[int]:
    call = "SELECT room_between($1, $2, $3, $4, $5)"
    found: list[int] = await books.fetchval(call, account.id, has, after, before, amount)
    return found


async def test_room_is_found_in_the_newest_first_and_between_the_places_only(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    for _ in range(4):
        await add(books, account, 10)
    # The third is full, the others have four each.
    has = [1, 4, 2, 4, 3, 10, 4, 4]

    assert await room_between(books, account, has, 0, 5, 6) == [4, 6]
    assert await room_between(books, account, has, 0, 5, 7) == [4, 6, 2, 1]
    assert await room_between(books, account, has, 0, 5, 99) == [4, 6, 2, 6, 1, 6]
    assert await room_between(books, account, has, 1, 4, 99) == [2, 6]
    assert await room_between(books, account, has, 2, 4, 99) == []
    assert await room_between(books, account, has, 0, 5, 0) == []


async def test_there_is_no_room_in_what_ends(books: Connection, kind: OwnerKind) -> None:
    account = await open_account(books, kind)
    await add(books, account, 10)
    await add_ending(books, [account], 10, HOUR)

    assert await room_between(books, account, [1, 0, 2, 0], 0, 3, 99) == [1, 10]


async def test_room_is_looked_for_where_the_credits_may_have_come_from(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    # The second tells the two apart; the third goes with what is told.
    await add(books, account, 10)
    await add(books, account, 10, "grant", priority=50)
    await add(books, account, 10, "grant", priority=50)
    room = "SELECT room_in_grants($1, $2, $3, $4)"

    # Before the second nothing was told, so the credits were the first one's.
    assert await books.fetchval(room, account.id, [1, 2], 2, 8) == [1, 8]
    assert await books.fetchval(room, account.id, [1, 2], 2, 9) == [1, 8]
    # Before the third the second had told of both: the last of its list is filled first.
    has = [2, 3, 1, 3]
    assert await books.fetchval(room, account.id, has, 3, 7) == [1, 7]
    assert await books.fetchval(room, account.id, has, 3, 9) == [1, 7, 2, 2]
    assert await books.fetchval(room, account.id, has, 3, 99) == [1, 7, 2, 7]


async def test_grants_come_in_the_order_in_which_they_are_spent(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    await add(books, account, 10)
    await add(books, account, 10, "grant")
    await add(books, account, 10)
    await add(books, account, 10, priority=50)
    await add_ending(books, [account], 10, 2 * HOUR, HOUR)
    added = "SELECT add_to_grants($1, $2, $3)"

    # The lower priority, what ends sooner, promo, the older.
    grants = [1, 7, 2, 7, 3, 7, 4, 7, 5, 7, 6, 7]
    ordered = [4, 7, 6, 7, 5, 7, 2, 7, 1, 7, 3, 7]
    assert await books.fetchval(added, account.id, grants, []) == ordered
    assert await books.fetchval(added, account.id, [1, 7], [3, 2, 1, -6]) == [1, 1, 3, 2]
    # What has nothing left is no longer told of.
    assert await books.fetchval(added, account.id, [1, 7, 3, 1], [1, -7]) == [3, 1]


@pytest.mark.parametrize("before, terms", [(1, None), (2, 1), (3, 2), (4, 2)])
async def test_terms_that_were_not_told_are_those_of_the_newest_before(
    books: Connection, kind: OwnerKind, before: int, terms: int | None
) -> None:
    account = await open_account(books, kind)
    for _ in range(2):
        await add(books, account, 10)

    untold = "SELECT (untold_terms($1, $2)).seq"
    assert await books.fetchval(untold, account.id, before) == terms


async def test_terms_that_were_told_since_are_those_of_what_is_spent_next(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    await add(books, account, 10)
    # Told apart from here on: this one is spent after the first.
    await add(books, account, 10, "grant", priority=150)
    untold = "SELECT (untold_terms($1, $2)).seq"

    assert await books.fetchval(untold, account.id, 2) == 1
    assert await books.fetchval(untold, account.id, 3) == 1
    sooner = await open_account(books, kind)
    await add(books, sooner, 10)
    await add(books, sooner, 10, "grant", priority=50)
    assert await books.fetchval(untold, sooner.id, 2) == 1
    assert await books.fetchval(untold, sooner.id, 3) == 2
    assert await deduct(books, account, 20, "all")
    # Nothing is left to be told of: the newest is what all credits were of.
    assert await books.fetchval(untold, account.id, 4) == 2


async def test_it_is_told_from_which_grants_a_movement_took(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    await add(books, account, 10)
    await add(books, account, 10, "grant", priority=50)
    for amount in (3, 9):
        assert await deduct(books, account, amount, f"takes {amount}")
    taken = "SELECT grants_taken($1, $2)"

    # Nothing told the first apart; of a grant that is not touched nothing is said.
    assert await books.fetchval(taken, account.id, 1) is None
    assert await books.fetchval(taken, account.id, 3) == [2, 3]
    assert await books.fetchval(taken, account.id, 4) == [2, 7, 1, 2]


async def test_credits_are_taken_from_the_first_grant_before_all_others(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind)
    for _ in range(3):
        await add(books, account, 10)
    taken = "SELECT grants_after_taking($1, 30, $2, $3, $4)"

    assert await books.fetchval(taken, account.id, None, 5, None) is None
    assert await books.fetchval(taken, account.id, None, 5, 2) == [1, 10, 2, 5, 3, 10]
    assert await books.fetchval(taken, account.id, None, 12, 2) == [1, 8, 3, 10]
    assert await books.fetchval(taken, account.id, [1, 10, 2, 10, 3, 10], 12, None) == [
        *(2, 8, 3, 10),
    ]


async def test_what_ends_sooner_is_remembered(books: Connection, kind: OwnerKind) -> None:
    account = await open_account(books, kind)
    at = await books.fetchval("SELECT clock_timestamp() + interval '1 hour'")
    ends = "SELECT next_expiry FROM accounts WHERE account_id = $1"
    expect = "SELECT expect_expiry($1, $2)"

    await books.execute(expect, account.id, None)
    assert await books.fetchval(ends, account.id) is None
    for moment, next_one in ((at, at), (at + HOUR, at), (at - HOUR, at - HOUR)):
        await books.execute(expect, account.id, moment)
        assert await books.fetchval(ends, account.id) == next_one
    await books.execute(expect, account.id, None)
    assert await books.fetchval(ends, account.id) == at - HOUR
