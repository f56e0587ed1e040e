"""Logs and metrics: the field names and metric names of the whole service are fixed here.

Logs are structured (structlog), one JSON object per line, or readable text on a terminal.
`request_id` and `store_id` or `user_id` ride in a context variable, so every line written while a
request or its job is served carries them. No key, prompt, e-mail or image URL is ever a field.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# One variable for all fields. structlog has one for each, and looks through every variable of the
# context to find them again: of a busy process's time that was some hundredths.
_bound: Final[ContextVar[Mapping[str, Any]]] = ContextVar(
    "storecredit_log_fields", default=MappingProxyType({})
)


def begin(**fields: Any) -> None:
    """At the beginning of a request: have these fields, and no others, on later lines."""
    _bound.set(fields)


def bind(**fields: Any) -> None:
    """Bind `request_id=…`, `store_id=…` (and no personal data) to every later line of this task."""
    _bound.set({**_bound.get(), **fields})


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """`bind` for as long as the block lasts."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component=name`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def configure(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to `stream` (stderr), in one format."""
    target = stream or sys.stderr
    readable = log_format == "console" or (log_format == "auto" and target.isatty())
    level = logging.getLevelNamesMapping()[log_level.upper()]
    if readable:
        # Plain tracebacks: the rich ones print local variables, which may hold a key or a prompt.
        console = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        processors: list[structlog.typing.Processor] = [_complete, stamp, console]
    else:
        processors = [_complete, structlog.processors.format_exc_info, _render_json]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _TolerantLogger(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_of_foreign_logger],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


class _TolerantLogger:
    """structlog's WriteLogger, for a stream that may be gone: its reader ended, its disk is full.

    A line is lost then. Credits, and a signal to stop, are not to depend on it. Line and line break
    are one write: two would be two system calls, and may be torn apart.
    """

    def __init__(self, stream: TextIO) -> None:
        self._write = stream.write
        self._flush = stream.flush

    def msg(self, message: str) -> None:
        # Each request writes a line: `suppress` would double what that takes.
        try:
            self._write(message + "\n")
            self._flush()
        except OSError:
            return

    log = debug = info = warn = warning = error = critical = fatal = exception = msg


def _complete(
    _logger: Any, method: str, event: "MutableMapping[str, Any]"
) -> "MutableMapping[str, Any]":
    """Add what is bound, and the level."""
    return {**_bound.get(), **event, "level": method}


def _name_of_foreign_logger(
    _logger: Any, _method: str, event: "MutableMapping[str, Any]"
) -> "MutableMapping[str, Any]":
    record = event.get("_record")
    if record is not None:
        event["component"] = record.name
    return event


_JSON: Final = msgspec.json.Encoder(enc_hook=str)


def _render_json(_logger: Any, _method: str, event: "MutableMapping[str, Any]") -> str:
    event["timestamp"] = datetime.now(UTC)
    return _JSON.encode(event).decode()


@dataclass(frozen=True, slots=True)
class SharedMetrics:
    """Where the processes of one service count together, and which of them this one is.

    `directory` is empty when the first of them starts. A process that takes the place of a dead
    one has its `number`, and goes on counting where that one stopped: no counter ever falls, and
    there are no more files than processes.
    """

    directory: Path
    number: int


class Metrics:
    """The Prometheus metrics of one process, or of all that share a directory.

    Labels are closed sets (route templates, status codes, outcomes), never ids. A gauge is about
    the whole service, so of several processes the one that set it last is right: `mostrecent`. Only
    who waits, waits in one of them: `sum`.
    """

    def __init__(self, shared: SharedMetrics | None = None) -> None:
        """One per process: the library has one way of keeping values for all of a process."""
        self._shared = shared
        if shared is None:
            values.ValueClass = values.MutexValue
        else:
            # The library finds the directory here alone.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared.directory)
            values.ValueClass = values.MultiProcessValue(lambda: shared.number)  # type: ignore[no-untyped-call]  # as the library has it
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "storecredit_requests_total",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "storecredit_request_seconds",
            "Time to answer an HTTP request, without what it asked to be kept waiting.",
            ["route"],
            registry=registry,
        )
        self.waiting = Gauge(
            "storecredit_waiting",
            "Requests and subscriptions that wait for the end of a generation.",
            registry=registry,
            multiprocess_mode="sum",
        )
        # A process that takes the place of a dead one has its numbers, and nobody who waits.
        self.waiting.set(0)
        self.credits_deducted = Counter(
            "storecredit_credits_deducted_total",
            "Credits taken by this service's processes.",
            registry=registry,
        )
        self.credits_refunded = Counter(
            "storecredit_credits_refunded_total",
            "Credits given back by this service's processes.",
            registry=registry,
        )
        self.credits_refused = Counter(
            "storecredit_credits_refused_total",
            "Requests refused for lack of credits.",
            registry=registry,
        )
        self.commit_batch_size = Histogram(
            "storecredit_commit_batch_size",
            "Requests in one group commit.",
            ["operation"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self.commit_wait_seconds = Histogram(
            "storecredit_commit_wait_seconds",
            "Time the first request of a batch waited for it to begin.",
            ["operation"],
            registry=registry,
        )
        self.queue_depth = Gauge(
            "storecredit_queue_depth",
            "Generations not yet ended.",
            ["status"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.queue_oldest_seconds = Gauge(
            "storecredit_queue_oldest_job_seconds",
            "Age of the oldest job waiting for a worker; 0 when none waits.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.generation_seconds = Histogram(
            "storecredit_generation_seconds",
            "Duration of one attempt at a generation.",
            ["outcome"],
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300),
            registry=registry,
        )
        self.generations = Counter(
            "storecredit_generations_total", "Generations ended.", ["outcome"], registry=registry
        )
        self.sessions_archived = Counter(
            "storecredit_sessions_archived_total",
            "Generations that were archived, and removed from the database.",
            registry=registry,
        )
        self.archive_failing = Gauge(
            "storecredit_archive_failing",
            "1 where the last attempt to archive generations failed: their place is full or away.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.webhook_attempts = Counter(
            "storecredit_webhook_attempts_total",
            "Attempts to deliver a webhook: delivered, retry (it failed and is tried again), failed"
            " (it is given up), gone (the endpoint wants no more).",
            ["outcome"],
            registry=registry,
        )
        self.webhook_lag_seconds = Gauge(
            "storecredit_webhook_oldest_due_seconds",
            "For how long the webhook that has waited longest has been due; 0 when none is.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def exposition(self, more: Iterable[Metric] = ()) -> bytes:
        """All of it in Prometheus' text format, and `more` that was found out for this scrape."""
        registry = self.registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared.directory))  # type: ignore[no-untyped-call]  # see above
        found = CollectorRegistry()
        found.register(_Found(tuple(more)))
        return generate_latest(registry) + generate_latest(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Found(Collector):
    """Metrics that stand already, for the library to write down."""

    metrics: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


class Requests:
    """What is kept of every HTTP request: a count, its time, and one line."""

    def __init__(self, metrics: Metrics, component: str) -> None:
        """Lines go where `configure` sends them now."""
        self._metrics = metrics
        self._component = component
        # The parts that a structlog logger is made of. Called without one they take half the time,
        # and this is the line that comes with every request.
        config = structlog.get_config()
        self._processors: Sequence[structlog.typing.Processor] = [
            each
            for each in config["processors"]
            if each is not structlog.processors.format_exc_info  # it tells of no exception
        ]
        self._write: Callable[[Any], None] = config["logger_factory"]().info
        self._is_logged: bool = get_logger(component).is_enabled_for(logging.INFO)
        # Looking up a metric by its labels costs more than counting. As bounded as the labels are.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered. `method` and `route` (a template) are of a closed set."""
        counted = self._counted.get((method, route, status))
        if counted is None:
            counted = self._counted[method, route, status] = (
                self._metrics.requests.labels(method, route, str(status)),
                self._metrics.request_seconds.labels(route),
            )
        count, duration = counted
        count.inc()
        duration.observe(seconds)
        if self._is_logged:
            self._log(method, route, status, round(seconds * 1000, 2))

    def _log(self, method: str, route: str, status: int, milliseconds: float) -> None:
        line: Any = {
            "event": "request",
            "component": self._component,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": milliseconds,
        }
        for processor in self._processors:
            line = processor(None, "info", line)
        self._write(line)
