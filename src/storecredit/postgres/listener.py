"""What PostgreSQL announces (NOTIFY), and whether this process can be sure to have heard it all.

Hides the dedicated connection, its loss and its renewal; there is one for each place that buckets
are in. Promises to whoever caches rows of the database: while `is_fresh()` is true, every
announcement on the channels whose transaction was answered to its client more than `LEASE_SECONDS`
ago has been handed to the subscribers. So what is cached, and dropped when announced, is at most
that old, even when the network dies without a word.

It rests on this. A notification that reaches a session during a transaction is sent to its client
just after the transaction ends (https://www.postgresql.org/docs/18/sql-notify.html), which is
before ReadyForQuery, the end of a command
(https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-ASYNC); and a committing session
signals the listening ones before it answers its own client. So the answer to a query on the
listening connection comes after everything that was committed before the query was sent. asyncpg
hands notifications and results on in the order in which they came.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence

import asyncpg

from storecredit.postgres import poolers
from storecredit.postgres.databases import Databases
from storecredit.postgres.errors import DatabaseError
from storecredit.postgres.pacing import backoff
from storecredit.postgres.pool import Database
from storecredit.telemetry import get_logger

log = get_logger("postgres.listener")

EVERYTHING = ""
"""The payload after every (re)connection: anything may have changed unheard."""

LEASE_SECONDS = 0.9
PING_INTERVAL_SECONDS = 0.3
PING_TIMEOUT_SECONDS = 2.0
"""A slower answer ends the connection. Longer than the lease: a slow answer makes caches rest for
a moment, and only a dead connection makes them start from nothing."""
LISTEN_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 0.5
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 0.5
"""A standby that is promoted serves within a second."""

PLACES_SECONDS = 0.3
"""How often is looked for where the buckets are."""

NEVER = -math.inf

IS_LISTENING = "SELECT $1::text[] <@ ARRAY(SELECT pg_listening_channels())"

CONNECTION_LOST = (
    DatabaseError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a lost, refused or unresponsive connection raises; TimeoutError is an OSError.

InternalClientError comes of one that PostgreSQL has given up and not closed yet."""


class NotListening(Exception):
    """The session that answered is not the one that listens: a pooler stands in between."""


class Listener:
    """Listens on some channels wherever there are buckets, while `run()` runs."""

    def __init__(
        self,
        databases: Databases,
        channel: str,
        *further: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds and never goes back."""
        self._databases = databases
        self._channel = channel
        self._clock = clock
        self._subscribers: dict[str, list[Callable[[str], None]]] = {
            each: [] for each in (channel, *further)
        }
        self._ears: dict[Hashable, _Ear] = {}
        # Of a database that is the only one, which stays where it is: each request asks.
        self._only: _Ear | None = None

    def subscribe(self, callback: Callable[[str], None], channel: str | None = None) -> None:
        """Have `callback` called with the payload of every announcement, in their order.

        `channel` is one of those that are listened on; None: the first of them. The payload
        `EVERYTHING` says that some may have been missed: forget all that is cached.
        """
        self._subscribers[channel or self._channel].append(callback)

    def is_fresh(self) -> bool:
        """Whether everything answered `LEASE_SECONDS` ago or earlier has been heard (the lease)."""
        if self._only is not None:
            return self._clock() < self._only.sure_until
        if not self._ears:
            return False
        return all(
            (ear := self._ears.get(database.place)) is not None and ear.is_fresh()
            for database in self._databases.all
        )

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is logged and made anew, with back-off."""
        tasks: dict[Hashable, asyncio.Task[None]] = {}
        try:
            while True:
                # A bucket may come to be in another place.
                places = {database.place: database for database in self._databases.all}
                left = {place for place, ear in self._ears.items() if ear.place != place}
                for place in (tasks.keys() - places.keys()) | left:
                    tasks.pop(place).cancel()
                    del self._ears[place]
                for place in places.keys() - tasks.keys():
                    ear = self._ears[place] = _Ear(places[place], self._subscribers, self._clock)
                    tasks[place] = asyncio.create_task(ear.run(), name="listening")
                    self._only = None if self._databases.several else ear
                await _first_failure(list(tasks.values()))
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            self._ears, self._only = {}, None


class _Ear:
    """One connection that listens on all channels, in one place."""

    def __init__(
        self,
        database: Database,
        subscribers: Mapping[str, Sequence[Callable[[str], None]]],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._subscribers = subscribers
        self._clock = clock
        self.sure_until = NEVER
        self._failures = 0

    @property
    def place(self) -> Hashable:
        """Where it listens when it connects anew."""
        return self._database.place

    def is_fresh(self) -> bool:
        """Whether everything has been heard that was answered here before the lease."""
        return self._clock() < self.sure_until

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (*CONNECTION_LOST, NotListening) as error:
                self._failures += 1
                cause = poolers.SHARED if poolers.betrays_sharing(error) else repr(error)
                log.warning(
                    "listener_lost",
                    channels=list(self._subscribers),
                    cause=cause,
                    failures=self._failures,
                )
            await asyncio.sleep(backoff(BACKOFF_FIRST_SECONDS, self._failures, BACKOFF_MAX_SECONDS))

    async def _listen(self) -> None:
        """Connect, listen and renew the lease until the connection is lost."""
        connection = await self._database.connect()
        try:
            async with asyncio.timeout(LISTEN_TIMEOUT_SECONDS):
                for channel in self._subscribers:
                    await connection.add_listener(channel, self._hear)
            for channel in self._subscribers:
                self._tell(channel, EVERYTHING)
            while True:
                await self._renew_lease(connection)
                await asyncio.sleep(PING_INTERVAL_SECONDS)
        finally:
            self.sure_until = NEVER
            with contextlib.suppress(*CONNECTION_LOST):
                await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)

    async def _renew_lease(self, connection: asyncpg.Connection) -> None:
        # Counted from before the question: what is committed while the answer travels is not heard.
        asked_at = self._clock()
        async with asyncio.timeout(PING_TIMEOUT_SECONDS):
            # Not just SELECT 1: behind a pooler another session could answer, one that is deaf.
            is_listening = await connection.fetchval(IS_LISTENING, list(self._subscribers))
        if not is_listening:
            raise NotListening(poolers.SHARED)
        self.sure_until = asked_at + LEASE_SECONDS
        self._failures = 0

    def _hear(self, _connection: object, _pid: object, channel: object, payload: object) -> None:
        self._tell(str(channel), str(payload))

    def _tell(self, channel: str, payload: str) -> None:
        for callback in self._subscribers[channel]:
            callback(payload)


async def _first_failure(listening: Sequence[asyncio.Task[None]]) -> None:
    """Wait until it is time to see where the buckets are. Raises what ended one of these."""
    ended, _ = await asyncio.wait(
        listening, timeout=PLACES_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    for task in ended:
        task.result()
