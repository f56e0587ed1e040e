"""Where things stand in a chart: all places are percents of its width and height, from top left.

So a chart has no size of its own, what is drawn in it keeps the width of its lines, and nothing in
it is a text that would shrink along.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

INTERVALS: Final = 5
"""About so many between the lines of a scale."""
LABELS_MAX: Final = 8
"""Along the bottom; where it is narrow, every second one."""
BAR_SHARE: Final = 0.74
"""Of a column's place its own width; the rest keeps it from its neighbours."""
BAR_MAX: Final = 12.0
"""Percent of the width: no column is wider, however few there are."""
VISIBLE_MIN: Final = 0.8
"""Percent of the height: what is there at all can be seen."""
PARTED_MIN: Final = 2.0
"""Percent of the height from which a piece is parted from what it stands on by a line."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The lines of a scale, ascending and evenly spaced; 0 is one of them."""

    ticks: tuple[Decimal, ...]

    def place(self, value: Decimal) -> float:
        """How far below the top a value is."""
        lowest, highest = self.ticks[0], self.ticks[-1]
        return round(float((highest - value) / (highest - lowest) * 100), 2)


def scale_of(values: Sequence[Decimal], *, whole: bool) -> Scale:
    """A scale for these values and 0, in steps of 1, 2 or 5 times a power of ten.

    `whole`: nothing is between two whole numbers.
    """
    lowest, highest = min([*values, Decimal(0)]), max([*values, Decimal(0)])
    step = _step((highest - lowest) / INTERVALS)
    if whole:
        step = max(step, Decimal(1))
    below, above = math.ceil(-lowest / step), math.ceil(highest / step)
    if below == above == 0:
        above = 1
    return Scale(tuple(step * number for number in range(-below, above + 1)))


def _step(at_least: Decimal) -> Decimal:
    if not at_least:
        return Decimal(1)
    power = Decimal(1).scaleb(at_least.adjusted())
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= at_least)


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of a column; `series` is the place of its series."""

    series: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Slot:
    """What is drawn for one point: pieces, the lines that part them, and dots on lines."""

    x: float
    width: float
    boxes: tuple[Box, ...] = ()
    parted_at: tuple[float, ...] = ()
    dots: tuple[tuple[int, float], ...] = ()
    """The place of each dot's series, and how far below the top it is, at the slot's end."""

    @property
    def end(self) -> float:
        """Where the next one begins."""
        return round(self.x + self.width, 2)


def columns(heights: Sequence[Sequence[Decimal]], scale: Scale) -> Iterator[Slot]:
    """Columns of pieces that stand on one another, those below 0 hanging from it.

    `heights`: for each point one of each series.
    """
    width = 100 / len(heights)
    bar = min(width * BAR_SHARE, BAR_MAX)
    for number, pieces in enumerate(heights):
        inset = round(number * width + (width - bar) / 2, 2)
        reached = {True: Decimal(0), False: Decimal(0)}
        boxes: list[Box] = []
        parted_at: list[float] = []
        for series, height in enumerate(pieces):
            if not height:
                continue
            is_up = height > 0
            foot = scale.place(reached[is_up])
            reached[is_up] += height
            tall = max(abs(scale.place(reached[is_up]) - foot), VISIBLE_MIN)
            if reached[is_up] != height and tall >= PARTED_MIN:
                parted_at.append(foot)
            top = foot - tall if is_up else foot
            boxes.append(Box(series, inset, round(top, 2), round(bar, 2), round(tall, 2)))
        yield _slot(number, len(heights), tuple(boxes), tuple(parted_at))


def line_slots(values: Sequence[Sequence[Decimal]], scale: Scale) -> Iterator[Slot]:
    """The places of points on lines; `values`: for each point one of each series."""
    for number, each in enumerate(values):
        dots = tuple((series, scale.place(value)) for series, value in enumerate(each))
        yield _slot(number, len(values), dots=dots)


def _slot(
    number: int,
    count: int,
    boxes: tuple[Box, ...] = (),
    parted_at: tuple[float, ...] = (),
    dots: tuple[tuple[int, float], ...] = (),
) -> Slot:
    width = 100 / count
    return Slot(round(number * width, 2), round(width, 2), boxes, parted_at, dots)


def line_path(values: Sequence[Decimal], scale: Scale, *, begins_at_edge: bool) -> str:
    """An SVG path of a line through the ends of slots, in a picture of 100 by 100.

    `begins_at_edge`: the first of the values is that before the first slot.
    """
    width = 100 / (len(values) - begins_at_edge)
    first = 0 if begins_at_edge else 1
    points = (
        f"{(number + first) * width:.2f} {scale.place(value):.2f}"
        for number, value in enumerate(values)
    )
    return "M" + "L".join(points)


def labelled(count: int) -> dict[int, bool]:
    """Which of so many points have a label below them; true: also where it is narrow.

    The last point has one.
    """
    stride = math.ceil(count / LABELS_MAX)
    from_last = range(count - 1, -1, -stride)
    return {point: place % 2 == 0 for place, point in enumerate(from_last)}
