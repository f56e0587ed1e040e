"""`make mutants`: generates mutants, tries them, and keeps what became of each.

What was tried is not tried again, but where --again names its state. Which tests call what is
written down by --reach, which runs files of tests once, with nothing planted.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutants import generating, sums
from tests.mutants.mutant import Mutant
from tests.mutants.reached import ROOT, Reached
from tests.mutants.reaching import reach_all
from tests.mutants.serving import PRISTINE, Server
from tests.mutants.trying import Task, try_all
from tests.mutants.verdicts import HARMLESS, VERDICTS, Verdicts

REACHED: Final = ROOT / ".mutants" / "reached.json"
ROOMS: Final = (
    "sql",
    "model",
    "postgres",
    "worker",
    "users",
    "stores",
    "billing",
    "webhooks",
    "operator",
    "unit",
)
KINDS: Final = ("functions", "constraints", "python")
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory made in it is the run's own
LET_OTHERS_FIRST: Final = 10


def main() -> int:
    """The command. 1: a mutant survived of which nobody says why it changes nothing."""
    asked = _arguments()
    os.nice(LET_OTHERS_FIRST)
    # So that whoever ends it leaves no server and no files behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = Path(tempfile.mkdtemp(prefix="mutants-", dir=MEMORY if MEMORY.is_dir() else None))
    # The server's user, who is another where root runs it, has to get there.
    directory.chmod(0o755)
    try:
        if asked.reach is not None:
            asked.reached.parent.mkdir(exist_ok=True)
            reach_all(asked.reach or _files_of_rooms(), asked.reached, directory)
            return 0
        return _try(asked, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    add = parser.add_argument
    add(
        "--of", choices=KINDS, default="functions", help="what of: SQL's functions, … (%(choices)s)"
    )
    add("--only", default="", help="parts of names of files or functions, with commas between")
    add("--sorts", default="", help="sorts of edits, with commas between")
    add("--limit", type=int, default=sys.maxsize, help="so many of them, drawn by chance")
    add("--seed", type=int, default=7, help="of that chance")
    add("--processes", type=int, default=2)
    add("--seconds", type=float, default=15, help="of tests, for each mutant")
    add("--minutes", type=float, default=10_000, help="after which no further one is begun")
    add("--again", default="", help="states to be tried again, with commas between")
    add("--list", action="store_true", help="list them, and try none")
    add("--sums", action="store_true", help="say how many of them are in which state, and try none")
    add("--tidy", action="store_true", help="sort the verdicts, and forget what is there no more")
    add("--reach", nargs="*", help="write down what these files of tests call")
    add("--tests", nargs="*", help="run these files of tests, whatever they call")
    add("--names", default="", help="names of mutants, with commas between")
    add("--reached", type=Path, default=REACHED, help="where that is written")
    add("--verdicts", type=Path, default=VERDICTS, help="where what became of each is kept")
    return parser.parse_args()


def _files_of_rooms() -> list[str]:
    found = [path for room in ROOMS for path in (ROOT / "tests" / room).rglob("test_*.py")]
    return [str(path.relative_to(ROOT)) for path in sorted(found)]


def _try(asked: argparse.Namespace, directory: Path) -> int:
    mutants = _generated(asked, directory)
    verdicts = Verdicts(asked.verdicts, HARMLESS)
    if asked.list:
        return _say(*map(_listed, mutants))
    if asked.sums:
        return _say(*sums.table(mutants, verdicts))
    if asked.tidy:
        verdicts.tidy(mutants)
        return 0
    known, again = verdicts.known(), set(asked.again.split(","))
    names = {name for name in asked.names.split(",") if name}
    mutants = [one for one in mutants if not names or one.name in names]
    todo = [one for one in mutants if one.name not in known or known[one.name].state in again]
    reached = Reached.of(asked.tests) if asked.tests else Reached.read(asked.reached)
    until = time.time() + 60 * asked.minutes
    _work(Task(todo, reached, verdicts, asked.seconds, until), asked.processes, directory)
    return 1 if sums.unexplained(mutants, verdicts) else 0


def _work(task: Task, processes: int, directory: Path) -> None:
    forked = multiprocessing.get_context("fork")
    taken = forked.Value("i", 0)
    workers = [
        forked.Process(target=try_all, args=(task, taken, directory / str(number)), daemon=True)
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _generated(asked: argparse.Namespace, directory: Path) -> list[Mutant]:
    sorts = [sort for sort in asked.sorts.split(",") if sort]
    only = asked.only.split(",")

    def drawn(mutants: Sequence[Mutant]) -> list[Mutant]:
        return generating.drawn(mutants, only=only, sorts=sorts, seed=asked.seed, limit=asked.limit)

    if asked.of == "functions":
        return drawn([*generating.of_functions()])
    if asked.of == "python":
        return drawn([*generating.of_python()])
    with Server(directory / "catalogue") as server:
        return drawn([*generating.of_constraints(server.served.url, PRISTINE)])


def _listed(mutant: Mutant) -> str:
    place = f"{mutant.path}:{mutant.line} {mutant.function}"
    return f"{mutant.name} {place} {mutant.sort}: {mutant.was} -> {mutant.is_now}"


def _say(*lines: str) -> int:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - it is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
