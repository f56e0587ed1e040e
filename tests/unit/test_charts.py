"""Charts: what is drawn, what is told beside it, and that nothing of it needs a style or script."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import jinja2
import pytest
from babel import Locale

import storecredit.web.pages
from storecredit.web.pages import charts
from storecredit.web.pages.chart_geometry import columns, labelled, line_path, scale_of
from storecredit.web.pages.charts import (
    NUMBERS,
    PERCENTS,
    POINTS_MAX,
    Chart,
    Money,
    Series,
    Tone,
    Unit,
    Written,
)

PAGES = Path(storecredit.web.pages.__file__).parent
CSS = (PAGES / "assets" / "charts.css").read_text()
PAGES_CSS = (PAGES / "assets" / "pages.css").read_text()
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
STEPS = {Unit.HOUR: timedelta(hours=1), Unit.DAY: timedelta(days=1), Unit.MONTH: timedelta(days=31)}
SVG = "{http://www.w3.org/2000/svg}"
BIGINT_MAX = 2**63 - 1
Kind = Literal["columns", "line"]


def chart(
    *series: Series, unit: Unit = Unit.DAY, written: Written = NUMBERS, caption: str = "Credits"
) -> Chart:
    points = [FIRST + number * STEPS[unit] for number in range(len(series[0].values))]
    return Chart(
        name="credits",
        caption=caption,
        unit=unit,
        points=points,
        series=series,
        empty="Nothing was spent. Add credits to a store first.",
        written=written,
    )


def text_of(made: Chart, kind: Kind = "columns", locale: str = "en") -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(charts.FILTERS)
    template = environment.from_string(f"{{{{ chart | {kind} }}}}")
    return template.render(chart=made, locale=Locale.parse(locale))


def drawn(made: Chart, kind: Kind = "columns", locale: str = "en") -> ET.Element:
    """The figure, read as XML: it would raise where that is not well-formed."""
    return ET.fromstring(text_of(made, kind, locale))  # noqa: S314 - ours


def words(element: ET.Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def table(figure: ET.Element) -> list[list[str]]:
    return [[words(cell) for cell in row] for row in figure.findall(".//tbody/tr")]


def percent(element: ET.Element, name: str) -> float:
    return float(element.attrib[name].removesuffix("%"))


def boxes(figure: ET.Element) -> list[ET.Element]:
    """The pieces of columns."""
    return [
        each for each in figure.findall(".//g/rect") if each.get("fill", "").startswith("url(#")
    ]


MANY = chart(
    Series("Sold", Tone.GREEN, [100, 0, 7]),
    Series("Given", Tone.BLUE, [50, -3, 0]),
    Series("Expired", Tone.ORANGE, [20, 0, 1], below=True),
)


@pytest.mark.parametrize("kind", ["columns", "line"])
@pytest.mark.parametrize("unit", Unit)
def test_nothing_in_a_chart_needs_a_style_or_a_script(kind: Kind, unit: Unit) -> None:
    made = chart(*MANY.series, unit=unit)
    for element in drawn(made, kind).iter():
        assert "style" not in element.attrib
        assert not {name for name in element.attrib if name.startswith("on")}
        assert element.tag not in {"style", "script", "foreignObject"}


def test_labels_and_captions_are_told_as_text() -> None:
    evil = "<script>alert(1)</script>\"'&"
    made = chart(Series(evil, Tone.RED, [1]), Series(evil, Tone.BLUE, [2]), caption=evil)
    for kind in ("columns", "line"):
        assert "<script" not in text_of(made, kind)
        figure = drawn(made, kind)
        assert words(figure.find("figcaption")) == evil
        assert [words(each) for each in figure.findall(".//thead//th")][1:] == [evil, evil]
        [picture] = figure.findall(".//svg[@role='img']")
        assert picture.attrib["aria-label"].startswith(evil)
    sparkline = ET.fromstring(charts.sparkline([1, 2], evil))  # noqa: S314 - ours
    assert sparkline.attrib["aria-label"] == evil


@pytest.mark.parametrize("kind", ["columns", "line"])
def test_the_table_and_what_is_pointed_at_have_the_same_figures_as_the_chart(kind: Kind) -> None:
    figure = drawn(MANY, kind)
    assert table(figure) == [
        ["Nov 3, 2026", "7", "0", "1"],
        ["Nov 2, 2026", "0", "-3", "0"],
        ["Nov 1, 2026", "100", "50", "20"],
    ]
    assert [words(each) for each in figure.findall(".//title")] == [
        "Nov 1, 2026 · Sold 100 · Given 50 · Expired 20",
        "Nov 2, 2026 · Sold 0 · Given -3 · Expired 0",
        "Nov 3, 2026 · Sold 7 · Given 0 · Expired 1",
    ]
    totals = [words(each) for each in figure.findall(".//tfoot//td")]
    assert totals == (["107", "47", "21"] if kind == "columns" else [])


def test_pieces_stand_on_one_another_and_hang_below_zero() -> None:
    figure = drawn(MANY)
    # Three intervals of 50 up, one down: 0 is at three quarters.
    assert [words(each) for each in figure.findall(".//*[@class='y-axis']/span")] == [
        "150", "100", "50", "0", "50",
    ]  # fmt: skip
    first = boxes(figure)[:3]
    assert [(percent(each, "y"), percent(each, "height")) for each in first] == [
        (25, 50),
        (0, 25),
        (75, 10),
    ]
    assert [each.attrib["fill"] for each in first] == [f"url(#credits-{i})" for i in range(3)]
    patterns = {each.attrib["id"] for each in figure.findall(".//pattern")}
    assert patterns == {"credits-0", "credits-1", "credits-2"}
    # A number below 0 hangs, whatever its series is: and the few that are hardly there are seen.
    assert percent(boxes(figure)[3], "y") == 75
    assert min(percent(each, "height") for each in boxes(figure)) == 0.8


def test_a_line_begins_with_what_was_before_and_ends_with_the_last_number() -> None:
    made = chart(Series("Balance", Tone.GREEN, [50, 100], before=100))
    figure = drawn(made, "line")
    paths = [each.attrib["d"] for each in figure.findall(".//svg/svg/path")]
    assert paths == [
        "M0.00 0.00L50.00 50.00L100.00 0.00V100.0H0.00Z",
        "M0.00 0.00L50.00 50.00L100.00 0.00",
    ]
    dots = figure.findall(".//circle")
    assert [(percent(each, "cx"), percent(each, "cy")) for each in dots] == [(50, 50), (100, 0)]
    assert line_path(
        [Decimal(1)] * 2, scale_of([Decimal(1)], whole=True), begins_at_edge=False
    ) == ("M50.00 0.00L100.00 0.00")


@pytest.mark.parametrize(
    "values, ticks",
    [
        ([0], [0, 1]),
        ([1], [0, 1]),
        ([3, 3, 3], [0, 1, 2, 3]),
        ([7], [0, 2, 4, 6, 8]),
        ([100], [0, 20, 40, 60, 80, 100]),
        ([101], [0, 50, 100, 150]),
        ([-1], [-1, 0]),
        ([-40, 90], [-50, 0, 50, 100]),
        ([10**18], [number * 2 * 10**17 for number in range(6)]),
        ([BIGINT_MAX, -BIGINT_MAX], [number * 5 * 10**18 for number in range(-2, 3)]),
    ],
)
def test_scales_have_round_steps_and_zero(values: list[int], ticks: list[int]) -> None:
    assert list(scale_of([Decimal(each) for each in values], whole=True).ticks) == ticks


def test_parts_of_one_have_parts_between_them() -> None:
    assert scale_of([Decimal("0.031")], whole=False).ticks[1] == Decimal("0.01")
    assert scale_of([Decimal("0.031")], whole=True).ticks == tuple(map(Decimal, (0, 1)))
    assert scale_of([Decimal(0)], whole=False).ticks == tuple(map(Decimal, (0, 1)))


@pytest.mark.parametrize("count", [1, 2, 7, 12, 24, 30, 90, POINTS_MAX])
def test_few_labels_stand_below_a_chart_and_the_last_point_has_one(count: int) -> None:
    labels = labelled(count)
    assert labels[count - 1]
    assert len(labels) <= 8
    assert sum(labels.values()) <= 4
    places = sorted(labels)
    assert len({after - before for before, after in pairwise(places)}) <= 1


@pytest.mark.parametrize("value", [1, BIGINT_MAX, -BIGINT_MAX])
@pytest.mark.parametrize("count", [1, POINTS_MAX])
@pytest.mark.parametrize("kind", ["columns", "line"])
def test_everything_is_within_the_drawing(value: int, count: int, kind: Kind) -> None:
    figure = drawn(chart(Series("Spent", Tone.BLUE, [value] * count)), kind)
    places = [
        (percent(each, "x"), percent(each, "y"), percent(each, "width"), percent(each, "height"))
        for each in boxes(figure)
    ] + [(percent(each, "cx"), percent(each, "cy"), 0, 0) for each in figure.findall(".//circle")]
    assert len(places) == count
    for x, y, width, height in places:
        assert 0 <= x <= x + width <= 100.01
        assert 0 <= y <= y + height <= 100.01


@pytest.mark.parametrize("values", [[0], [0, 0, 0]])
def test_a_chart_of_nothing_is_a_sentence(values: Sequence[int]) -> None:
    figure = drawn(chart(Series("Spent", Tone.BLUE, values)))
    assert words(figure.find("p")) == "Nothing was spent. Add credits to a store first."
    assert figure.find(".//svg") is None
    assert figure.find(".//table") is None


def test_one_series_needs_no_legend_and_several_have_one() -> None:
    assert drawn(chart(Series("Spent", Tone.BLUE, [1]))).find("ul") is None
    names = [words(each) for each in drawn(MANY).findall("ul[@class='legend']/li")]
    assert names == ["Sold", "Given", "Expired"]


def test_numbers_money_and_parts_are_written_in_the_readers_language() -> None:
    money = chart(Series("Paid", Tone.GREEN, [123456]), written=Money("USD"))
    assert table(drawn(money))[0][1] == "$1,234.56"
    assert table(drawn(money, locale="de"))[0] == ["01.11.2026", "1.234,56 $"]
    thousands = drawn(chart(Series("Spent", Tone.BLUE, [20000])), locale="de")
    assert words(thousands.find(".//*[@class='y-axis']/span")) == "20.000"
    yen = chart(Series("Paid", Tone.GREEN, [123456]), written=Money("JPY"))
    assert table(drawn(yen))[0][1] == "¥123,456"
    forints = chart(Series("Paid", Tone.GREEN, [123456]), written=Money("HUF"))
    assert table(drawn(forints))[0][1] == "HUF1,234.56", "people pay whole ones, cards do not"
    rate = chart(Series("Failed", Tone.RED, [Decimal("0.0345")]), written=PERCENTS)
    assert table(drawn(rate))[0][1] == "3.45%"
    assert drawn(rate).find(".//tfoot") is None


def test_hours_are_moments_that_the_pages_script_finds() -> None:
    figure = drawn(chart(Series("Spent", Tone.BLUE, [1, 2]), unit=Unit.HOUR))
    moments = [each.attrib["datetime"] for each in figure.findall(".//tbody//time")]
    assert moments == ["2026-11-01T01:00:00Z", "2026-11-01T00:00:00Z"]
    assert [each.text for each in figure.findall(".//ol//time")] == ["00:00", "01:00"]
    assert len(figure.findall(".//title/time")) == 2
    assert drawn(MANY).find(".//time") is None


def test_a_sparkline_of_any_numbers_is_drawn() -> None:
    for values in ([], [5], [0, 0], [1, BIGINT_MAX, 3]):
        path = ET.fromstring(charts.sparkline(values, "Spent"))[0].attrib["d"]  # noqa: S314 - ours
        assert path.count("L") == max(len(values) - 1, 0)


def test_too_many_points_lists_that_do_not_fit_and_names_of_other_letters_are_mistakes() -> None:
    with pytest.raises(AssertionError):
        chart(Series("Spent", Tone.BLUE, [1] * (POINTS_MAX + 1)))
    with pytest.raises(AssertionError):
        chart(Series("Spent", Tone.BLUE, [1, 2]), Series("Given", Tone.RED, [1]))
    spent = chart(Series("Spent", Tone.BLUE, [1]))
    with pytest.raises(AssertionError):
        replace(spent, name='a"b')


def test_no_two_pieces_overlap_by_more_than_what_makes_small_ones_visible() -> None:
    heights = [[Decimal(5), Decimal(0), Decimal(10)]]
    [slot] = columns(heights, scale_of([Decimal(15)], whole=True))
    lower, upper = slot.boxes
    assert upper.y + upper.height == pytest.approx(lower.y)
    assert list(slot.parted_at) == [lower.y]


# Colours


def colours(css: str, *, dark: bool) -> dict[str, str]:
    """The custom properties of a file, as they are in light or in dark."""
    pairs = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", css)
    return {name: pair[dark] for name, *pair in pairs}


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(part * share for part, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("tone", Tone)
def test_every_colour_can_be_told_from_what_it_stands_on(dark: bool, tone: Tone) -> None:
    colour = colours(CSS, dark=dark)[f"chart-{tone.value}"]
    assert colours(CSS, dark=True) != colours(CSS, dark=False)
    for ground in ("surface", "page"):
        assert contrast(colour, colours(PAGES_CSS, dark=dark)[ground]) >= 3
    assert f".tone-{tone.value} {{ --tone: var(--chart-{tone.value}); }}" in CSS


def test_every_pattern_is_another() -> None:
    """Of those that are not the first in their chart."""
    made = [
        ET.tostring(pattern[1])
        for tone in Tone
        for pattern in drawn(chart(Series("a", Tone.GREY, [1]), Series("b", tone, [1]))).findall(
            ".//pattern"
        )[1:]
    ]
    assert len(made) == len(set(made)) == len(Tone)
