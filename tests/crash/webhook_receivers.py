"""Receivers of webhooks beside a deployment that is killed, and what they must have been told."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import asyncpg

from stand_ins.http_server import Answer, Received
from storecredit.webhooks.deliveries import LEASE
from storecredit.webhooks.messages import message_id
from tests.passing_time import pass_delivery_time
from tests.webhooks.endpoints import OPERATOR, Endpoint, add_endpoint, verified

TOLD: Final = ("generation.completed", "generation.failed")
DELIVERED_MAX_SECONDS: Final = 90.0
ANSWER_MAX_SECONDS: Final = 0.05
PASSED_SECONDS: Final = 0.7
"""How long deliveries are left alone before their time is passed again."""
FAILS: Final = 0.1
"""The share of messages that it does not take at first."""


class Receiver:
    """Keeps what it was told, each message once, in the order in which it first took them."""

    def __init__(self, seed: str) -> None:
        self.endpoint: Endpoint | None = None
        self.taken: dict[str, Mapping[str, Any]] = {}
        self.bodies: dict[str, bytes] = {}
        self._random = Random(seed)

    async def answer(self, request: Received) -> Answer:
        """Take it, a little later; or not, now and then."""
        assert self.endpoint is not None
        name = request.headers["webhook-id"]
        assert self.bodies.setdefault(name, request.body) == request.body
        content = verified(request, self.endpoint)
        await asyncio.sleep(self._random.uniform(0, ANSWER_MAX_SECONDS))
        if self._random.random() < FAILS:
            return Answer(503)
        self.taken.setdefault(name, content)
        return Answer(204, length=None)

    async def listen(self, books: asyncpg.Connection, url: str, *, is_ordered: bool) -> None:
        """Have it told of all generations of all owners from now on."""
        self.endpoint = await add_endpoint(books, OPERATOR, url, TOLD, is_ordered=is_ordered)


async def assert_told(books: asyncpg.Connection, *receivers: Receiver) -> None:
    """Every session that ended was told, once for all, to each of them, and nothing else."""
    await _everything_delivered(books)
    events = await books.fetch("SELECT * FROM storecredit.events ORDER BY seq")
    ended = await books.fetch(
        "SELECT 'generation.' || status AS type, session_id::text FROM storecredit.sessions"
    )
    names = [message_id(event["event_id"]) for event in events]
    assert len(ended) > 0
    for receiver in receivers:
        assert set(receiver.taken) == set(names)
        told = [
            (content["type"], content["data"]["session_id"]) for content in receiver.taken.values()
        ]
        assert sorted(told) == sorted(tuple(row) for row in ended)


async def _everything_delivered(books: asyncpg.Connection) -> None:
    """Wait for it. What a killed process had taken, or is to be tried again, is due at once."""
    counts: list[asyncpg.Record] = []
    async with asyncio.timeout(DELIVERED_MAX_SECONDS):
        while [row["status"] for row in counts] != ["delivered"]:
            await pass_delivery_time(books, LEASE)
            await asyncio.sleep(PASSED_SECONDS)
            counts = await books.fetch(
                "SELECT status, count(*) FROM storecredit.deliveries GROUP BY status"
            )


async def assert_in_order(books: asyncpg.Connection, receiver: Receiver) -> None:
    """What it took came in the order in which it happened."""
    events = await books.fetch("SELECT event_id FROM storecredit.events ORDER BY seq")
    assert list(receiver.taken) == [message_id(event["event_id"]) for event in events]
