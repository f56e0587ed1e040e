"""When a process has ended that is nobody's child here.

It is then its init's to reap, which may take seconds for that, or never do it: until then there is
a zombie of its number, on which `psutil.wait_procs` waits.
"""

import time
from collections.abc import Sequence

import psutil

POLL_SECONDS = 0.01


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, be it reaped or a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def left_after(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run so long afterwards; returns as soon as there are none."""
    give_up = time.monotonic() + seconds
    while left := [process for process in processes if not has_ended(process)]:
        if time.monotonic() > give_up:
            break
        time.sleep(POLL_SECONDS)
    return left
