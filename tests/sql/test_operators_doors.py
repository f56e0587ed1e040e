"""Credits added with terms, clawed back, removed, handed over, given another end: at the edges."""

from datetime import datetime, timedelta
from typing import Final

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.ledgers import Row, credits_of, ledger, open_account, sqlstate_of

DAY: Final = timedelta(days=1)
INSTANT: Final = timedelta(microseconds=1)
CONFLICT: Final = "SC004"
INVALID_TERMS: Final = "SC011"
ADD: Final = """
    SELECT add_to_account($1, 5, 'purchase', $2, p_expires_at => $3, p_kind => $4, p_priority => $5,
        p_grace => $6, p_rollover_max => $7, p_rollover_until => $8)"""
REMOVE: Final = "SELECT * FROM remove_from_account($1, $2, $3, '', 'ann')"
TRANSFER: Final = "SELECT * FROM transfer_credits($1, $2, $3, $4, '', 'ann')"
EXPIRY: Final = "SELECT * FROM set_grant_expiry($1, $2, $3, '', 'ann')"


async def ahead(books: Connection, days: int) -> datetime:
    """So many days from now."""
    at: datetime = await books.fetchval(
        "SELECT clock_timestamp() + make_interval(days => $1)", days
    )
    return at


async def add(
    books: Connection,
    account: Account,
    request: str,
    *,
    ends: datetime | None = None,
    kind: str | None = None,
    priority: int | None = None,
    grace: timedelta | None = None,
    rolls_over: tuple[int | None, datetime | None] = (None, None),
) -> bool:
    """Five credits."""
    terms = (ends, kind, priority, grace, *rolls_over)
    is_new: bool = await books.fetchval(ADD, account.id, request, *terms)
    return is_new


async def terms_of(books: Connection, account: Account, seq: int) -> tuple[object, ...]:
    """Kind, priority, end, grace, what rolls over until when."""
    row = await books.fetchrow(
        """SELECT kind, priority, expires_at, grace, rollover_max, rollover_until FROM grants
           WHERE account_id = $1 AND seq = $2""",
        account.id,
        seq,
    )
    return tuple(row or ())


async def test_terms_are_taken_to_their_edge(books: Connection, kind: OwnerKind) -> None:
    account, end = await open_account(books, kind), await ahead(books, 1)

    assert await add(books, account, "no grace", ends=end, grace=timedelta())
    assert await add(books, account, "kept", ends=end, rolls_over=(0, end + INSTANT))
    assert await add(books, account, "kept", ends=end, rolls_over=(0, end + INSTANT)) is False
    assert await add(books, account, "promo", kind="promo", priority=0)

    assert await terms_of(books, account, 1) == ("paid", 100, end, timedelta(), None, None)
    assert await terms_of(books, account, 2) == (*("paid", 100, end, 30 * DAY, 0, end + INSTANT),)
    assert await terms_of(books, account, 3) == ("promo", 0, None, 30 * DAY, None, None)


async def test_terms_that_no_grant_can_have_are_refused(books: Connection, kind: OwnerKind) -> None:
    account, end = await open_account(books, kind), await ahead(books, 1)

    for asked in (
        add(books, account, "r", kind="other"),
        add(books, account, "r", ends=end, grace=-INSTANT),
        add(books, account, "r", ends=end, rolls_over=(-1, end + DAY)),
        add(books, account, "r", ends=end, rolls_over=(1, None)),
        add(books, account, "r", ends=end, rolls_over=(None, end + DAY)),
        add(books, account, "r", ends=end, rolls_over=(1, end)),
        add(books, account, "r", rolls_over=(1, end)),
        add(books, account, "r", ends=end - 2 * DAY),
    ):
        assert await sqlstate_of(asked) == INVALID_TERMS
    assert await ledger(books, account) == []


async def test_other_terms_under_the_same_id_are_a_conflict(
    books: Connection, kind: OwnerKind
) -> None:
    account, end = await open_account(books, kind), await ahead(books, 1)
    kept = (3, end + DAY)
    assert await add(books, account, "r", ends=end, rolls_over=kept)

    for asked in (
        add(books, account, "r", rolls_over=(None, None)),
        add(books, account, "r", ends=end + INSTANT, rolls_over=kept),
        add(books, account, "r", ends=end, kind="promo", rolls_over=kept),
        add(books, account, "r", ends=end, priority=1, rolls_over=kept),
        add(books, account, "r", ends=end, rolls_over=(4, end + DAY)),
        add(books, account, "r", ends=end, rolls_over=(3, end + 2 * DAY)),
    ):
        assert await sqlstate_of(asked) == CONFLICT
    # The grace is no part of what a request says about its credits.
    assert await add(books, account, "r", ends=end, grace=DAY, rolls_over=kept) is False


async def test_what_is_clawed_back_is_told_again_and_not_taken_again(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind, 10)
    claw_back = "SELECT claw_back_from_account($1, $2, $3)"

    assert await books.fetchval(claw_back, account.id, 4, "r") == 4
    assert await books.fetchval(claw_back, account.id, 4, "r") == 4
    assert await books.fetchval(claw_back, account.id, 5, "r") == 4
    assert await sqlstate_of(books.execute(claw_back, account.id, 3, "r")) == CONFLICT
    assert await books.fetchval(claw_back, account.id, 7, "more") == 6
    # There is nothing: nothing is written, and it may come again.
    assert await books.fetchval(claw_back, account.id, 1, "late") == 0
    assert await add(books, account, "new")
    assert await books.fetchval(claw_back, account.id, 1, "late") == 1
    assert [(row.amount, row.request_id) for row in (await ledger(books, account))[1:]] == [
        *((4, "r"), (6, "more"), (5, "new"), (1, "late")),
    ]


async def test_credits_are_removed_to_the_last_and_no_further(
    books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(books, kind, 10)

    async def remove(amount: int | None, request: str) -> tuple[object, ...]:
        return tuple(await books.fetchrow(REMOVE, account.id, amount, request) or ())

    assert await remove(11, "much") == ("insufficient", 0, 10)
    assert await remove(4, "some") == ("removed", 4, 6)
    assert await remove(4, "some") == ("already_removed", 4, 6)
    assert await remove(None, "some") == ("already_removed", 4, 6)
    assert await remove(3, "some") == ("conflict", 4, 6)
    assert await remove(6, "rest") == ("removed", 6, 0)
    assert await remove(None, "all") == ("insufficient", 0, 0)
    assert await add(books, account, "new")
    assert await remove(None, "all") == ("removed", 5, 0)


async def test_credits_are_handed_over_to_the_last_and_no_further(
    books: Connection, kind: OwnerKind
) -> None:
    one, two = await open_account(books, kind, 10), await open_account(books, kind, 1)

    async def hand(from_: Account, to: Account, amount: int, request: str) -> tuple[object, ...]:
        return tuple(await books.fetchrow(TRANSFER, from_.id, to.id, amount, request) or ())

    assert await hand(one, two, 11, "much") == ("insufficient", 10, 1)
    assert await hand(one, one, 1, "self") == ("same_account", None, None)
    assert await hand(one, two, 10, "all") == ("transferred", 0, 11)
    assert await hand(one, two, 10, "all") == ("already_transferred", 0, 11)
    assert await hand(one, two, 9, "all") == ("conflict", 0, 11)
    assert await hand(two, one, 10, "all") == ("conflict", 11, 0)
    assert await hand(two, one, 11, "back") == ("transferred", 0, 11)
    await books.execute(REMOVE, one.id, 1, "removed")
    assert await hand(one, two, 1, "removed") == ("conflict", 10, 0)
    assert await hand(two, one, 1, "removed") == ("conflict", 0, 10)
    assert await ledger(books, two) == [
        Row(1, "grant", 1, 1, "opening"),
        Row(2, "transfer_in", 10, 11, "all"),
        Row(3, "transfer_out", 11, 0, "back"),
    ]


async def test_ends_of_two_transfers_are_not_one(books: Connection, kind: OwnerKind) -> None:
    giver, taker, other = [await open_account(books, kind, 10) for _ in range(3)]

    async def hand(from_: Account, to: Account) -> object:
        return await books.fetchval(TRANSFER, from_.id, to.id, 3, "one id")

    assert await hand(giver, other) == "transferred"
    assert await hand(giver, other) == "already_transferred"
    third = await open_account(books, kind, 10)
    assert await hand(third, taker) == "transferred"
    # Both have an end of so many credits under that id, and nothing went from one to the other.
    assert await hand(giver, taker) == "conflict"
    assert [row.amount for row in await ledger(books, giver)] == [10, 3]
    assert await hand(third, taker) == "already_transferred"


async def test_what_is_handed_over_ends_with_the_last_of_it(
    books: Connection, kind: OwnerKind
) -> None:
    one, two = await open_account(books, kind), await open_account(books, kind)
    first, last = await ahead(books, 1), await ahead(books, 2)
    await add(books, one, "a", ends=first, kind="promo", priority=7, grace=DAY)
    await add(books, one, "b", ends=last, kind="promo", priority=9, grace=3 * DAY)
    await add(books, one, "c", priority=50, grace=2 * DAY)

    for amount, request in ((6, "promo"), (5, "both"), (4, "paid")):
        await books.execute(TRANSFER, one.id, two.id, amount, request)

    assert await terms_of(books, two, 1) == ("promo", 7, last, 3 * DAY, None, None)
    assert await terms_of(books, two, 2) == ("paid", 9, None, 3 * DAY, None, None)
    assert await terms_of(books, two, 3) == ("paid", 50, None, 2 * DAY, None, None)


async def test_a_grant_is_given_another_end(books: Connection, kind: OwnerKind) -> None:
    account, end = await open_account(books, kind), await ahead(books, 5)
    await add(books, account, "a", ends=end, rolls_over=(3, end + DAY))

    async def give(seq: int, at: datetime | None) -> tuple[object, ...]:
        return tuple(await books.fetchrow(EXPIRY, account.id, seq, at) or ())

    assert await give(1, end) == ("set", 1, 5), "it ends then already"
    assert await give(9, end) == ("not_found", 9, 0)
    # It rolls over where that is after its end.
    assert await give(1, end + DAY - INSTANT) == ("set", 2, 5)
    assert (await terms_of(books, account, 2))[4:] == (3, end + DAY)
    assert await give(2, end + DAY) == ("set", 3, 5)
    assert (await terms_of(books, account, 3))[4:] == (None, None)
    # What was given another end is told of as what took its place, with that end alone.
    assert await give(2, end + DAY) == ("set", 3, 5)
    assert (await give(1, end))[0] == "ended"
    assert await give(3, None) == ("set", 4, 5)
    assert (await terms_of(books, account, 4))[2] is None
    assert [row.type for row in await ledger(books, account)] == ["purchase", *["reissue"] * 3]
    assert (await credits_of(books, account))[0] == 5
