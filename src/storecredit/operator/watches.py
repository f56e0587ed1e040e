"""Who watches what, and the newest of it that they have not taken yet."""

import asyncio
from dataclasses import dataclass, field

from storecredit.operator.live_looks import LiveMovement


@dataclass(frozen=True, slots=True)
class News:
    """The newest state of one thing: its name, JSON, and an id by which to come again.

    Names, and what their JSON is (`live_looks.py`):

        connection    {"state": "live" | "lost"}: whether the database answers
        queue         LiveQueue                                     of all accounts
        latest        the newest movements, LatestMovement each
        counts        {"problems": {kind: n}, "webhooks": {standing: n}}
        balance       LiveBalance                                   of one account
        movements     its newest, LiveMovement each
        generations   its newest, LiveGeneration each
    """

    name: str
    data: bytes
    number: int
    id: str


class Watch:
    """One who watches some topics. What it has not taken yet is the newest of each name."""

    __slots__ = ("_pending", "_told", "connection", "is_over", "topics")

    def __init__(self, topics: frozenset[int]) -> None:
        self.topics = topics
        self.connection: bytes | None = None
        """What was told of it last."""
        self.is_over = False
        self._pending: dict[str, News] = {}
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(self) -> "asyncio.Future[None]":
        """Done when there is something to take, or nothing will come any more (`is_over`)."""
        return self._told

    def take(self) -> tuple[News, ...]:
        """What is new since the last time, in the order in which it became known."""
        taken = sorted(self._pending.values(), key=lambda each: each.number)
        self._pending.clear()
        if not self.is_over:
            self._told = asyncio.get_running_loop().create_future()
        return tuple(taken)

    def tell(self, news: News) -> None:
        """Have it taken, instead of what is pending under its name."""
        self._pending[news.name] = news
        self._wake()

    def end(self) -> None:
        """Nothing will come any more."""
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        if not self._told.done():
            self._told.set_result(None)


@dataclass(slots=True)
class Topic:
    """What is watched: who by, what is known of it, and the newest movements of an account."""

    watches: "set[Watch]" = field(default_factory=set)
    known: dict[str, News] = field(default_factory=dict)
    movements: tuple[LiveMovement, ...] = ()
    is_new: bool = True
