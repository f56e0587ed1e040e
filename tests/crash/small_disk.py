"""A disk of a few megabytes, in memory, and what fills it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.web.real_clients import not_seen, program

PIECE: Final = bytes(4096)
BLOCK_BYTES: Final = 512
"""What `st_blocks` counts (stat(2))."""


def used_bytes(directory: Path) -> int:
    """How much of a disk the files in it take."""
    return sum(path.stat().st_blocks * BLOCK_BYTES for path in directory.rglob("*"))


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[None]:
    """`place`, made for it, is a disk by itself as long as the block lasts."""
    if os.geteuid() != 0:
        not_seen("on a full disk: only root may make a small one")
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)]
    subprocess.run([program("mount"), *options], check=True)
    try:
        yield
    finally:
        subprocess.run([program("umount"), str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves no room."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(PIECE)
    return path
