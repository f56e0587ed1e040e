"""One run of tests in a fork of this process, stopped at the first that fails."""

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

TEST_MAX_SECONDS = 40
_POLL_SECONDS = 0.05
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?: - .*)?$", re.MULTILINE)
ONE_BUCKET = {"STORECREDIT_TEST_BUCKETS": "1"}
OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "-n0", "--tb=line", "-rfE"),
    *("-k", "not 3_buckets", f"--timeout={TEST_MAX_SECONDS}"),
    # What is imported before the fork is not rewritten, nor has it to be.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `failed` names the first test that failed, None: none did.

    `is_whole`: all of them ran, in the time that they were given.
    """

    failed: str | None
    is_whole: bool
    seconds: float


def run(
    tests: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    *,
    most_seconds: float,
    plugins: Sequence[object] = (),
) -> Ended:
    """Run these tests, which see `environment` besides ours; `directory` is for what they write."""
    output = directory / "output"
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_the_run(tests, environment, directory, output, plugins)
    status = _waited(pid, began + most_seconds)
    text = output.read_text(errors="replace")
    found = _FAILED.search(text)
    seconds = time.monotonic() - began
    if status is None:
        return Ended(None, is_whole=False, seconds=seconds)
    if status == 0:
        return Ended(None, is_whole=True, seconds=seconds)
    return Ended(found[1] if found else _last_words(text), is_whole=True, seconds=seconds)


def _be_the_run(
    tests: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    output: Path,
    plugins: Sequence[object],
) -> None:
    status = 70
    try:
        os.setsid()
        # Of the run that this command may be a test of nothing is passed on.
        for name in [name for name in os.environ if name.startswith("PYTEST_")]:
            del os.environ[name]
        os.environ.update({**ONE_BUCKET, **environment})
        sys.path[:0] = environment.get("PYTHONPATH", "").split()
        written = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(written, 1)
        os.dup2(written, 2)
        status = pytest.main([*OPTIONS, f"--basetemp={directory / 'pytest'}", *tests], [*plugins])
    except BaseException:  # noqa: BLE001 - a fork must not go on as what it was forked from
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(int(status))


def _waited(pid: int, until: float) -> int | None:
    """Its exit status; None if it took too long and was killed, with all that it had begun."""
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_SECONDS)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "the process died"
