"""How the whole service is: what it sold and spent in a span of time, and what needs somebody.

Nothing here grows with the ledger: figures come from the sums that are kept beside it, and the rest
is counted by indexes that hold no more than what is counted. Everything is asked at once, each for
itself, so the numbers may be of moments some milliseconds apart.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from storecredit.billing.problems import Problems
from storecredit.ledger import verification
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verification import LastVerification
from storecredit.operator.figures import Figures
from storecredit.operator.running_dry import RunningDry, StoreRunningDry
from storecredit.operator.sums import MoneyOfDay, Period, Sums
from storecredit.postgres.buckets import Buckets
from storecredit.webhooks.endpoints import Endpoints, Standing

RUNNING_DRY_SHOWN: Final = 10
HOURS: Final = 24
DAYS: Final = 30
MONTHS: Final = 12
_HAS_STORES: Final = "SELECT EXISTS (SELECT FROM stores)"


class Span(StrEnum):
    """How far back is looked: the last 24 hours by the hour, 30 days by the day, 12 months."""

    HOURS = "24h"
    DAYS = "30d"
    MONTHS = "12m"


@dataclass(frozen=True, slots=True)
class CurrencyCourse:
    """Money of one currency at each of the points of `Overview.money_points`."""

    currency: str
    paid: tuple[int, ...]
    returned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What may need somebody. `verification` None: it was never verified.

    What waits in the queue is told by `live.py`, which goes on telling it.
    """

    verification: LastVerification | None
    problems: Mapping[str, int]
    endpoints: Mapping[Standing, int]
    running_dry: Sequence[StoreRunningDry]
    has_stores: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it.

    `periods`: every hour, day or month of the span, also those in which nothing happened; `total`
    is all of them together, from the first one's begin on. Money is of stores and end users
    together, by the day (`money_points`), and of 12 months by the month. `counted_until` None: the
    sums are of a part of the ledger as yet.
    """

    span: Span
    kind: OwnerKind | None
    counted_until: datetime | None
    periods: tuple[Period, ...]
    total: Period
    money_points: tuple[datetime, ...]
    money: tuple[CurrencyCourse, ...]
    health: Health


class Overviews:
    """Finds it out."""

    def __init__(self, buckets: Buckets, problems: Problems, endpoints: Endpoints) -> None:
        self._buckets = buckets
        self._sums = Sums(buckets)
        self._running_dry = RunningDry(buckets)
        self._problems = problems
        self._endpoints = endpoints

    async def look(
        self, span: Span, kind: OwnerKind | None = None, *, now: datetime | None = None
    ) -> Overview:
        """How it is now. `kind`: figures of such owners alone. Raises DatabaseUnavailable."""
        at = (now or datetime.now(UTC)).astimezone(UTC)
        points = points_of(span, at)
        money_points = points_of(Span.DAYS, at) if span is Span.HOURS else points
        found, money, counted_until, health = await asyncio.gather(
            self._periods(span, points, kind),
            self._sums.money_by_day(money_points[0].date(), at.date() + timedelta(days=1)),
            self._sums.counted_until(),
            self._health(),
        )
        periods = _each(points, found)
        return Overview(
            span=span,
            kind=kind,
            counted_until=counted_until,
            periods=periods,
            total=_together(periods),
            money_points=money_points,
            money=_courses(money, money_points, by_month=span is Span.MONTHS),
            health=health,
        )

    async def _health(self) -> Health:
        return Health(
            *await asyncio.gather(
                verification.last(self._buckets),
                self._problems.count(),
                self._endpoints.count(),
                self._running_dry.list(RUNNING_DRY_SHOWN),
                self._has_stores(),
            )
        )

    async def _has_stores(self) -> bool:
        return any(await self._buckets.each(lambda database: database.fetchval(_HAS_STORES)))

    async def _periods(
        self, span: Span, points: Sequence[datetime], kind: OwnerKind | None
    ) -> list[Period]:
        first, end = points[0], _next(span, points[-1])
        match span:
            case Span.HOURS:
                return await self._sums.hours(first, end, kind)
            case Span.DAYS:
                return await self._sums.days(first.date(), end.date(), kind)
            case Span.MONTHS:
                return await self._sums.months(first.date(), end.date(), kind)


def points_of(span: Span, at: datetime) -> tuple[datetime, ...]:
    """When each hour, day or month of a span that ends at a moment begins, in UTC."""
    match span:
        case Span.HOURS:
            last = at.replace(minute=0, second=0, microsecond=0)
            return tuple(last - timedelta(hours=hours) for hours in range(HOURS - 1, -1, -1))
        case Span.DAYS:
            last = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return tuple(last - timedelta(days=days) for days in range(DAYS - 1, -1, -1))
        case Span.MONTHS:
            months = at.year * 12 + at.month - 1
            return tuple(_month(number) for number in range(months - MONTHS + 1, months + 1))


def _month(number: int) -> datetime:
    """When a month begins; `number`: of all months since year 0."""
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _next(span: Span, point: datetime) -> datetime:
    match span:
        case Span.HOURS:
            return point + timedelta(hours=1)
        case Span.DAYS:
            return point + timedelta(days=1)
        case Span.MONTHS:
            return _month(point.year * 12 + point.month)


def _each(points: Sequence[datetime], found: Iterable[Period]) -> tuple[Period, ...]:
    by_begin = {period.begins_at: period for period in found}
    return tuple(
        by_begin.get(point, Period(begins_at=point, figures=Figures())) for point in points
    )


def _together(periods: Sequence[Period]) -> Period:
    names = [name for name in Figures.__struct_fields__ if name != "money"]
    sums = {name: sum(getattr(each.figures, name) for each in periods) for name in names}
    failures: dict[str, int] = {}
    for period in periods:
        for cause, count in period.failures.items():
            failures[cause] = failures.get(cause, 0) + count
    return Period(
        begins_at=periods[0].begins_at,
        figures=msgspec.convert(sums, Figures),
        generations=sum(period.generations for period in periods),
        failures=dict(sorted(failures.items(), key=lambda each: (-each[1], each[0]))),
    )


def _courses(
    money: Iterable[MoneyOfDay], points: Sequence[datetime], *, by_month: bool
) -> tuple[CurrencyCourse, ...]:
    """The currencies in which most was paid first."""
    place = {point.date(): number for number, point in enumerate(points)}
    paid: dict[str, list[int]] = {}
    returned: dict[str, list[int]] = {}
    for of_day in money:
        number = place[of_day.day.replace(day=1) if by_month else of_day.day]
        for each in of_day.money:
            paid.setdefault(each.currency, [0] * len(points))[number] += each.paid
            returned.setdefault(each.currency, [0] * len(points))[number] += each.returned
    order = sorted(paid, key=lambda currency: (-sum(paid[currency]), currency))
    return tuple(
        CurrencyCourse(currency, tuple(paid[currency]), tuple(returned[currency]))
        for currency in order
    )
