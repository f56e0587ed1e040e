"""How many mutants are in which state, by file."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.verdicts import State, Verdicts

NOT_TRIED: Final = "not tried"
ALL: Final = "all"
LISTED: Final = (
    *(State.KILLED, State.HARMLESS, State.SURVIVED, State.UNFINISHED, State.UNREACHED),
    *(State.NO_PROGRAM, NOT_TRIED),
)


def states(mutants: Sequence[Mutant], verdicts: Verdicts) -> Mapping[str, str]:
    """What became of each, by name.

    `harmless`: it lives, and why it changes nothing is written down.
    """
    known, reasons = verdicts.known(), verdicts.reasons()
    found: dict[str, str] = {}
    for name in (mutant.name for mutant in mutants):
        state = known[name].state if name in known else NOT_TRIED
        lives = state in {State.SURVIVED, State.UNFINISHED}
        found[name] = State.HARMLESS if lives and name in reasons else state
    return found


def unexplained(mutants: Sequence[Mutant], verdicts: Verdicts) -> list[str]:
    """The names of those that survive, and nobody says why."""
    return [name for name, is_now in states(mutants, verdicts).items() if is_now == State.SURVIVED]


def table(mutants: Sequence[Mutant], verdicts: Verdicts) -> list[str]:
    """A row per file and one of all, in Markdown. Files of which nothing was tried share a row."""
    found = states(mutants, verdicts)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        counts[mutant.path][found[mutant.name]] += 1
    rows: dict[str, Counter[str]] = {}
    for path, count in counts.items():
        is_tried = count.total() > count[NOT_TRIED]
        for row in (path if is_tried else "other files", ALL):
            rows[row] = rows.get(row, Counter()) + count
    head = ["file", "generated", *LISTED]
    lines = [
        [path, f"{count.total():,}", *(f"{count[column]:,}" for column in LISTED)]
        for path, count in sorted(rows.items(), key=lambda row: row[0] == ALL)
    ]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]
