"""What became of events at an endpoint, as its owner sees it, and their being sent anew.

An event's id is told as receivers see it, in `webhook-id`. Everything is kept for 30 days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record
from storecredit.webhooks.deliveries import LEASE
from storecredit.webhooks.endpoints import Disabled
from storecredit.webhooks.messages import Event, body_of

PAGE_MAX: Final = 100
ATTEMPTS_MAX: Final = 100
"""Of one delivery, that are told; the newest."""
LOOKED_AT_MAX: Final = 10_000
"""Deliveries among which one page looks for those of a type."""
RESENT_MAX: Final = 10_000
"""By one call."""
AFTER_ALL: Final = 2**63 - 1
EVENT_ID_PREFIX: Final = "evt_"
"""How `messages.message_id` begins."""

_COLUMNS: Final = """d.seq, v.event_id, v.type,
    coalesce(v.happened_at, v.created_at) AS created_at, d.status, d.attempts, d.ended_at,
    CASE d.next_attempt_at WHEN '-infinity' THEN e.resumes_at ELSE d.next_attempt_at END
        AS next_attempt_at, l.status_code, l.error"""
_DELIVERIES: Final = """webhook_endpoints e
    JOIN deliveries d ON d.endpoint_id = e.endpoint_id JOIN events v ON v.seq = d.seq"""
_LAST_ATTEMPT: Final = """LEFT JOIN LATERAL (
        SELECT * FROM delivery_attempts x
        WHERE x.endpoint_id = d.endpoint_id AND x.seq = d.seq AND x.attempt = d.attempts LIMIT 1
    ) l ON true"""
_OF_ENDPOINT: Final = "e.account_id = $1 AND e.endpoint_id = $2"

# Looked up one by one: to walk through those of all owners, down to the few that this endpoint was
# told, may seem as cheap.
_EACH_EVENT: Final = "CROSS JOIN LATERAL (SELECT * FROM events x WHERE x.seq = d.seq LIMIT 1) v"


class DeliveryStatus(StrEnum):
    """pending -> delivered | failed, and pending again when it is sent anew.

    What happens while an endpoint is disabled has failed from the first, without an attempt.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


ENDED: Final = (DeliveryStatus.DELIVERED, DeliveryStatus.FAILED)


# As constants: of those that failed, and of those that are pending, there are indexes.
_OF_STATUS: Final[Mapping[DeliveryStatus, str]] = {
    DeliveryStatus.PENDING: "AND d.next_attempt_at IS NOT NULL",
    DeliveryStatus.DELIVERED: "AND d.status = 'delivered'",
    DeliveryStatus.FAILED: "AND d.status = 'failed'",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one event so far. `next_attempt_at` None: at once, or it has ended.

    `status_code` and `error` are those of the last attempt; both None: there was none.
    """

    seq: int
    event_id: UUID
    type: str
    created_at: datetime
    status: DeliveryStatus
    attempts: int
    status_code: int | None
    error: str | None
    next_attempt_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `status_code` None: there was no answer, and `error` says why.

    `answer`: the first 500 bytes of it.
    """

    attempt: int
    attempted_at: datetime
    milliseconds: int
    status_code: int | None
    error: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Followed:
    """One delivery, the `body` that is sent, and its attempts, the newest first."""

    delivery: Delivery
    body: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest event first; `next_before` continues the list, None at its end."""

    items: tuple[Delivery, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Resent:
    """So many deliveries are pending again; `next_after`: where to go on, None: that was all."""

    count: int
    next_after: int | None


class DeliveryRecords:
    """The deliveries of one endpoint at a time."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def list(
        self,
        account_id: int,
        endpoint_id: UUID,
        *,
        status: DeliveryStatus | None = None,
        type_: str | None = None,
        limit: int = PAGE_MAX,
        before: int | None = None,
    ) -> DeliveryPage:
        """This endpoint's deliveries, newest event first; at most `PAGE_MAX` at once.

        Those of one type are looked for among `LOOKED_AT_MAX`: a page may hold few, or none, and
        the next ones more.
        """
        limit = min(limit, PAGE_MAX)
        of_status = "" if status is None else _OF_STATUS[status]
        before = AFTER_ALL if before is None else before
        database = self._buckets.of_account(account_id)
        from_seq = last_seq = None
        if type_ is not None:
            from_seq, last_seq = await _looked_at(database, endpoint_id, before, of_status)
        rows = await database.fetch(
            f"""SELECT {_COLUMNS} FROM (
                    SELECT * FROM deliveries d WHERE d.endpoint_id = $2 AND d.seq < $3 {of_status}
                        AND d.seq >= $6
                    ORDER BY d.seq DESC) d
                {_EACH_EVENT}
                CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints x
                    WHERE x.endpoint_id = d.endpoint_id AND x.account_id = $1 LIMIT 1) e
                {_LAST_ATTEMPT}
                WHERE $5::text IS NULL OR v.type = $5
                ORDER BY d.seq DESC LIMIT $4""",  # noqa: S608 - constants
            account_id,
            endpoint_id,
            before,
            limit + 1,
            type_,
            from_seq or 0,
        )
        items = tuple(_delivery(row) for row in rows[:limit])
        return DeliveryPage(items, items[-1].seq if len(rows) > limit else last_seq)

    async def get(self, account_id: int, endpoint_id: UUID, event_id: UUID) -> Followed | None:
        """One delivery with all that is known of it; None: there is no such one."""
        # A row for each attempt: by one statement, or the one that is recorded meanwhile would be
        # told of a delivery that was not attempted yet.
        rows = await self._buckets.of_account(account_id).fetch(
            f"""SELECT {_COLUMNS}, v.data, coalesce(a.owner_kind, v.owner_kind) AS owner_kind,
                    coalesce(a.owner_id, v.owner_id) AS owner_id,
                    l.attempt, l.attempted_at, l.milliseconds, l.answer
                FROM {_DELIVERIES} LEFT JOIN LATERAL (
                    SELECT * FROM delivery_attempts x
                    WHERE x.endpoint_id = d.endpoint_id AND x.seq = d.seq
                    ORDER BY x.attempt DESC LIMIT $4) l ON true
                LEFT JOIN accounts a ON a.account_id = v.account_id
                WHERE {_OF_ENDPOINT} AND v.event_id = $3
                ORDER BY l.attempt DESC""",  # noqa: S608 - constants
            account_id,
            endpoint_id,
            event_id,
            ATTEMPTS_MAX,
        )
        if not rows:
            return None
        attempts = tuple(_attempt(row) for row in rows if row["attempt"] is not None)
        return Followed(_delivery(rows[0]), _body(rows[0]), attempts)

    async def resend(
        self, account_id: int, endpoint_id: UUID, event_id: UUID
    ) -> Disabled | Resent | None:
        """Send one event again, at once; None: there is no such delivery, or no such endpoint.

        An ordered endpoint that waits after a failure goes on within the time of a lease.
        """
        outcome = await self._buckets.of_account(account_id).fetchval(
            "SELECT resend_delivery($1, $2, $3, $4)", account_id, endpoint_id, event_id, LEASE
        )
        match outcome:
            case "disabled":
                return Disabled()
            case "not_found":
                return None
            case _:
                return Resent(1, None)

    async def resend_since(
        self,
        account_id: int,
        endpoint_id: UUID,
        since: datetime,
        *,
        status: DeliveryStatus | None = None,
        after: int = 0,
    ) -> Disabled | Resent | None:
        """Send again what has happened since then and has ended (as `status`), the oldest first.

        At most `RESENT_MAX` deliveries by one call. None: the owner has no such endpoint.
        """
        row = await self._buckets.of_account(account_id).fetchrow(
            "SELECT * FROM resend_deliveries($1, $2, $3, $4, $5, $6)",
            account_id,
            endpoint_id,
            since,
            list(ENDED if status is None else (status,)),
            after,
            RESENT_MAX,
        )
        assert row is not None, "a function with OUT parameters has one row"
        match row["outcome"]:
            case "disabled":
                return Disabled()
            case "not_found":
                return None
            case _:
                return Resent(row["resent"], row["last_seq"])


async def _looked_at(
    database: Database, endpoint_id: UUID, before: int, of_status: str
) -> tuple[int | None, int | None]:
    """Down to which event one page looks, and the same again if there may be more below."""
    row = await database.fetchrow(
        f"""SELECT min(d.seq) AS seq, count(*) AS count FROM (
                SELECT d.seq FROM deliveries d
                WHERE d.endpoint_id = $1 AND d.seq < $2 {of_status}
                ORDER BY d.seq DESC LIMIT $3) d""",  # noqa: S608 - constants
        endpoint_id,
        before,
        LOOKED_AT_MAX,
    )
    assert row is not None, "an aggregate has one row"
    return row["seq"], row["seq"] if row["count"] == LOOKED_AT_MAX else None


def read_event_id(text: str) -> UUID:
    """The event that is meant. Raises ValueError for what cannot be one."""
    return UUID(text.removeprefix(EVENT_ID_PREFIX))


def _body(row: Record) -> str:
    return body_of(
        Event(
            row["event_id"],
            row["type"],
            row["created_at"],
            row["data"],
            row["owner_kind"],
            row["owner_id"],
        )
    )


def _attempt(row: Record) -> Attempt:
    return Attempt(
        attempt=row["attempt"],
        attempted_at=row["attempted_at"],
        milliseconds=row["milliseconds"],
        status_code=row["status_code"],
        error=row["error"],
        answer=row["answer"],
    )


def _delivery(row: Record) -> Delivery:
    return Delivery(
        seq=row["seq"],
        event_id=row["event_id"],
        type=row["type"],
        created_at=row["created_at"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        status_code=row["status_code"],
        error=row["error"],
        next_attempt_at=row["next_attempt_at"],
        ended_at=row["ended_at"],
    )
