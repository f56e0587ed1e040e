"""What was sold, given, spent and lost in a time, and the money for it: by day, plan or store.

Summed up from the ledger itself, in one snapshot, so that the sums are those of its rows to the
unit. What a type of movement counts as follows from `movement_types`. Days are those of UTC, and a
thing belongs to the day on which it was written down: a payment to the day on which it was booked,
as its credits do.

The ledger has no index on time, as each would be written at every movement: one statement reads
all of it once, in order, on one processor, beside the pool. On two busy cores a million movements
took 0.3 s to pass over, 0.7 to 1.5 s to sum up by day, and by plan or store 2 to 4 s, the more the
more accounts they are of (10,000 and 200,000 were tried). Reports of a process are made one at a
time.

Several buckets are read at once, each in a snapshot of its own and on a processor of its own; as
each has its groups in the same order, no more than one row of each is waited for or kept.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from typing import Any, Final

from storecredit.operator.figures import (
    By,
    Effect,
    Report,
    ReportRow,
    Sum,
    UnknownMovementType,
    measure_of,
)
from storecredit.postgres.buckets import Buckets, snapshots, together
from storecredit.postgres.servers import Connection, Record

ROWS_MAX: Final = 10_000
"""Rows of a report, in the order of days, plans or stores; its total is of all of them."""
ROWS_AT_ONCE: Final = 1000
"""What is fetched at a time, so that the service's own requests get their turn between."""
STATEMENT_MAX_SECONDS: Final = 60.0
"""Unless the caller says otherwise."""


# A group is a day, a plan, a store, or (all null) everything.
_GROUP: Final = ("day", "plan", "store_id", "store_name", "end_users")
_ARE_USERS: Final = "a.owner_kind IS NOT DISTINCT FROM 'user'"
_GROUPED: Final[dict[By | None, str]] = {
    None: "NULL::date, NULL::text, NULL::uuid, NULL::text, false",
    By.DAY: "(x.created_at AT TIME ZONE 'UTC')::date, NULL::text, NULL::uuid, NULL::text, false",
    By.PLAN: f"NULL::date, s.tier, NULL::uuid, NULL::text, {_ARE_USERS}",
    By.STORE: f"NULL::date, NULL::text, s.store_id, s.name, {_ARE_USERS}",
}
_OWNER: Final = """
    LEFT JOIN accounts a ON a.account_id = x.account_id
    LEFT JOIN stores s ON a.owner_kind = 'store' AND s.store_id = a.owner_id
"""
_MOVED: Final = """
    SELECT g.*, NULL AS currency, NULL AS is_returned FROM (
        SELECT {group}, x.type, sum(x.amount)::bigint AS amount
        FROM movements x {owner}
        WHERE x.created_at >= $1 AND x.created_at < $2
        GROUP BY 1, 2, 3, 4, 5, 6
    ) g (day, plan, store_id, store_name, end_users, type, amount)
"""
_PAID: Final = """
    SELECT g.day, g.plan, g.store_id, g.store_name, g.end_users, NULL, g.amount, g.currency,
        g.is_returned
    FROM (
        SELECT {group}, x.currency, x.is_returned, sum(x.amount)::bigint
        FROM (
            SELECT y.account_id, y.created_at, y.currency, y.amount, false AS is_returned
            FROM payments y
            UNION ALL
            SELECT y.account_id, k.created_at, y.currency, k.amount, true
            FROM clawbacks k JOIN payments y USING (provider, provider_transaction_id)
        ) x {owner}
        WHERE x.created_at >= $1 AND x.created_at < $2
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    ) g (day, plan, store_id, store_name, end_users, currency, is_returned, amount)
"""
# It is meant to read all of the ledger, which no index is of help for; and the service's own
# statements have the other processors.
_SETTINGS: Final = """
    SET LOCAL enable_seqscan = on;
    SET LOCAL max_parallel_workers_per_gather = 0
"""
_PLANS: Final = "SELECT DISTINCT tier FROM stores"
_IN_ORDER: Final = "SELECT t.name FROM unnest($1::text[]) t (name) ORDER BY t.name"
_TYPES: Final = "SELECT type, role, spent, balance, credit_kind FROM movement_types"


class Reports:
    """Makes reports, one at a time."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._making = asyncio.Lock()

    async def make(
        self,
        since: datetime,
        until: datetime,
        by: By | None = None,
        *,
        statement_seconds: float = STATEMENT_MAX_SECONDS,
    ) -> Report:
        """What happened from `since` on and before `until`.

        Raises StatementCancelled where reading the ledger takes longer than `statement_seconds`,
        UnknownMovementType, DatabaseUnavailable.
        """
        async with (
            self._making,
            snapshots(self._buckets, statement_seconds=statement_seconds) as connections,
        ):
            for connection in connections:
                await connection.execute(_SETTINGS)
            effects = {
                row["type"]: Effect(
                    measure_of(row["type"], row["role"], row["spent"], row["credit_kind"]),
                    row["balance"],
                )
                for row in await connections[0].fetch(_TYPES)
            }
            summing = _Summing(effects)
            async for row in _sums_of_all(connections, since, until, by):
                summing.add(row)
        summing.end_row()
        return Report(
            since=since,
            until=until,
            by=by,
            total=summing.total.figures(),
            rows=[] if by is None else summing.rows,
            truncated=summing.is_truncated,
        )


async def _sums_of_all(
    connections: Sequence[Connection], since: datetime, until: datetime, by: By | None
) -> AsyncIterator[Record]:
    """The sums of each group, those of all buckets together and in order."""
    streams = [_sums(connection, since, until, by) for connection in connections]
    if len(streams) == 1:
        async for row in streams[0]:
            yield row
        return
    place = _place_of(await _plans_in_order(connections) if by is By.PLAN else {})
    heads = await together(*(_next_of(stream) for stream in streams))
    waiting = [(place(row), number, row) for number, row in enumerate(heads) if row is not None]
    heapify(waiting)
    while waiting:
        _, number, row = waiting[0]
        yield row
        following = await _next_of(streams[number])
        if following is None:
            heappop(waiting)
        else:
            heapreplace(waiting, (place(following), number, following))


async def _next_of(stream: AsyncIterator[Record]) -> Record | None:
    return await anext(stream, None)


def _place_of(plans: Mapping[str, int]) -> Callable[[Record], tuple[tuple[bool, Any], ...]]:
    """Where the database puts a row by its group: what is null comes last."""

    def place(row: Record) -> tuple[tuple[bool, Any], ...]:
        group = {name: row[name] for name in _GROUP}
        group["plan"] = None if row["plan"] is None else plans[row["plan"]]
        return tuple((value is None, value) for value in group.values())

    return place


async def _plans_in_order(connections: Sequence[Connection]) -> Mapping[str, int]:
    """The plans of all stores, each with its number: the database knows its order of texts."""
    found = await together(*(connection.fetch(_PLANS) for connection in connections))
    plans = sorted({row["tier"] for rows in found for row in rows})
    ordered = await connections[0].fetch(_IN_ORDER, plans)
    return {row["name"]: number for number, row in enumerate(ordered)}


async def _sums(
    connection: Connection, since: datetime, until: datetime, by: By | None
) -> AsyncIterator[Record]:
    """The sums of each group, together and in order."""
    owner = _OWNER if by in {By.PLAN, By.STORE} else ""
    moved, paid = (part.format(group=_GROUPED[by], owner=owner) for part in (_MOVED, _PAID))
    statement = f"{moved} UNION ALL {paid} ORDER BY {', '.join(_GROUP)}"
    async for row in connection.cursor(statement, since, until, prefetch=ROWS_AT_ONCE):
        yield row


class _Summing:
    """Takes sums group by group, and adds them up for each group and for all."""

    def __init__(self, effects: dict[str, Effect]) -> None:
        self._effects = effects
        self._group: tuple[object, ...] | None = None
        self._sum = Sum()
        self.total = Sum()
        self.rows: list[ReportRow] = []
        self.is_truncated = False

    def add(self, row: Record) -> None:
        """Count one sum. Raises UnknownMovementType."""
        group = tuple(row[name] for name in _GROUP)
        if group != self._group:
            self.end_row()
            self._group = group
        for adding in (self._sum, self.total):
            if row["type"] is None:
                adding.add_money(row["currency"], row["amount"], is_returned=row["is_returned"])
            else:
                adding.add_credits(self._effect(row["type"]), row["amount"])

    def end_row(self) -> None:
        """What comes now is of another group."""
        if self._group is not None:
            if len(self.rows) < ROWS_MAX:
                self.rows.append(self._sum.row(dict(zip(_GROUP, self._group, strict=True))))
            else:
                self.is_truncated = True
        self._sum = Sum()

    def _effect(self, type_: str) -> Effect:
        effect = self._effects.get(type_)
        if effect is None:
            raise UnknownMovementType(
                f"the ledger holds a movement of type {type_}, which there is not: "
                "`storecredit verify` names it"
            )
        return effect
