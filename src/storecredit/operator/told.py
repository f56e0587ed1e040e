"""The webhooks of ours that tell of requests, and what became of each at every endpoint.

Events carry a request's id in what they say, and have no index on it: one would be written with
every event. But each is written in the transaction of what it tells. So it is looked for from that
moment on: where in the order of events it begins is found by halving, as their order is nearly that
of time, and then a bounded number of events is read.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record
from storecredit.webhooks.delivery_records import EVENT_ID_PREFIX
from storecredit.webhooks.messages import message_id
from storecredit.webhooks.relay import RELAY

BEFORE: Final = timedelta(seconds=1)
"""So much earlier than what it tells may an event seem to be, by a clock that was set."""
WITHIN: Final = timedelta(seconds=60)
"""So much later may it be: a transaction that waits for a lock writes it in the end."""
LOOKED_AT_MAX: Final = 3000
"""Events that are read from each moment on."""
MOMENTS_MAX: Final = 30
TOLD_MAX: Final = 200
TRIES_MAX: Final = 20
"""The newest attempts that are told of each delivery."""


class TryRow(msgspec.Struct, frozen=True):
    """One attempt at delivering; `status_code` null: there was no answer, `error` says why."""

    attempt: int
    attempted_at: datetime
    milliseconds: int
    status_code: int | None
    error: str | None


class DeliveryRow(msgspec.Struct, frozen=True):
    """What became of it at one endpoint; `tries`: the newest attempts, oldest first.

    `store_id` null: the endpoint is the operator's own. `next_attempt_at` null: at once, or it has
    ended.
    """

    endpoint_id: UUID
    store_id: UUID | None
    status: str
    attempts: int
    next_attempt_at: datetime | None
    ended_at: datetime | None
    tries: list[TryRow]


class ToldRow(msgspec.Struct, frozen=True):
    """A webhook of ours; `webhook_id` is what its receivers see in the header of that name."""

    webhook_id: str
    type: str
    created_at: datetime
    deliveries: list[DeliveryRow]


class Told(msgspec.Struct, frozen=True):
    """A webhook, the account it is about (None: the operator's alone) and the ids that it names.

    `is_relayed`: it is about an account of another bucket, where it stands, too; here are its
    deliveries to the operator's endpoints (`webhooks/relay.py`).
    """

    row: ToldRow
    account_id: int | None
    names: frozenset[str]
    is_relayed: bool = False

    def relayed(self, copy: "Told | None") -> "Told":
        """The same, with the deliveries of its copy in the first bucket."""
        if copy is None:
            return self
        deliveries = [*copy.row.deliveries, *self.row.deliveries]
        return msgspec.structs.replace(
            self, row=msgspec.structs.replace(self.row, deliveries=deliveries)
        )


_EVENT: Final = "e.seq, e.event_id, e.account_id, e.owner_id, e.created_at, e.type, e.data"
# $1: moments; $2: how long after each; $3: accounts; $4: ids that events may name; $5, $6: bounds.
_ABOUT: Final = f"""
    WITH RECURSIVE halving AS (
        SELECT w.since, coalesce((SELECT min(e.seq) FROM events e), 0) AS low,
            coalesce((SELECT max(e.seq) FROM events e), 0) + 1 AS high
        FROM unnest($1::timestamptz[]) w (since)
        UNION ALL
        SELECT h.since,
            CASE WHEN v.created_at < h.since THEN v.seq + 1 ELSE h.low END,
            CASE WHEN v.created_at < h.since THEN h.high ELSE h.low + (h.high - h.low) / 2 END
        FROM halving h LEFT JOIN LATERAL (
            SELECT e.seq, e.created_at FROM events e
            WHERE e.seq >= h.low + (h.high - h.low) / 2 ORDER BY e.seq LIMIT 1) v ON true
        WHERE h.low < h.high
    )
    SELECT DISTINCT ON (e.seq) {_EVENT}
    FROM halving h, LATERAL (
        SELECT * FROM events x WHERE x.seq >= h.low ORDER BY x.seq LIMIT $5) e
    WHERE h.low >= h.high AND e.created_at <= h.since + $2
      AND (e.account_id = ANY ($3) OR e.account_id IS NULL)
      AND (e.data ->> 'request_id' = ANY ($4) OR e.data ->> 'id' = ANY ($4))
    ORDER BY e.seq LIMIT $6
"""  # noqa: S608 - constants
_BY_ID: Final = f"SELECT {_EVENT} FROM events e WHERE e.event_id = $1"  # noqa: S608 - constants
_BY_IDS: Final = f"SELECT {_EVENT} FROM events e WHERE e.event_id = ANY ($1)"  # noqa: S608 - constants
# Each endpoint that may have been told is asked by the key of its deliveries.
_DELIVERIES: Final = """
    SELECT t.seq, w.endpoint_id, a.owner_id AS store_id, d.status, d.attempts, d.ended_at,
        CASE d.next_attempt_at WHEN '-infinity' THEN w.resumes_at ELSE d.next_attempt_at END
            AS next_attempt_at,
        x.attempt, x.attempted_at, x.milliseconds, x.status_code, x.error
    FROM unnest($1::bigint[], $2::bigint[]) t (seq, account_id)
    JOIN webhook_endpoints w ON w.account_id = ANY (ARRAY[0, t.account_id])
    CROSS JOIN LATERAL (
        SELECT * FROM deliveries y WHERE y.endpoint_id = w.endpoint_id AND y.seq = t.seq LIMIT 1) d
    LEFT JOIN LATERAL (
        SELECT * FROM delivery_attempts y
        WHERE y.endpoint_id = d.endpoint_id AND y.seq = d.seq
        ORDER BY y.attempt DESC LIMIT $3) x ON true
    LEFT JOIN accounts a ON a.account_id = w.account_id
    ORDER BY t.seq, w.created_at, w.endpoint_id, x.attempt
"""


async def told_about(
    source: Database | Connection,
    account_ids: Sequence[int],
    names: Sequence[str],
    moments: Iterable[datetime],
) -> list[Told]:
    """What was told of these accounts, or of nobody, that names one of `names`, oldest first.

    `moments`: when what it may tell of happened; of more than `MOMENTS_MAX` the first and the last
    are looked at. At most `TOLD_MAX`.
    """
    since = _apart(moments)
    if not since:
        return []
    rows = await source.fetch(
        _ABOUT, since, BEFORE + WITHIN, account_ids, names, LOOKED_AT_MAX, TOLD_MAX
    )
    return await _with_deliveries(source, rows)


async def told_by_id(
    source: Database | Connection, event_id: UUID, account_id: int | None
) -> list[Told]:
    """The webhook of this id, if it tells of that account (None: of whomever)."""
    rows = await source.fetch(_BY_ID, event_id)
    if account_id is not None:
        rows = [row for row in rows if row["account_id"] == account_id]
    return await _with_deliveries(source, rows)


async def relayed(source: Database | Connection, webhook_ids: Iterable[str]) -> dict[str, Told]:
    """The copies that the first bucket has of these webhooks of other ones, by their ids."""
    wanted = [UUID(each.removeprefix(EVENT_ID_PREFIX)) for each in webhook_ids]
    found = await _with_deliveries(source, await source.fetch(_BY_IDS, wanted)) if wanted else []
    return {each.row.webhook_id: each for each in found if each.is_relayed}


def _apart(moments: Iterable[datetime]) -> list[datetime]:
    """From when on to look: moments close together are looked at once."""
    apart: list[datetime] = []
    for moment in sorted(set(moments)):
        since = moment - BEFORE
        if not apart or since > apart[-1] + BEFORE:
            apart.append(since)
    half = MOMENTS_MAX // 2
    return apart if len(apart) <= MOMENTS_MAX else apart[:half] + apart[-half:]


async def _with_deliveries(source: Database | Connection, rows: Sequence[Record]) -> list[Told]:
    if not rows:
        return []
    found = await source.fetch(
        _DELIVERIES,
        [row["seq"] for row in rows],
        [row["account_id"] for row in rows],
        TRIES_MAX,
    )
    deliveries: dict[int, dict[UUID, DeliveryRow]] = {row["seq"]: {} for row in rows}
    for row in found:
        if row["endpoint_id"] == RELAY:
            continue
        of_event = deliveries[row["seq"]]
        delivery = of_event.setdefault(row["endpoint_id"], _delivery(row))
        if row["attempt"] is not None:
            delivery.tries.append(_try(row))
    return [_told(row, list(deliveries[row["seq"]].values())) for row in rows]


def _told(row: Record, deliveries: list[DeliveryRow]) -> Told:
    data = msgspec.json.decode(row["data"], type=dict[str, object])
    names = {data.get(name) for name in ("request_id", "id", "session_id", "hold_id")}
    return Told(
        ToldRow(message_id(row["event_id"]), row["type"], row["created_at"], deliveries),
        row["account_id"],
        frozenset(str(name) for name in names if name is not None),
        is_relayed=row["account_id"] is None and row["owner_id"] is not None,
    )


def _delivery(row: Record) -> DeliveryRow:
    return DeliveryRow(
        endpoint_id=row["endpoint_id"],
        store_id=row["store_id"],
        status=row["status"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        ended_at=row["ended_at"],
        tries=[],
    )


def _try(row: Record) -> TryRow:
    return TryRow(
        attempt=row["attempt"],
        attempted_at=row["attempted_at"],
        milliseconds=row["milliseconds"],
        status_code=row["status_code"],
        error=row["error"],
    )
