"""Writes files that outlive a power cut, and shares the waiting for the disk among them.

Hides drafts, directories and the order of syncs. Promises that a file is on disk, whole and under
its final name, before `write` returns; that it appears whole or not at all; and that what befalls
one file is told to its writer alone.

Files that come while others are being written form the next batch; there is no timer, so a file
that comes alone waits for nobody. A batch takes one thread, the disk works on all its files at
once, and each directory is synced once.
"""

import asyncio
import contextlib
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, cast

WRITERS: Final = 2
"""While one batch waits for the disk, the next is prepared; four were not clearly faster."""
BATCH_MAX_FILES: Final = 64
BATCH_MAX_BYTES: Final = 16 * 1024 * 1024
"""A batch takes no further file once it holds this much: the first of it waits for the last."""
WAITING_MAX: Final = 1024
"""Files in line; who comes then waits for a place, with its content in its own hands."""


class DurableFiles:
    """A line of files to write; `close` when nobody writes any more."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(WAITING_MAX)
        self._waiting: deque[_Write] = deque()
        self._writers: set[asyncio.Task[None]] = set()

    async def write(self, path: Path, content: bytes) -> None:
        """Make or replace the file at `path`, readable by this user alone, and its directory.

        Raises `OSError` if the disk fails it. Whether the file stands there is then unknown, and so
        it is if the caller is cancelled; in part it never does.
        """
        async with self._places:
            write = _Write(path, content)
            self._waiting.append(write)
            if len(self._writers) < WRITERS:
                self._writers.add(asyncio.create_task(self._write_what_waits()))
            await write.done

    async def close(self) -> None:
        """Wait until the disk has what has been begun."""
        await asyncio.gather(*self._writers)

    async def _write_what_waits(self) -> None:
        while batch := self._next_batch():
            await _settle(batch)
        # At once, not by a callback of the task: who comes in between would find nobody to write.
        self._writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_batch(self) -> "list[_Write]":
        batch: list[_Write] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MAX_FILES and size < BATCH_MAX_BYTES:
            write = self._waiting.popleft()
            if not write.done.cancelled():
                batch.append(write)
                size += len(write.draft.content)
        return batch


class _Write:
    """One file in line, and its writer's own outcome."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.draft = Draft(path, content)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, failure: Exception | None) -> None:
        if self.done.done():
            return
        if failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(failure)


async def _settle(batch: Sequence[_Write]) -> None:
    try:
        await asyncio.to_thread(write_together, [write.draft for write in batch])
    except Exception as defect:  # noqa: BLE001 - it becomes the outcome of all it befell
        for write in batch:
            write.settle(defect)
    for write in batch:
        write.settle(write.draft.failure)


# What follows is blocking, and runs in a thread.


class Draft:
    """A file on its way to its name; `failure` is what the disk said, and ends the way."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.content = content
        self.failure: OSError | None = None
        self.draft_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}.draft")
        self._descriptor: int | None = None

    def write(self) -> None:
        """Write the content beside the final name, readable by this user alone."""
        self._descriptor = os.open(self.draft_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        rest = memoryview(self.content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def begin_sync(self) -> None:
        """Let the disk begin with it, and wait for nothing.

        Linux starts to write out what it is told will not be needed (posix_fadvise(2)). Without
        that, every file of a batch has to wait until the sync of the one before is done. `sync` is
        what keeps the promise. That the kernel may also forget the pages, so that a first download
        reads the disk, is the smaller price.
        """
        if sys.platform == "linux" and self._descriptor is not None:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the content is on disk."""
        if self._descriptor is None:
            raise AssertionError("a draft is written before it is synced")
        os.fsync(self._descriptor)
        self._close()

    def rename(self) -> None:
        """Give it its final name; durable once the directory is synced."""
        self.draft_path.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind, as far as the disk lets it; drafts left over are strays."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self.draft_path.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def write_together(drafts: Iterable[Draft]) -> None:
    """See every draft to its name, or to its own `failure`; the disk is waited for together."""
    left = _those_that_could(lambda draft: make_directory(draft.path.parent), drafts)
    for step in (Draft.write, Draft.begin_sync, Draft.sync, Draft.rename):
        left = _those_that_could(step, left)
    for directory in {draft.path.parent for draft in left}:
        inside = [draft for draft in left if draft.path.parent == directory]
        try:
            sync_directory(directory)
        except OSError as error:
            for draft in inside:
                draft.failure = error


def _those_that_could(step: Callable[[Draft], None], drafts: Iterable[Draft]) -> list[Draft]:
    done = []
    for draft in drafts:
        try:
            step(draft)
        except OSError as error:
            draft.failure = error
            draft.discard()
        else:
            done.append(draft)
    return done


def write_once(path: Path, content: bytes) -> None:
    """Make the file at `path`, and its directory, unless another process was faster.

    What is there stays. Raises `OSError` if the disk fails.
    """
    make_directory(path.parent)
    draft = Draft(path, content)
    try:
        draft.write()
        draft.sync()
        # A link appears whole or not at all, and fails where there is one.
        os.link(draft.draft_path, path)
    except FileExistsError:
        pass
    finally:
        draft.discard()
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make `path` and its missing parents; each new name is on disk when this returns."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Wait until the names in the directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
