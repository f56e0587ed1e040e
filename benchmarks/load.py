"""The load generator: wrk, one thread, with a script that gives every request a key of its own.

Hides wrk's command line and its report. Promises that a run in which one answer was no success, or
one connection broke, is no measurement. It is a closed loop: each connection sends its next request
when the last one is answered, so a latency does not hold what an impatient client would add.
"""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from benchmarks.results import NotMeasured

SCRIPT = Path(__file__).with_name("load.lua")
ANSWER_TIMEOUT_SECONDS = 10
START_MAX_SECONDS = 20
CREATE_PATH = "/api/v1/generation/create"
CREATE_BODY = '{"image_urls": ["https://images.example/hat-on-a-chair.png"]}'
IN_ORDER, RANDOM = "in_order", "random"
NO_WRK = "wrk is not installed (`apt-get install wrk`, or `brew install wrk`)"


def wrk_path() -> str | None:
    """Where the load generator is; None: it is not installed."""
    return shutil.which("wrk")


class LoadReport(msgspec.Struct, frozen=True):
    """What wrk saw; latencies in microseconds."""

    answers: int
    microseconds: int
    bad_status: int
    broken: int
    p50: int
    p99: int
    p999: int

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers * 1e6 / self.microseconds


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to one path. `keys` is a file of API keys, one a line, chosen by `order`."""

    url: str
    path: str
    keys: Path
    method: str = "POST"
    body: str | None = CREATE_BODY
    connections: int = 64
    order: str = RANDOM

    def to(self, url: str) -> "Load":
        """The same requests, to another server."""
        return replace(self, url=url)

    def command(self, seconds: int) -> list[str]:
        """The wrk to run; its idempotency keys are its own."""
        infix = f"-{uuid.uuid4().hex[:16]}-"
        return [
            *("wrk", "--threads", "1", "--connections", str(self.connections)),
            *("--duration", f"{seconds}s", "--timeout", f"{ANSWER_TIMEOUT_SECONDS}s"),
            *("--script", str(SCRIPT), self.url, "--"),
            *(self.method, self.path, self.body or "-", infix, str(self.keys), self.order),
        ]

    def run(self, seconds: int) -> LoadReport:
        """Send for so long. Raises NotMeasured."""
        with self.running(seconds) as process:
            return finished(process, seconds)

    @contextmanager
    def running(self, seconds: int) -> "Iterator[subprocess.Popen[str]]":
        """The run beside what the caller does meanwhile; `finished` has its report."""
        if wrk_path() is None:
            raise NotMeasured(NO_WRK)
        process = subprocess.Popen(
            self.command(seconds), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def finished(process: "subprocess.Popen[str]", seconds: int) -> LoadReport:
    """Wait for wrk and read what it wrote. Raises NotMeasured."""
    try:
        said, _ = process.communicate(timeout=seconds + START_MAX_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise NotMeasured("wrk did not end") from late
    return report_in(said)


def report_in(said: str) -> LoadReport:
    """The report that the script wrote at the end. Raises NotMeasured if it tells of a failure."""
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if not lines:
        raise NotMeasured(f"wrk wrote no report: {said.strip()[-300:]}")
    report = msgspec.json.decode(lines[-1], type=LoadReport)
    if report.bad_status or report.broken or not report.answers:
        raise NotMeasured(
            f"of {report.answers} answers {report.bad_status} were no success, "
            f"and {report.broken} connections broke or timed out"
        )
    return report


def settle_down(seconds: float = 0.3) -> None:
    """Let what the last contender left behind come to an end, before the next one begins."""
    time.sleep(seconds)
