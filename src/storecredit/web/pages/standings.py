"""How an owner stands, as a page shows it: what it has, how long that lasts, how it came to it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec
from litestar import Request

from storecredit.ledger.balances import Balance
from storecredit.ledger.courses import Course, days_until, hours_until
from storecredit.ledger.owners import Owner
from storecredit.ledger.pace import days_left
from storecredit.operator.live_looks import SeenAccount
from storecredit.web.pages.charts import Chart, Series, Tone, Unit
from storecredit.web.pages.queries import Query, read_query
from storecredit.web.parts import Parts

HOURS: Final = 24


class Span(StrEnum):
    """How far back a course is shown: 24 hours by the hour, else by the day."""

    HOURS = "24h"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"

    def moments(self, now: datetime) -> list[datetime]:
        """Where its stretches begin, and where the last one ends."""
        match self:
            case Span.HOURS:
                return hours_until(now, HOURS)
            case Span.WEEK | Span.MONTH | Span.QUARTER:
                return days_until(now, int(self.value.removesuffix("d")))
            case _:
                assert_never(self)


class SpanQuery(msgspec.Struct, frozen=True):
    """How far back is to be looked."""

    span: Span = Span.MONTH


@dataclass(frozen=True, slots=True)
class Standing:
    """What an owner has, and how it came to it. `spent`: in seven days, less what came back."""

    account_id: int
    query: Query[SpanQuery]
    span: Span
    balance: Balance
    spent: int
    seen: SeenAccount
    moved: Chart
    left: Chart

    @property
    def days_left(self) -> float | None:
        """At the pace of those seven days; None: nothing was spent in them."""
        return days_left(self.balance.balance, self.spent)


async def standing_of(request: Request[Any, Any, Any], parts: Parts, owner: Owner) -> Standing:
    """How an owner stands, with the course that the address asks for."""
    query = read_query(request, SpanQuery)
    span = (query.wanted or SpanQuery()).span
    account_id = await parts.credits.account_id(owner)
    balance, spent, look, course = await asyncio.gather(
        parts.credits.balance(owner),
        parts.pace.spent(owner.kind, [owner.id]),
        parts.live.now(account_id),
        parts.courses.of(owner, span.moments(datetime.now(UTC))),
    )
    assert course is not None, "the owner has an account"
    charts = _moved(span, course), _left(span, course)
    return Standing(account_id, query, span, balance, spent[owner.id], look.accounts[0], *charts)


def _moved(span: Span, course: Course) -> Chart:
    stretches = course.stretches
    gone = [each.expired + each.removed + each.clawed_back for each in stretches]
    beyond = [each.overage for each in stretches]
    series = [
        Series("Added", Tone.GREEN, [each.added for each in stretches]),
        Series("Spent", Tone.BLUE, [each.spent for each in stretches], below=True),
        Series("Expired or taken back", Tone.ORANGE, gone, below=True),
        *([Series("Used beyond the balance", Tone.RED, beyond, below=True)] if any(beyond) else []),
    ]
    return Chart(
        name="moved",
        caption="Added and spent",
        unit=_unit(span),
        points=[each.begins_at for each in stretches],
        series=series,
        empty="Nothing moved in this time.",
    )


def _left(span: Span, course: Course) -> Chart:
    stretches = course.stretches
    values = [each.balance for each in stretches]
    return Chart(
        name="left",
        caption="Balance",
        unit=_unit(span),
        points=[each.begins_at for each in stretches],
        series=[Series("Balance", Tone.GREEN, values, before=course.balance_before)],
        empty="There were no credits in this time.",
    )


def _unit(span: Span) -> Unit:
    return Unit.HOUR if span is Span.HOURS else Unit.DAY
