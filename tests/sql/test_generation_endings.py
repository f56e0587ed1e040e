"""A generation is worked on and ends: completed, or failed and refunded, once and for all."""

from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import (
    CONTENT,
    INPUT,
    complete,
    complete_batch,
    create_one,
    fail,
    fail_batch,
    session,
    session_ids_paid_for,
    start,
    start_batch,
)
from tests.sql.interface import refund
from tests.sql.ledgers import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
    snapshot,
    sqlstate_of,
)


async def test_each_start_counts_an_attempt_and_hands_out_the_input(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)

    for attempt in (1, 2, 3):
        (row,) = await start(app, account, session_id)
        assert (row["outcome"], row["attempts"], row["request_id"]) == ("started", attempt, "r1")
        assert row["input"] == INPUT

    begun = await session(books, account, session_id)
    assert (begun["status"], begun["attempts"]) == ("processing", 3)
    (again,) = await start(app, account, session_id)
    assert (await session(books, account, session_id))["started_at"] == begun["started_at"]
    assert again["created_at"] == begun["created_at"]
    assert (await credits_of(books, account)).balance == 0, "a worker never deducts"


async def test_a_completed_generation_keeps_its_result_and_its_credit(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    assert await complete(app, account, session_id) == "not_started"
    await start(app, account, session_id)

    assert await complete(app, account, session_id, "first") == "completed"
    before = await snapshot(books, account.owner)
    assert await complete(app, account, session_id, "first") == "completed"
    assert await complete(app, account, session_id, "other") == "already_completed"
    assert await fail(app, account, session_id) == "already_completed"
    (row,) = await start(app, account, session_id)
    assert (row["outcome"], row["input"]) == ("already_completed", None)

    assert await snapshot(books, account.owner) == before
    done = await session(books, account, session_id)
    assert (done["status"], done["result_key"], done["input"]) == ("completed", "first", None)
    assert done["error_code"] is None
    assert done["completed_at"] >= done["started_at"] >= done["created_at"]
    assert (await credits_of(books, account)).balance == 0


@pytest.mark.parametrize("begun", [True, False])
async def test_a_failed_generation_gives_its_credit_back_once(
    app: Connection, books: Connection, kind: OwnerKind, begun: bool
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    if begun:
        await start(app, account, session_id)

    assert await fail(app, account, session_id) == "failed"
    before = await snapshot(books, account.owner)
    assert await fail(app, account, session_id) == "already_failed"
    assert await complete(app, account, session_id) == "already_failed"
    (row,) = await start(app, account, session_id)
    assert (row["outcome"], row["input"]) == ("already_failed", None)

    assert await snapshot(books, account.owner) == before
    assert (await ledger(books, account))[1:] == [
        Row(2, "deduction", 1, 0, "r1"),
        Row(3, "refund", 1, 1, "r1"),
    ]
    lost = await session(books, account, session_id)
    assert (lost["status"], lost["error_code"]) == ("failed", "GENERATION_FAILED")
    assert (lost["error_message"], lost["input"]) == ("Broke.", None)
    assert await session_ids_paid_for(books, account, "refund") == [session_id]
    description = "SELECT description FROM movements WHERE account_id = $1 AND seq = 3"
    assert await books.fetchval(description, account.id) == "Image generation failed"
    await assert_books_balance(books, account.owner)


async def test_a_batch_of_failures_refunds_each_session_once(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, other = await open_account(app, kind, 4), await open_account(app, kind, 5)
    queued, begun, done, lost = [await create_one(app, account, f"r{n}") for n in range(4)]
    others = await create_one(app, other, "r1")
    await start(app, account, begun, done)
    await complete(app, account, done)
    await fail(app, account, lost)

    # In no order at all: who fails what a worker lost does not sort it.
    outcomes = await fail_batch(
        app,
        [
            (account, lost),
            (other, others),
            (account, begun),
            (account, done),
            (account, queued),
            (account, begun),
            (other, begun),
            (account, None),
            (account, uuid4()),
        ],
        [f"CODE {n}" for n in range(1, 10)],
    )

    assert outcomes == [
        "already_failed",
        "failed",
        "failed",
        "already_completed",
        "failed",
        "already_failed",
        "not_found",
        "not_found",
        "not_found",
    ]
    assert (await session(books, account, begun))["error_code"] == "CODE 3"
    assert (await session(books, account, queued))["error_code"] == "CODE 5"
    assert (await session(books, other, others))["error_code"] == "CODE 2"
    refunds = [row.request_id for row in await ledger(books, account) if row.type == "refund"]
    assert sorted(refunds) == ["r0", "r1", "r3"]
    assert await credits_of(books, account) == (3, 4, 1, 8)
    assert await credits_of(books, other) == (5, 5, 0, 3)
    for each in (account, other):
        await assert_books_balance(books, each.owner)


async def test_batches_of_starts_and_completions_answer_each_item(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, other = await open_account(app, kind, 3), await open_account(app, kind, 1)
    one, two, queued = [await create_one(app, account, f"r{n}") for n in range(3)]
    others = await create_one(app, other, "others")

    begun = await start_batch(
        app,
        [
            (account, two),
            (account, uuid4()),
            (other, others),
            (account, one),
            (account, two),
            (account, others),
            (account, None),
        ],
    )
    assert [(row["outcome"], row["attempts"], row["request_id"]) for row in begun] == [
        ("started", 1, "r1"),
        ("not_found", None, None),
        ("started", 1, "others"),
        ("started", 1, "r0"),
        ("started", 1, "r1"),  # twice in one batch is one attempt
        ("not_found", None, None),
        ("not_found", None, None),
    ]

    outcomes = await complete_batch(
        app,
        [
            (account, two, "key two"),
            (account, queued, "key queued"),
            (other, others, "key others"),
            (account, one, "key one"),
            (account, uuid4(), "key none"),
            (account, two, "late key"),
            (account, None, "key of nothing"),
        ],
    )
    assert outcomes == [
        "completed",
        "not_started",
        "completed",
        "completed",
        "not_found",
        "already_completed",
        "not_found",
    ]
    assert (await session(books, account, one))["result_key"] == "key one"
    assert (await session(books, account, two))["result_key"] == "key two"
    assert (await session(books, other, others))["result_key"] == "key others"


async def test_a_session_whose_credit_was_given_back_before_fails_without_another_refund(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    await refund(app, account, 1, "r1")

    assert await fail(app, account, session_id) == "failed"

    assert await credits_of(books, account) == (1, 1, 0, 3)


async def test_a_session_without_its_deduction_refuses_to_fail(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    good, bad = await create_one(app, account), uuid7()
    await books.execute(
        """INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
           VALUES ($1, $2, 1, 'never paid', $3)""",
        account.id,
        bad,
        CONTENT,
    )
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(fail_batch(app, [(account, good), (account, bad)])) == "SC005"

    assert await snapshot(books, account.owner) == before


async def test_a_forgotten_result_leaves_the_session_completed(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    forget = "SELECT forget_result($1, $2)"
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)
    assert await app.fetchval(forget, account.id, session_id) is False
    await start(app, account, session_id)
    await complete(app, account, session_id)

    assert await app.fetchval(forget, account.id, session_id) is True
    assert await app.fetchval(forget, account.id, session_id) is False

    forgotten = await session(books, account, session_id)
    assert (forgotten["status"], forgotten["result_key"]) == ("completed", None)
    assert await complete(app, account, session_id, "new") == "already_completed"
