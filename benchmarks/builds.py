"""Another build of storecredit, measured in the rounds of this one.

A build is a checkout with a virtual environment of its own, as `make` leaves it. Each side runs in
a process of its own Python, on a database of its own, by the harness of its own checkout
(`one_build.py`): here is only who is measured when.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import STOP_MAX_SECONDS, environment, tail
from benchmarks.results import NotMeasured

SCRIPT = Path(__file__).with_name("one_build.py")
PYTHON = Path(".venv") / "bin" / "python"

Measure = Callable[[int], Mapping[str, float]]
"""Measures for so many seconds. Raises NotMeasured."""


def is_a_build(checkout: Path) -> bool:
    """Whether there is something to compare with."""
    return (checkout / PYTHON).exists() and (checkout / "benchmarks").is_dir()


@contextmanager
def measuring(checkout: Path, kind: str, count: int, directory: Path) -> Iterator[Measure]:
    """What that build does of this kind, ready; its ledger is proven at the end."""
    log_path = directory / "log"
    # -P: the script's own directory would else be where it finds `benchmarks`' modules.
    command = [str(checkout / PYTHON), "-P", str(SCRIPT), kind, str(count), str(directory)]
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            command,
            env=environment({"PYTHONPATH": str(checkout)}),
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        said, told = process.stdin, process.stdout

        def answer() -> Mapping[str, float]:
            line = told.readline()
            if not line:
                raise NotMeasured(f"{checkout.name} cannot be measured: {tail(log_path)}")
            values: dict[str, float] = json.loads(line)
            return values

        def measure(seconds: int) -> Mapping[str, float]:
            said.write(f"{seconds}\n")
            said.flush()
            return answer()

        try:
            answer()
            yield measure
        finally:
            said.close()
            _end(process)
        if process.returncode:
            raise NotMeasured(f"{checkout.name} did not end well: {tail(log_path)}")


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(STOP_MAX_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(STOP_MAX_SECONDS)
