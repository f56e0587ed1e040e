"""What happened in each hour, day and month, read from the sums that the database keeps.

Nothing here grows with the ledger: an hour is some rows, however much happened in it. The sums are
of the movements counted so far, seconds behind (`ledger/summing.py`); a report
(`operator/report.py`) adds up the ledger itself. Hours and days are those of UTC. What several
buckets have counted is added up here.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from storecredit.ledger.owners import OwnerKind
from storecredit.operator.figures import (
    Effect,
    Figures,
    Money,
    Sum,
    UnknownMovementType,
    measure_of,
)
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.servers import Record

_SUMS: Final = """
    SELECT {begins_at} AS begins_at, h.type, h.cause, sum(h.generations)::bigint AS generations,
        sum(h.credits) AS credits
    FROM {table} h
    WHERE h.{period} >= $1 AND h.{period} < $2 AND ($3::text IS NULL OR h.owner_kind = $3)
    GROUP BY 1, 2, 3 ORDER BY 1
"""
_HOURS: Final = _SUMS.format(begins_at="h.hour", table="hourly_sums", period="hour")
_DAYS: Final = _SUMS.format(
    begins_at="h.day::timestamp AT TIME ZONE 'UTC'", table="daily_sums", period="day"
)
_MONTHS: Final = _SUMS.format(
    begins_at="date_trunc('month', h.day::timestamp) AT TIME ZONE 'UTC'",
    table="daily_sums",
    period="day",
)
_MONEY: Final = """
    SELECT d.day, d.currency, d.paid, d.returned FROM daily_money d
    WHERE d.day >= $1 AND d.day < $2 ORDER BY d.day, d.currency
"""
_TYPES: Final = "SELECT type, role, spent, balance, credit_kind FROM movement_types"
_COUNTED_UNTIL: Final = "SELECT summed_at FROM summing WHERE whole_at IS NOT NULL"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """One hour, day or month, from `begins_at` on: a moment of UTC.

    `figures` are credits; their `money` is empty, for which there is `Sums.money_by_day`.
    `generations` were begun in it, and paid for; `failures` were given back in it, by the error
    code of the generation, so these may have been begun before.
    """

    begins_at: datetime
    figures: Figures
    generations: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def failed(self) -> int:
        """All failures together."""
        return sum(self.failures.values())


class MoneyOfDay(msgspec.Struct, frozen=True):
    """What was paid on a day of UTC, and what went back: one `Money` per currency, by its name."""

    day: date
    money: list[Money]


class Sums:
    """Reads the sums. Every method raises DatabaseUnavailable."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def hours(
        self, since: datetime, until: datetime, kind: OwnerKind | None = None
    ) -> list[Period]:
        """The hours that begin at `since` or later and before `until`, in order.

        One without a movement is left out. `kind`: of such owners alone. Raises
        UnknownMovementType.
        """
        return await self._periods(_HOURS, since, until, kind)

    async def days(self, since: date, until: date, kind: OwnerKind | None = None) -> list[Period]:
        """The days from `since` on and before `until`, likewise."""
        return await self._periods(_DAYS, since, until, kind)

    async def months(self, since: date, until: date, kind: OwnerKind | None = None) -> list[Period]:
        """The months of these days, likewise: where `since` is within one, it is of its rest."""
        return await self._periods(_MONTHS, since, until, kind)

    async def money_by_day(self, since: date, until: date) -> list[MoneyOfDay]:
        """The money of the days from `since` on and before `until`; one without any is left out."""
        rows = await fetched(self._buckets, _MONEY, since, until)
        rows.sort(key=itemgetter("day", "currency"))
        return [
            MoneyOfDay(
                day,
                [_money(name, rows) for name, rows in groupby(of_day, key=itemgetter("currency"))],
            )
            for day, of_day in groupby(rows, key=itemgetter("day"))
        ]

    async def counted_until(self) -> datetime | None:
        """When the newest movements were last counted; what was committed since may be missing.

        None: the ledger was not counted to its end yet, so the sums are of a part of it. Of
        several buckets it is the one that was counted longest ago.
        """
        counted: list[datetime | None] = await self._buckets.each(
            lambda database: database.fetchval(_COUNTED_UNTIL)
        )
        known = [moment for moment in counted if moment is not None]
        return min(known) if len(known) == len(counted) else None

    async def _periods(
        self, statement: str, since: date, until: date, kind: OwnerKind | None
    ) -> list[Period]:
        types = {row["type"]: row for row in await self._buckets.home.fetch(_TYPES)}
        rows = await fetched(self._buckets, statement, since, until, kind)
        rows.sort(key=itemgetter("begins_at"))
        return [
            _period(begins_at.astimezone(UTC), of_period, types)
            for begins_at, of_period in groupby(rows, key=itemgetter("begins_at"))
        ]


def _period(begins_at: datetime, rows: Iterable[Record], types: dict[str, Record]) -> Period:
    sum_, generations, failures = Sum(), 0, dict[str, int]()
    for row in rows:
        if row["type"] not in types:
            raise UnknownMovementType(f"the sums hold a type of movement {row['type']!r}")
        of_type: Any = types[row["type"]]
        role, spent, credit_kind = of_type["role"], of_type["spent"], of_type["credit_kind"]
        measure = measure_of(row["type"], role, spent, credit_kind)
        sum_.add_credits(Effect(measure, of_type["balance"]), int(row["credits"]))
        if role == "charge":
            generations += row["generations"]
        elif row["cause"]:
            failures[row["cause"]] = failures.get(row["cause"], 0) + row["generations"]
    return Period(
        begins_at=begins_at, figures=sum_.figures(), generations=generations, failures=failures
    )


def _money(currency: str, rows: Iterable[Record]) -> Money:
    paid, returned = 0, 0
    for row in rows:
        paid, returned = paid + int(row["paid"]), returned + int(row["returned"])
    return Money(currency, paid, returned, paid - returned)
