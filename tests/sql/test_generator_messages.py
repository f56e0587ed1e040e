"""What generators said, as the functions of a batch write it."""

import json
from datetime import datetime
from uuid import UUID

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import complete, create_one, fail_batch, session, start
from tests.sql.ledgers import open_account

Attempt = tuple[int, bool, str | None]
POSTPONE = "SELECT outcome FROM postpone_generation($1, $2, $3, $4)"


async def test_each_failure_of_a_batch_keeps_its_own_message(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    items = []
    for account in [await open_account(app, kind, 3) for _ in range(2)]:
        ids = [await create_one(app, account, f"r{n}") for n in range(2)]
        await start(app, account, *ids)
        items += [(account, session_id) for session_id in ids]

    outcomes = await fail_batch(
        app,
        [*items, items[-1]],
        generator_messages=["one 0", None, "other 0", "other 1", "other 1, again"],
    )

    assert outcomes == ["failed"] * 4 + ["already_failed"]
    said = [(await session(books, *item))["generator_message"] for item in items]
    assert said == ["one 0", None, "other 0", "other 1"]


async def test_a_failure_without_a_message_leaves_the_last_one(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)
    ids = [await create_one(app, account, request_id) for request_id in ("r0", "r1")]
    await start(app, account, *ids)
    for session_id in ids:
        assert await app.fetchval(POSTPONE, account.id, session_id, "busy", False) == "postponed"

    await fail_batch(app, [(account, ids[0])])
    await fail_batch(app, [(account, ids[1])], generator_messages=["gone"])

    assert (await session(books, account, ids[0]))["generator_message"] == "busy"
    assert (await session(books, account, ids[1]))["generator_message"] == "gone"


async def test_a_message_is_forgotten_once_and_nothing_else_with_it(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    forget = "SELECT forget_generator_message($1, $2)"
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    await start(app, account, session_id)
    assert await app.fetchval(forget, account.id, session_id) is False
    await fail_batch(app, [(account, session_id)], generator_messages=["said"])
    before = await session(books, account, session_id)

    assert await app.fetchval(forget, account.id, session_id) is True
    assert await app.fetchval(forget, account.id, session_id) is False

    assert await session(books, account, session_id) == before | {"generator_message": None}


async def test_an_attempt_that_only_waited_is_taken_back(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    assert await app.fetchval(POSTPONE, account.id, session_id, "early", True) == "not_started"
    await start(app, account, session_id)
    await start(app, account, session_id)

    assert await app.fetchval(POSTPONE, account.id, session_id, None, True) == "postponed"
    assert (await session(books, account, session_id))["attempts"] == 2
    for attempts in (1, 0, 0):
        await app.fetchval(POSTPONE, account.id, session_id, "busy", False)
        assert (await session(books, account, session_id))["attempts"] == attempts

    await fail_batch(app, [(account, session_id)])
    assert await app.fetchval(POSTPONE, account.id, session_id, "late", True) == "already_failed"
    assert (await session(books, account, session_id))["generator_message"] == "busy"


async def failed_attempts(books: Connection, account: Account, session_id: UUID) -> list[Attempt]:
    """Number, whether it counts, and words of each."""
    row = await session(books, account, session_id)
    kept = json.loads(row["failed_attempts"] or "[]")
    return [(each["attempt"], each["counts"], each["said"]) for each in kept]


async def test_each_attempt_that_failed_keeps_its_moment_and_its_words(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 3)
    ids = [await create_one(app, account, f"r{n}") for n in range(3)]
    for said, counts in (("busy", False), (None, True), ("broken", True)):
        await start(app, account, *ids)
        for session_id in ids:
            await app.fetchval(POSTPONE, account.id, session_id, said, counts)
    await start(app, account, *ids)

    await complete(app, account, ids[0])
    await fail_batch(app, [(account, ids[1]), (account, ids[2])], generator_messages=["gone", None])

    before = [(1, False, "busy"), (1, True, None), (2, True, "broken")]
    assert await failed_attempts(books, account, ids[0]) == before
    assert await failed_attempts(books, account, ids[1]) == [*before, (3, True, "gone")]
    assert await failed_attempts(books, account, ids[2]) == before
    row = await session(books, account, ids[1])
    moments = [each["failed_at"] for each in json.loads(row["failed_attempts"])]
    assert moments == sorted(moments)
    assert datetime.fromisoformat(moments[-1]) == row["completed_at"]

    assert await app.fetchval("SELECT forget_generator_message($1, $2)", account.id, ids[1])
    kept = [(attempt, counts, None) for attempt, counts, _ in [*before, (3, True, "")]]
    assert await failed_attempts(books, account, ids[1]) == kept


async def test_of_attempts_without_end_the_last_ten_are_kept(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    for number in range(13):
        await start(app, account, session_id)
        await app.fetchval(POSTPONE, account.id, session_id, f"busy {number}", False)
    kept = await failed_attempts(books, account, session_id)
    assert [said for _, _, said in kept] == [f"busy {number}" for number in range(3, 13)]
