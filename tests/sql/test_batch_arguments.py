"""What the doors of a batch make of their arrays: what they mean, and which are refused."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.batches import DEDUCT, REFUND, Answer, Item, deduct_batch, refund_batch
from tests.sql.ledgers import open_account, open_some, snapshot, sqlstate_of

Door = Callable[[Connection, Sequence[Item]], Awaitable[list[Answer]]]

ASSERT_FAILURE = "P0004"
DOORS = {DEDUCT: deduct_batch, REFUND: refund_batch}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    """Each of the two doors: what holds for their arguments holds for both."""
    return DOORS[request.param]


async def test_an_empty_batch_does_nothing(app: Connection, door: Door) -> None:
    assert await door(app, []) == []


@pytest.mark.parametrize("name", DOORS)
async def test_arrays_that_do_not_count_from_one_mean_what_they_say(
    app: Connection, books: Connection, name: str
) -> None:
    one, other = await open_some(app, 10, 10)
    if name == REFUND:
        await deduct_batch(app, [Item(one, 1, "a"), Item(other, 9, "b")])

    row = await app.fetchrow(
        f"""SELECT outcomes[1], outcomes[2], balances[1], balances[2] FROM {name}(
                '[4:5]={{{one.id},{other.id}}}', '[0:1]={{1,500}}', '[5:6]={{a,b}}',
                '[-1:0]={{first,second}}')"""
    )

    assert row is not None
    assert (
        tuple(row)
        == {
            DEDUCT: ("deducted", "insufficient", 9, 10),
            REFUND: ("refunded", "exceeds_deduction", 10, 1),
        }[name]
    )
    written = await books.fetchrow(
        """SELECT request_id, description FROM movements
           WHERE account_id = $1 ORDER BY seq DESC LIMIT 1""",
        one.id,
    )
    assert written is not None
    assert tuple(written) == ("a", "first")


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "r1", "SC002"),
        (-1, "r1", "SC002"),
        (-(2**31), "r1", "SC002"),
        (None, "r1", "SC002"),
        (1, "", "SC003"),
        (1, "x" * 201, "SC003"),
        (1, None, "SC003"),
    ],
)
async def test_one_bad_item_refuses_the_whole_batch(
    app: Connection,
    books: Connection,
    door: Door,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    one, other = await open_some(app, 10, 10)
    await deduct_batch(app, [Item(one, 1, "taken"), Item(other, 1, "taken")])
    before = [await snapshot(books, each.owner) for each in (one, other)]
    good = "taken" if door is refund_batch else "new"

    batch = [Item(one, 1, good), Item(one, amount, request_id), Item(other, 1, good)]
    if door is refund_batch and sqlstate == "SC003":
        # Nothing was ever taken under it: that is an outcome, and the others come back.
        answers = await door(app, batch)
        assert [answer.outcome for answer in answers] == ["refunded", "no_deduction", "refunded"]
        return
    assert await sqlstate_of(door(app, batch)) == sqlstate

    assert [await snapshot(books, each.owner) for each in (one, other)] == before


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("unknown", [0, 2**62, None])
async def test_an_unknown_account_refuses_the_whole_batch(
    app: Connection, books: Connection, door: Door, place: int, unknown: int | None
) -> None:
    one, other = await open_some(app, 10, 10)
    await deduct_batch(app, [Item(one, 1, "r"), Item(other, 1, "r")])
    before = [await snapshot(books, each.owner) for each in (one, other)]
    request_id = "r" if door is refund_batch else "new"

    nobody = Account(unknown, one.owner) if unknown is not None else None
    accounts: list[Account | None] = [one, other]
    accounts.insert(place, nobody)
    if nobody is not None:
        accounts.sort(key=lambda account: account.id if account else 0)
    call = door(app, [Item(account, 1, request_id) for account in accounts])
    assert await sqlstate_of(call) == "SC010"

    assert [await snapshot(books, each.owner) for each in (one, other)] == before


@pytest.mark.parametrize(
    "order", [(1, 0), (0, 1, 0), (0, 2, 1), (1, 0, 1), (2, 1, 0), (1, 1, 0, 0)]
)
async def test_items_out_of_order_are_refused_as_a_mistake_of_the_caller(
    app: Connection, books: Connection, door: Door, order: tuple[int, ...]
) -> None:
    accounts = await open_some(app, 10, 10, 10)
    before = [await snapshot(books, each.owner) for each in accounts]

    batch = [Item(accounts[place], 1, f"r{n}") for n, place in enumerate(order)]
    assert await sqlstate_of(door(app, batch)) == ASSERT_FAILURE

    assert [await snapshot(books, each.owner) for each in accounts] == before


@pytest.mark.parametrize("short", range(3))
@pytest.mark.parametrize("name", DOORS)
async def test_arrays_of_unequal_length_are_refused(
    app: Connection, books: Connection, name: str, short: int
) -> None:
    one, other = await open_some(app, 10, 10)
    await deduct_batch(app, [Item(one, 1, "r"), Item(other, 1, "r")])
    before = [await snapshot(books, each.owner) for each in (one, other)]
    request_id = "r" if name == REFUND else "new"

    arrays: list[list[object]] = [[one.id, other.id], [1, 1], [request_id] * 2, ["", ""]]
    arrays[short].pop()
    if (name, short) == (REFUND, 2):
        # No request id: nothing was ever taken under it.
        row = await app.fetchrow(f"SELECT outcomes FROM {name}($1, $2, $3, $4)", *arrays)
        assert row is not None
        assert row["outcomes"] == ["refunded", "no_deduction"]
        return
    refused = await sqlstate_of(app.fetchrow(f"SELECT {name}($1, $2, $3, $4)", *arrays))

    assert refused.startswith("SC") or refused == ASSERT_FAILURE
    assert [await snapshot(books, each.owner) for each in (one, other)] == before


@pytest.mark.parametrize("name", DOORS)
async def test_an_array_that_is_not_there_is_refused(
    app: Connection, books: Connection, name: str
) -> None:
    (account,) = await open_some(app, 10)
    before = await snapshot(books, account.owner)

    for missing in range(3):
        arrays: list[object] = [[account.id], [1], ["r"], [""]]
        arrays[missing] = None
        call = app.fetchrow(f"SELECT {name}($1, $2, $3, $4)", *arrays)
        if name == REFUND and missing == 2:
            assert await call
        else:
            assert await sqlstate_of(call) in {"SC002", "SC003", "SC010"}

    assert await snapshot(books, account.owner) == before


async def test_descriptions_that_are_not_there_are_empty(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)

    for function in (DEDUCT, REFUND):
        await app.execute(f"SELECT {function}($1, '{{1}}', '{{r}}', NULL)", [account.id])

    written = await books.fetch(
        "SELECT description FROM movements WHERE account_id = $1", account.id
    )
    assert [row["description"] for row in written] == ["Credits added", "", ""]
