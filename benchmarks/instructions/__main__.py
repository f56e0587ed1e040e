"""`python -m benchmarks.instructions OTHER`: what this build executes per request, beside another.

The table's costs are instructions: the medians of the rounds, and of their ratios the spread.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import machine
from benchmarks.builds import is_a_build
from benchmarks.instructions.one_side import CONNECTIONS, IDLE, WHAT, Side, prepared, side
from benchmarks.instructions.valgrind import NO_VALGRIND, is_there
from benchmarks.processes import ROOT
from benchmarks.results import NotMeasured, Spread, ratios

COUNT = 10 * CONNECTIONS
ROUNDS = 5
PYTHON, POSTGRESQL = "Python", "PostgreSQL"
OVER_HTTP, BY_CALLERS = ("F1", "F2", "F3", "F8"), ("F4", "F5")
PARTS = (PYTHON, POSTGRESQL)
HEAD = """\
|  | instructions of | this build | the other | ratio | spread |
| --- | --- | --- | --- | --- | --- |
"""

Costs = Mapping[tuple[str, str], Sequence[float]]
"""Instructions per request, round by round, by the name of the work and by part."""


def main() -> None:
    """The command; ends with status 1 if it could not be measured."""
    options = parsed(None)
    signal.signal(signal.SIGTERM, _terminated)
    if not is_there():
        raise SystemExit(NO_VALGRIND)
    try:
        this, other = (
            costs_of(checkout, options.count, options.rounds, options.parts)
            for checkout in (ROOT, options.other)
        )
    except NotMeasured as reason:
        raise SystemExit(f"not measured: {reason}") from None
    sys.stdout.write(table(this, other))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("other", type=Path, help="a checkout with a .venv of its own")
    parser.add_argument("--count", type=int, default=COUNT, help="requests a round; default 640")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default 5")
    parser.add_argument(
        "--part", dest="parts", choices=PARTS, action="append", help="default: both, in turn"
    )
    options = parser.parse_args(arguments)
    options.other = options.other.resolve()
    options.parts = options.parts or PARTS
    if not is_a_build(options.other):
        parser.error(f"{options.other} is no checkout with a .venv and benchmarks")
    if options.count < CONNECTIONS or options.rounds < 1:
        parser.error(f"at least {CONNECTIONS} requests and one round")
    return options


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does, through every clean-up on the way."""
    raise SystemExit(128 + signal.SIGTERM)


def costs_of(checkout: Path, count: int, rounds: int, parts: Sequence[str]) -> Costs:
    """What each kind of request costs that build. Raises NotMeasured."""
    found: dict[tuple[str, str], Sequence[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=machine.scratch_parent()) as scratch:
        told = prepared(checkout, Path(scratch))
        for part in parts:
            is_python = part == PYTHON
            with side(checkout, Path(scratch), told, counts_postgres=not is_python) as one:
                measure = _of_python if is_python else _of_postgresql
                for name, costs in measure(one, count, rounds):
                    found[name, part] = costs
                    _say(f"{checkout.name}: {name}, {part}: {[round(cost) for cost in costs]}")
    return found


def _of_python(one: Side, count: int, rounds: int) -> Iterator[tuple[str, Sequence[float]]]:
    with one.requests(count) as works:
        idle = one.cost(works[IDLE])
        yield IDLE, [idle]
        for name in OVER_HTTP:
            yield name, [one.cost(works[name], idle) for _ in range(rounds)]
    with one.callers(count) as works:
        for name in BY_CALLERS:
            works[name].warm_up()
            yield name, [one.cost(works[name]) for _ in range(rounds)]


def _of_postgresql(one: Side, count: int, rounds: int) -> Iterator[tuple[str, Sequence[float]]]:
    for name in (*OVER_HTTP, *BY_CALLERS):
        yield name, [one.sessions_cost(name, count) for _ in range(rounds)]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def table(this: Costs, other: Costs) -> str:
    """Both builds side by side, in Markdown; a ratio is taken round by round."""
    return HEAD + "".join(
        _row(what, part, this[name, part], other[name, part])
        for name, what in WHAT.items()
        for part in PARTS
        if (name, part) in this
    )


def _row(what: str, part: str, this: Sequence[float], other: Sequence[float]) -> str:
    costs = [f"{Spread.of(each).median:,.0f}" for each in (this, other)]
    ratio = Spread.of(ratios(this, other))
    cells = what, part, *costs, f"{ratio.median:.4f}", f"{ratio.least:.4f} – {ratio.greatest:.4f}"
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
