"""The worker that is measured: `storecredit worker` as a process, with a generator of ours.

The generators are installed as another package's would be, as entry points on the process's path.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from benchmarks.database_under_test import DatabaseUnderTest
from benchmarks.processes import ROOT, STORECREDIT, started

CONCURRENCY = 256
"""Generations under way; by default it is 8, for generators that work."""
NOTHING, FAILING = "nothing", "failing"
METADATA = "Metadata-Version: 2.1\nName: storecredit-benchmarks\nVersion: 0\n"
ENTRY_POINTS = f"""[storecredit.generators]
{NOTHING} = benchmarks.generators:NothingGenerator
{FAILING} = benchmarks.generators:FailingGenerator
"""


@contextmanager
def worker_on(
    database: DatabaseUnderTest, generator: str, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Popen[bytes], Path]]:
    """A worker, running; the process and its log. `settings`: what else the environment has."""
    log_path = database.data_dir.parent / "worker.log"
    changes = {
        "PYTHONPATH": _site(database.data_dir.parent / "site"),
        "STORECREDIT_GENERATOR": generator,
        "STORECREDIT_WORKER_CONCURRENCY": str(CONCURRENCY),
        **(settings or {}),
    }
    command = [STORECREDIT, "worker", "--data-dir", str(database.data_dir)]
    with started(command, log_path, changes) as process:
        yield process, log_path


def _site(directory: Path) -> str:
    """The path on which Python finds the generators as installed entry points."""
    info = directory / "storecredit_benchmarks-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return f"{directory}:{ROOT}"
