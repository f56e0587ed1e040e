"""`python -m benchmarks`: measure the figures, print the table, write the JSON file.

Ends with status 1 only if a figure could not be measured: no number is ever a failure. Interrupted
(Ctrl-C), it shows and writes what was measured until then, and ends with 130; ended by SIGTERM, it
cleans up just the same.
"""

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg
import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmarks import machine, report
from benchmarks.bench import Bench
from benchmarks.builds import is_a_build
from benchmarks.figures import ALL, BUILDS, GROWTH, MEASUREMENTS, QUICK, Measurement
from benchmarks.load import NO_WRK, wrk_path
from benchmarks.processes import ROOT
from benchmarks.results import NotMeasured, Result, Verdict
from benchmarks.rounds import Plan
from storecredit import telemetry
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgresError
from storecredit.postgres.errors import DatabaseError

QUICK_PLAN = Plan(rounds=3, seconds=1, short=True)
FAILURES = (
    NotMeasured,
    EmbeddedPostgresError,
    DatabaseError,
    asyncpg.PostgresError,
    psycopg.Error,
    OSError,
    subprocess.SubprocessError,
)
"""What keeps a figure from being measured; anything else is a defect of the harness."""


def main() -> None:
    """The command."""
    options = parsed(None)
    signal.signal(signal.SIGTERM, _terminated)
    # What is measured runs on its defaults, whatever the terminal has exported.
    for name in [name for name in os.environ if name.startswith("STORECREDIT_")]:
        del os.environ[name]
    telemetry.configure("auto", "error")
    console = Console()
    if not console.is_terminal:
        # Nobody's window is to fold the lines of a log.
        console = Console(width=200)
    results: list[Result] = []
    described: machine.Description | None = None
    interrupted = False
    try:
        with tempfile.TemporaryDirectory(
            prefix="storecredit-bench-", dir=machine.scratch_parent()
        ) as scratch:
            described = machine.description(Path(scratch))
            measure(options, Path(scratch), results)
    except KeyboardInterrupt:
        interrupted = True
    raise SystemExit(told(console, results, described, plan(options), interrupted=interrupted))


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does, through every clean-up on the way."""
    raise SystemExit(128 + signal.SIGTERM)


def told(
    console: Console,
    results: Sequence[Result],
    described: machine.Description | None,
    how: Plan,
    *,
    interrupted: bool,
) -> int:
    """Show and write what was measured; the status to end with."""
    if results and described is not None:
        report.show(console, results, described)
        console.print(f"Written to {report.write(results, described, how).relative_to(ROOT)}")
    if interrupted:
        until = "the figures measured until then are above" if results else "nothing was measured"
        console.print(f"Interrupted; {until}.")
        return 128 + signal.SIGINT
    return int(any(result.verdict is Verdict.NOT_MEASURED for result in results))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, its figures checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="F1 …; default: all F and L")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} in short rounds")
    parser.add_argument("--growth", action="store_true", help="how cost grows: G1, G2, G3")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help=f"this build against that one, a checkout with its own .venv: {names(BUILDS)}",
    )
    parser.add_argument("--rounds", type=at_least_one, help="default 5; with --quick 3")
    parser.add_argument(
        "--seconds", type=at_least_one, help="of each measurement; default 2; --quick 1"
    )
    options = parser.parse_args(arguments)
    options.figures = [name.upper() for name in options.figures]
    unknown = set(options.figures) - {name for each in ALL for name in each.figures}
    if unknown:
        parser.error(f"there is no figure {', '.join(sorted(unknown))}; there are {names(ALL)}")
    if options.against is not None:
        options.against = options.against.resolve()
        if not is_a_build(options.against):
            parser.error(f"{options.against} is no checkout with a .venv and benchmarks")
    return options


def at_least_one(text: str) -> int:
    """An option's whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def names(measurements: Sequence[Measurement]) -> str:
    """The names of their figures, those of one letter that follow each other as F1–F12."""
    numbers: dict[str, list[int]] = {}
    for name in (name for each in measurements for name in each.figures):
        numbers.setdefault(name[0], []).append(int(name[1:]))
    return ", ".join(
        f"{letter}{first}" if first == last else f"{letter}{first}–{letter}{last}"
        for letter, each in numbers.items()
        for first, last in runs(sorted(each))
    )


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of those that follow each other, of numbers in order."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def wanted(options: argparse.Namespace) -> frozenset[str]:
    """The figures to measure."""
    if options.figures:
        return frozenset(options.figures)
    if options.quick:
        return frozenset(QUICK)
    chosen = BUILDS if options.against else GROWTH if options.growth else MEASUREMENTS
    return frozenset(name for each in chosen for name in each.figures)


def plan(options: argparse.Namespace) -> Plan:
    """How long to measure."""
    usual = QUICK_PLAN if options.quick else Plan()
    rounds, seconds = options.rounds or usual.rounds, options.seconds or usual.seconds
    return Plan(rounds=rounds, seconds=seconds, short=usual.short)


def measure(options: argparse.Namespace, scratch: Path, results: list[Result]) -> None:
    """All that is wanted, with a bar on the terminal; each figure's results are added at once."""
    figures = wanted(options)
    chosen = [each for each in ALL if not figures.isdisjoint(each.figures)]
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        without_wrk = [] if wrk_path() else [each for each in chosen if each.needs_wrk]
        if without_wrk:
            missing = [name for each in without_wrk for name in each.figures if name in figures]
            said = f"{NO_WRK}; not measured without it: {', '.join(missing)}"
            bar.console.print(Text(said), soft_wrap=True)
        task = bar.add_task("", total=len(chosen))
        for each in chosen:
            if each in without_wrk:
                results += not_measured(each, figures, NO_WRK)
            else:
                results += one(each, options, figures, scratch, bar, task)
            bar.advance(task)


def one(
    measurement: Measurement,
    options: argparse.Namespace,
    figures: frozenset[str],
    scratch: Path,
    bar: Progress,
    task: TaskID,
) -> list[Result]:
    """One measurement; of one that fails, the reason for each of its figures."""
    wanted_here = [name for name in measurement.figures if name in figures]
    label = ", ".join(wanted_here)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{wanted_here[0]}-", dir=scratch) as directory:

        def say(step: str) -> None:
            bar.update(task, description=f"{label}: {step}")

        try:
            bench = Bench(plan(options), figures, Path(directory), say, options.against)
            results = measurement.measure(bench)
        except FAILURES as failure:
            why = reason(failure)
            bar.console.print(Text(f"{label}: not measured: {why}"), soft_wrap=True)
            return not_measured(measurement, figures, why)
    bar.console.print(f"{label}: {time.monotonic() - began:.0f} s", highlight=False)
    return results


def not_measured(measurement: Measurement, figures: frozenset[str], why: str) -> list[Result]:
    """A line for each of its figures that was wanted, with its title and the reason."""
    return [
        Result(figure=name, what=what, notes=(why,))
        for name, what in measurement.figures.items()
        if name in figures
    ]


def reason(failure: BaseException) -> str:
    """Why a figure was not measured; our own words say it without the name of their class."""
    if isinstance(failure, NotMeasured):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"


if __name__ == "__main__":
    main()
