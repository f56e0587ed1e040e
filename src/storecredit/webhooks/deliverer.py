"""The deliverer: it takes what is due, sends it, and records what came of it.

Promises that everything is delivered at least once: what this process has taken and does not
record, whatever it dies of, is due again when its lease is over. One slow receiver holds up nobody
else: an endpoint has its share of what is under way, a failing one a small one, all failing ones
together a quarter, and the fuller it gets the smaller shares become. Any number of processes may
deliver at once. An ordered endpoint is one process's at a time, which sends one event after
the other.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

from storecredit import telemetry
from storecredit.outbound.addresses import Resolver
from storecredit.outbound.name_lookups import NameLookups
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import OutcomeUnknown, WaitingLineFull
from storecredit.postgres.pacing import every, pause
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.webhooks.answers import Answer
from storecredit.webhooks.capacity import Capacity, Part
from storecredit.webhooks.deliveries import (
    LEASE,
    RECORD_SECONDS,
    Attempt,
    Deliveries,
    Delivery,
    Outcome,
)
from storecredit.webhooks.messages import message_id, whose
from storecredit.webhooks.schedule import wait_seconds

if TYPE_CHECKING:
    from storecredit.webhooks.sending import Sender

log = telemetry.get_logger("webhooks.deliverer")

IDLE_SECONDS: Final = 0.25
"""How often is looked for what is due while nothing is."""
BUSY_SECONDS: Final = 0.01
"""At least so long between two looks: what is taken together is recorded together."""
LOOKING_PART: Final = 4
"""While nothing is due it waits at least so many times as long as looking for it took."""
AWAY_SECONDS: Final = 1.0
"""The same while the database is away."""


class Deliverer:
    """Delivers, for as long as it runs. `open()` before use, `close()` after."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        metrics: telemetry.Metrics,
        *,
        resolve: Resolver | None = None,
        part: Part | None = None,
    ) -> None:
        """`part`: of what the process may have under way, where it has other deliverers."""
        self._deliveries = Deliveries(database, settings, metrics)
        self._sender: Sender | None = None
        self._resolve = resolve or NameLookups()
        self._settings = settings
        self._part = part or Capacity(settings, 1).parts[0]
        self._metrics = metrics
        self._random = Random()  # noqa: S311 - jitter need not be unguessable
        self._has_room = asyncio.Event()
        self._after: UUID | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to serve."""
        await self._deliveries.open()

    async def close(self) -> None:
        """End what is still under way (its lease runs out), record what came of the rest."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
        await self._deliveries.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver and tidy up until `stop` is set; what is under way then is finished first."""
        tidying = asyncio.create_task(
            every(self._settings.sweep_interval_seconds, stop, self.tidy), name="webhook-tidying"
        )
        while not stop.is_set():
            began_at = time.monotonic()
            try:
                taken = await self.take(stop)
            except DatabaseUnavailable as error:
                log.warning("deliveries_not_taken", error=str(error))
                await pause(AWAY_SECONDS, stop)
                continue
            if not taken:
                # Where looking takes long (many fail, a dump holds a snapshot) it is done less.
                took_seconds = time.monotonic() - began_at
                await self._idle(max(IDLE_SECONDS, LOOKING_PART * took_seconds), stop)
                await pause(took_seconds, stop)
            await pause(BUSY_SECONDS, stop)
        await tidying
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.worker_drain_seconds)

    async def deliver_due(self) -> int:
        """Deliver what is due now, and wait until that is recorded: how many were attempted."""
        count, stop = 0, asyncio.Event()
        while taken := await self.take(stop):
            await asyncio.gather(*self._tasks)
            count += len(taken)
        return count

    async def tidy(self) -> None:
        """End what cannot be delivered any more, forget what is old, and measure."""
        try:
            for what, count in (await self._deliveries.tidy()).items():
                if count:
                    log.info("deliveries_tidied", what=what, count=count)
            self._part.lag_seconds = await self._deliveries.lag_seconds()
            self._metrics.webhook_lag_seconds.set(self._part.longest_lag())
        except DatabaseUnavailable as error:
            log.warning("tidying_interrupted", error=str(error))
        except Exception:
            # What cannot be forgotten or measured keeps nothing from being delivered.
            log.exception("tidying_failed")

    async def take(self, stop: asyncio.Event) -> Sequence[Delivery]:
        """Take what there is room for, and have it sent."""
        room = self._part.room(len(self._tasks))
        if not room.total:
            return ()
        taken = await self._deliveries.take(room, self._after)
        if not taken and self._after is not None:
            taken = await self._deliveries.take(room, None)
        # Where there was no room for more, the endpoints after it are next.
        self._after = taken[-1].endpoint_id if len(taken) >= room.total else None
        if not taken:
            return ()
        sender = await self._started_sender()
        runs: dict[UUID, list[Delivery]] = {}
        for delivery in taken:
            if delivery.is_ordered:
                runs.setdefault(delivery.endpoint_id, []).append(delivery)
            else:
                self._begin(sender, [delivery], stop)
        for run in runs.values():
            self._begin(sender, run, stop)
        return taken

    async def _idle(self, seconds: float, stop: asyncio.Event) -> None:
        """Until it is time to look again: there may be more, or there is room for more."""
        self._has_room.clear()
        waits = [asyncio.create_task(each.wait()) for each in (stop, self._has_room)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _started_sender(self) -> "Sender":
        if self._sender is None:
            # The HTTP client costs some tenths of a second: a service that tells nobody does
            # without it, and the one that does goes on serving while it is loaded.
            sending = await asyncio.to_thread(import_module, "storecredit.webhooks.sending")
            self._sender = sending.Sender(
                self._resolve,
                timeout_seconds=self._settings.webhook_timeout_seconds,
                allow_private_hosts=self._settings.allow_private_hosts,
            )
        return self._sender

    def _begin(self, sender: "Sender", run: Sequence[Delivery], stop: asyncio.Event) -> None:
        """Have these deliveries of one endpoint sent, one after the other: it is one under way."""
        first = run[0]
        self._part.under_way[first.endpoint_id] += 1
        self._part.failing += first.is_failing
        task = asyncio.create_task(self._send_run(sender, run, stop), name="webhook-delivery")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end(first, done))

    def _make_room(self, first: Delivery) -> None:
        """These deliveries, of which this is the first, are no longer under way."""
        under_way = self._part.under_way
        self._part.failing -= first.is_failing
        under_way[first.endpoint_id] -= 1
        if not under_way[first.endpoint_id]:
            del under_way[first.endpoint_id]
        self._has_room.set()

    def _end(self, first: Delivery, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._has_room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect. The lease runs out, and the next attempt says so again; the others go on.
            log.error("delivery_broke", endpoint_id=first.endpoint_id, exc_info=error)

    async def _send_run(
        self, sender: "Sender", run: Sequence[Delivery], stop: asyncio.Event
    ) -> None:
        # No attempt may begin that could outlast the lease.
        longest = LEASE.total_seconds() - self._settings.webhook_timeout_seconds - RECORD_SECONDS
        last_end_at = time.monotonic() + longest - self._settings.webhook_timeout_seconds
        records = []
        try:
            for place, delivery in enumerate(run, start=1):
                is_last = place == len(run)
                # Of who is told seldom nothing is kept open: there may be many with one event each.
                keep_connection = not is_last or self._part.under_way[delivery.endpoint_id] > 1
                answer = await sender.send(delivery, keep_connection=keep_connection)
                ends = is_last or stop.is_set() or time.monotonic() > last_end_at
                attempt = self._judged(delivery, answer, ends=ends)
                # The next one does not wait for what is written of this one.
                records.append(asyncio.create_task(self._record(attempt), name="webhook-record"))
                if attempt.resumes is not None:
                    break
        finally:
            self._make_room(run[0])
            await asyncio.gather(*records)

    def _judged(self, delivery: Delivery, answer: Answer, *, ends: bool) -> Attempt:
        """What follows; `ends`: nothing else of an ordered endpoint is sent after it now."""
        wait = None
        if answer.is_success:
            outcome = Outcome.DELIVERED
        elif answer.is_gone:
            outcome = Outcome.GONE
        else:
            seconds = wait_seconds(delivery.retries, answer.asked_seconds, self._random)
            wait = None if seconds is None else timedelta(seconds=seconds)
            outcome = Outcome.FAILED if wait is None else Outcome.RETRY
        if not delivery.is_ordered:
            return Attempt(delivery, answer, outcome, wait=wait)
        at_once = timedelta() if ends or outcome is not Outcome.DELIVERED else None
        return Attempt(delivery, answer, outcome, resumes=wait or at_once)

    async def _record(self, attempt: Attempt) -> None:
        delivery, answer = attempt.delivery, attempt.answer
        self._metrics.webhook_attempts.labels(attempt.outcome).inc()
        event = delivery.event
        fields = {
            "endpoint_id": delivery.endpoint_id,
            "event_id": message_id(event.event_id),
            "event_type": event.type,
            **whose(event),
        }
        if attempt.outcome is not Outcome.DELIVERED:
            log.info(
                "delivery_failed",
                outcome=attempt.outcome,
                status=answer.status_code,
                error=answer.error,
                **fields,
            )
        try:
            is_disabled = await self._deliveries.record(attempt)
        except (DatabaseUnavailable, OutcomeUnknown, WaitingLineFull) as error:
            log.warning("attempt_not_recorded", error=str(error), **fields)
            return
        if is_disabled:
            log.warning(
                "endpoint_disabled", status=answer.status_code, error=answer.error, **fields
            )
