"""The composition root: from settings and an open database to one running service.

Builds the parts, runs the HTTP server, the worker and the sweep side by side, and stops them in
the order in which nothing is lost: first no new requests, then the attempts under way are
finished, then the commits; the database is closed by whoever opened it.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from storecredit import telemetry
from storecredit.billing.assembly import Billing
from storecredit.billing.paddle.signature import Signatures
from storecredit.generation import endings
from storecredit.generation.archived import Archives
from storecredit.generation.archiving import Archiving
from storecredit.generation.endings import Endings
from storecredit.generation.erasure import Erasure
from storecredit.generation.generators import load_generator
from storecredit.generation.lifecycle import ENTRYPOINT, Lifecycle
from storecredit.generation.results.links import ResultLinks
from storecredit.generation.results.store import ResultStore, open_results, reason_of
from storecredit.generation.sessions import Sessions
from storecredit.generation.sweep import Sweep
from storecredit.generation.worker import Worker
from storecredit.ledger.balance_reads import BalanceReads
from storecredit.ledger.checkpoints.making import Checkpoints
from storecredit.ledger.checkpoints.proofs import Proofs
from storecredit.ledger.courses import Courses
from storecredit.ledger.credits import Credits
from storecredit.ledger.expiry import ExpirySweep
from storecredit.ledger.grants import Grants
from storecredit.ledger.hold_records import HoldRecords
from storecredit.ledger.holds import Holds
from storecredit.ledger.owner_pages import OwnerPages
from storecredit.ledger.pace import Pace
from storecredit.ledger.sent_along import SentAlong
from storecredit.ledger.spending import Spending
from storecredit.ledger.summing import Summing
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import AuditLog
from storecredit.operator.billing import BillingActions
from storecredit.operator.live import Live
from storecredit.operator.overview import Overviews
from storecredit.operator.owner_names import OwnerNames
from storecredit.operator.report import Reports
from storecredit.operator.requests import Requests
from storecredit.postgres.buckets import Buckets, SeveralBuckets
from storecredit.postgres.buckets import opened as buckets_of
from storecredit.postgres.job_queue import JobQueue
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.rate_limits import RateLimits
from storecredit.stores.stores import Stores
from storecredit.users.directory import UserDirectory
from storecredit.users.tokens import Tokens
from storecredit.users.users import Users
from storecredit.web.app import create_app, create_metrics_app, framework_of
from storecredit.web.gauges import Gauges
from storecredit.web.http.protocol import waiters_max
from storecredit.web.http.server import http_server
from storecredit.web.parts import Parts
from storecredit.web.public.starting import starting_app
from storecredit.webhooks.delivering import Delivering
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.endpoints import Endpoints
from storecredit.webhooks.expiry_notices import ExpiryNotices

log = telemetry.get_logger("service")


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that runs in one process."""

    buckets: Buckets
    parts: Parts
    queue: JobQueue
    sweep: Sweep
    expiry: ExpirySweep
    notices: ExpiryNotices
    summing: Summing
    archiving: Archiving
    checkpoints: Checkpoints
    listener: Listener
    billing: Billing

    def end_waits(self) -> None:
        """Have all be answered who wait for something to happen, or watch what happens."""
        self.parts.endings.close()
        self.parts.live.close()


@asynccontextmanager
async def assembled(settings: Settings, database: Buckets) -> AsyncIterator[Service]:
    """The parts, wired together and started; the commits under way are finished at the end.

    `database`: its first bucket, or all that are to be used.
    """
    async with AsyncExitStack() as stack:
        if isinstance(database, SeveralBuckets):
            buckets: Buckets = database
        else:
            buckets = await stack.enter_async_context(buckets_of(database))
        yield await stack.enter_async_context(_assembled(settings, buckets))


@asynccontextmanager
async def _assembled(settings: Settings, buckets: Buckets) -> AsyncIterator[Service]:
    database = buckets.home
    metrics = telemetry.Metrics(_shared_metrics(settings))
    listener = Listener(buckets, CHANNEL, endings.CHANNEL)
    sessions = Sessions(buckets)
    queue = JobQueue(buckets, ENTRYPOINT)
    lifecycle = Lifecycle(buckets, settings, metrics)
    spending = Spending(buckets, settings, metrics)
    balances = BalanceReads(buckets, settings, metrics)
    holds = Holds(buckets, settings, metrics)
    results = open_results(settings)
    billing = Billing.from_settings(settings, buckets)
    credits = Credits(buckets, timedelta(days=settings.refund_grace_days))
    stores = Stores(buckets, tiers=settings.rate_limits)
    parts = Parts(
        settings=settings,
        metrics=metrics,
        gauges=Gauges(buckets, credits, billing.problems, Endpoints(buckets)),
        database=database,
        stores=stores,
        api_keys=ApiKeys(buckets, listener),
        rate_limits=RateLimits(settings),
        credits=credits,
        balances=balances,
        courses=Courses(buckets),
        pace=Pace(buckets),
        owner_pages=OwnerPages(buckets),
        holds=holds,
        hold_records=HoldRecords(buckets),
        sent_along=SentAlong(buckets),
        grants=Grants(buckets),
        tokens=Tokens(settings),
        users=Users(
            buckets,
            settings.starter_credits,
            anonymous_too=settings.anonymous_starter_credits,
            listener=listener,
        ),
        user_directory=UserDirectory(buckets),
        erasure=Erasure(buckets, results, settings),
        sessions=sessions,
        archives=Archives(buckets),
        proofs=Proofs(buckets),
        endings=Endings(sessions, listener, metrics, waiters_max=waiters_max()),
        live=Live(buckets, billing.problems, Endpoints(buckets), billing.catalogue),
        requests=Requests(buckets),
        reports=Reports(buckets),
        overviews=Overviews(buckets, billing.problems, Endpoints(buckets)),
        operator=OperatorActions.over(buckets, results, settings),
        billing_actions=BillingActions(billing, AuditLog(buckets)),
        owner_names=OwnerNames(buckets, stores),
        lifecycle=lifecycle,
        spending=spending,
        results=results,
        result_links=ResultLinks(settings.data_dir, settings.signing_key),
        catalogue=billing.catalogue,
        checkouts=billing.checkouts,
        subscriptions=billing.subscriptions,
        top_ups=billing.top_ups,
        paddle_events=billing.events,
        problems=billing.problems,
        bookings=billing.bookings,
        signatures=Signatures(settings) if billing.is_on else None,
        endpoints=Endpoints(buckets),
        delivery_records=DeliveryRecords(buckets),
    )
    sweep = Sweep(buckets, lifecycle, results, settings, metrics)
    expiry = ExpirySweep(buckets, settings, metrics)
    listening = asyncio.create_task(listener.run(), name="listener")
    committing = (lifecycle, spending, balances, holds, expiry)
    for part in committing:
        await part.open()
    try:
        yield Service(
            buckets,
            parts,
            queue,
            sweep,
            expiry,
            ExpiryNotices(buckets, settings),
            Summing(buckets, settings),
            Archiving(buckets, settings, metrics),
            Checkpoints(buckets, settings),
            listener,
            billing,
        )
    finally:
        for part in reversed(committing):
            await part.close()
        parts.requests.close()
        for close in (
            parts.live.stop,
            results.close,
            billing.close,
            parts.api_keys.close,
            parts.rate_limits.close,
            parts.tokens.close,
        ):
            await close()
        await _cancelled(listening)


async def answer_starting(listening: Sequence[socket.socket]) -> None:
    """Tell whoever asks that the service starts, until cancelled; the sockets stay open."""
    http = http_server(starting_app)
    serving = asyncio.create_task(
        http.serve(sockets=[each.dup() for each in listening]), name="http-starting"
    )
    try:
        await asyncio.wait({serving})
    finally:
        http.should_exit = True
        await serving


async def serve(
    settings: Settings,
    database: Database,
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    metrics_listening: socket.socket | None = None,
    on_ready: Callable[[Service], "asyncio.Future[None] | None"] | None = None,
) -> None:
    """Run API, sweep and (unless switched off) worker until `stop` is set, then drain.

    `on_ready` is called once it answers; what needs the framework is answered a moment later.
    """
    async with assembled(settings, database) as service:
        framework = framework_of(service.parts)
        http = http_server(
            create_app(service.parts, framework=framework),
            idle_connection_seconds=settings.idle_connection_seconds,
            drain_seconds=settings.connection_drain_seconds,
            end_waits=service.end_waits,
        )
        async with (
            _metrics_served(service, metrics_listening, stop),
            _background(service, settings, stop, worker=settings.worker),
            _results_looked_at(service.parts.results, settings),
        ):
            serving = asyncio.create_task(http.serve(sockets=[listening]), name="http")
            log.info("serving", address=_address(listening), worker=settings.worker)
            if on_ready is not None:
                on_ready(service)
            try:
                await framework.make_beside()
                await _first(stop, serving)
            finally:
                http.should_exit = True
                await serving


async def work(
    settings: Settings,
    database: Database,
    stop: asyncio.Event,
    *,
    metrics_listening: socket.socket | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run worker and sweep alone until `stop` is set, then drain."""
    async with (
        assembled(settings, database) as service,
        _metrics_served(service, metrics_listening, stop),
        _background(service, settings, stop, worker=True),
        _results_looked_at(service.parts.results, settings),
    ):
        log.info("working")
        if on_ready is not None:
            on_ready()
        await stop.wait()


def _shared_metrics(settings: Settings) -> telemetry.SharedMetrics | None:
    if settings.metrics_dir is None:
        return None
    return telemetry.SharedMetrics(settings.metrics_dir, settings.process_number)


@asynccontextmanager
async def _metrics_served(
    service: Service, listening: socket.socket | None, stop: asyncio.Event
) -> AsyncIterator[None]:
    """`/metrics` on an address of its own, if it has one, until all else has stopped."""
    if listening is None:
        yield
        return
    http = http_server(create_metrics_app(service.parts))
    serving = asyncio.create_task(http.serve(sockets=[listening]), name="metrics")
    serving.add_done_callback(lambda _task: stop.set())
    log.info("serving_metrics", address=_address(listening))
    try:
        yield
    finally:
        http.should_exit = True
        await serving


@asynccontextmanager
async def _background(
    service: Service, settings: Settings, stop: asyncio.Event, *, worker: bool
) -> AsyncIterator[None]:
    """The sweeps, and what a worker does; on the way out they finish what they have begun."""
    async with AsyncExitStack() as stack:
        generator = load_generator(settings) if worker else None
        tasks = [
            asyncio.create_task(service.sweep.run(stop), name="sweep"),
            asyncio.create_task(service.expiry.run(stop), name="expiry"),
            asyncio.create_task(service.notices.run(stop), name="expiry-notices"),
            asyncio.create_task(service.summing.run(stop), name="summing"),
            asyncio.create_task(service.checkpoints.run(stop), name="checkpoints"),
            asyncio.create_task(service.parts.operator.sign_ins.late.run(stop), name="sign-outs"),
        ]
        if generator is not None:
            stack.push_async_callback(generator.aclose)
            working = Worker(
                service.queue,
                service.parts.lifecycle,
                generator,
                service.parts.results,
                settings,
                service.parts.metrics,
            )
            tasks.append(asyncio.create_task(working.run(stop), name="worker"))
        if worker:
            deliverer = Delivering(service.buckets, settings, service.parts.metrics)
            await deliverer.open()
            stack.push_async_callback(deliverer.close)
            tasks.append(asyncio.create_task(deliverer.run(stop), name="deliverer"))
        if worker and service.archiving.is_on:
            tasks.append(asyncio.create_task(service.archiving.run(stop), name="archiving"))
        if worker and service.billing.is_on:
            tasks.append(asyncio.create_task(service.billing.run(stop), name="billing"))
        for task in tasks:
            # A part that breaks for good must not leave half a service standing.
            task.add_done_callback(lambda _task: stop.set())
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


@asynccontextmanager
async def _results_looked_at(results: ResultStore, settings: Settings) -> AsyncIterator[None]:
    """Say, beside whatever else begins, if results cannot be stored; the first process says it."""

    async def look() -> None:
        try:
            await results.check()
        except OSError as error:
            log.error(  # noqa: TRY400 - the reason says it
                "results_unusable",
                reason=reason_of(error),
                consequence="generations are tried again, then failed and refunded",
            )

    looking = None if settings.parent_pid else asyncio.create_task(look(), name="results-look")
    try:
        yield
    finally:
        if looking is not None:
            await _cancelled(looking)


async def _first(stop: asyncio.Event, serving: "asyncio.Task[None]") -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    await _cancelled(stopping)


async def _cancelled(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
