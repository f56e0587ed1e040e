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
- somebody else holds a row that one account needs: the batch is rolled back and the accounts are
  tried one by one. Those that are held up go into a lane of their own, the siding, until they are
  free, and make nobody else wait;
- the connection breaks: whether the transaction was committed is unknown. The batch is sent again
  on a new connection (request ids make that safe) until the outcome is known, or until an item's
  deadline passes: then `OutcomeUnknown`;
- the server does not answer (a synchronous standby is away, a disk hangs): the lane waits for it,
  on the connection it has, for another one would only wait beside it. Items are told at their
  deadline what is known of them.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic

from storecredit import telemetry
from storecredit.postgres.errors import (
    DatabaseError,
    DatabaseUnavailable,
    LockTimedOut,
    is_transient,
    translated,
)
from storecredit.postgres.lanes import Batch, Entry, Item, Lane, Outcome
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings

log = telemetry.get_logger("postgres.group_commit")

RETRY_WAIT_SECONDS: Final = 0.05
BATCH_TIMEOUT_SECONDS: Final = 5.0
"""A batch that has no answer after so long is stalled; it is looked at again as often."""
LATE_CHECK_SECONDS: Final = 0.25
"""How often, while a batch is stalled, those are looked for whose deadline has passed."""
LOCK_WAIT_MS: Final = 1000
"""How long a batch waits for a lock: what others of ours hold is free within milliseconds."""
LOCK_GLANCE_MS: Final = 50
"""How long it waits once it is known that somebody is in the way.

In the siding twice as long after each time in vain, as what is slow is not held; LOCK_WAIT_MS at
most.
"""
HELD_UP_MAX: Final = 1000
"""Accounts that are remembered as held up; of more, the oldest goes back to its lane."""
_STOPPED: Final = "the service stopped before it could commit"
SHARES: Final = 4
"""What a batch is divided into while there is more than one account; each has one share at most."""


class WaitingLineFull(Exception):
    """Too many requests wait already; nothing of this one was sent."""


class OutcomeUnknown(Exception):
    """The database went away and did not come back in time: send the same request id again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The named maxima of one group commit."""

    lanes: int
    batch_max: int
    waiting_max: int
    deadline_seconds: float

    @classmethod
    def of(cls, settings: Settings, *, lanes: int | None = None) -> "Bounds":
        """Those of the settings; with `lanes`, with so many lanes instead."""
        return cls(
            lanes=settings.commit_lanes if lanes is None else lanes,
            batch_max=settings.commit_batch_max,
            waiting_max=settings.commit_waiting_max,
            deadline_seconds=settings.commit_deadline_seconds,
        )


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
        self._lanes: list[Lane[Item, Outcome]] = [Lane(LOCK_WAIT_MS) for _ in range(bounds.lanes)]
        self._siding: Lane[Item, Outcome] = Lane(LOCK_GLANCE_MS)
        self._held_up: OrderedDict[int, None] = OrderedDict()
        self._waiting = 0
        self._accounts: Counter[int] = Counter()
        self._closing = False

    async def start(self) -> None:
        """Begin to serve; connections are opened when first needed."""
        for lane in self._all_lanes():
            name = f"group-commit-{self._operation}"
            lane.task = asyncio.create_task(self._serve(lane), name=name)

    async def stop(self) -> None:
        """Take nothing new, finish what waits (at most the deadline long), then end."""
        self._closing = True
        give_up_at = time.monotonic() + self._bounds.deadline_seconds + 1
        await self._finish(self._lanes, give_up_at)
        # Only now: the last batch of a lane may have put something into it.
        await self._finish([self._siding], give_up_at)
        for lane in self._all_lanes():
            _fail(lane.take(lane.waiting, lane.waiting), OutcomeUnknown(_STOPPED))
        await asyncio.gather(*(lane.close() for lane in self._all_lanes()))

    async def _finish(self, lanes: Sequence[Lane[Item, Outcome]], give_up_at: float) -> None:
        for lane in lanes:
            lane.finish()
        tasks = [lane.task for lane in lanes if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, give_up_at - time.monotonic()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(self, account_id: int, item: Item) -> Outcome:
        """Hand in one item and wait for its own outcome.

        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable (never sent), or what `settle`
        raised for this item alone.
        """
        if self._closing or self._waiting >= self._bounds.waiting_max:
            raise WaitingLineFull(f"{self._waiting} requests are waiting")
        is_held_up = account_id in self._held_up
        lane = self._siding if is_held_up else self._lanes[account_id % len(self._lanes)]
        entry: Entry[Item, Outcome] = Entry(
            account_id, item, asyncio.get_running_loop().create_future(), time.monotonic()
        )
        lane.add(entry)
        self._waiting += 1
        self._accounts[account_id] += 1
        try:
            return await entry.outcome
        finally:
            self._accounts[account_id] -= 1
            if not self._accounts[account_id]:
                del self._accounts[account_id]

    async def _serve(self, lane: Lane[Item, Outcome]) -> None:
        while lane.waiting or not lane.is_closing:
            if not lane.waiting:
                lane.wake.clear()
                await lane.wake.wait()
                continue
            batch = self._next_batch(lane)
            try:
                await self._run(lane, batch)
            except BaseException:
                # Who waits in the siding is told so, too; sent he will be all the same.
                lane.drop_connection()
                _fail(batch, OutcomeUnknown(_STOPPED))
                raise
            finally:
                self._waiting -= len(batch)

    def _all_lanes(self) -> tuple[Lane[Item, Outcome], ...]:
        return (*self._lanes, self._siding)

    def _next_batch(self, lane: Lane[Item, Outcome]) -> list[Entry[Item, Outcome]]:
        size_max = self._bounds.batch_max
        is_alone = len(self._accounts) <= 1
        batch = lane.take(size_max, size_max if is_alone else max(1, size_max // SHARES))
        self._batch_size.observe(len(batch))
        self._wait_seconds.observe(time.monotonic() - batch[0].entered_at)
        return batch

    async def _run(self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome]) -> None:
        """Settle a batch: every entry has its outcome when this returns, or waits in the siding."""
        batch = self._refuse_the_late(batch)
        while batch:
            try:
                outcomes = await self._transact(lane, batch)
            except LockTimedOut as error:
                await self._part(lane, batch, error)
                return
            except Exception as error:  # noqa: BLE001 - it becomes the outcome of who caused it
                # Where the connection could not be made, or was lost, no item is to blame.
                if lane.connection is None or isinstance(error, DatabaseUnavailable):
                    _doubt(batch if lane.connection is not None else ())
                    lane.drop_connection()
                elif not is_transient(error):
                    await self._isolate(lane, batch, error)
                    return
                batch = self._give_up_on_the_late(batch, error)
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            else:
                for entry, outcome in zip(batch, outcomes, strict=True):
                    if not entry.outcome.done():
                        entry.outcome.set_result(outcome)
                if self._held_up:
                    await self._release(lane, batch)
                return

    async def _transact(
        self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome]
    ) -> Sequence[Outcome]:
        connection = await lane.connect(self._database)
        with translated(), self._watched(lane, batch):
            outcomes = await self._settle(connection, [entry.item for entry in batch])
            lane.doubts.refuse()
            # A defect, and the transaction stands; request ids make it safe to ask again.
            if len(outcomes) != len(batch):
                raise AssertionError(
                    f"{self._operation}: {len(outcomes)} outcomes of {len(batch)} items"
                )
            return outcomes

    async def _isolate(
        self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome], error: Exception
    ) -> None:
        """The batch was rolled back for one bad item: try each alone; only the bad one fails."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        for entry in batch:
            await self._run(lane, [entry])

    async def _part(
        self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome], error: LockTimedOut
    ) -> None:
        """The batch was rolled back, as somebody else holds what it locks: try each account alone.

        What is held up waits in the siding, and lets all others pass.
        """
        by_account: dict[int, list[Entry[Item, Outcome]]] = {}
        for entry in batch:
            by_account.setdefault(entry.account_id, []).append(entry)
        if len(by_account) == 1:
            await self._put_aside(lane, self._refuse_the_late(batch), error)
            return
        waited_ms = lane.lock_wait_ms
        if lane is not self._siding:
            await lane.wait_for_locks(LOCK_GLANCE_MS)
        for entries in by_account.values():
            await self._run(lane, entries)
        if lane is not self._siding:
            await lane.wait_for_locks(waited_ms)

    async def _put_aside(
        self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome], error: LockTimedOut
    ) -> None:
        """Have one account's entries, and what waits behind them, served in the siding."""
        self._waiting += len(batch)
        for account_id in {entry.account_id for entry in batch}:
            if account_id not in self._held_up:
                log.warning("account_held_up", operation=self._operation, error=str(error))
            self._held_up[account_id] = None
            behind = () if lane is self._siding else lane.take_line(account_id)
            self._siding.put_back([*batch, *behind])
        while len(self._held_up) > HELD_UP_MAX:
            self._held_up.popitem(last=False)
        if lane is self._siding:
            await lane.wait_for_locks(min(2 * lane.lock_wait_ms, LOCK_WAIT_MS))
            await asyncio.sleep(RETRY_WAIT_SECONDS)

    async def _release(self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome]) -> None:
        """Whoever is served is no longer held up, once nothing of it waits in the siding."""
        for entry in batch:
            if not self._siding.has(entry.account_id):
                self._held_up.pop(entry.account_id, None)
        if lane is self._siding:
            await lane.wait_for_locks(LOCK_GLANCE_MS)

    @contextlib.contextmanager
    def _watched(self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome]) -> Iterator[None]:
        """Look after a batch that has no answer for long. Costs a timer while all is well."""
        watching: list[asyncio.Task[None]] = []

        def begin() -> None:
            watching.append(asyncio.create_task(self._watch(lane, batch), name="stalled-batch"))

        timer = asyncio.get_running_loop().call_later(BATCH_TIMEOUT_SECONDS, begin)
        try:
            yield
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()

    async def _watch(self, lane: Lane[Item, Outcome], batch: Batch[Item, Outcome]) -> None:
        """Tell those their deadline who wait for a stalled batch, until it is known to be lost."""
        log.warning("batch_stalled", operation=self._operation, size=len(batch))
        _doubt(batch)
        error = DatabaseUnavailable("the database does not answer")
        looked_at = -BATCH_TIMEOUT_SECONDS
        while (connection := lane.connection) is not None:
            self._fail_the_late(batch, error)
            late_since = time.monotonic() - self._bounds.deadline_seconds
            too_late = lane.take_until(late_since)
            self._waiting -= len(too_late)
            _fail(too_late, error)
            if time.monotonic() - looked_at >= BATCH_TIMEOUT_SECONDS:
                if not await self._is_at_work(lane.backend_pid):
                    # Whoever waits for the answer is told that the connection is lost.
                    connection.terminate()
                    return
                looked_at = time.monotonic()
            await asyncio.sleep(LATE_CHECK_SECONDS)

    async def _is_at_work(self, backend_pid: int) -> bool:
        """Whether the server has not finished the batch; it is waited for if nobody can say."""
        try:
            return await self._database.is_at_work(backend_pid)
        except DatabaseError as error:
            log.warning("stalled_batch_unseen", operation=self._operation, error=str(error))
            return True

    def _refuse_the_late(self, batch: Batch[Item, Outcome]) -> list[Entry[Item, Outcome]]:
        """Fail the entries whose deadline passed in line; return the others.

        Else each would be tried once more, and behind a database that does not answer the last in
        line would wait for all the time-outs before it.
        """
        error = DatabaseUnavailable("the database is too slow; nothing of this was sent")
        late = self._fail_the_late(batch, error)
        if not late:
            return list(batch)
        log.warning("waited_too_long", operation=self._operation, size=len(late))
        return [entry for entry in batch if entry not in late]

    def _give_up_on_the_late(
        self, batch: Batch[Item, Outcome], error: Exception
    ) -> list[Entry[Item, Outcome]]:
        """Fail the entries whose deadline has passed; return those worth another attempt."""
        log.warning(
            "batch_not_settled", operation=self._operation, size=len(batch), error=str(error)
        )
        is_told = isinstance(error, DatabaseError)
        self._fail_the_late(batch, error if is_told else DatabaseUnavailable(str(error)))
        return [entry for entry in batch if not entry.outcome.done()]

    def _fail_the_late(self, batch: Batch[Item, Outcome], error: Exception) -> Batch[Item, Outcome]:
        """Fail the entries whose deadline has passed, and return them."""
        oldest = time.monotonic() - self._bounds.deadline_seconds
        late = [entry for entry in batch if entry.entered_at <= oldest]
        _fail(late, error)
        return late


def _fail(entries: Iterable[Entry[Item, Outcome]], error: Exception) -> None:
    for entry in entries:
        entry.fail(OutcomeUnknown(str(error)) if entry.is_in_doubt else error)


def _doubt(batch: Iterable[Entry[Item, Outcome]]) -> None:
    for entry in batch:
        entry.is_in_doubt = True
