"""Where requests wait for their batch: lines by account, and the one connection of each lane."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

import asyncpg
import msgspec

from storecredit.postgres.errors import DatabaseUnavailable, translated
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import DoubtfulCommits, Node

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

CLOSE_TIMEOUT_SECONDS: Final = 1.0


class Entry(msgspec.Struct, Generic[Item, Outcome], eq=False):
    """One item that waits, and who waits for its outcome."""

    account_id: int
    item: Item
    outcome: asyncio.Future[Outcome]
    entered_at: float
    is_in_doubt: bool = False
    """Whether it was sent, and nobody knows what became of it."""

    def fail(self, error: Exception) -> None:
        """Tell the caller, unless he has been told."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


Batch = Sequence[Entry[Item, Outcome]]


class Lane(Generic[Item, Outcome]):
    """The waiting lines of some accounts and the one connection that serves them."""

    def __init__(self, lock_wait_ms: int) -> None:
        """`lock_wait_ms` is how long its statements wait for a lock, unless they are told else."""
        self._lines: OrderedDict[int, deque[Entry[Item, Outcome]]] = OrderedDict()
        self.lock_wait_ms = lock_wait_ms
        self.waiting = 0
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.is_closing = False
        self.connection: asyncpg.Connection | None = None
        self.way: Node | None = None
        self.backend_pid = 0
        self.doubts = DoubtfulCommits()

    def add(self, entry: Entry[Item, Outcome]) -> None:
        """Put an entry last in its account's line."""
        line = self._lines.get(entry.account_id)
        if line is None:
            line = self._lines[entry.account_id] = deque()
        line.append(entry)
        self.waiting += 1
        self.wake.set()

    def put_back(self, entries: Iterable[Entry[Item, Outcome]]) -> None:
        """Put one account's entries first in its line, in their order, and the line last."""
        back = deque(entries)
        if back:
            account_id = back[0].account_id
            self.waiting += len(back)
            back.extend(self._lines.pop(account_id, ()))
            self._lines[account_id] = back
            self.wake.set()

    def has(self, account_id: int) -> bool:
        """Whether anything waits in this account's line."""
        return account_id in self._lines

    def take(self, size_max: int, share_max: int) -> list[Entry[Item, Outcome]]:
        """The next batch: of each account, in turns, at most its share, in its entries' order."""
        lines = self._lines
        if self.waiting <= min(size_max, share_max):
            batch = [entry for line in lines.values() for entry in line]
            lines.clear()
        else:
            batch = []
            for _ in range(share_max):
                for account_id in list(lines)[: size_max - len(batch)]:
                    line = lines[account_id]
                    batch.append(line.popleft())
                    if line:
                        lines.move_to_end(account_id)
                    else:
                        del lines[account_id]
        self.waiting -= len(batch)
        return batch

    def take_line(self, account_id: int) -> deque[Entry[Item, Outcome]]:
        """All that waits in one account's line."""
        line = self._lines.pop(account_id, deque())
        self.waiting -= len(line)
        return line

    def take_until(self, entered_at: float) -> list[Entry[Item, Outcome]]:
        """What entered at that moment or before."""
        taken = []
        for account_id in list(self._lines):
            line = self._lines[account_id]
            while line and line[0].entered_at <= entered_at:
                taken.append(line.popleft())
            if not line:
                del self._lines[account_id]
        self.waiting -= len(taken)
        return taken

    async def connect(self, database: Database) -> asyncpg.Connection:
        """Its connection, made anew if there is none, or it leads where its bucket was before."""
        if self.way != database.way:
            self.drop_connection()
        if self.connection is None:
            self.way = database.way
            connection = await database.connect({"lock_timeout": str(self.lock_wait_ms)})
            try:
                with translated():
                    connection.add_log_listener(self.doubts)
                    self.backend_pid = await connection.fetchval("SELECT pg_backend_pid()")
            except BaseException:
                connection.terminate()
                raise
            self.connection = connection
        return self.connection

    def finish(self) -> None:
        """Have its task end when nothing waits any longer."""
        self.is_closing = True
        self.wake.set()

    async def wait_for_locks(self, lock_wait_ms: int) -> None:
        """From now on its statements wait so long for a lock."""
        if lock_wait_ms == self.lock_wait_ms:
            return
        self.lock_wait_ms = lock_wait_ms
        if self.connection is not None:
            try:
                with translated():
                    await self.connection.execute(f"SET lock_timeout = {lock_wait_ms}")
            except DatabaseUnavailable:
                self.drop_connection()

    def drop_connection(self) -> None:
        """Have the next batch make another one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Take leave of the server; one that does not answer keeps nobody from stopping."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(DatabaseUnavailable), translated():
                await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)
