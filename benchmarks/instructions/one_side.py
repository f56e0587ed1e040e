"""One build's processes under valgrind: PostgreSQL, the API, callers of the ledger alone.

All of them are that build's own, on a database that it made: the API as `storecredit serve
--no-worker` runs it. Of PostgreSQL what its client sessions execute is counted.
"""

import itertools
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg

from benchmarks.builds import PYTHON
from benchmarks.instructions.bursts import bursts
from benchmarks.instructions.valgrind import Counted
from benchmarks.processes import await_answer, environment, free_port, started, tail
from benchmarks.results import NotMeasured
from benchmarks.service_under_test import HEALTH_PATH
from storecredit.postgres.embedded.system_user import Account

HERE = Path(__file__).parent
CONNECTIONS = 64
STORES = 10_000
START_MAX_SECONDS = 300.0
POLL_SECONDS = 0.2
ATTEMPTS_MAX = 30
ALONE_PART = 8
"""Requests one at a time are more alike, and fewer are enough."""
# Fixed, so that each run hashes alike.
ALIKE = {"PYTHONHASHSEED": "0"}
IDLE, IDLE_SECONDS = "idle", 20
WHAT = {
    "F1": "create, one hot store, 64 at once",
    "F2": f"create, random among {STORES:,} stores, 64 at once",
    "F3": "balance, 64 at once",
    "F4": "deduction by the ledger alone, one store, 64 at once",
    "F5": f"deduction by the ledger alone, random among {STORES:,} stores, 64 at once",
    "F8": "create, one at a time",
    IDLE: "a second in which nobody asks",
}
"""The kinds of work, and what a request of each is."""
CALLED = {
    "F1": ("create", 1, CONNECTIONS),
    "F2": ("create", STORES, CONNECTIONS),
    "F3": ("balance", 1, CONNECTIONS),
    "F4": ("deduct", 1, CONNECTIONS),
    "F5": ("deduct", STORES, CONNECTIONS),
    "F8": ("create", 1, 1),
}
"""What `callers.py` is asked for: what is called, of how many stores, how many at once."""


@dataclass(frozen=True, slots=True)
class Work:
    """A number of requests that can be made again and again, by the process with this id."""

    pid: int
    requests: int
    do: Callable[[], None]

    def warm_up(self) -> None:
        """Do it until it succeeds: one that has just started may be too slow. NotMeasured."""
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                self.do()
            except NotMeasured:
                time.sleep(POLL_SECONDS)
            else:
                return
        self.do()


@dataclass(frozen=True, slots=True)
class Side:
    """One build, its PostgreSQL running, on the database that its `prepared.py` told of."""

    checkout: Path
    directory: Path
    told: Mapping[str, Any]
    counted: Counted
    postmaster: psutil.Process
    _runs: "itertools.count[int]" = field(default_factory=itertools.count)

    def cost(self, work: Work, idle: float = 0.0) -> float:
        """Do it once; the instructions of its process per request. Raises NotMeasured.

        Without those that are executed by the clock: `idle` ones in a second.
        """
        self.counted.begin(work.pid)
        began = time.monotonic()
        work.do()
        seconds = time.monotonic() - began
        return (self.counted.end(work.pid) - idle * seconds) / work.requests

    def sessions_cost(self, name: str, count: int) -> float:
        """Instructions per request of PostgreSQL's sessions, all it executes being counted.

        What a session executes is known when it has ended. So there are two runs, of which one
        makes twice the requests of the other: what else they execute is the same.
        """
        counts, requests = [], []
        for times in (1, 2):
            before, usual = self.counted.dumped(), len(self.postmaster.children())
            with self.callers(count * times, counted=False) as works:
                works[name].do()
                requests.append(works[name].requests)
            self._await_children(usual)
            counts.append(self.counted.dumped() - before)
        return (counts[1] - counts[0]) / (requests[1] - requests[0])

    @contextmanager
    def requests(self, count: int) -> Iterator[Mapping[str, Work]]:
        """F1, F2, F3, and a create alone (F8), over HTTP; they have been done once."""
        keys = (self.directory / "keys").read_text().split()
        drawn = random.Random(STORES)
        hot, alone = [keys[0]] * count, [keys[0]] * (count // ALONE_PART)
        many = [drawn.choice(keys) for _ in range(count)]
        port = free_port()
        log = self.directory / "serve.log"
        with ExitStack() as stack:
            own = self._environment() | {"STORECREDIT_DATABASE_URL": self.told["app_url"]}
            process = stack.enter_context(started(self._serve(port), log, own))
            url = f"http://127.0.0.1:{port}{HEALTH_PATH}"
            await_answer(url, process, log, START_MAX_SECONDS)
            pid = process.pid
            full = stack.enter_context(bursts(pid, port, CONNECTIONS))
            single = stack.enter_context(bursts(pid, port, 1))
            Work(pid, len(many), lambda: full.balance(many)).warm_up()
            works = {
                IDLE: Work(pid, IDLE_SECONDS, lambda: time.sleep(IDLE_SECONDS)),
                "F1": Work(pid, len(hot), lambda: full.create(hot)),
                "F2": Work(pid, len(many), lambda: full.create(many)),
                "F3": Work(pid, len(hot), lambda: full.balance(hot)),
                "F8": Work(pid, len(alone), lambda: single.create(alone)),
            }
            for work in works.values():
                work.warm_up()
            yield works

    @contextmanager
    def callers(self, count: int, *, counted: bool = True) -> Iterator[Mapping[str, Work]]:
        """F1 to F5 and F8 without HTTP, the process that asks being counted or not."""
        script, run = str(HERE / "callers.py"), str(next(self._runs))
        program = self._python(script, self.told["app_url"], run)
        log_path = self.directory / "callers.log"
        with (
            log_path.open("wb") as log,
            subprocess.Popen(
                self.counted.command(*program) if counted else program,
                env=environment(self._environment()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            said, told = process.stdin, process.stdout
            assert said is not None
            assert told is not None

            def ask(line: str) -> None:
                said.write(f"{line}\n")
                said.flush()
                if not told.readline():
                    raise NotMeasured(f"the callers have ended: {tail(log_path)}")

            def work(kind: str, stores: int, at_once: int) -> Work:
                number = count if at_once > 1 else count // ALONE_PART
                line = f"{kind} {number} {stores} {at_once}"
                return Work(process.pid, number, partial(ask, line))

            try:
                yield {name: work(*how) for name, how in CALLED.items()}
            finally:
                said.close()

    def _await_children(self, usual: int) -> None:
        give_up = time.monotonic() + START_MAX_SECONDS
        while len(self.postmaster.children()) > usual:
            if time.monotonic() > give_up:
                raise NotMeasured("PostgreSQL's sessions do not end")
            time.sleep(POLL_SECONDS)

    def _environment(self) -> dict[str, str]:
        return {**ALIKE, **self.told["environment"], "PYTHONPATH": str(self.checkout)}

    def _serve(self, port: int) -> list[str]:
        storecredit = str(self.checkout / PYTHON.with_name("storecredit"))
        data = str(self.directory / "files")
        return self.counted.command(
            *self._python(
                *(storecredit, "serve", "--no-worker", "--port", str(port), "--data-dir", data)
            )
        )

    def _python(self, *arguments: str) -> list[str]:
        # -P: a script's own directory would else be where it finds modules.
        return [str(self.checkout / PYTHON), "-P", *arguments]


@contextmanager
def side(
    checkout: Path, directory: Path, told: Mapping[str, Any], *, counts_postgres: bool
) -> Iterator[Side]:
    """A build on the database that `prepared` made in this directory; PostgreSQL counted or not."""
    dumps = directory / "dumps"
    dumps.mkdir(exist_ok=True)
    dumps.chmod(0o777)
    counted = Counted(dumps)
    server = told["command"]
    if counts_postgres:
        server = counted.command(*server, from_the_start=True)
    with (
        (directory / "postgres.log").open("wb") as log,
        _as_owner(server, directory / "data" / "postgres", log) as process,
    ):
        try:
            _await_connection(told["admin_url"], process, directory)
            yield Side(checkout, directory, told, counted, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(START_MAX_SECONDS)


def prepared(checkout: Path, directory: Path) -> Mapping[str, Any]:
    """What that build's `prepared.py` says of the database that it made. Raises NotMeasured."""
    command = [str(checkout / PYTHON), "-P", str(HERE / "prepared.py"), str(directory), str(STORES)]
    done = subprocess.run(
        command,
        env=environment({"PYTHONPATH": str(checkout)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotMeasured(f"{checkout.name} makes no database: {done.stderr[-500:]}")
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def _as_owner(command: Sequence[str], cluster: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=log, stderr=log, **Account.of(cluster).manner())


def _await_connection(url: str, process: "subprocess.Popen[bytes]", directory: Path) -> None:
    give_up = time.monotonic() + START_MAX_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise NotMeasured(f"PostgreSQL does not start: {tail(directory / 'postgres.log')}")
