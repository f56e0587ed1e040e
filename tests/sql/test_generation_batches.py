"""Batches of generations over accounts of stores and end users together."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import (
    CONTENT,
    CREATE,
    ENTRYPOINT,
    INPUT,
    OTHER_CONTENT,
    Request,
    complete_batch,
    create_batch,
    create_one,
    fail_batch,
    session,
    start_batch,
)
from tests.sql.ledgers import (
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_account,
    open_beyond,
    open_some,
    snapshot,
    sqlstate_of,
)

ASSERT_FAILURE = "P0004"


async def test_a_batch_answers_each_request_at_its_place(
    app: Connection, books: Connection
) -> None:
    store, poor, other, user = await open_some(app, 5, 0, 2, 3)
    old = await create_one(app, user, "old")
    ids = [uuid7() for _ in range(9)]

    answers = await create_batch(
        app,
        [
            (store, "a", CONTENT),
            (store, "b", CONTENT),
            (store, "a", CONTENT),
            (poor, "a", CONTENT),
            (other, "a", CONTENT),
            (other, "a", OTHER_CONTENT),
            (user, "a", CONTENT),
            (user, "old", CONTENT),
            (user, "b", CONTENT),
        ],
        ids,
    )

    assert [(each.outcome, each.session_id, each.status, each.balance) for each in answers] == [
        ("created", ids[0], "queued", 4),
        ("created", ids[1], "queued", 3),
        ("replayed", ids[0], "queued", 3),
        ("insufficient", None, None, 0),
        ("created", ids[4], "queued", 1),
        ("conflict", ids[4], "queued", 1),
        ("created", ids[6], "queued", 1),
        ("replayed", old, "queued", 1),
        ("created", ids[8], "queued", 0),
    ]
    for account in (store, poor, other, user):
        await assert_books_balance(books, account.owner)


async def test_a_batch_of_what_is_all_paid_answers_as_one_that_is_not(
    app: Connection, books: Connection
) -> None:
    store, user = await open_some(app, 2, 2)
    ids = [uuid7() for _ in range(4)]
    requests: list[Request] = [
        (account, request_id, CONTENT) for account in (store, user) for request_id in ("a", "b")
    ]

    paid = await create_batch(app, requests, ids)
    again = await create_batch(app, requests)

    assert [(*each[:4], each.charged_as) for each in paid] == [
        ("created", session_id, "queued", balance, "balance")
        for session_id, balance in zip(ids, [1, 0, 1, 0], strict=True)
    ]
    assert again == [each._replace(outcome="replayed", balance=0) for each in paid]
    for account in (store, user):
        await assert_books_balance(books, account.owner)


async def test_what_one_account_may_use_beyond_its_balance_is_no_other_ones(
    app: Connection, books: Connection
) -> None:
    store = await open_beyond(app, 1, limit=1)
    other, user = (
        await open_account(app, OwnerKind.STORE, 1),
        await open_account(app, OwnerKind.USER, 1),
    )

    answers = await create_batch(
        app,
        [
            (account, request_id, CONTENT)
            for account in (store, other, user)
            for request_id in ("a", "b", "c")
        ],
    )

    assert [(each.outcome, each.charged_as) for each in answers] == [
        ("created", "balance"),
        ("created", "overage"),
        ("insufficient", None),
        ("created", "balance"),
        ("insufficient", None),
        ("insufficient", None),
        ("created", "balance"),
        ("insufficient", None),
        ("insufficient", None),
    ]
    assert (await beyond(books, store)).overage_used == 1
    sessions = [each.session_id for each in answers if each.session_id]
    owners = [store, store, other, user]
    assert await fail_batch(app, list(zip(owners, sessions, strict=True))) == ["failed"] * 4
    assert (await beyond(books, store)).overage_used == 0
    assert [(await credits_of(books, each)).balance for each in (store, other, user)] == [1, 1, 1]


async def test_starts_ends_and_failures_go_over_accounts_of_every_kind(
    app: Connection, books: Connection
) -> None:
    store, user = await open_some(app, 3, 3)
    made = {
        account.id: [await create_one(app, account, f"r{n}") for n in range(3)]
        for account in (store, user)
    }
    done, lost, queued = zip(made[store.id], made[user.id], strict=True)

    def of(ids: tuple[UUID, ...]) -> list[tuple[Account, UUID | None]]:
        return [(store, ids[0]), (user, ids[1])]

    begun = await start_batch(app, [*of(done)[::-1], *of(lost)])
    assert [row["outcome"] for row in begun] == ["started"] * 4
    ended = [(*item, "key") for item in of(done)]
    assert await complete_batch(app, ended) == ["completed"] * 2
    outcomes = await fail_batch(app, [*of(lost), *of(done), (user, lost[0]), *of(queued)[::-1]])
    assert outcomes == ["failed"] * 2 + ["already_completed"] * 2 + ["not_found"] + ["failed"] * 2

    for account in (store, user):
        assert await credits_of(books, account) == (2, 3, 1, 6)
        assert [(await session(books, account, each))["status"] for each in made[account.id]] == [
            "completed",
            "failed",
            "failed",
        ]
        await assert_books_balance(books, account.owner)


async def test_an_empty_batch_does_nothing(app: Connection) -> None:
    assert await create_batch(app, []) == []
    assert await start_batch(app, []) == []
    assert await complete_batch(app, []) == []
    assert await fail_batch(app, []) == []


async def test_arrays_that_do_not_count_from_one_mean_what_they_say(
    app: Connection, books: Connection
) -> None:
    rich, poor = await open_some(app, 3, 0)
    one, two = uuid7(), uuid7()

    row = await app.fetchrow(
        f"""SELECT outcomes[1:2], session_ids[1:2] FROM create_generations(
                '[0:1]={{{rich.id},{poor.id}}}', '[5:6]={{{one},{two}}}', '[-1:0]={{a,b}}',
                '[4:5]={{3,1}}', '[2:3]={{"\\\\x{CONTENT.hex()}","\\\\x{OTHER_CONTENT.hex()}"}}',
                '[3:4]={{1,2}}', '[7:8]={{3,4}}', 'generate', '[9:10]={{"\\\\x01","\\\\x02"}}')"""
    )

    assert row is not None
    assert tuple(row) == (["created", "insufficient"], [one, None])
    made = await session(books, rich, one)
    assert (made["request_id"], made["fingerprint"]) == ("a", CONTENT)
    assert (made["input"], made["metadata"], made["credits"]) == ("1", "3", 3)
    payload = "SELECT payload FROM pgqueuer WHERE dedupe_key = $1"
    assert await books.fetchval(payload, str(one)) == b"\x01"


async def test_arrays_that_do_not_count_from_one_end_the_sessions_they_name(
    app: Connection, books: Connection
) -> None:
    store, user = await open_some(app, 2, 2)
    items = [
        (account, await create_one(app, account, f"r{n}"))
        for account in (store, user)
        for n in range(2)
    ]
    done, lost = [items[0], items[2]], [items[1], items[3]]
    ids = f"'[3:4]={{{store.id},{user.id}}}', '[0:1]={{{done[0][1]},{done[1][1]}}}'"

    started = await app.fetch(f"SELECT outcome FROM start_generations({ids})")
    assert [row["outcome"] for row in started] == ["started"] * 2
    completed = await app.fetch(
        f"SELECT outcome FROM complete_generations({ids}, '[5:6]={{one,two}}')"
    )
    assert [row["outcome"] for row in completed] == ["completed"] * 2
    failed = await app.fetch(
        f"""SELECT outcome FROM fail_generations(
                '[3:4]={{{store.id},{user.id}}}', '[0:1]={{{lost[0][1]},{lost[1][1]}}}',
                '[5:6]={{A,B}}', '[2:3]={{a,b}}', '[-1:0]={{said,NULL}}')"""
    )
    assert [row["outcome"] for row in failed] == ["failed"] * 2

    keys = [(await session(books, *item))["result_key"] for item in done]
    assert keys == ["one", "two"]
    ended = [await session(books, *item) for item in lost]
    names = ("error_code", "error_message", "generator_message")
    assert [tuple(each[name] for name in names) for each in ended] == [
        ("A", "a", "said"),
        ("B", "b", None),
    ]


@pytest.mark.parametrize("order", [(1, 0), (0, 1, 0), (0, 2, 1), (2, 1, 0)])
async def test_requests_out_of_order_are_refused_as_a_mistake_of_the_caller(
    app: Connection, books: Connection, order: tuple[int, ...]
) -> None:
    accounts = await open_some(app, 9, 9, 9)
    before = [await snapshot(books, each.owner) for each in accounts]

    requests: list[Request] = [(accounts[place], f"r{n}", CONTENT) for n, place in enumerate(order)]
    assert await sqlstate_of(create_batch(app, requests)) == ASSERT_FAILURE

    assert [await snapshot(books, each.owner) for each in accounts] == before


@pytest.mark.parametrize("short", range(5))
async def test_arrays_of_unequal_length_create_nothing(
    app: Connection, books: Connection, short: int
) -> None:
    accounts = await open_some(app, 9, 9)
    before = [await snapshot(books, each.owner) for each in accounts]

    arrays: list[list[object]] = [
        [account.id for account in accounts],
        [uuid7(), uuid7()],
        ["r", "r"],
        [1, 1],
        [CONTENT, CONTENT],
    ]
    arrays[short].pop()
    call = app.fetchrow(CREATE, *arrays, [INPUT] * 2, [None] * 2, ENTRYPOINT, [b"", b""])
    not_null_violation = "23502"
    assert await sqlstate_of(call) in {"SC002", "SC003", "SC010", not_null_violation}

    assert [await snapshot(books, each.owner) for each in accounts] == before


async def test_a_thousand_requests_are_one_call(app: Connection, books: Connection) -> None:
    accounts = await open_some(app, *[100] * 8, 0, 300)
    requests: list[Request] = [
        (account, f"r{n}", CONTENT) for account in accounts for n in range(100)
    ]

    answers = await create_batch(app, requests)

    outcomes = [each.outcome for each in answers]
    assert outcomes == ["created"] * 800 + ["insufficient"] * 100 + ["created"] * 100
    items = [
        (account, each.session_id)
        for (account, _, _), each in zip(requests, answers, strict=True)
        if each.session_id
    ]
    begun = await start_batch(app, items[::-1])
    assert {row["outcome"] for row in begun} == {"started"}
    assert await fail_batch(app, items[::-1]) == ["failed"] * 900
    for account in accounts:
        after, rows = await credits_of(books, account), await ledger(books, account)
        assert after == (after.total_added, after.total_added, 0, len(rows))
        await assert_books_balance(books, account.owner)
