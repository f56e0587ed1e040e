"""Runs queued generations: start, generate within a time limit, complete, or fail and refund.

A worker never deducts; it refunds on failure only. Attempts are counted in the session's row, so
an attempt whose worker died counts like one that failed, and a session ends after
`generator_attempts` of them either way. Only the attempts at which a generator asks to be asked
later are taken back: they are waited out until the session's deadline.
"""

import asyncio
import time
from typing import Final

from storecredit import telemetry
from storecredit.generation.generators import (
    AttemptFailed,
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    Generator,
    GeneratorBusy,
    GeneratorUnavailable,
    ModerationBlocked,
    concurrency_of,
)
from storecredit.generation.lifecycle import (
    Ended,
    GenerationJob,
    Lifecycle,
    Postponed,
    Started,
)
from storecredit.generation.results.store import ResultStore, reason_of
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import OutcomeUnknown, WaitingLineFull
from storecredit.postgres.job_queue import JobQueue, TryAgainLater
from storecredit.postgres.pacing import backoff
from storecredit.settings import Settings

log = telemetry.get_logger("generation.worker")

DATABASE_RETRY_SECONDS: Final = 1.0
BUSY_BACKOFF_SHARE: Final = 0.25
"""A generator that stays busy is left alone for this share of the time since the first attempt,
even if it asks for less."""
BUSY_BACKOFF_MAX_SECONDS: Final = 30.0


class ResultNotStored(GeneratorUnavailable):
    """The image was made, and the disk or the bucket did not take it."""


class Worker:
    """Takes jobs from the queue and sees each session through one attempt."""

    def __init__(
        self,
        queue: JobQueue,
        lifecycle: Lifecycle,
        generator: Generator,
        results: ResultStore,
        settings: Settings,
        metrics: telemetry.Metrics,
    ) -> None:
        self._queue = queue
        self._lifecycle = lifecycle
        self._generator = generator
        self._results = results
        self._settings = settings
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish the attempts under way."""
        await self._queue.run(
            self._handle,
            stop=stop,
            concurrency=concurrency_of(self._generator, self._settings),
            heartbeat_timeout_seconds=self._settings.worker_heartbeat_timeout_seconds,
            drain_seconds=self._settings.worker_drain_seconds,
        )

    async def _handle(self, payload: bytes) -> None:
        job = GenerationJob.from_payload(payload)
        with telemetry.bound(**job.names()):
            try:
                await self._attempt(job)
            except (DatabaseUnavailable, OutcomeUnknown, WaitingLineFull) as error:
                # The session's row is as it was, or ended: another look decides.
                log.warning("attempt_interrupted", error=str(error))
                raise TryAgainLater(DATABASE_RETRY_SECONDS) from error

    async def _attempt(self, job: GenerationJob) -> None:
        match await self._lifecycle.start(job):
            case Ended(outcome):
                log.info("generation_already_ended", outcome=outcome)
            case Started(attempt, _) if attempt > self._settings.generator_attempts:
                # Its attempts were used up by workers that died over it.
                await self._fail(job, GenerationFailed("The generation did not finish."), attempt)
            case Started() as started:
                await self._generate(job, started)

    async def _generate(self, job: GenerationJob, started: Started) -> None:
        request = GenerationRequest(
            session_id=job.session_id,
            request_id=job.request_id,
            image_urls=started.input.image_urls,
            prompt=started.input.prompt,
            options=started.input.options or {},
        )
        began = time.monotonic()
        outcome = "error"
        try:
            async with asyncio.timeout(self._settings.generation_timeout_seconds):
                image = await self._generator.generate(request)
            result_key = await self._store(job, image, started.attempt)
            outcome = "completed"
        except ModerationBlocked as blocked:
            outcome = "moderation_blocked"
            await self._fail(job, blocked, started.attempt)
            return
        except GenerationFailed as failed:
            outcome = "failed"
            await self._fail(job, failed, started.attempt)
            return
        except GeneratorUnavailable as unavailable:
            is_made = isinstance(unavailable, ResultNotStored)
            outcome = "not_stored" if is_made else "unavailable"
            await self._try_again_or_fail(job, unavailable, started.attempt)
            return
        except TimeoutError:
            outcome = "unavailable"
            late = GeneratorUnavailable(
                "The generation took too long.", FailureCode.GENERATOR_TIMEOUT
            )
            await self._try_again_or_fail(job, late, started.attempt)
            return
        except Exception:
            # A defect of a generator must not keep the credits; the trace is for the operator.
            log.exception("generator_broke", attempt=started.attempt)
            await self._fail(job, GenerationFailed("The generator broke."), started.attempt)
            return
        finally:
            self._metrics.generation_seconds.labels(outcome).observe(time.monotonic() - began)
        await self._complete(job, result_key, started.attempt)

    async def _store(self, job: GenerationJob, image: GeneratedImage, attempt: int) -> str:
        """The image's result key, once it is stored; what fails may be well at another attempt."""
        try:
            return await self._results.save(job.account.owner.id, job.session_id, image)
        except OSError as error:
            log.error("result_not_stored", attempt=attempt, reason=reason_of(error))  # noqa: TRY400 - the reason says it
            raise ResultNotStored(
                "The result could not be stored.", FailureCode.GENERATION_FAILED
            ) from error

    async def _complete(self, job: GenerationJob, result_key: str, attempt: int) -> None:
        if await self._lifecycle.complete(job, result_key):
            log.info("generation_completed", attempt=attempt)
        else:
            # What cannot be deleted is a stray.
            await self._results.delete([result_key])
            log.warning("result_not_wanted", attempt=attempt)

    async def _try_again_or_fail(
        self, job: GenerationJob, error: GeneratorUnavailable, attempt: int
    ) -> None:
        counts = not isinstance(error, GeneratorBusy)
        if counts and attempt >= self._settings.generator_attempts:
            await self._fail(job, error, attempt)
            return
        match await self._lifecycle.postpone(job, error.generator_message, counts=counts):
            case Ended(outcome):
                log.info("generation_already_ended", outcome=outcome)
            case Postponed(seconds_open, seconds_begun):
                wait = self._wait(error, attempt, seconds_begun)
                if seconds_open + wait > self._settings.generation_deadline_seconds:
                    # It would be given up while it waits: the credits come back now.
                    await self._fail(job, error, attempt)
                    return
                log.warning(
                    "attempt_failed" if counts else "attempt_put_off",
                    attempt=attempt,
                    again_in_seconds=round(wait, 3),
                    code=error.code.value,
                )
                raise TryAgainLater(wait) from error

    def _wait(self, error: GeneratorUnavailable, attempt: int, seconds_begun: float) -> float:
        """Seconds until the next attempt: the back-off, or what the generator asks for if longer.

        Attempts that count double the back-off. Those that do not are without number: they come
        more seldom the longer the generator has been busy, and end with the deadline.
        """
        if isinstance(error, GeneratorBusy):
            grown = min(seconds_begun * BUSY_BACKOFF_SHARE, BUSY_BACKOFF_MAX_SECONDS)
            seconds = max(self._settings.generator_backoff_seconds, grown)
        else:
            # A wait as long as the deadline is the end of the session, as any longer one is.
            seconds = backoff(
                self._settings.generator_backoff_seconds,
                attempt,
                self._settings.generation_deadline_seconds,
            )
        return max(seconds, error.retry_after_seconds or 0.0)

    async def _fail(self, job: GenerationJob, error: AttemptFailed, attempt: int) -> None:
        failure = Failure(error.code, str(error), error.generator_message)
        refunded = await self._lifecycle.fail_and_refund(job, failure)
        log.info("generation_failed", code=error.code.value, attempt=attempt, refunded=refunded)
