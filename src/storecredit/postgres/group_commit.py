"""Group commit: requests that arrive while a batch is under way form the next batch.

There is no timer: an idle service adds no delay, a busy one fills its batches. One batch is one
transaction; each caller gets its own outcome. The same account always goes to the same lane, so two
lanes never wait for each other's lock. While several accounts are served, none has more than its
share of a batch: who sends two hundred requests at once makes its own wait, and those of an account
with a few are in the next batch, which is soon done.

What can go wrong, and what the caller sees:

- the waiting line is full: `WaitingLineFull`, at once, nothing was sent;
- it waited longer than its deadline: `DatabaseUnavailable`, nothing was sent;
- one item is bad: the batch is rolled back and its items are tried one by one, so that only the
  bad one fails, with its own exception;
- the connection breaks: whether the transaction was committed is unknown. The batch is sent again
  on a new connection (request ids make that safe) until the outcome is known, or until an item's
  deadline passes: then `OutcomeUnknown`.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from storecredit import telemetry
from storecredit.postgres.pool import (
    Connection,
    Database,
    DatabaseUnavailable,
    is_transient,
    translated,
)

log = telemetry.get_logger("postgres.group_commit")

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

RETRY_WAIT_SECONDS: Final = 0.05
BATCH_TIMEOUT_SECONDS: Final = 5.0
CLOSE_TIMEOUT_SECONDS: Final = 1.0
SHARES: Final = 4
"""What a batch is divided into while there is more than one account; each has one share at most."""


class WaitingLineFull(Exception):
    """Too many requests wait already; nothing of this one was sent."""


class OutcomeUnknown(Exception):
    """The database went away and did not come back in time: send the same request id again."""


@dataclass(slots=True)
class _Entry(Generic[Item, Outcome]):
    item: Item
    outcome: asyncio.Future[Outcome]
    entered_at: float


class _Lane(Generic[Item, Outcome]):
    """The waiting lines of some accounts and the one connection that serves them."""

    def __init__(self) -> None:
        self._lines: OrderedDict[int, deque[_Entry[Item, Outcome]]] = OrderedDict()
        self.waiting = 0
        self.wake = asyncio.Event()
        self.connection: Connection | None = None

    def add(self, account_id: int, entry: _Entry[Item, Outcome]) -> None:
        """Put an entry last in its account's line."""
        line = self._lines.get(account_id)
        if line is None:
            line = self._lines[account_id] = deque()
        line.append(entry)
        self.waiting += 1
        self.wake.set()

    def take(self, size_max: int, share_max: int) -> list[_Entry[Item, Outcome]]:
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

    def drop_connection(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Take leave of the server; one that does not answer keeps nobody from stopping."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(DatabaseUnavailable), translated():
                await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The named maxima of one group commit."""

    lanes: int
    batch_max: int
    waiting_max: int
    deadline_seconds: float


class GroupCommit(Generic[Item, Outcome]):
    """Batches items of one operation into transactions.

    `settle(connection, items)` is one transaction, best a single statement, which needs no further
    round trips to begin and commit; it returns one outcome per item, in order. It must be safe to
    run again with the same items.
    """

    def __init__(
        self,
        operation: str,
        database: Database,
        settle: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Outcome]]],
        bounds: Bounds,
        metrics: telemetry.Metrics,
    ) -> None:
        self._operation = operation
        self._database = database
        self._settle = settle
        self._bounds = bounds
        self._batch_size = metrics.commit_batch_size.labels(operation)
        self._wait_seconds = metrics.commit_wait_seconds.labels(operation)
        self._lanes: list[_Lane[Item, Outcome]] = [_Lane() for _ in range(bounds.lanes)]
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting = 0
        self._accounts: Counter[int] = Counter()
        self._closing = False

    async def start(self) -> None:
        """Begin to serve; connections are opened when first needed."""
        self._tasks = [
            asyncio.create_task(self._serve(lane), name=f"group-commit-{self._operation}")
            for lane in self._lanes
        ]

    async def stop(self) -> None:
        """Take nothing new, finish what waits (at most the deadline long), then end."""
        self._closing = True
        for lane in self._lanes:
            lane.wake.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._bounds.deadline_seconds + 1)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes:
            left = lane.take(lane.waiting, lane.waiting)
            _fail(left, OutcomeUnknown("the service stopped before it could commit"))
        await asyncio.gather(*(lane.close() for lane in self._lanes))

    async def submit(self, account_id: int, item: Item) -> Outcome:
        """Hand in one item and wait for its own outcome.

        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable or DatabaseMisconfigured (never
        sent), or what `settle` raised for this item alone.
        """
        if self._closing or self._waiting >= self._bounds.waiting_max:
            raise WaitingLineFull(f"{self._waiting} requests are waiting")
        lane = self._lanes[account_id % len(self._lanes)]
        entry: _Entry[Item, Outcome] = _Entry(
            item, asyncio.get_running_loop().create_future(), time.monotonic()
        )
        lane.add(account_id, entry)
        self._waiting += 1
        self._accounts[account_id] += 1
        try:
            return await entry.outcome
        finally:
            self._accounts[account_id] -= 1
            if not self._accounts[account_id]:
                del self._accounts[account_id]

    async def _serve(self, lane: _Lane[Item, Outcome]) -> None:
        while lane.waiting or not self._closing:
            if not lane.waiting:
                lane.wake.clear()
                await lane.wake.wait()
                continue
            batch = self._next_batch(lane)
            try:
                await self._run(lane, batch)
            except asyncio.CancelledError:
                lane.drop_connection()
                raise
            finally:
                self._waiting -= len(batch)
                _fail(batch, OutcomeUnknown("the service stopped before it could commit"))

    def _next_batch(self, lane: _Lane[Item, Outcome]) -> list[_Entry[Item, Outcome]]:
        size_max = self._bounds.batch_max
        is_alone = len(self._accounts) <= 1
        batch = lane.take(size_max, size_max if is_alone else max(1, size_max // SHARES))
        self._batch_size.observe(len(batch))
        self._wait_seconds.observe(time.monotonic() - batch[0].entered_at)
        return batch

    async def _run(
        self, lane: _Lane[Item, Outcome], batch: Sequence[_Entry[Item, Outcome]]
    ) -> None:
        """Settle a batch to the end: every entry has its outcome when this returns."""
        batch = self._refuse_the_late(batch)
        sent = False
        while batch:
            try:
                if lane.connection is None:
                    lane.connection = await self._database.connect()
                sent = True
                outcomes = await self._transact(lane.connection, batch)
            except Exception as error:  # noqa: BLE001 - it becomes the outcome of who caused it
                # Where the connection could not be made, or was lost, no item is to blame.
                if lane.connection is None or isinstance(error, DatabaseUnavailable):
                    lane.drop_connection()
                elif not is_transient(error):
                    await self._isolate(lane, batch, error)
                    return
                batch = self._give_up_on_the_late(batch, error, sent=sent)
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                for entry, outcome in zip(batch, outcomes, strict=True):
                    if not entry.outcome.done():
                        entry.outcome.set_result(outcome)
                return

    async def _isolate(
        self,
        lane: _Lane[Item, Outcome],
        batch: Sequence[_Entry[Item, Outcome]],
        error: Exception,
    ) -> None:
        """The batch was rolled back for one bad item: try each alone; only the bad one fails."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for entry in batch:
            await self._run(lane, [entry])

    async def _transact(
        self, connection: Connection, batch: Sequence[_Entry[Item, Outcome]]
    ) -> Sequence[Outcome]:
        with translated():
            async with asyncio.timeout(BATCH_TIMEOUT_SECONDS):
                outcomes = await self._settle(connection, [entry.item for entry in batch])
                # A defect, and the transaction stands; request ids make it safe to ask again.
                if len(outcomes) != len(batch):
                    raise AssertionError(
                        f"{self._operation}: {len(outcomes)} outcomes of {len(batch)} items"
                    )
                return outcomes

    def _refuse_the_late(
        self, batch: Sequence[_Entry[Item, Outcome]]
    ) -> list[_Entry[Item, Outcome]]:
        """Fail, unsent, the entries whose deadline passed in line; return the others.

        Else each would be tried once more, and behind a database that does not answer the last in
        line would wait for all the time-outs before it.
        """
        oldest = time.monotonic() - self._bounds.deadline_seconds
        late = [entry for entry in batch if entry.entered_at <= oldest]
        if late:
            log.warning("waited_too_long", operation=self._operation, size=len(late))
            _fail(late, DatabaseUnavailable("the database is too slow; nothing of this was sent"))
        return [entry for entry in batch if entry.entered_at > oldest]

    def _give_up_on_the_late(
        self, batch: Sequence[_Entry[Item, Outcome]], error: Exception, *, sent: bool
    ) -> list[_Entry[Item, Outcome]]:
        """Fail the entries whose deadline has passed; return those worth another attempt."""
        log.warning(
            "batch_not_settled", operation=self._operation, size=len(batch), error=str(error)
        )
        oldest = time.monotonic() - self._bounds.deadline_seconds
        late = [entry for entry in batch if entry.entered_at <= oldest or entry.outcome.done()]
        _fail(late, OutcomeUnknown(str(error)) if sent else error)
        return [entry for entry in batch if not entry.outcome.done()]


def _fail(entries: Iterable[_Entry[Item, Outcome]], error: Exception) -> None:
    for entry in entries:
        if not entry.outcome.done():
            entry.outcome.set_exception(error)
