"""Many at once: calls, sessions and batches that meet, read back from the tables."""

import asyncio
from typing import Any

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.generations import (
    CONTENT,
    Request,
    complete,
    complete_batch,
    create,
    create_batch,
    create_one,
    fail,
    fail_batch,
    session,
    start,
    start_batch,
)
from tests.sql.interface import add, claw_back, deduct, refund
from tests.sql.ledgers import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
)

RACES = 25


async def test_fifty_at_once_get_what_twenty_credits_pay_for(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 20)

    answers = await asyncio.gather(
        *(deduct(each, account, 1, f"r{n}") for n, each in enumerate(await callers(50)))
    )

    assert sorted(answers) == [False] * 30 + [True] * 20
    assert await credits_of(books, account) == (0, 20, 20, 21)
    await assert_books_balance(books, account.owner)
    taken = {row.request_id for row in (await ledger(books, account))[1:]}
    assert taken == {f"r{n}" for n, answer in enumerate(answers) if answer}


async def test_one_request_sent_by_twenty_at_once_deducts_once(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 100)

    answers = await asyncio.gather(
        *(deduct(connection, account, 2, "r1") for connection in await callers(20))
    )

    assert answers == [True] * 20
    assert (await ledger(books, account))[1:] == [Row(2, "deduction", 2, 98, "r1")]
    await assert_books_balance(books, account.owner)


async def test_every_kind_of_movement_at_once_counts(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 100)
    for n in range(5):
        await deduct(app, account, 2, f"old {n}")
    connections = iter(await callers(20))

    await asyncio.gather(
        *(
            call
            for n in range(5)
            for call in (
                add(next(connections), account, 3, "purchase", f"order {n}"),
                claw_back(next(connections), account, 4, f"refunded {n}"),
                deduct(next(connections), account, 1, f"new {n}"),
                refund(next(connections), account, 2, f"old {n}"),
            )
        )
    )

    assert await credits_of(books, account) == (90, 115, 5, 26)
    await assert_books_balance(books, account.owner)


async def test_of_a_completion_and_a_failure_at_once_one_wins(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, RACES)
    (other,) = await callers(1)
    refunds = 0

    for race in range(RACES):
        session_id = await create_one(app, account, f"r{race}")
        await start(app, account, session_id)
        completed, failed = await asyncio.gather(
            complete(app, account, session_id), fail(other, account, session_id)
        )
        final = (await session(books, account, session_id))["status"]
        assert (completed, failed, final) in {
            ("completed", "already_completed", "completed"),
            ("already_failed", "failed", "failed"),
        }
        refunds += final == "failed"

    assert (await credits_of(books, account)).balance == refunds
    await assert_books_balance(books, account.owner)


async def test_of_twenty_failures_at_once_one_refunds(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)

    outcomes = await asyncio.gather(
        *(fail(each, account, session_id) for each in await callers(20))
    )

    assert sorted(outcomes) == ["already_failed"] * 19 + ["failed"]
    assert await credits_of(books, account) == (1, 1, 0, 3)


async def test_one_request_sent_by_twenty_at_once_makes_one_session(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 20)

    answers = await asyncio.gather(
        *(create(connection, account, [("r1", CONTENT)]) for connection in await callers(20))
    )

    outcomes = [created.outcome for (created,) in answers]
    assert sorted(outcomes) == ["created"] + ["replayed"] * 19
    assert len({created.session_id for (created,) in answers}) == 1
    assert (await credits_of(books, account)).balance == 19


async def test_batches_over_the_same_accounts_in_any_order_do_not_deadlock(
    callers: Callers, app: Connection, books: Connection
) -> None:
    accounts = [await open_account(app, kind, 1000) for kind in [*OwnerKind] * 3]

    async def create_start_and_fail(connection: Connection, turn: int) -> None:
        for race in range(RACES):
            # Each connection creates for accounts of its own choice, twice each …
            chosen = [account for account in accounts if (account.id + turn + race) % 3]
            requests: list[Request] = [
                (account, f"{turn} {race} {n}", CONTENT) for account in chosen for n in range(2)
            ]
            answers = await create_batch(connection, requests)
            assert {each.outcome for each in answers} == {"created"}
            # … and begins and ends the sessions in an order of its own.
            made = [
                (account, each.session_id)
                for (account, _, _), each in zip(requests, answers, strict=True)
            ]
            made = made[turn:] + made[:turn]
            made = made if race % 2 else made[::-1]
            begun = await start_batch(connection, made)
            assert {row["outcome"] for row in begun} == {"started"}
            assert set(await fail_batch(connection, made[::-1])) == {"failed"}

    await asyncio.gather(
        *(create_start_and_fail(each, n) for n, each in enumerate(await callers(4)))
    )

    for account in accounts:
        assert (await credits_of(books, account)).balance == 1000
        await assert_books_balance(books, account.owner)


async def test_workers_that_begin_and_end_the_same_sessions_in_any_order_do_not_deadlock(
    callers: Callers, app: Connection, books: Connection
) -> None:
    accounts = [await open_account(app, kind, 8 * RACES) for kind in OwnerKind]
    one, two, three, four = await callers(4)

    for race in range(RACES):
        made = await _begun(app, accounts, race)
        await asyncio.gather(
            start_batch(one, made),
            start_batch(two, made[::-1]),
            start_batch(three, made[5:] + made[:5]),
        )
        some = [(*item, "k") for item in made[:12]]
        await asyncio.gather(
            complete_batch(one, some),
            complete_batch(two, some[::-1]),
            start_batch(three, made),
            fail_batch(four, made[::-1]),
        )

    for account in accounts:
        ended = await books.fetchval(
            "SELECT array_agg(status) FROM sessions WHERE account_id = $1", account.id
        )
        assert set(ended) <= {"completed", "failed"}
        assert (await credits_of(books, account)).balance == ended.count("failed")
        await assert_books_balance(books, account.owner)


async def _begun(app: Connection, accounts: list[Account], race: int) -> list[tuple[Account, Any]]:
    """Eight new sessions of each account, mixed."""
    requests: list[Request] = [
        (account, f"r{race} {n}", CONTENT) for account in accounts for n in range(8)
    ]
    answers = await create_batch(app, requests)
    made = [
        (account, each.session_id) for (account, _, _), each in zip(requests, answers, strict=True)
    ]
    return made[::2] + made[1::2]
