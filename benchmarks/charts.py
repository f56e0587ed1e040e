"""The charts of docs/performance.md: one SVG file per curve, drawn by leather."""

from collections.abc import Sequence
from pathlib import Path

import leather

from benchmarks.results import Result

WIDTH, HEIGHT = 720, 320
COLOUR = "#3b6ea5"
CREATES = "creates, /s"
# The library names one font that few machines have.
FONT, FONTS = (
    'font-family="Monaco"',
    'font-family="ui-monospace, Menlo, DejaVu Sans Mono, monospace"',
)


def draw(path: Path, title: str, points: Sequence[Result]) -> None:
    """Creates per second at each point of a curve, as columns."""
    data = [(point.at, round(point.absolute[CREATES].median)) for point in points]
    chart = leather.Chart(title)
    # From 0: half as high is half as fast.
    chart.add_y_scale(0, max(rate for _, rate in data))
    chart.add_columns(data, fill_color=COLOUR)
    chart.to_svg(str(path), width=WIDTH, height=HEIGHT)
    path.write_text(path.read_text(encoding="utf-8").replace(FONT, FONTS), encoding="utf-8")
