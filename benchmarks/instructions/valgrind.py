"""Programs under valgrind, and how many instructions they execute.

Hides callgrind's command line, how it is told what to do while its program runs, and its dumps.
Promises that instructions are counted between two calls only, so that no start is among them.
"""

import re
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import NotMeasured

NO_VALGRIND = "valgrind is not installed (`apt-get install valgrind`)"
TELL_MAX_SECONDS = 120.0
POLL_SECONDS = 0.05
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def is_there() -> bool:
    """Whether programs can be counted here."""
    return shutil.which("valgrind") is not None and shutil.which("vgdb") is not None


@dataclass(frozen=True, slots=True)
class Counted:
    """Where the programs of one run are told what to do, and where they dump their counts.

    `directory` is one that all of them may write to.
    """

    directory: Path

    def command(self, *program: str, from_the_start: bool = False) -> list[str]:
        """The program with its arguments, under valgrind, and nothing counted until `begin`.

        `from_the_start`: all is counted instead, and what it forks has a count of its own.
        """
        return [
            *("valgrind", "--quiet", "--tool=callgrind"),
            f"--instr-atstart={'yes' if from_the_start else 'no'}",
            f"--vgdb-prefix={self.directory}/vgdb",
            f"--callgrind-out-file={self.directory}/dump.%p",
            *program,
        ]

    def begin(self, pid: int) -> None:
        """Count what this process executes from now on, from zero. Raises NotMeasured."""
        self._tell(pid, "instrumentation", "on")
        self._tell(pid, "zero")

    def end(self, pid: int) -> int:
        """How many instructions it has executed since. Raises NotMeasured."""
        before = set(self.directory.glob(f"dump.{pid}.*"))
        self._tell(pid, "dump")
        give_up = time.monotonic() + TELL_MAX_SECONDS
        while time.monotonic() < give_up:
            for dump in set(self.directory.glob(f"dump.{pid}.*")) - before:
                total = total_in(dump.read_text(errors="replace"))
                if total is not None:
                    return total
            time.sleep(POLL_SECONDS)
        raise NotMeasured(f"process {pid} does not say what it has executed")

    def dumped(self) -> int:
        """How many all have executed that have ended by now."""
        dumps = [dump.read_text(errors="replace") for dump in self.directory.glob("dump.*")]
        return sum(total_in(dump) or 0 for dump in dumps)

    def _tell(self, pid: int, *words: str) -> None:
        command = ["vgdb", f"--pid={pid}", f"--vgdb-prefix={self.directory}/vgdb", *words]
        told = ""
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TELL_MAX_SECONDS, check=False
            )
            if not done.returncode:
                return
            told = done.stderr.strip()[-300:]
        raise NotMeasured(f"valgrind cannot be told {' '.join(words)!r} of {pid}: {told}")


def total_in(dump: str) -> int | None:
    """How many instructions a dump is of; None: it is not written to its end."""
    totals = _TOTAL.findall(dump)
    return int(totals[-1]) if totals else None
