"""What generators said, as the functions of a batch write it."""

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import create_one, fail_batch, session, start
from tests.sql.ledgers import open_account

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
