"""Processes that a benchmark starts, and what they use: CPU time and memory.

Promises that nothing started here outlives its context, and that it ends in good order first.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.results import NotMeasured

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
STORECREDIT = str(Path(PYTHON).with_name("storecredit"))
START_MAX_SECONDS = 60.0
STOP_MAX_SECONDS = 60.0
COMMAND_MAX_SECONDS = 600.0
POLL_SECONDS = 0.02
KIB_PER_MIB = 1024


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without any setting of storecredit's: what is measured runs on its defaults."""
    kept = {name: value for name, value in os.environ.items() if "STORECREDIT" not in name}
    return kept | {"PYTHONPATH": str(ROOT)} | dict(changes or {})


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@contextmanager
def started(
    command: Sequence[str], log_path: Path, changes: Mapping[str, str] | None = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that runs beside, its output and log in a file, as an operator would have it."""
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment(changes),
            cwd=log_path.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_MAX_SECONDS)
        process.kill()
        process.wait()


def await_answer(
    url: str,
    process: "subprocess.Popen[bytes]",
    log_path: Path,
    seconds: float = START_MAX_SECONDS,
) -> None:
    """Until the address answers with success, for so long at most. Raises NotMeasured."""
    give_up = time.monotonic() + seconds
    with httpx.Client() as client:
        while time.monotonic() < give_up and process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(url).is_success:
                    return
            time.sleep(POLL_SECONDS)
    raise NotMeasured(f"{url} does not answer; its log ends: {tail(log_path)}")


def run(command: Sequence[str], changes: Mapping[str, str] | None = None) -> str:
    """Run a command to its end; its output. Raises NotMeasured."""
    done = subprocess.run(
        command,
        env=environment(changes),
        capture_output=True,
        text=True,
        timeout=COMMAND_MAX_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NotMeasured(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


def tail(path: Path) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-5:])


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """CPU time that they have used so far, in user and in system mode; ended ones count as none."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def proportional_mib(processes: Sequence[psutil.Process]) -> float:
    """Their memory in MiB, what they share counted once (PSS, proc_pid_smaps_rollup(5))."""
    return sum(map(_proportional_kib, processes)) / KIB_PER_MIB


def _proportional_kib(process: psutil.Process) -> int:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/smaps_rollup").exists():
            return 0  # It has ended meanwhile.
        raise NotMeasured("this system does not tell what memory processes share") from None
    found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
    if found is None:
        raise NotMeasured("this system does not tell what memory processes share")
    return int(found[1])
