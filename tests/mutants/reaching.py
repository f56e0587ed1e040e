"""Which functions of SQL and of Python the tests of a file call, written down as they run once.

A plugin of pytest. PostgreSQL counts calls by database (`track_functions`), so they are read
before a test's database is dropped; those of Python are seen by the interpreter's own hook.
"""

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import psycopg
import pytest

from tests.mutants import planting, trial
from tests.mutants.collected import with_collected
from tests.mutants.serving import Server

FILE_MAX_SECONDS = 40.0
SOURCE = "/src/storecredit/"
_CALLED = "SELECT DISTINCT funcname FROM pg_stat_user_functions WHERE calls > 0"


class Reach:
    """What is called by each file of tests, and how many seconds it takes."""

    def __init__(self, written_to: Path) -> None:
        self._written_to = written_to
        self._seconds: dict[str, float] = defaultdict(float)
        self._called: dict[str, set[str]] = defaultdict(set)
        self._codes: dict[int, CodeType] = {}
        self._failed: set[str] = set()
        self._file = ""
        self._began = 0.0

    def begin(self, config: pytest.Config) -> None:
        """From here on databases are looked into before they are dropped."""
        config.pluginmanager.register(self)
        for plugin in config.pluginmanager.get_plugins():
            databases = getattr(plugin, "Databases", None)
            if databases is not None:
                self._look_before_dropping(databases)
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)

    def pytest_runtest_logstart(self, location: tuple[str, int | None, str]) -> None:
        """Of which file the calls are from now on."""
        self._file = location[0]
        self._began = time.monotonic()

    def pytest_runtest_logfinish(self) -> None:
        """Keep what was called."""
        self._seconds[self._file] += time.monotonic() - self._began
        for code in self._codes.values():
            _, found, path = code.co_filename.partition(SOURCE)
            if found:
                self._called[self._file].add(f"{path}:{code.co_qualname}")
        self._codes.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A file whose tests fail with nothing planted shows nothing."""
        if report.failed:
            self._failed.add(self._file)

    def finish(self) -> None:
        """Write it down."""
        sys.setprofile(None)
        files = {
            file: {"seconds": round(seconds, 2), "called": sorted(self._called[file])}
            for file, seconds in self._seconds.items()
            if file not in self._failed
        }
        known = json.loads(self._written_to.read_text()) if self._written_to.exists() else {}
        self._written_to.write_text(json.dumps(known | files, indent=0))

    def _seen(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self._codes[id(frame.f_code)] = frame.f_code

    def _look_before_dropping(self, databases: Any) -> None:
        execute = databases._execute  # noqa: SLF001 - the one place that drops them

        def looking(of: Any, statement: str) -> None:
            words = statement.split()
            if words[0] == "DROP":
                self._look(of._server_url, words[4])  # noqa: SLF001 - likewise
            execute(of, statement)

        databases._execute = looking  # noqa: SLF001 - likewise

    def _look(self, url: str, database: str) -> None:
        with psycopg.connect(url, dbname=database) as connection:
            rows = connection.execute(_CALLED).fetchall()
        self._called[self._file].update(name for (name,) in rows)


def reach_all(files: Sequence[str], written_to: Path, directory: Path) -> None:
    """Run these files of tests with nothing planted, each in a fork, and write down what it calls.

    What takes too long, or fails, is not written down.
    """
    with Server(directory / "server") as server:
        planting.renew(server.served)

        def work(collected: Mapping[str, Sequence[pytest.Item]]) -> None:
            for file, items in collected.items():
                began = time.monotonic()
                reach = Reach(written_to)
                ended = trial.run(
                    items,
                    directory,
                    most_seconds=FILE_MAX_SECONDS,
                    first=partial(reach.begin, items[0].config),
                    last=reach.finish,
                )
                planting.drop_copies(server.served)
                took = f"{time.monotonic() - began:.0f} s"
                print(file, ended.failed or ended.passed, took, flush=True)  # noqa: T201 - a command

        with_collected(files, server.served.url, str(directory / "pytest"), work)
