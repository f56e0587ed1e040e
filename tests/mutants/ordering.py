"""In which order tests are run for a mutant: those first that are likely to notice, and quick."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.reached import Reached
from tests.mutants.verdicts import State, Verdict

FIRST_KILLERS = 3
"""So many tests that killed the like of a mutant are run before whole files."""
QUICK_SECONDS = 0.3
"""Those that take longer wait for what is quicker, whatever they killed."""
_TWIN = "user"


class Order:
    """What killed which mutants so far, and which tests call what."""

    def __init__(
        self,
        reached: Reached,
        tests: Mapping[str, Sequence[pytest.Item]],
        known: Iterable[Verdict],
    ) -> None:
        self._reached = reached.among(tests)
        self._tests = tests
        self._by_name = {item.nodeid: item for item in chain(*tests.values())}
        self._of_function: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._of_path: dict[str, Counter[str]] = defaultdict(Counter)
        self._is_sound: dict[str, bool] = {}
        for verdict in known:
            self.learn(verdict)

    def learn(self, verdict: Verdict) -> None:
        """Remember who killed it."""
        if verdict.state is State.KILLED and verdict.by in self._by_name:
            self._of_function[verdict.path, verdict.function][verdict.by] += 1
            self._of_path[verdict.path][verdict.by] += 1

    def tests_of(self, mutant: Mutant) -> list[pytest.Item]:
        """All that may notice it, each once: first single tests, then file by file.

        What a file sees with stores and with users is seen with stores first.
        """
        files = self._files_of(mutant)
        names = {item.nodeid for item in chain(*files)}
        first = [self._by_name[name] for name in self._killers(mutant) if name in names]
        first += [item for item in chain(*files) if _names(item, mutant)]
        once = [item for file in files for item in file if not _is_twin(item)]
        twice = [item for file in files for item in file if _is_twin(item)]
        return list(dict.fromkeys(chain(first, once, twice)))

    def _killers(self, mutant: Mutant) -> Iterator[str]:
        of_function = self._of_function[mutant.path, mutant.function].most_common(FIRST_KILLERS)
        of_path = self._of_path[mutant.path].most_common(FIRST_KILLERS - 1)
        for name, _ in (*of_function, *of_path):
            file = name.partition("::")[0]
            if self._reached.files[file].seconds < QUICK_SECONDS * len(self._tests[file]):
                yield name

    def _files_of(self, mutant: Mutant) -> list[Sequence[pytest.Item]]:
        killers: Counter[str] = Counter()
        for name, number in self._of_path[mutant.path].items():
            killers[name.partition("::")[0]] += number
        return [self._tests[name] for name in self._reached.tests_of(mutant, killers)]


def _names(item: pytest.Item, mutant: Mutant) -> bool:
    """Whether a test is made for this constraint of a table."""
    name = mutant.was.partition(" ")[0]
    return item.nodeid.endswith(f"[{mutant.function}-{name}]")


def _is_twin(item: pytest.Item) -> bool:
    _, _, parameters = item.nodeid.partition("[")
    return _TWIN in parameters.rstrip("]").split("-")
