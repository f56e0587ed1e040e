"""The charts of docs/performance.md: one SVG file per curve, drawn by leather."""

from collections.abc import Sequence
from pathlib import Path

import leather

from benchmarks.results import Result

WIDTH, HEIGHT = 720, 320
HEADROOM = 1.1
CREATES = "creates, /s"


def draw(path: Path, title: str, points: Sequence[Result]) -> None:
    """Creates per second at each point of a curve, as columns."""
    data = [(point.at, round(point.absolute[CREATES])) for point in points]
    chart = leather.Chart(title)
    # From 0: half as high is half as fast.
    chart.add_y_scale(0, max(rate for _, rate in data) * HEADROOM)
    chart.add_columns(data)
    chart.to_svg(str(path), width=WIDTH, height=HEIGHT)
