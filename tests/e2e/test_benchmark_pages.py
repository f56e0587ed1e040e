"""The commands of the benchmarks' pages: each is the measurement that the page says it is.

Planned, not run: measured is what takes minutes. `.ci/run` runs the quick one.
"""

import os
import shlex
import subprocess

import pytest

from benchmarks.__main__ import parsed, wanted
from benchmarks.figures import BUILDS, GROWTH, MEASUREMENTS, QUICK, Measurement
from tests.e2e.page_commands import ROOT, Page

BENCHMARKS = Page("benchmarks/README.md")
PERFORMANCE = Page("docs/performance.md")


def names(measurements: tuple[Measurement, ...]) -> set[str]:
    return {name for each in measurements for name in each.figures}


def measured_by(command: str) -> set[str]:
    """The figures that a `make` would measure."""
    planned = subprocess.run(
        [*shlex.split(command, comments=True), "--dry-run"],
        cwd=ROOT,
        # A `make test ARGS=…` around this must not hand its ARGS on.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in planned.stdout.splitlines() if "-m benchmarks" in line]
    return set(wanted(parsed(shlex.split(line.partition("-m benchmarks")[2]))))


@pytest.mark.parametrize(
    "place, figures",
    [
        (0, names(MEASUREMENTS)),
        (1, {"F1"}),
        (2, set(QUICK)),
        (3, names(GROWTH)),
        (4, names(BUILDS)),
    ],
)
def test_a_command_measures_what_its_comment_says(
    place: int, figures: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other build that the page names is for the reader to have.
    monkeypatch.setattr("benchmarks.__main__.is_a_build", lambda _checkout: True)
    (block,) = BENCHMARKS.blocks()
    commands = block.splitlines()
    assert len(commands) == 5
    assert measured_by(commands[place]) == figures


def test_the_page_of_figures_is_made_by_the_command_it_shows() -> None:
    (block,) = PERFORMANCE.blocks()
    assert measured_by(block) == names(MEASUREMENTS)


def test_every_figure_is_explained_and_shown() -> None:
    explained = BENCHMARKS.text
    for name in names(MEASUREMENTS):
        assert f"\n| {name} |" in explained
        assert f"\n| {name} |" in PERFORMANCE.text
