"""One run of some of the tests that were collected, in a fork, stopped at the first that fails."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

TEST_MAX_SECONDS = 40
_POLL_SECONDS = 0.02
"""Statuses of a fork; others: it died."""
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `failed` names the first test that failed, None: none did.

    `is_whole`: all of them ran, in the time that they were given.
    """

    failed: str | None
    is_whole: bool
    seconds: float
    passed: int = 0


class _FirstFailure:
    """Writes down what failed, as a plugin of the fork's own."""

    def __init__(self) -> None:
        self.failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Whatever fails first, be it the test or what it has before or after it."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def run(
    items: Sequence[pytest.Item],
    directory: Path,
    *,
    most_seconds: float,
    first: Callable[[], None] = lambda: None,
    last: Callable[[], None] = lambda: None,
) -> Ended:
    """Run them in their order; `first` and `last` are done in the fork, before and after them.

    No test is begun once `most_seconds` are over. `directory` is for what they write.
    """
    said = directory / "said"
    said.write_text("")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_the_run(items, said, directory / "output", began + most_seconds, (first, last))
    status = _waited(pid, began + most_seconds + 2 * TEST_MAX_SECONDS)
    seconds = time.monotonic() - began
    failed, _, passed = said.read_text().partition("\n")
    number = int(passed or 0)
    if status == _PASSED:
        return Ended(None, is_whole=number == len(items), seconds=seconds, passed=number)
    if status == _FAILED:
        return Ended(failed, is_whole=True, seconds=seconds, passed=number)
    return Ended(None, is_whole=False, seconds=seconds)


def _be_the_run(
    items: Sequence[pytest.Item],
    said: Path,
    output: Path,
    until: float,
    around: tuple[Callable[[], None], Callable[[], None]],
) -> None:
    status = 70
    try:
        os.setsid()
        written = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(written, 1)
        os.dup2(written, 2)
        around[0]()
        status = _ran(items, said, until)
        around[1]()
    except BaseException:  # noqa: BLE001 - a fork must not go on as what it was forked from
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _ran(items: Sequence[pytest.Item], said: Path, until: float) -> int:
    seen = _FirstFailure()
    config, session = items[0].config, items[0].session
    config.pluginmanager.register(seen)
    passed = 0
    for item, following in _with_next(items, until):
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if seen.failed is not None:
            said.write_text(f"{seen.failed}\n{passed}")
            session._setupstate.teardown_exact(None)  # noqa: SLF001 - there is no other way
            return _FAILED
        passed += 1
    said.write_text(f"\n{passed}")
    return _PASSED


def _with_next(
    items: Sequence[pytest.Item], until: float
) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    """Each with that before which it is torn down; None: all is, and no other follows."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        is_last = time.monotonic() > until
        yield item, None if is_last else following
        if is_last:
            return


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
