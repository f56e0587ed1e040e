"""`python -m benchmarks.page`: docs/performance.md and its charts, written from results.

Takes the newest file with every figure and the newest with every curve, unless files are named.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import charts
from benchmarks.figures import GROWTH, MEASUREMENTS, Measurement
from benchmarks.processes import ROOT
from benchmarks.report import HEADINGS, RESULTS, cells, machine_line
from benchmarks.results import Result

DOCS = ROOT / "docs"
PAGE = "performance.md"
HEAD = """# Performance

How fast it is, as shares and multiples of what was measured beside it in the same run; rates are
of that machine. [benchmarks/README.md](../benchmarks/README.md) says what each figure is, what it
is compared with, and why that is fair.

```sh
make bench
```
"""
CURVES = {
    "G1": "Creates per second, by rows in the ledger",
    "G2": "Creates per second, by number of stores",
    "G3": "Creates per second, by API processes",
}


class NoResults(Exception):
    """There is nothing to write the page from; the message says what to run."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one results file holds."""

    measured_at: str
    machine: dict[str, Any]
    durability: str
    results: tuple[Result, ...]

    @classmethod
    def read(cls, path: Path) -> "Run":
        """The run in that file."""
        return msgspec.json.decode(path.read_bytes(), type=Run)

    def has(self, measurements: Iterable[Measurement]) -> bool:
        """Whether every one of them was measured in this run."""
        figures = {result.figure for result in self.results}
        return all(name in figures for each in measurements for name in each.figures)


def newest(directory: Path) -> list[Run]:
    """The newest run of every figure, and, if there is one, the newest of every curve."""
    runs = list(_readable(sorted(directory.glob("*.json"), reverse=True)))
    whole = [run for run in runs if run.has(MEASUREMENTS)]
    if not whole:
        raise NoResults("There are no results of every figure yet: run `make bench` first.")
    return whole[:1] + [run for run in runs if run.has(GROWTH)][:1]


def _readable(paths: Iterable[Path]) -> Iterator[Run]:
    """The runs in these files; what an earlier version wrote in another shape is passed over."""
    for path in paths:
        with suppress(msgspec.ValidationError):
            yield Run.read(path)


def write(runs: Sequence[Run], directory: Path = DOCS) -> None:
    """Write the page and its charts."""
    parts = [HEAD]
    for run in runs:
        results = [result for result in run.results if result.figure not in CURVES]
        if results:
            parts += [_table(results), _notes(results), _source(run), run.durability]
    for run in runs:
        parts += _curves(run, directory)
    text = "\n\n".join(part.strip() for part in parts if part)
    (directory / PAGE).write_text(text + "\n", encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _points(points: Sequence[Result]) -> str:
    """The numbers of one chart: per point the rate and what it is to the first one's."""
    rows = [("", "beside the first", "spread", "absolute (medians)"), ("---",) * 4]
    for point in points:
        _, _, _, median, spread, _, beside = cells(point)
        rows.append((point.at, median, spread, beside))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _notes(results: Sequence[Result]) -> str:
    return "\n".join(f"- {result.figure}: {note}" for result in results for note in result.notes)


def _source(run: Run) -> str:
    return f"Measured {run.measured_at} on {machine_line(run.machine)}"


def _curves(run: Run, directory: Path) -> list[str]:
    parts = []
    for figure, title in CURVES.items():
        points = [result for result in run.results if result.figure == figure and result.rounds]
        if points:
            name = f"performance-{figure.lower()}.svg"
            charts.draw(directory / name, title, points)
            parts += [f"![{title}]({name})", _points(points)]
    return ["## How cost grows", *parts, _source(run)] if parts else []


def main() -> None:
    """The command."""
    named = [Run.read(Path(name)) for name in sys.argv[1:]]
    try:
        write(named or newest(RESULTS))
    except NoResults as nothing:
        raise SystemExit(str(nothing)) from nothing


if __name__ == "__main__":
    main()
