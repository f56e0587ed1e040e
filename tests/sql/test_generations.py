"""A generation begins: replay check, deduction, session and job are one."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import (
    CONTENT,
    ENTRYPOINT,
    INPUT,
    METADATA,
    OTHER_CONTENT,
    Created,
    complete,
    create,
    create_batch,
    create_one,
    fail,
    session,
    session_ids_paid_for,
    start,
)
from tests.sql.interface import add, deduct, refund
from tests.sql.ledgers import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
    snapshot,
    sqlstate_of,
)

JOBS = "SELECT entrypoint, payload, dedupe_key, status::text FROM pgqueuer WHERE dedupe_key = $1"


async def test_a_generation_takes_one_credit_and_is_queued(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)

    (created,) = await create(app, account, [("r1", CONTENT)])

    session_id = created.session_id
    assert session_id is not None
    assert created == Created("created", session_id, "queued", 1, "balance", 1)
    assert (await ledger(books, account))[1:] == [Row(2, "deduction", 1, 1, "r1")]
    made = await session(books, account, session_id)
    assert (made["request_id"], made["fingerprint"]) == ("r1", CONTENT)
    assert (made["input"], made["metadata"]) == (INPUT, METADATA)
    assert (made["status"], made["attempts"]) == ("queued", 0)
    assert made["started_at"] is made["completed_at"] is None
    assert await session_ids_paid_for(books, account) == [session_id]
    description = "SELECT description FROM movements WHERE account_id = $1 AND seq = 2"
    assert await books.fetchval(description, account.id) == "Image generation"
    await assert_books_balance(books, account.owner)


async def test_the_job_is_written_with_its_session_and_only_then(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    ids = [uuid7(), uuid7(), uuid7()]

    answers = await create_batch(
        app, [(account, "a", CONTENT), (account, "a", CONTENT), (account, "b", CONTENT)], ids
    )

    assert [answer.outcome for answer in answers] == ["created", "replayed", "insufficient"]
    (job,) = await books.fetch(JOBS, str(ids[0]))
    assert tuple(job) == (ENTRYPOINT, ids[0].bytes, str(ids[0]), "queued")
    for session_id in ids[1:]:
        assert await books.fetch(JOBS, str(session_id)) == []


async def test_the_same_request_answers_with_its_session_at_every_status(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)
    done, lost = await create_one(app, account, "done"), await create_one(app, account, "lost")

    async def replay() -> list[Created]:
        return await create(app, account, [("done", CONTENT), ("lost", CONTENT)])

    def answers(first: str, second: str, balance: int) -> list[Created]:
        return [
            Created("replayed", done, first, balance, "balance", 1),
            Created("replayed", lost, second, balance, "balance", 1),
        ]

    assert await replay() == answers("queued", "queued", 0)
    await start(app, account, done, lost)
    assert await replay() == answers("processing", "processing", 0)
    await complete(app, account, done)
    await fail(app, account, lost)
    before = await snapshot(books, account.owner)
    assert await replay() == answers("completed", "failed", 1)
    assert await snapshot(books, account.owner) == before


async def test_the_same_request_with_other_content_is_a_conflict(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)
    await create_one(app, account, "r1", CONTENT)
    before = await snapshot(books, account.owner)

    (answer,) = await create(app, account, [("r1", OTHER_CONTENT)])

    assert answer.outcome == "conflict"
    assert await snapshot(books, account.owner) == before


async def test_a_request_that_deducted_directly_is_a_conflict(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 9)
    await deduct(app, account, 1, "one")
    await deduct(app, account, 3, "three")
    before = await snapshot(books, account.owner)

    answers = await create(
        app, account, [("one", CONTENT), ("three", CONTENT), ("one", CONTENT), ("one", b"x" * 32)]
    )

    assert answers == [Created("conflict", None, None, 5, None, None)] * 4
    assert await snapshot(books, account.owner) == before


async def test_a_request_that_came_back_after_a_direct_deduction_is_still_a_conflict(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 9)
    await deduct(app, account, 1, "one")
    await refund(app, account, 1, "one")
    before = await snapshot(books, account.owner)

    (answer,) = await create(app, account, [("one", CONTENT)])

    assert answer.outcome == "conflict"
    assert await snapshot(books, account.owner) == before


async def test_a_request_id_under_which_credits_came_in_is_free(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await add(app, account, 2, "grant", "r1")

    session_id = await create_one(app, account, "r1")

    (again,) = await create(app, account, [("r1", CONTENT)])
    assert again == Created("replayed", session_id, "queued", 1, "balance", 1)
    assert await fail(app, account, session_id) == "failed"
    await assert_books_balance(books, account.owner)


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    before = await snapshot(books, account.owner)

    (answer,) = await create(app, account, [("r1", CONTENT)])
    assert answer == Created("insufficient", None, None, 0, None, 1)
    assert await snapshot(books, account.owner) == before

    await add(app, account, 1, "purchase", "order")
    await create_one(app, account, "r1", OTHER_CONTENT)
    assert (await credits_of(books, account)).balance == 0


async def test_a_batch_settles_each_request_in_order(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 3)
    old = await create_one(app, account, "old")

    answers = await create(
        app,
        account,
        [
            ("a", CONTENT),
            ("a", CONTENT),
            ("a", OTHER_CONTENT),
            ("old", CONTENT),
            ("old", OTHER_CONTENT),
            ("b", CONTENT),
            ("c", CONTENT),
            ("c", CONTENT),
            ("c", OTHER_CONTENT),
            ("b", CONTENT),
        ],
    )

    assert [(answer.outcome, answer.balance) for answer in answers] == [
        ("created", 1),
        ("replayed", 1),
        ("conflict", 1),
        ("replayed", 1),
        ("conflict", 1),
        ("created", 0),
        ("insufficient", 0),
        ("insufficient", 0),
        ("insufficient", 0),  # a refused request leaves no trace to be in conflict with
        ("replayed", 0),
    ]
    a, b = answers[0].session_id, answers[5].session_id
    assert (answers[1].session_id, answers[1].status) == (a, "queued")
    assert (answers[3].session_id, answers[9].session_id) == (old, b)
    made = await books.fetch(
        "SELECT session_id, request_id FROM sessions WHERE account_id = $1 ORDER BY session_id",
        account.id,
    )
    assert [tuple(row) for row in made] == [(old, "old"), (a, "a"), (b, "b")]
    assert (await ledger(books, account))[2:] == [
        Row(3, "deduction", 1, 1, "a"),
        Row(4, "deduction", 1, 0, "b"),
    ]
    await assert_books_balance(books, account.owner)


async def test_accounts_do_not_share_request_ids(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    one, other = await open_account(app, kind, 1), await open_account(app, kind, 1)

    made = [await create_one(app, one, "r1"), await create_one(app, other, "r1", OTHER_CONTENT)]

    assert made[0] != made[1]
    assert (await credits_of(books, one)).balance == (await credits_of(books, other)).balance == 0


async def test_another_accounts_session_is_not_found(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    owner, other = await open_account(app, kind, 2), await open_account(app, kind, 1)
    begun, done = await create_one(app, owner, "begun"), await create_one(app, owner, "done")
    await start(app, owner, begun, done)
    await complete(app, owner, done)
    before = await snapshot(books, owner.owner)

    for session_id in (begun, done):
        assert [row["outcome"] for row in await start(app, other, session_id)] == ["not_found"]
        assert await complete(app, other, session_id) == "not_found"
        assert await fail(app, other, session_id) == "not_found"
        for call in ("forget_result($1, $2)", "forget_generator_message($1, $2)"):
            assert await app.fetchval(f"SELECT {call}", other.id, session_id) is False
        postponed = "SELECT outcome FROM postpone_generation($1, $2, 'busy', true)"
        assert await app.fetchval(postponed, other.id, session_id) == "not_found"

    assert await snapshot(books, owner.owner) == before
    assert (await credits_of(books, other)).balance == 1


@pytest.mark.parametrize("request_id", ["", "x" * 201, None])
async def test_a_bad_request_id_refuses_the_whole_batch(
    app: Connection, books: Connection, kind: OwnerKind, request_id: Any
) -> None:
    account = await open_account(app, kind, 5)
    before = await snapshot(books, account.owner)

    batch = [("good", CONTENT), (request_id, CONTENT)]
    assert await sqlstate_of(create(app, account, batch)) == "SC003"

    assert await snapshot(books, account.owner) == before
    await create_one(app, account, "x" * 200)


async def test_an_unknown_account_refuses_the_whole_batch(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 5)
    unknown = Account(2**62, Owner(kind, uuid7()))
    session_id = await create_one(app, account)
    before = await snapshot(books, account.owner)

    batch = [(account, "good", CONTENT), (unknown, "good", CONTENT)]
    assert await sqlstate_of(create_batch(app, batch)) == "SC010"
    assert await snapshot(books, account.owner) == before

    # What has no account has no session either.
    assert await fail(app, unknown, session_id) == "not_found"
    assert await snapshot(books, account.owner) == before


async def test_a_request_without_a_fingerprint_refuses_the_whole_batch(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 5)
    before = await snapshot(books, account.owner)

    not_null_violation = "23502"
    batch = [(account, "good", CONTENT), (account, "bad", None)]
    assert await sqlstate_of(create_batch(app, batch)) == not_null_violation

    assert await snapshot(books, account.owner) == before
