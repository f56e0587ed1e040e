"""A batch across stores comes to what it comes to store by store, whatever stands in it.

Each example is played twice: on some stores by the functions across stores, which write what is
plain together; and on their twins by the one-store functions, which take item after item.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

STORES = 3
REQUESTS = 4
"""So few that batches are full of replays, doubles and conflicts."""

PRINT = hashlib.sha256(b"content").digest()
ACROSS = {
    "create": "create_generations_across_stores($1, $2, $3, $4, $5, $5)",
    "deduct": "deduct_credits_across_stores($1, $2, $3, $4, $5)",
    "start": "start_generations_across_stores($1, $2)",
    "complete": "complete_generations_across_stores($1, $2, $3)",
    "fail": "fail_generations_across_stores($1, $2, $3, $3)",
}
OF_ONE_STORE = {
    "create": "create_store_generations($1, $2, $3, $4, $5, $5)",
    "deduct": "deduct_store_credits_many($1, $2, $3, $4, $5)",
    "start": "start_store_generations($1, $2)",
    "complete": "complete_store_generations($1, $2, $3)",
    "fail": "fail_store_generations($1, $2, $3, $3)",
}
WRITTEN = (
    """SELECT store_id, balance, total_spent, total_purchased, overage_used, last_seq
    FROM store_credits WHERE store_id = ANY ($1) ORDER BY 1""",
    """SELECT store_id, seq, type, amount, balance_after, request_id, description,
        session_id IS NULL
    FROM store_credit_transactions WHERE store_id = ANY ($1) ORDER BY 1, 2""",
    """SELECT store_id, request_id, status, attempts, fingerprint, error_code, result_key
    FROM store_generation_sessions WHERE store_id = ANY ($1) ORDER BY 1, 2""",
)


@dataclass(frozen=True)
class Opening:
    """What a store has to begin with."""

    credits: int
    overage_limit: int


@dataclass(frozen=True)
class Item:
    """One item of a batch, for any of the functions: each takes of it what it needs."""

    store: int
    request: int
    content: int
    amount: int


@dataclass(frozen=True)
class Step:
    """One batch."""

    operation: str
    items: tuple[Item, ...]


OPENINGS = st.lists(
    st.builds(Opening, st.integers(0, 5), st.sampled_from([0, 0, 2])),
    min_size=STORES,
    max_size=STORES,
)
ITEMS = st.builds(
    Item,
    store=st.integers(0, STORES - 1),
    request=st.integers(0, REQUESTS - 1),
    content=st.sampled_from([0, 0, 0, 1]),
    amount=st.sampled_from([1, 1, 1, 2]),
)
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["create", "create", "deduct", "start", "complete", "fail", "fail"]),
        st.lists(ITEMS, min_size=1, max_size=6).map(tuple),
    ),
    min_size=1,
    max_size=6,
)


class Books:
    """Some stores, and what their sessions are called."""

    def __init__(self, connection: asyncpg.Connection, openings: Sequence[Opening]) -> None:
        self._connection = connection
        self._openings = openings
        self.store_ids = sorted(uuid7() for _ in openings)
        self._requests: dict[UUID, tuple[int, int]] = {}

    async def open(self) -> None:
        await self._connection.executemany(
            "INSERT INTO store_credits (store_id, balance, total_purchased, overage_limit)"
            " VALUES ($1, $2, $2, $3)",
            [
                (store_id, opening.credits, opening.overage_limit)
                for store_id, opening in zip(self.store_ids, self._openings, strict=True)
            ],
        )

    async def play_together(self, step: Step) -> list[tuple[object, ...]]:
        """What each item of a batch comes to, in their order."""
        ids = [self.store_ids[item.store] for item in step.items]
        arguments = await self._arguments(step)
        rows = await self._connection.fetch(
            f"SELECT * FROM {ACROSS[step.operation]}", ids, *arguments
        )
        return self._named(rows)

    async def play_store_by_store(self, step: Step) -> list[tuple[object, ...]]:
        """The same by the functions that know one store each."""
        arguments = await self._arguments(step)
        answers = []
        for store, store_id in enumerate(self.store_ids):
            places = [place for place, item in enumerate(step.items) if item.store == store]
            if not places:
                continue
            rows = await self._connection.fetch(
                f"SELECT * FROM {OF_ONE_STORE[step.operation]}",
                store_id,
                *([argument[place] for place in places] for argument in arguments),
            )
            answers += [(places[row["ord"] - 1] + 1, *tuple(row)[1:]) for row in rows]
        return self._named(answers)

    async def _arguments(self, step: Step) -> tuple[list[object], ...]:
        """What the operation's functions take beside the stores: arrays, one value per item."""
        request_ids: list[object] = [f"r{item.request}" for item in step.items]
        marks: list[object] = [f"mark {item.content}" for item in step.items]
        match step.operation:
            case "create":
                sessions = [uuid7() for _ in step.items]
                self._requests |= {
                    session_id: (item.store, item.request)
                    for session_id, item in zip(sessions, step.items, strict=True)
                }
                prints = [hashlib.sha256(bytes([item.content])).digest() for item in step.items]
                return [*sessions], request_ids, [*prints], [None] * len(sessions)
            case "deduct":
                amounts = [item.amount for item in step.items]
                return [*amounts], request_ids, marks, [None] * len(amounts)
            case "start":
                return (await self._sessions(step),)
            case _:
                return await self._sessions(step), marks

    async def _sessions(self, step: Step) -> list[object]:
        """The session of each item's request; one that is not there if it has none."""
        rows = await self._connection.fetch(
            "SELECT store_id, request_id, session_id FROM store_generation_sessions"
            " WHERE store_id = ANY ($1)",
            self.store_ids,
        )
        known = {(row["store_id"], row["request_id"]): row["session_id"] for row in rows}
        return [
            known.get((self.store_ids[item.store], f"r{item.request}"), UUID(int=item.request))
            for item in step.items
        ]

    def _named(self, rows: Sequence[Iterable[object]]) -> list[tuple[object, ...]]:
        """Rows in the items' order, sessions by the requests that made them, without times."""
        return sorted(
            tuple(
                self._requests.get(value, value) if isinstance(value, UUID) else value
                for value in row
                if not isinstance(value, datetime)
            )
            for row in rows
        )

    async def written(self) -> list[list[tuple[object, ...]]]:
        """Every row of these stores, but for ids and times, which differ from play to play."""
        places = {store_id: place for place, store_id in enumerate(self.store_ids)}
        return [
            [
                (places[row["store_id"]], *tuple(row)[1:])
                for row in await self._connection.fetch(query, self.store_ids)
            ]
            for query in WRITTEN
        ]


async def play(url: str, openings: Sequence[Opening], steps: Sequence[Step]) -> None:
    connection = await asyncpg.connect(url)
    try:
        together, apart = Books(connection, openings), Books(connection, openings)
        await together.open()
        await apart.open()
        for step in steps:
            assert await together.play_together(step) == await apart.play_store_by_store(step)
            assert await together.written() == await apart.written()
    finally:
        await connection.close()


@settings(max_examples=80, deadline=None)
@given(openings=OPENINGS, steps=STEPS)
def test_a_batch_across_stores_comes_to_what_it_comes_to_store_by_store(
    books_url: str, openings: list[Opening], steps: list[Step]
) -> None:
    asyncio.run(play(books_url, openings, steps))


@pytest.mark.parametrize(
    "call, arguments, refused",
    [
        ("create_generations_across_stores($1, $2, $3, $4, $5, $5)", [["r"], [b"short"]], "23514"),
        ("create_generations_across_stores($1, $2, $3, $4, $5, $5)", [["r"], [None]], "23502"),
        ("create_generations_across_stores($1, $2, $3, $4, $5, $5)", [[""], [PRINT]], "SC003"),
        ("create_generations_across_stores($1, $2, $3, $4, $5, $5)", [[None], [PRINT]], "SC003"),
    ],
)
async def test_a_batch_with_an_impossible_item_is_refused_whole(
    books_url: str, call: str, arguments: list[list[object]], refused: str
) -> None:
    connection = await asyncpg.connect(books_url)
    books = Books(connection, [Opening(5, 0)])
    await books.open()
    with pytest.raises(asyncpg.PostgresError) as raised:
        await connection.fetch(
            f"SELECT * FROM {call}", books.store_ids, [uuid7()], *arguments, [None]
        )
    assert raised.value.sqlstate == refused
    assert await books.written() == [[(0, 5, 0, 5, 0, 0)], [], []]
    await connection.close()
