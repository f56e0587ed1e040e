"""What a run leaves behind: the table on the terminal, and one JSON file."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from benchmarks.processes import ROOT
from benchmarks.results import Absolute, Result, Verdict
from benchmarks.rounds import Plan

RESULTS = ROOT / "benchmarks" / "results"
SMALL: Final = 100
WIDE: Final = 120
"""Columns of a terminal from which on the absolute values have room beside the others."""
NARROWEST: Final = 16
INDENT: Final = 6
STYLES: Final = {
    Verdict.MET: "green",
    Verdict.MISSED: "yellow",
    Verdict.SHOWN: "",
    Verdict.NOT_MEASURED: "red",
}
DURABILITY: Final = (
    "Nothing about durability is switched off: fsync, synchronous_commit and full_page_writes are "
    "on for both sides, and every answer was committed."
)


def number(value: float, unit: str = "") -> str:
    """A value as people read it: three digits or so, and its unit."""
    return with_unit(f"{value:,.0f}" if abs(value) >= SMALL else f"{value:.3g}", unit)


def with_unit(text: str, unit: str) -> str:
    """A number and its unit, as they are written together."""
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}".rstrip()


def absolute(values: Mapping[str, Absolute]) -> str:
    """Each median with its unit, which follows the last comma in its name: `p50, ms`."""
    named = (name.rpartition(", ") for name in values)
    return "; ".join(
        f"{number(value.median, unit)} {name}"
        for (name, _, unit), value in zip(named, values.values(), strict=True)
    )


def cells(result: Result) -> tuple[str, ...]:
    """The result as a line of the table: figure, what, goal, median, spread, verdict, absolute."""
    spread = result.spread
    return (
        result.figure,
        result.what,
        "" if result.goal is None else with_unit(str(result.goal), result.unit),
        "" if spread is None else number(spread.median, result.unit),
        "" if spread is None else f"{number(spread.least)} – {number(spread.greatest)}",
        result.verdict.value,
        absolute(result.absolute),
    )


HEADINGS: Final = ("", "what", "goal", "median", "spread", "verdict", "absolute (medians)")


def show(console: Console, results: Sequence[Result], machine: dict[str, Any]) -> None:
    """Print the table, what it was measured on, and what is to be said about its lines."""
    if console.is_terminal:
        _show(console, results, machine)
        return
    # The cells of a table are filled up with blanks, which nobody wants in a file.
    with console.capture() as printed:
        _show(console, results, machine)
    console.file.write("".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()))


def _show(console: Console, results: Sequence[Result], machine: dict[str, Any]) -> None:
    show_table = _show_wide if console.width >= WIDE else _show_narrow
    show_table(console, results)
    for result in results:
        for note in result.notes:
            console.print(Text(f"{result.figure}: {note}"))
    console.print(Text(machine_line(machine)))
    console.print(Text(DURABILITY))


def _show_wide(console: Console, results: Sequence[Result]) -> None:
    table = Table(*HEADINGS, box=box.SIMPLE_HEAD, pad_edge=False)
    for result in results:
        table.add_row(*_row(result), Text(absolute(result.absolute)))
    console.print(table)


def _show_narrow(console: Console, results: Sequence[Result]) -> None:
    """The absolute values below their row, as wide as the terminal: beside it they have no room."""
    rows = [tuple(map(Text, HEADINGS[:-1])), *map(_row, results)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    widths[1] = max(NARROWEST, console.width - sum(widths) + widths[1] - 2 * len(widths))
    for row, result in zip(rows, [None, *results], strict=True):
        line = Table.grid(*(Column(width=width) for width in widths), padding=(0, 2, 0, 0))
        line.add_row(*row)
        console.print(line)
        if result is not None and result.absolute:
            console.print(Padding(Text(absolute(result.absolute)), (0, 0, 0, INDENT)))
    console.print()


def _row(result: Result) -> tuple[Text, ...]:
    """The cells of a line up to the verdict, which has its colour."""
    *left, verdict, _ = cells(result)
    return (*map(Text, left), Text(verdict, STYLES[result.verdict]))


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one sentence."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']} {machine['kernel']}; Python {machine['python']}, PostgreSQL "
        f"{machine['postgresql']}; {machine['file_system']}, fdatasync in "
        f"{machine['fdatasync_microseconds']} µs; "
        f"{_load(machine)}commit {machine['commit']}."
    )


def _load(machine: dict[str, Any]) -> str:
    """How busy it was with other things, if the run noted it."""
    load = machine.get("load_average_before")
    return "" if load is None else f"load average {load} before; "


def document(results: Sequence[Result], machine: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Everything of one run, for JSON: the spread and the verdict beside what they come from."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "plan": {"rounds": plan.rounds, "seconds": plan.seconds, "quick": plan.short},
        "durability": DURABILITY,
        "results": [
            msgspec.to_builtins(result)
            | {
                "spread": msgspec.to_builtins(result.spread),
                "verdict": result.verdict.value,
            }
            for result in results
        ],
    }


def write(
    results: Sequence[Result], machine: dict[str, Any], plan: Plan, directory: Path = RESULTS
) -> Path:
    """Write the run's JSON file, named for when it was made; where it is."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    encoded = msgspec.json.encode(document(results, machine, plan))
    path.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    return path
