"""What pages show live: who watches what, and how they are told what changed.

Hides one poller of this process. While somebody watches, it looks once a second at all that is
watched, by one statement to each bucket (`live_looks.py`); while nobody does, it rests. Nothing is
announced by who moves credits: a NOTIFY for each movement would be paid by every one of them,
whether anybody looks or not, and commits that notify wait for each other.

Promises that a watcher holds at most the newest state of each thing, however slow it is; that a
newcomer is told what is known at once; that while a bucket is away those who watch something of it
are told that it is, and what is so now when it is back; and that `close()` ends all watches.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import msgspec

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.problems import Problems
from storecredit.operator.live_looks import (
    SHOWN_MAX,
    Look,
    in_buckets,
    look,
    look_at_one,
    together,
)
from storecredit.operator.watches import News, Topic, Watch
from storecredit.postgres.buckets import Buckets, bucket_of
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


T = TypeVar("T")


class TooManyWatch(Exception):
    """No more may watch now, or not of this one who looks; or the service stops."""


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
        self._topics: dict[int, Topic] = {}
        # Which buckets did not answer the last time; None: none was asked yet.
        self._lost: frozenset[int] | None = None
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
            topic = self._topics.setdefault(each, Topic())
            topic.watches.add(watch)
            for news in topic.known.values():
                if news.number > had_number:
                    watch.tell(news)
            if topic.is_new:
                self._newcomers.set()
        self._tell_connection(watch)
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
            self._lost = None

    async def _look(self) -> bool:
        """Look once, and tell what came of it. False: some did not answer, who are asked again."""
        asked = dict(self._topics)
        accounts = {
            each: topic.movements[0].seq if topic.movements else 0
            for each, topic in asked.items()
            if each != EVERYTHING
        }
        at_all = EVERYTHING in asked
        wanted = in_buckets(self._buckets, accounts, at_all=at_all)
        answers = await asyncio.gather(
            *(
                _answer(look_at_one(database, self._catalogue, at_all=at_all, accounts=own))
                for database, own in wanted.values()
            )
        )
        failed = {
            number: answer
            for number, answer in zip(wanted, answers, strict=True)
            if isinstance(answer, Exception)
        }
        counts = None if failed else await _answer(self._counts(asked.get(EVERYTHING)))
        if isinstance(counts, Exception):
            failed = dict.fromkeys(wanted, counts)
        self._note(failed)
        found = [answer for answer in answers if isinstance(answer, Look)]
        if found and not isinstance(counts, Exception):
            self._tell(asked, together(found), counts, is_whole=not failed)
        return not failed

    async def _counts(self, topic: Topic | None) -> Mapping[str, object] | None:
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
        self,
        asked: Mapping[int, Topic],
        found: Look,
        counts: Mapping[str, object] | None,
        *,
        is_whole: bool,
    ) -> None:
        """Tell it to those who watch. A topic that was left and taken up again is another one.

        `is_whole`: all buckets answered, without which nothing is known of all accounts.
        """
        of_all = {"queue": found.queue, "latest": found.latest, "counts": counts}
        for name, state in of_all.items():
            if is_whole and state is not None:
                self._tell_topic(asked[EVERYTHING], name, state)
        for account in found.accounts:
            topic = asked[account.account_id]
            topic.movements = (*account.movements, *topic.movements)[:SHOWN_MAX]
            self._tell_topic(topic, "balance", account.balance)
            self._tell_topic(topic, "movements", topic.movements)
            self._tell_topic(topic, "generations", account.generations)

    def _tell_topic(self, topic: Topic, name: str, state: object) -> None:
        topic.is_new = False
        data, known = msgspec.json.encode(state), topic.known.get(name)
        if known is not None and known.data == data:
            return
        topic.known[name] = news = self._news(name, data)
        for watch in topic.watches:
            watch.tell(news)

    def _note(self, failed: Mapping[int, Exception]) -> None:
        """Tell those who watch whether what they watch is known now; the log, what has changed."""
        was = self._lost or frozenset()
        self._lost = frozenset(failed)
        if self._lost > was:
            _log_lost(failed[min(self._lost - was)], self.watchers)
        elif was and not self._lost:
            log.info("live_again", watchers=self.watchers)
        for each, topic in self._topics.items():
            if self._is_lost({each}):
                # A database that was restored may have fewer movements than were seen.
                topic.movements = ()
        for watch in self._watches():
            self._tell_connection(watch)

    def _is_lost(self, topics: AbstractSet[int]) -> bool:
        lost = self._lost or frozenset()
        if EVERYTHING in topics:
            return bool(lost)
        return any(bucket_of(account_id) in lost for account_id in topics)

    def _tell_connection(self, watch: Watch) -> None:
        if self._lost is None:
            return
        data = msgspec.json.encode({"state": "lost" if self._is_lost(watch.topics) else "live"})
        if watch.connection != data:
            watch.connection = data
            watch.tell(self._news("connection", data))

    def _news(self, name: str, data: bytes) -> News:
        self._number += 1
        return News(name, data, self._number, f"{self._boot}.{self._number}")


async def _answer(asking: Coroutine[Any, Any, T]) -> T | Exception:
    """What is answered in time, or why not."""
    try:
        async with asyncio.timeout(LOOK_MAX_SECONDS):
            return await asking
    except Exception as error:  # noqa: BLE001 - it is told, and logged once
        return error


def _log_lost(error: Exception, watchers: int) -> None:
    if isinstance(error, (DatabaseUnavailable, TimeoutError)):
        log.warning("live_lost", watchers=watchers, error=str(error) or "no answer")
    else:
        log.error("live_broke", watchers=watchers, exc_info=error)
