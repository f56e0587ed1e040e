"""The commands of the benchmarks' pages: each is the measurement that the page says it is.

Planned, not run: measured is what takes minutes. `.ci/run` runs the quick one.
"""

import os
import re
import shlex
import subprocess

import pytest

from benchmarks.__main__ import parsed, wanted
from benchmarks.figures import BUILDS, GROWTH, MEASUREMENTS, QUICK, Measurement
from tests.e2e.page_commands import ROOT, Page

BENCHMARKS = Page("benchmarks/README.md")
PERFORMANCE = Page("docs/performance.md")
README = Page("README.md")


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


def rows(page: Page) -> list[list[str]]:
    """The cells of its rows that begin with the name of a figure."""
    found = re.findall(r"^\| ([FL]\d+ \| .*) \|$", page.text, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in found]


def test_the_readme_shows_the_medians_and_rates_of_the_page() -> None:
    medians = {(name, median) for name, _, _, median, *_ in rows(PERFORMANCE)}
    figures = {
        (row[0], figure)
        for row in rows(PERFORMANCE)
        for cell in row[3:]
        for figure in re.findall(r"[\d,]+/s", cell)
    }
    assert len(rows(README)) > 5
    for name, _, median, told in rows(README):
        assert median == "–" or (name, median) in medians
        rates = set(re.findall(r"[\d,]+/s", told))
        assert {(name, rate) for rate in rates} <= figures
        assert rates


def test_the_readme_begins_with_figures_of_the_page() -> None:
    opening = " ".join(README.text.partition("## Two commands")[0].split())
    create, *_ = [row[-1] for row in rows(PERFORMANCE) if row[0] == "F1"]
    empty, creates, api, postgres = re.findall(r"[\d.,]*\d", create)
    assert f"{creates} creates a second over HTTP" in opening
    assert f"empty endpoint of the framework did {empty} there" in opening
    assert f"took {(float(api) + float(postgres)) / 1000:.2f} ms of CPU time" in opening
    _, api, postgres = [row[3].split()[0] for row in rows(PERFORMANCE) if row[0] == "F10"]
    assert (
        f"took {float(api):.0f} MiB of memory and PostgreSQL {float(postgres):.0f} MiB" in opening
    )
    (best,) = [row[-1] for row in rows(PERFORMANCE) if row[0] == "F4" and "its best" in row[1]]
    ledger, textbook = re.findall(r"[\d,]+(?=/s)", best)
    assert f"made [{textbook} a second]" in opening
    assert f"the ledger here {ledger}" in opening
    (build,) = re.findall(r"the build (\w+) of", opening)
    assert f"commit {build}" in PERFORMANCE.text
