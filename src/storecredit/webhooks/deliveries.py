"""Deliveries in the database: taken by lease, and attempts, recorded in batches."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.answers import Answer
from storecredit.webhooks.messages import Event

LEASE: Final = timedelta(seconds=60)
"""How long nobody else sends what was taken: an attempt, its record, and time to spare."""
BATCH_MAX: Final = 256
"""Attempts recorded in one transaction."""
RECORD_SECONDS: Final = 10.0
"""How long the record of an attempt is tried; then it is sent again when its lease is over."""
TIDIED_MAX: Final = 1000
"""Rows that one statement ends or forgets: of events, or of deliveries to one endpoint."""
ROUNDS_MAX: Final = 100
"""Such statements in a row; the rest is left to the next time."""


class Outcome(enum.StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """It failed, and is tried again."""
    FAILED = "failed"
    """It failed, and is given up."""
    GONE = "gone"
    """The receiver wants no more: it is given up, and its endpoint disabled."""


class Delivery(msgspec.Struct, frozen=True):
    """An event to be told to an endpoint, and all that an attempt needs.

    `retries`: how many attempts failed since it was sent, or sent anew. `is_failing`: whether the
    endpoint's last attempt failed. `secrets`: those that are valid now, the newest first.
    `configured_at`: when the endpoint's owner changed it last.
    """

    endpoint_id: UUID
    seq: int
    retries: int
    is_ordered: bool
    is_failing: bool
    url: str
    secrets: tuple[bytes, ...]
    configured_at: datetime
    event: Event


class Attempt(msgspec.Struct, frozen=True):
    """What came of an attempt at a delivery, and what is to follow.

    `wait`: how long until the next attempt, of one that has one. `resumes`: of an ordered endpoint,
    that its lease ends here, and when it is asked again; None: it goes on.
    """

    delivery: Delivery
    answer: Answer
    outcome: Outcome
    wait: timedelta | None = None
    resumes: timedelta | None = None

    @property
    def key(self) -> tuple[UUID, int]:
        """In whose ascending order batches are recorded."""
        return self.delivery.endpoint_id, self.delivery.seq


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be taken: in all, of each endpoint, and of each that is failing.

    `under_way` is what the caller has of each endpoint; it counts as part of its share.
    """

    total: int
    share: int
    failing_share: int
    under_way: Mapping[UUID, int]


class Deliveries:
    """Takes, records and tidies up. `open()` before use, `close()` after."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._looked_at = 0
        bounds = Bounds(
            lanes=1,
            batch_max=BATCH_MAX,
            waiting_max=2 * settings.webhook_concurrency,
            deadline_seconds=RECORD_SECONDS,
        )
        self._record: GroupCommit[Attempt, bool] = GroupCommit(
            "webhook_attempt", database, _record_all, bounds, metrics
        )

    async def open(self) -> None:
        """Begin to serve; the connection is opened when first needed."""
        await self._record.start()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        await self._record.stop()

    async def take(self, room: Room, after: UUID | None) -> list[Delivery]:
        """Lease what is due, endpoints by their ids from the one after `after` on.

        Raises DatabaseUnavailable.
        """
        rows = await self._database.fetch(
            "SELECT * FROM take_deliveries($1, $2, $3, $4, $5, $6, $7)",
            room.total,
            room.share,
            room.failing_share,
            LEASE,
            after,
            list(room.under_way.keys()),
            list(room.under_way.values()),
        )
        return [_delivery(row) for row in rows]

    async def record(self, attempt: Attempt) -> bool:
        """Write an attempt down, with what follows from it: whether its endpoint is disabled now.

        Told once for each time that it is. Raises WaitingLineFull, OutcomeUnknown or
        DatabaseUnavailable: then it is sent again.
        """
        # The line of an endpoint is its own, whatever the number: so its attempts stay in order.
        return await self._record.submit(attempt.delivery.endpoint_id.int, attempt)

    async def tidy(self) -> Counter[str]:
        """End what cannot be delivered any more, forget what is old; how many of each.

        Raises DatabaseUnavailable.
        """
        return Counter(
            ended=await self._end_undeliverable(),
            forgotten=await self._forget(),
        )

    async def lag_seconds(self) -> float:
        """For how long the delivery that has waited longest has been due; 0: none is."""
        lag: timedelta = await self._database.fetchval("SELECT delivery_lag()")
        return lag.total_seconds()

    async def _end_undeliverable(self) -> int:
        total = 0
        for _ in range(ROUNDS_MAX):
            count: int = await self._database.fetchval("SELECT end_undeliverable($1)", TIDIED_MAX)
            total += count
            if not count:
                break
        return total

    async def _forget(self) -> int:
        """How many events; from where it stopped on, which may be where none could be forgotten."""
        total = 0
        for _ in range(ROUNDS_MAX):
            row = await self._database.fetchrow(
                "SELECT * FROM forget_events($1, $2)", TIDIED_MAX, self._looked_at
            )
            assert row is not None, "a function with OUT parameters has one row"
            self._looked_at = row["last_seq"] or 0
            total += row["forgotten"]
            if not row["forgotten"]:
                break
        return total


def _delivery(row: Record) -> Delivery:
    event = Event(
        row["event_id"],
        row["type"],
        row["created_at"],
        row["data"],
        row["owner_kind"],
        row["owner_id"],
    )
    return Delivery(
        row["endpoint_id"],
        row["seq"],
        row["retries"],
        row["is_ordered"],
        row["is_failing"],
        row["url"],
        tuple(row["secrets"]),
        row["configured_at"],
        event,
    )


async def _record_all(connection: Connection, attempts: Sequence[Attempt]) -> Sequence[bool]:
    ordered = sorted(attempts, key=lambda attempt: attempt.key)
    answers = [attempt.answer for attempt in ordered]
    outcomes = await connection.fetchval(
        "SELECT record_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        [attempt.delivery.endpoint_id for attempt in ordered],
        [attempt.delivery.seq for attempt in ordered],
        [answer.attempted_at for answer in answers],
        [answer.milliseconds for answer in answers],
        [answer.status_code for answer in answers],
        [answer.error for answer in answers],
        [answer.kept for answer in answers],
        [attempt.outcome for attempt in ordered],
        [attempt.delivery.retries for attempt in ordered],
        [attempt.wait for attempt in ordered],
        [attempt.resumes for attempt in ordered],
        [attempt.delivery.configured_at for attempt in ordered],
    )
    disabled = {
        attempt.delivery.endpoint_id: attempt
        for attempt, outcome in zip(ordered, outcomes, strict=True)
        if outcome == "disabled"
    }
    return [disabled.get(attempt.delivery.endpoint_id) is attempt for attempt in attempts]
