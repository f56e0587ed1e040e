"""Figures over time, drawn: columns, lines and small lines in a text.

A chart is SVG made by the server, without script or style in it, as the policy of the pages wants
it; `assets/charts.css` has its colours, for light and dark. Nothing is told by colour alone: every
series has a pattern and a legend, pointing at a column tells its figures, and below each chart the
same figures stand as a table.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import (
    format_compact_currency,
    format_compact_decimal,
    format_decimal,
    format_percent,
)
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from storecredit.billing.currencies import in_main_unit
from storecredit.web.pages import chart_geometry as geometry
from storecredit.web.pages.formats import written_money

POINTS_MAX: Final = 100
TEMPLATE: Final = "chart.html"
WRITTEN_KEPT: Final = 4096
"""Numbers, and names of points, as they are written."""
_NAME: Final = re.compile("[a-z][a-z0-9-]*")


class Tone(StrEnum):
    """How a series looks: a colour together with a pattern, the same wherever it is used."""

    GREEN = "green"
    BLUE = "blue"
    ORANGE = "orange"
    RED = "red"
    VIOLET = "violet"
    GREY = "grey"


class Unit(StrEnum):
    """What a point of a chart stands for, all of UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Written(Protocol):
    """What kind of number is drawn, and how it is written."""

    @property
    def whole(self) -> bool:
        """There are no parts of one."""
        ...

    @property
    def adds_up(self) -> bool:
        """Those of several points are one number together."""
        ...

    def value(self, raw: Decimal | int) -> Decimal:
        """What is drawn of a number as it was handed in."""
        ...

    def short(self, value: Decimal, locale: Locale) -> str:
        """At a line of the scale."""
        ...

    def full(self, value: Decimal, locale: Locale) -> str:
        """In the table."""
        ...


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers: credits, generations."""

    whole: bool = True
    adds_up: bool = True

    def value(self, raw: Decimal | int) -> Decimal:
        """The number itself."""
        return Decimal(raw)

    def short(self, value: Decimal, locale: Locale) -> str:
        """12K, 3.4M."""
        text = format_compact_decimal(value, locale=locale, fraction_digits=1)
        # Some languages, as German, have no short word for a thousand, and would write 80000.
        return _decimal(value, locale) if text.isdigit() else text

    def full(self, value: Decimal, locale: Locale) -> str:
        """12,345."""
        return _decimal(value, locale)


@dataclass(frozen=True, slots=True)
class Percents:
    """Parts of one."""

    whole: bool = False
    adds_up: bool = False

    def value(self, raw: Decimal | int) -> Decimal:
        """The part."""
        return Decimal(raw)

    def short(self, value: Decimal, locale: Locale) -> str:
        """3%, 0.5%."""
        return format_percent(value, "#,##0.##%", locale=locale)

    full = short


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts in a currency's smallest unit."""

    currency: str
    whole: bool = False
    adds_up: bool = True

    def value(self, raw: Decimal | int) -> Decimal:
        """The amount in the currency's main unit."""
        return in_main_unit(raw, self.currency)

    def short(self, value: Decimal, locale: Locale) -> str:
        """$12K."""
        return format_compact_currency(value, self.currency, locale=locale, fraction_digits=1)

    def full(self, value: Decimal, locale: Locale) -> str:
        """$12,345.60."""
        return _money(value, self.currency, locale)


NUMBERS: Final = Numbers()
PERCENTS: Final = Percents()


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of figure, a number for each point.

    `below`: drawn downwards from 0, as what goes stands against what comes. `before`: of a line,
    the number where the first point begins; a line's other numbers are those at their points' ends.
    """

    label: str
    tone: Tone
    values: Sequence[Decimal | int]
    below: bool = False
    before: Decimal | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over the same points.

    `name`: small letters, digits and hyphens; no other chart of the page has it. `empty`: the
    sentence that stands there instead where all numbers are 0. `note`: beside the caption, quieter.
    """

    name: str
    caption: str
    unit: Unit
    points: Sequence[datetime]
    """When each begins."""
    series: Sequence[Series]
    empty: str
    note: str = ""
    written: Written = NUMBERS

    def __post_init__(self) -> None:
        assert _NAME.fullmatch(self.name), "it is written where nothing is escaped"
        assert 1 <= len(self.points) <= POINTS_MAX, "a chart has points, and a bounded number"
        assert all(len(each.values) == len(self.points) for each in self.series), self.name


@pass_context
def columns(context: Context, chart: Chart) -> Markup:
    """The chart as columns, the series stacked."""
    return _figure(context, chart, _Drawing.of_columns(chart))


@pass_context
def line(context: Context, chart: Chart) -> Markup:
    """The chart as lines, the first with the area below it."""
    return _figure(context, chart, _Drawing.of_lines(chart))


def sparkline(values: Sequence[int], label: str) -> Markup:
    """A line of the height of a text; `label` says what it shows, to those who cannot see it."""
    numbers = [Decimal(value) for value in values]
    path = ""
    if len(numbers) > 1:
        scale = geometry.scale_of(numbers, whole=False)
        path = geometry.line_path(numbers, scale, begins_at_edge=True)
    return Markup(
        '<svg class="sparkline" role="img" aria-label="{}" viewBox="-2 -8 104 116" '
        'preserveAspectRatio="none"><path d="{}"/></svg>'
    ).format(label, path)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A chart's numbers as they are drawn: the scale, and what stands at each point."""

    scale: geometry.Scale
    slots: tuple[geometry.Slot, ...]
    paths: tuple[str, ...] = ()

    @classmethod
    def of_columns(cls, chart: Chart) -> "_Drawing":
        heights = list(zip(*(_drawn(chart, each) for each in chart.series), strict=True))
        ends = [
            sum((height for height in pieces if (height > 0) is is_up), Decimal(0))
            for pieces in heights
            for is_up in (True, False)
        ]
        scale = geometry.scale_of(ends, whole=chart.written.whole)
        return cls(scale, tuple(geometry.columns(heights, scale)))

    @classmethod
    def of_lines(cls, chart: Chart) -> "_Drawing":
        lines = [
            [
                *(chart.written.value(each.before) for _ in [0] if each.before is not None),
                *_drawn(chart, each),
            ]
            for each in chart.series
        ]
        scale = geometry.scale_of(
            [value for values in lines for value in values], whole=chart.written.whole
        )
        paths = tuple(
            geometry.line_path(values, scale, begins_at_edge=each.before is not None)
            for values, each in zip(lines, chart.series, strict=True)
        )
        points = list(zip(*(_drawn(chart, each) for each in chart.series), strict=True))
        return cls(scale, tuple(geometry.line_slots(points, scale)), paths)


def _drawn(chart: Chart, series: Series) -> Iterator[Decimal]:
    for raw in series.values:
        value = chart.written.value(raw)
        yield -value if series.below else value


def _figure(context: Context, chart: Chart, drawing: _Drawing) -> Markup:
    locale: Locale = context["locale"]
    written, is_signed = chart.written, not any(each.below for each in chart.series)
    rows = [
        [written.full(written.value(raw), locale) for raw in point]
        for point in zip(*(each.values for each in chart.series), strict=True)
    ]
    totals = [
        written.full(written.value(sum(each.values, Decimal(0))), locale) for each in chart.series
    ]
    labels = geometry.labelled(len(chart.points))
    names = [_name(chart.unit, at, locale) for at in chart.points]
    values: dict[str, Any] = {
        "chart": chart,
        "drawing": drawing,
        "is_empty": not any(any(each.values) or each.before for each in chart.series),
        "ticks": [
            written.short(tick if is_signed else abs(tick), locale)
            for tick in reversed(drawing.scale.ticks)
        ],
        "lines": [drawing.scale.place(tick) for tick in drawing.scale.ticks],
        "zero": drawing.scale.place(Decimal(0)),
        "labels": [
            (_moment(chart, at, "hour", _label(chart.unit, at, locale)), labels[point])
            if point in labels
            else ("", False)
            for point, at in enumerate(chart.points)
        ],
        "first": names[0],
        "last": names[-1],
        "names": [
            _moment(chart, at, "minute", name) for at, name in zip(chart.points, names, strict=True)
        ],
        "rows": rows,
        "totals": totals if written.adds_up and not drawing.paths else [],
    }
    return Markup(context.environment.get_template(TEMPLATE).render(values))  # noqa: S704 - escaped there


_LABELS: Final = {Unit.HOUR: "Hm", Unit.DAY: "MMMd", Unit.MONTH: "MMM"}
_HOUR: Final = Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}" data-unit="{}">{}</time>')


def _label(unit: Unit, at: datetime, locale: Locale) -> str:
    return format_skeleton(_LABELS[unit], at, locale=locale)


# Most of what is written stands in the next chart, and on the page when it is asked for again.
@lru_cache(maxsize=WRITTEN_KEPT)
def _decimal(value: Decimal, locale: Locale) -> str:
    return format_decimal(value, locale=locale)


@lru_cache(maxsize=WRITTEN_KEPT)
def _money(value: Decimal, currency: str, locale: Locale) -> str:
    return written_money(value, currency, locale)


@lru_cache(maxsize=WRITTEN_KEPT)
def _name(unit: Unit, at: datetime, locale: Locale) -> str:
    match unit:
        case Unit.HOUR:
            return f"{format_datetime(at, 'short', locale=locale)} UTC"
        case Unit.DAY:
            return format_date(at, "medium", locale=locale)
        case Unit.MONTH:
            return format_skeleton("yMMMM", at, locale=locale)


def _moment(chart: Chart, at: datetime, told_to: str, text: str) -> str:
    """Hours are told in the viewer's zone, where there is a script; days and months are of UTC."""
    return _HOUR.format(at, told_to, text) if chart.unit is Unit.HOUR else text


FILTERS: Final[dict[str, Any]] = {"columns": columns, "line": line, "sparkline": sparkline}
