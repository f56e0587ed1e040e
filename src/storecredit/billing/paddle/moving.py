"""Takes events from the first bucket, where all come in, to the one that has what they are about.

In three steps that each may be the last of a process: the directory says where the event is kept
from now on; it is kept there, with its job; the first bucket forgets it. Whoever goes on, or is
sent the event again, comes to the same bucket.
"""

from collections.abc import AsyncIterator
from typing import Final

from storecredit import telemetry
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.event_queue import enqueue_events
from storecredit.billing.paddle.ownership import nearness
from storecredit.billing.paddle.reading import UnreadableContent, read_references
from storecredit.billing.paddle.whereabouts import Whereabouts
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

log = telemetry.get_logger("billing.events")

PAGE_MAX: Final = 5000
"""Ids that other buckets are asked for at a time."""
_FOREIGN: Final = """
    SELECT DISTINCT {column} FROM provider_events
    WHERE {column} > $2 AND provider = $1 AND status = 'ignored' ORDER BY 1 LIMIT $3"""
_SUBSCRIPTIONS: Final = """
    SELECT provider_subscription_id FROM subscriptions
    WHERE provider = $1 AND provider_subscription_id = ANY ($2)"""
_SOLD: Final = """
    SELECT provider_transaction_id FROM checkouts
    WHERE provider = $1 AND provider_transaction_id = ANY ($2)"""
_BOOKED: Final = """
    SELECT provider_transaction_id FROM payments
    WHERE provider = $1 AND provider_transaction_id = ANY ($2)"""


class Moving:
    """Moves events out of the first of several buckets. Each raises DatabaseUnavailable."""

    def __init__(self, home: Database, whereabouts: Whereabouts) -> None:
        self._home = home
        self._whereabouts = whereabouts

    async def moved(self, event_id: str) -> bool:
        """Whether an unsettled event is another bucket's, which keeps it now."""
        event = await self._home.fetchrow(
            """SELECT event_id, event_type, occurred_at, received_at, content
               FROM provider_events
               WHERE provider = $1 AND event_id = $2 AND status IN ('received', 'failing')""",
            PROVIDER,
            event_id,
        )
        place = None if event is None else await self._place(event)
        if event is None or place is None or place is self._home:
            return False
        await self._take(place, event)
        await self._home.fetchval("SELECT leave_provider_event($1, $2)", PROVIDER, event_id)
        log.info("paddle_event_moved", event_id=event_id, bucket=place.schema)
        return True

    async def _place(self, event: Record) -> Database | None:
        """The bucket that the event belongs to; None: it is about nothing that is known."""
        try:
            names = read_references(event["event_type"], event["content"])
        except UnreadableContent:
            return None
        found = await self._whereabouts.nearest(lambda database: nearness(database, names))
        if found is None or found is self._home:
            return found
        return await self._whereabouts.place(event["event_id"], found)

    async def _take(self, place: Database, event: Record) -> None:
        async with place.acquire() as connection, connection.transaction():
            await connection.fetchval(
                "SELECT take_provider_event($1, $2, $3, $4, $5, $6)", PROVIDER, *event.values()
            )
            await enqueue_events(connection, [event["event_id"]])

    async def reopen(self) -> None:
        """Have events be looked at that were ignored, and are about what another bucket has by now.

        What is away is asked the next time.
        """
        async for ids in self._foreign("foreign_subscription_id"):
            await self._reopen(await self._known(_SUBSCRIPTIONS, ids), [], [])
        async for ids in self._foreign("foreign_transaction_id"):
            await self._reopen([], await self._known(_SOLD, ids), await self._known(_BOOKED, ids))

    async def _foreign(self, column: str) -> AsyncIterator[list[str]]:
        """What ignored events name, a page at a time."""
        last = ""
        query = _FOREIGN.format(column=column)
        while rows := await self._home.fetch(query, PROVIDER, last, PAGE_MAX):
            ids: list[str] = [row[0] for row in rows]
            yield ids
            last = ids[-1]

    async def _known(self, query: str, ids: list[str]) -> list[str]:
        """Those that another bucket knows."""
        found = await self._whereabouts.elsewhere(
            self._home, lambda database: database.fetch(query, PROVIDER, ids)
        )
        return [row[0] for rows in found for row in rows]

    async def _reopen(self, subscriptions: list[str], sold: list[str], booked: list[str]) -> None:
        if subscriptions or sold or booked:
            await self._home.fetchval(
                "SELECT reopen_events_about($1, $2, $3, $4)", PROVIDER, subscriptions, sold, booked
            )
