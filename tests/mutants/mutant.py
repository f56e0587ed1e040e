"""One mutant: what is said otherwise, where, and how it is known from then on."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

SHOWN_MAX: Final = 160


@dataclass(frozen=True, slots=True)
class Mutant:
    """`planted` is the statement that plants it, or in Python the whole text of the file.

    `path` is below `src/storecredit`, `function` what tests must call to notice it; `was` and
    `is_now` show the place. `nth`: of several that look alike in one function.
    """

    path: str
    function: str
    line: int
    sort: str
    was: str
    is_now: str
    planted: str
    callers: frozenset[str] = frozenset()
    """The functions that call its function. PostgreSQL counts no call that ends in an error."""
    nth: int = 0

    @property
    def name(self) -> str:
        """The same for as long as the function has such a place, whatever else changes."""
        parts = (self.path, self.function, self.sort, self.was, self.is_now, str(self.nth))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]

    @property
    def is_python(self) -> bool:
        """Whether it is a file of Python; otherwise it is a statement."""
        return self.path.endswith(".py")


def shown(text: str) -> str:
    """A place on one line, and not all of a long one."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else f"{line[: SHOWN_MAX - 1]}…"


def told_apart(mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """Those that look alike numbered in their order."""
    seen: Counter[str] = Counter()
    for mutant in mutants:
        nth = seen[mutant.name]
        seen[mutant.name] += 1
        yield replace(mutant, nth=nth)
