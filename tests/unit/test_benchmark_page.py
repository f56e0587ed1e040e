"""The page of figures: written from results, with a chart for each curve."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import report
from benchmarks.figures import GROWTH, MEASUREMENTS
from benchmarks.page import NoResults, newest, write
from benchmarks.results import Goal, Result, per_second
from tests.unit.test_benchmarks import MACHINE, PLAN

FIGURES = [name for each in MEASUREMENTS for name in each.figures]
CURVES = [name for each in GROWTH for name in each.figures]


def results_of(directory: Path, name: str, results: list[Result]) -> None:
    """A results file, as a run of that time would have left it."""
    report.write(results, MACHINE, PLAN, directory).rename(directory / f"{name}.json")


def every_figure(median: float) -> list[Result]:
    return [
        Result(
            name, f"what {name} is", goal=Goal(at_least=0.5), rounds=(median,), notes=("a note",)
        )
        for name in FIGURES
    ]


def every_curve() -> list[Result]:
    return [
        Result(name, "create", at=at, rounds=(1.0,), absolute=per_second({"creates": [rate]}))
        for name in CURVES
        for at, rate in [("1", 3000.0), ("10,000", 1500.0)]
    ]


def test_the_page_shows_the_newest_whole_run_and_the_newest_curves(tmp_path: Path) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    for directory in (results, docs):
        directory.mkdir()
    results_of(results, "2026-01-01", every_figure(0.1))
    results_of(results, "2026-01-02", every_curve())
    results_of(results, "2026-01-03", every_figure(0.75))
    results_of(results, "2026-01-04", [Result("F1", "alone", rounds=(0.9,))])

    write(newest(results), docs)

    page = (docs / "performance.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| [FL]\d", line)]
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in FIGURES]
    assert "| what F1 is | ≥ 0.5 | 0.75 |" in rows[0]
    assert "- F1: a note" in page
    assert re.findall(r"\((performance-\w+\.svg)\)", page) == [
        f"performance-{name.lower()}.svg" for name in CURVES
    ]
    for name in CURVES:
        drawn = ET.parse(docs / f"performance-{name.lower()}.svg")  # noqa: S314 - our own file
        assert "10,000" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_without_a_whole_run_it_says_what_to_do(tmp_path: Path) -> None:
    results_of(tmp_path, "2026-01-04", [Result("F1", "alone", rounds=(0.9,))])
    with pytest.raises(NoResults, match="make bench"):
        newest(tmp_path)


def test_what_an_earlier_version_wrote_is_passed_over(tmp_path: Path) -> None:
    results_of(tmp_path, "2026-01-03", every_figure(0.75))
    (tmp_path / "2026-01-04.json").write_text('{"results": [{"absolute": {"create, /s": 9.0}}]}')
    assert [run.results[0].rounds for run in newest(tmp_path)] == [(0.75,)]


def test_a_results_file_names_nothing_of_one_machine(tmp_path: Path) -> None:
    results_of(tmp_path, "a", every_figure(0.5))
    text = (tmp_path / "a.json").read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {
        "measured_at",
        "machine",
        "plan",
        "durability",
        "results",
    }
