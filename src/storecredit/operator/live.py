"""What pages show live: who watches what, and how they are told what changed.

Hides one poller of this process. While somebody watches, it looks once a second at all that is
watched, by one statement to each bucket (`live_looks.py`); while nobody does, it rests. Nothing is
announced by who moves credits: a NOTIFY for each movement would be paid by every one of them,
whether anybody looks or not, and commits that notify wait for each other.

Promises that a watcher holds at most the newest state of each thing, however slow it is; that a
newcomer is told what is known at once; that while the database is away all are told that it is,
and what is so now when it is back; and that `close()` ends all watches.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import msgspec

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.problems import Problems
from storecredit.operator.live_looks import SHOWN_MAX, LiveMovement, Look, look
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.webhooks.endpoints import Endpoints

log = telemetry.get_logger("operator.live")

WATCHERS_MAX: Final = 500
"""Of one process."""
WATCHERS_OF_ONE_MAX: Final = 50
"""Of one who looks: their windows; of a store, those of all who are signed in for it."""
INTERVAL_SECONDS: Final = 1.0
COUNTS_INTERVAL_SECONDS: Final = 10.0
"""What is counted is no matter of seconds, and is asked by statements of its own."""
RESTS: Final = 20
"""After a look that took long it rests so many times as long, that a busy database be not asked
more than it needs to be,"""
REST_MAX_SECONDS: Final = 5.0
"""and no longer than this."""
NEWCOMERS_WAIT_SECONDS: Final = 0.1
"""How soon after a look there may be another, for whoever came meanwhile."""
LOOK_MAX_SECONDS: Final = 3.0

EVERYTHING: Final = 0
"""The topic of all accounts together; any other is an account, by its id, which is never 0."""


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


@dataclass(slots=True)
class _Topic:
    """What is watched: who by, what is known of it, and the newest movements of an account."""

    watches: "set[Watch]" = field(default_factory=set)
    known: dict[str, News] = field(default_factory=dict)
    movements: tuple[LiveMovement, ...] = ()
    is_new: bool = True


class TooManyWatch(Exception):
    """No more may watch now, or not of this one who looks; or the service stops."""


class Watch:
    """One who watches some topics. What it has not taken yet is the newest of each name."""

    __slots__ = ("_pending", "_told", "is_over", "topics")

    def __init__(self, topics: frozenset[int]) -> None:
        self.topics = topics
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


class Live:
    """Those who watch in this process. `close()` ends all watches; `stop()` the poller, too."""

    def __init__(
        self,
        buckets: Buckets,
        problems: Problems,
        endpoints: Endpoints,
        catalogue: Catalogue,
    ) -> None:
        self._buckets = buckets
        self._catalogue = catalogue
        self._problems = problems
        self._endpoints = endpoints
        # Ids of another process, or of this one before it was restarted, say nothing here.
        self._boot = uuid4().hex[:12]
        self._number = 0
        self._topics: dict[int, _Topic] = {}
        self._connection: News | None = None
        self._watchers: dict[UUID, int] = {}
        self._newcomers = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._counts_due_at = 0.0
        self._is_closed = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return sum(self._watchers.values())

    async def now(self, account_id: int | None = None, *, everything: bool = False) -> Look:
        """The same for a page as it is made, once. Raises DatabaseUnavailable."""
        accounts = {} if account_id is None else {account_id: 0}
        return await look(self._buckets, self._catalogue, at_all=everything, accounts=accounts)

    @contextmanager
    def watching(
        self, who: UUID, account_id: int | None, *, everything: bool, last_id: str | None = None
    ) -> Iterator[Watch]:
        """A watch until the context ends: of one account, of all of them together, or of both.

        `who` looks; what they have had up to the news of `last_id` is not told again. Raises
        TooManyWatch.
        """
        mine = self._watchers.get(who, 0)
        if self._is_closed or mine >= WATCHERS_OF_ONE_MAX or self.watchers >= WATCHERS_MAX:
            raise TooManyWatch
        account = () if account_id is None else (account_id,)
        watch = Watch(frozenset((*account, EVERYTHING) if everything else account))
        self._watchers[who] = mine + 1
        self._join(watch, self._number_of(last_id))
        try:
            yield watch
        finally:
            self._leave(watch)
            self._watchers[who] -= 1
            if not self._watchers[who]:
                del self._watchers[who]

    def close(self) -> None:
        """End all watches, and let nobody watch any more. Returns at once."""
        self._is_closed = True
        for watch in self._watches():
            watch.end()
        self._newcomers.set()

    async def stop(self) -> None:
        """Close, and wait for the look that is under way to be given up."""
        self.close()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    def _number_of(self, last_id: str | None) -> int:
        """Up to where news has been had; 0: nothing of it, or nobody here knows the id."""
        boot, dot, number = (last_id or "").partition(".")
        is_ours = boot == self._boot and dot and number.isascii() and number.isdecimal()
        return min(int(number[:20]), self._number) if is_ours else 0

    def _join(self, watch: Watch, had_number: int) -> None:
        for each in watch.topics:
            topic = self._topics.setdefault(each, _Topic())
            topic.watches.add(watch)
            for news in topic.known.values():
                if news.number > had_number:
                    watch.tell(news)
            if topic.is_new:
                self._newcomers.set()
        if self._connection is not None:
            watch.tell(self._connection)
        if self._looking is None:
            self._looking = asyncio.create_task(self._run(), name="live")

    def _leave(self, watch: Watch) -> None:
        for each in watch.topics:
            self._topics[each].watches.discard(watch)
            if not self._topics[each].watches:
                del self._topics[each]

    def _watches(self) -> set[Watch]:
        return {watch for topic in self._topics.values() for watch in topic.watches}

    async def _run(self) -> None:
        """Look while anybody watches."""
        loop = asyncio.get_running_loop()
        try:
            while self._topics and not self._is_closed:
                self._newcomers.clear()
                began = loop.time()
                is_found = await self._look()
                took = loop.time() - began if is_found else 0.0
                rest = min(max(INTERVAL_SECONDS - took, RESTS * took), REST_MAX_SECONDS)
                await asyncio.sleep(NEWCOMERS_WAIT_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._newcomers.wait(), rest - NEWCOMERS_WAIT_SECONDS)
        finally:
            self._looking = None
            self._connection = None

    async def _look(self) -> bool:
        """Look once, and tell what came of it. False: nothing; those who watch wait on."""
        asked = dict(self._topics)
        try:
            async with asyncio.timeout(LOOK_MAX_SECONDS):
                found = await look(
                    self._buckets,
                    self._catalogue,
                    at_all=EVERYTHING in asked,
                    accounts={
                        each: topic.movements[0].seq if topic.movements else 0
                        for each, topic in asked.items()
                        if each != EVERYTHING
                    },
                )
                counts = await self._counts(asked.get(EVERYTHING))
            self._tell_connection("live")
            self._tell(asked, found, counts)
        except Exception as error:  # noqa: BLE001 - it is told, and logged once
            self._lose(error)
            return False
        return True

    async def _counts(self, topic: _Topic | None) -> Mapping[str, object] | None:
        """What is counted once in a while, where somebody watches everything; None: not now."""
        now = asyncio.get_running_loop().time()
        if topic is None or (now < self._counts_due_at and "counts" in topic.known):
            return None
        counts = {
            "problems": await self._problems.count(),
            "webhooks": await self._endpoints.count(),
        }
        self._counts_due_at = now + COUNTS_INTERVAL_SECONDS
        return counts

    def _tell(
        self, asked: Mapping[int, _Topic], found: Look, counts: Mapping[str, object] | None
    ) -> None:
        """Tell it to those who watch. A topic that was left and taken up again is another one."""
        of_all = {"queue": found.queue, "latest": found.latest, "counts": counts}
        for name, state in of_all.items():
            if state is not None:
                self._tell_topic(asked[EVERYTHING], name, state)
        for account in found.accounts:
            topic = asked[account.account_id]
            topic.movements = (*account.movements, *topic.movements)[:SHOWN_MAX]
            self._tell_topic(topic, "balance", account.balance)
            self._tell_topic(topic, "movements", topic.movements)
            self._tell_topic(topic, "generations", account.generations)

    def _tell_topic(self, topic: _Topic, name: str, state: object) -> None:
        topic.is_new = False
        data, known = msgspec.json.encode(state), topic.known.get(name)
        if known is not None and known.data == data:
            return
        topic.known[name] = news = self._news(name, data)
        for watch in topic.watches:
            watch.tell(news)

    def _lose(self, error: Exception) -> None:
        if self._connection is None or b"lost" not in self._connection.data:
            if isinstance(error, (DatabaseUnavailable, TimeoutError)):
                log.warning("live_lost", watchers=self.watchers, error=str(error) or "no answer")
            else:
                log.error("live_broke", watchers=self.watchers, exc_info=error)
        # A database that was restored may have fewer movements than were seen.
        for topic in self._topics.values():
            topic.movements = ()
        self._tell_connection("lost")

    def _tell_connection(self, state: str) -> None:
        data = msgspec.json.encode({"state": state})
        if self._connection is not None and self._connection.data == data:
            return
        if self._connection is not None and state == "live":
            log.info("live_again", watchers=self.watchers)
        self._connection = self._news("connection", data)
        for watch in self._watches():
            watch.tell(self._connection)

    def _news(self, name: str, data: bytes) -> News:
        self._number += 1
        return News(name, data, self._number, f"{self._boot}.{self._number}")
