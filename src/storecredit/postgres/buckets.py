"""The buckets of one database: schemas with the same tables, each with owners of its own.

Whatever is an owner's (account, movements, sessions, jobs, keys, webhooks, what it bought) stands
in its bucket, so that one transaction on one server has all of it. An account's id says its bucket;
of an owner and of an API key the directory does, in the first bucket, and what it has said once
holds for ever. What concerns no owner (tokens and sign-ins of operators, what a provider sent)
stands in the first bucket, too. A database of one bucket keeps no directory, and is never asked.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.nodes import is_citus, places
from storecredit.postgres.one_bucket import Owned
from storecredit.postgres.pacing import pause
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.buckets import count
from storecredit.postgres.servers import ACCOUNT_BITS, Connection, Record

REMEMBERED_MAX: Final = 100_000
"""Owners whose buckets are kept in memory."""

LOOK_SECONDS: Final = 5.0
"""How often a process looks how many buckets there are; they are opened much later."""
LEAD_SECONDS: Final = 2.0
"""How often a process of a Citus cluster asks which node each bucket is on."""
LOOK_AGAIN_SECONDS: Final = 0.5
"""And while it could not."""

T = TypeVar("T")


def bucket_of(account_id: int) -> int:
    """The number of the bucket that an account is in."""
    return account_id >> ACCOUNT_BITS


class SeveralBuckets:
    """The buckets of a database that has more than one; the first of them is `home`."""

    several = True

    def __init__(self, databases: Sequence[Database]) -> None:
        self.all = tuple(databases)
        self.home = self.all[0]
        self._remembered: dict[tuple[str, UUID], int] = {}

    def numbered(self, number: int) -> Database:
        """The bucket of this number, as the directory says it.

        Raises DatabaseUnavailable of one that is not known here: more were made meanwhile.
        """
        if not 0 <= number < len(self.all):
            raise DatabaseUnavailable(f"this process does not know of bucket {number} yet")
        return self.all[number]

    def of_account(self, account_id: int) -> Database:
        """Where an account is. Raises DatabaseUnavailable of a bucket that is not known here."""
        return self.numbered(bucket_of(account_id))

    async def of(self, owner: Owned) -> Database:
        """Where an owner lives; one that there is not is looked for in the first."""
        return await self._of(owner.kind, owner.id)

    async def of_store(self, store_id: UUID) -> Database:
        """Where a store lives, likewise."""
        return await self._of("store", store_id)

    async def of_user(self, user_id: UUID) -> Database:
        """Where an end user lives, likewise."""
        return await self._of("user", user_id)

    async def of_new_store(self, store_id: UUID, asked_under: str | None = None) -> Database:
        """Where a store is to be made; where it lives, if it was made before.

        What is asked under one idempotency key by several at once is to be made in one bucket.
        """
        number = random.Random(asked_under).randrange(len(self.all))  # noqa: S311 - any will do
        return await self._of_new("store", store_id, number)

    async def of_new_user(self, user_id: UUID) -> Database:
        """Where an end user is to be made; where it lives, if it was made before."""
        number = random.randrange(len(self.all))  # noqa: S311 - any will do
        return await self._of_new("user", user_id, number)

    async def of_keys(self, key_hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The buckets that know these API keys, by number; one that none knows is left out."""
        rows = await self.home.fetch(
            "SELECT key_hash, bucket FROM key_buckets WHERE key_hash = ANY ($1)", key_hashes
        )
        return {row["key_hash"]: row["bucket"] for row in rows}

    async def place_key(self, key_hash: bytes, database: Database) -> None:
        """Note which bucket will know a new API key, before it does."""
        await self.home.fetchval("SELECT place_key($1, $2)", key_hash, self.all.index(database))

    async def place_action(self, idempotency_key: str, wanted: Database) -> Database:
        """The only one in which something can have been done under an operator's key.

        It is `wanted` from now on, if the key is new.
        """
        number: int = await self.home.fetchval(
            "SELECT place_action($1, $2)", idempotency_key, self.all.index(wanted)
        )
        return self.numbered(number)

    async def move_action(self, idempotency_key: str, origin: Database, wanted: Database) -> None:
        """Have a key that is locked in `origin`, and did nothing there, be used in another."""
        await self.home.fetchval(
            "SELECT move_action($1, $2, $3)",
            idempotency_key,
            self.all.index(origin),
            self.all.index(wanted),
        )

    async def each(self, ask: Callable[[Database], Awaitable[T]]) -> list[T]:
        """What each of them answers, in their order; all are asked at once."""
        return await asyncio.gather(*(ask(database) for database in self.all))

    async def _of(self, kind: str, owner_id: UUID) -> Database:
        number = self._remembered.get((kind, owner_id))
        if number is None:
            number = await self.home.fetchval(
                "SELECT bucket FROM owner_buckets WHERE owner_kind = $1 AND owner_id = $2",
                kind,
                owner_id,
            )
            if number is None:
                return self.home
            self._remember((kind, owner_id), number)
        return self.numbered(number)

    async def _of_new(self, kind: str, owner_id: UUID, chosen: int) -> Database:
        number = self._remembered.get((kind, owner_id))
        if number is None:
            number = await self.home.fetchval(
                "SELECT place_owner($1, $2, $3)", kind, owner_id, chosen
            )
            self._remember((kind, owner_id), number)
        return self.numbered(number)

    def _remember(self, key: tuple[str, UUID], number: int) -> None:
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = number


Buckets = Database | SeveralBuckets
"""Where each question belongs. A `Database` by itself is one that has no others."""


async def fetched(buckets: Buckets, query: str, *args: object) -> list[Record]:
    """The rows of one statement asked of each bucket, one's after the other's."""
    if isinstance(buckets, Database):
        return await buckets.fetch(query, *args)
    found = await buckets.each(lambda database: database.fetch(query, *args))
    return [row for rows in found for row in rows]


@asynccontextmanager
async def snapshots(
    buckets: Buckets, *, statement_seconds: float
) -> AsyncIterator[list[Connection]]:
    """`Database.snapshot` of each of them; all that are in one place see the same moment.

    So what goes from one bucket to another meanwhile is seen at both ends, or at neither.
    """
    exported: dict[Hashable, str] = {}
    async with AsyncExitStack() as stack:
        connections: list[Connection] = []
        for database in buckets.all:
            connection = await stack.enter_async_context(
                database.snapshot(statement_seconds=statement_seconds)
            )
            connections.append(connection)
            if database.place in exported:
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{exported[database.place]}'")
            elif buckets.several:
                exported[database.place] = await connection.fetchval("SELECT pg_export_snapshot()")
        yield connections


async def look(home: Database) -> int:
    """How many buckets there are now, which `opened` goes by from now on. DatabaseUnavailable."""
    async with home.acquire() as connection:
        home.bucket_count = await count(connection)
    return home.bucket_count


async def outgrown(home: Database, stop: asyncio.Event) -> bool:
    """Wait until there are more buckets than were known; False: `stop` was set before.

    Who works with fewer is to open them anew, before owners are put into those that came.
    """
    known = home.bucket_count
    while not stop.is_set():
        seconds = LOOK_SECONDS
        try:
            if await look(home) != known:
                return True
        except DatabaseUnavailable:
            seconds = LOOK_AGAIN_SECONDS
        await pause(seconds, stop)
    return False


async def together(*asking: Coroutine[Any, Any, T]) -> list[T]:
    """What all of them answer, asked at once, over connections that whoever calls goes on using.

    If one fails, the others are given up, and nothing is asked any more when its error is raised.
    """
    if len(asking) == 1:
        return [await asking[0]]
    tasks = [asyncio.create_task(each) for each in asking]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def knows_all(buckets: Buckets) -> bool:
    """Whether these are all there are by now: more may have been made since they were opened."""
    async with buckets.home.acquire() as connection:
        return await count(connection) == len(buckets.all)


@asynccontextmanager
async def opened(home: Database) -> AsyncIterator[Buckets]:
    """All buckets of the database whose first one this is; the others are closed at the end."""
    number = home.bucket_count or await look(home)
    if number == 1:
        yield home
        return
    databases = [home]
    async with AsyncExitStack() as stack:
        for each in range(1, number):
            databases.append(await home.of_bucket(each))
            stack.push_async_callback(databases[-1].close)
        await stack.enter_async_context(_led(databases))
        yield SeveralBuckets(databases)


@asynccontextmanager
async def _led(databases: Sequence[Database]) -> AsyncIterator[None]:
    """Have each bucket be asked where it is, also once it has moved: in a Citus cluster."""
    home = databases[0]
    async with home.acquire() as connection:
        is_spread = await is_citus(connection)
    if not is_spread:
        yield
        return
    await _lead(databases)
    # Those that are open do not know yet what they are connected to.
    await home.pool.expire_connections()
    leading = asyncio.create_task(_keep_leading(databases), name="buckets-led")
    try:
        yield
    finally:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)


async def _keep_leading(databases: Sequence[Database]) -> None:
    while True:
        await asyncio.sleep(LEAD_SECONDS)
        # A node that a bucket has left passes on what it is asked.
        with contextlib.suppress(DatabaseUnavailable):
            await _lead(databases)


async def _lead(databases: Sequence[Database]) -> None:
    async with databases[0].acquire() as connection:
        found = await places(connection)
    for each in databases:
        each.lead_to(found.get(each.schema))
