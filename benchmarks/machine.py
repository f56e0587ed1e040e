"""What the figures were measured on, and of which commit: nothing that names one machine."""

import os
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path

import psutil

import storecredit
from benchmarks.processes import ROOT
from storecredit.postgres.embedded.cluster import POSTGRES_BIN

Description = dict[str, str | int | float]
SYNCS = 200
BLOCK_BYTES = 8192


def description(directory: Path) -> Description:
    """The machine, the versions and the commit; `directory` is on the disk that is measured."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "system": platform.system(),
        "python": platform.python_version(),
        "postgresql": _said([str(POSTGRES_BIN / "postgres"), "--version"]).split()[-1],
        "storecredit": storecredit.__version__,
        "commit": commit(),
        "file_system": file_system(directory),
        "fdatasync_microseconds": round(fdatasync_microseconds(directory), 1),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """The commit that is checked out, with `+changes` if files differ from it; or `unknown`."""
    head = _said(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _said(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    return (head or "unknown") + ("+changes" if changed else "")


def file_system(directory: Path) -> str:
    """The kind of the file system that the directory is on, as ext4."""
    mounted = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    above = [directory.resolve(), *directory.resolve().parents]
    return next((mounted[each] for each in above if each in mounted), "unknown")


def scratch_parent() -> Path | None:
    """Where the databases are made: TMPDIR, else /var/tmp, which is on a disk where /tmp is not.

    None: wherever Python makes temporary files.
    """
    named, on_disk = os.environ.get("TMPDIR"), Path("/var/tmp")  # noqa: S108 - names are random
    return on_disk if not named and on_disk.is_dir() else None


def fdatasync_microseconds(directory: Path) -> float:
    """The median time to make one written page durable on that disk, as a commit has to."""
    path = directory / "fdatasync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        # As PostgreSQL's WAL: a file of full size, written over.
        os.write(descriptor, bytes(BLOCK_BYTES * SYNCS))
        os.fsync(descriptor)
        times = [_synced(descriptor, number * BLOCK_BYTES) for number in range(SYNCS)]
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times) * 1e6


def _synced(descriptor: int, offset: int) -> float:
    began = time.perf_counter()
    os.pwrite(descriptor, b"x" * BLOCK_BYTES, offset)
    # macOS has no fdatasync, and makes nothing durable by fsync; there the figure only orients.
    getattr(os, "fdatasync", os.fsync)(descriptor)
    return time.perf_counter() - began


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
