"""The servers that are measured: `storecredit serve` as a process, and what it is compared with.

The service is one API process with default settings, without a worker (`--no-worker`), its log at
the default level going to a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.database_under_test import Counts, DatabaseUnderTest
from benchmarks.load import CREATE_PATH, IN_ORDER, RANDOM, Load, LoadReport, settle_down
from benchmarks.processes import (
    PYTHON,
    STORECREDIT,
    await_answer,
    cpu_seconds,
    free_port,
    started,
)
from benchmarks.results import Absolute, NotMeasured, medians
from storecredit.stores.api_keys import CACHED_KEYS_MAX

LITESTAR, ASGI = "litestar", "asgi"
HEALTH_PATH = "/health/ready"
BALANCE_PATH = "/api/v1/credits/balance"
EMPTY_PATH = "/empty"
CACHING_SECONDS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Creates under load: what wrk saw, and CPU time per create of both sides, in microseconds."""

    report: LoadReport
    api_microseconds: float
    database_microseconds: float


def cpu_per_create(runs: Sequence[CreateRun]) -> dict[str, Absolute]:
    """CPU time per create, in microseconds: less noisy than a rate where others use the machine."""
    return medians(
        {
            "CPU of the API per create, µs": [run.api_microseconds for run in runs],
            "of PostgreSQL, µs": [run.database_microseconds for run in runs],
        }
    )


@dataclass(frozen=True, slots=True)
class ServiceUnderTest:
    """A running service on a database; `keys` is the file with its stores' API keys."""

    url: str
    pid: int
    database: DatabaseUnderTest
    keys: Path

    def processes(self) -> list[psutil.Process]:
        """The API's processes."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def load(
        self, path: str = CREATE_PATH, *, connections: int = 64, keys: Path | None = None
    ) -> Load:
        """The create request, sent for a store drawn anew each time."""
        return Load(self.url, path, keys or self.keys, connections=connections)

    def create(self, seconds: int, *, connections: int = 64) -> CreateRun:
        """Create under load, and hold what was answered against what was written.

        Raises NotMeasured if they differ by more than what was under way when wrk stopped.
        """
        before = self.database.counts()
        api = cpu_seconds(self.processes())
        server = cpu_seconds(self.database.processes())
        report = self.load(connections=connections).run(seconds)
        # The CPU time is read before our own questions cost the database some.
        settle_down()
        api = cpu_seconds(self.processes()) - api
        server = cpu_seconds(self.database.processes()) - server
        self.check(before, report.answers, connections)
        self.database.settle()
        each = 1e6 / report.answers
        return CreateRun(report, api * each, server * each)

    def check(self, before: Counts, answered: int, connections: int) -> None:
        """Every `201` has its credit, session and job, and there are no others.

        What was under way when the load stopped is waited for. Raises NotMeasured.
        """
        self.database.await_quiet()
        (self.database.counts() - before).agree_with(answered, connections)

    def balance(self, order: str = RANDOM) -> Load:
        """The balance, read."""
        return Load(self.url, BALANCE_PATH, self.keys, method="GET", body=None, order=order)

    def cache_keys(self, stores: int) -> None:
        """Have every key asked for once, so that what is measured is the running service."""
        wanted = min(stores, CACHED_KEYS_MAX)
        for seconds in CACHING_SECONDS:
            if self.balance(IN_ORDER).run(seconds).answers >= wanted:
                return
        raise NotMeasured(f"{wanted} keys take too long to be asked for")


@contextmanager
def service_on(
    database: DatabaseUnderTest,
    keys: Path,
    *,
    processes: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[ServiceUnderTest]:
    """The service, ready; its keys are cached."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log_path = database.data_dir.parent / f"serve-{port}.log"
    command = [STORECREDIT, "serve", "--no-worker", "--port", str(port)]
    command += ["--data-dir", str(database.data_dir), "--processes", str(processes)]
    with started(command, log_path, settings) as process:
        await_answer(url + HEALTH_PATH, process, log_path)
        service = ServiceUnderTest(url, process.pid, database, keys)
        service.cache_keys(len(keys.read_text().split()))
        yield service


@contextmanager
def empty_server(kind: str, directory: Path) -> Iterator[str]:
    """A server that does nothing, of that kind; its address."""
    port = free_port()
    log_path = directory / f"empty-{port}.log"
    command = [PYTHON, "-m", "benchmarks.baselines.empty", kind, str(port)]
    with started(command, log_path) as process:
        url = f"http://127.0.0.1:{port}"
        await_answer(url + EMPTY_PATH, process, log_path)
        yield url


@contextmanager
def bucket_server(directory: Path) -> Iterator[str]:
    """A bucket in memory; its address."""
    port = free_port()
    log_path = directory / f"bucket-{port}.log"
    command = [PYTHON, "-m", "benchmarks.baselines.bucket", str(port)]
    with started(command, log_path) as process:
        url = f"http://127.0.0.1:{port}"
        await_answer(f"{url}/", process, log_path)
        yield url
