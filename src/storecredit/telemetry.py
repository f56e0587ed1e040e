"""Logs and metrics: the field names and metric names of the whole service are fixed here.

Logs are structured (structlog), one JSON object per line, or readable text on a terminal.
`request_id` and `store_id` or `user_id` ride in context variables, so every line written while a
request or its job is served carries them. No key, prompt, e-mail or image URL is ever a field.
"""

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import MutableMapping

bind = structlog.contextvars.bind_contextvars
"""Bind `request_id=…`, `store_id=…` (and no personal data) to every later line of this task."""
unbind = structlog.contextvars.unbind_contextvars
bound = structlog.contextvars.bound_contextvars
clear = structlog.contextvars.clear_contextvars


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component=name`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def configure(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to `stream` (stderr), in one format."""
    target = stream or sys.stderr
    readable = log_format == "console" or (log_format == "auto" and target.isatty())
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if readable:
        # Plain tracebacks: the rich ones print local variables, which may hold a key or a prompt.
        console = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        renderer: list[structlog.typing.Processor] = [console]
    else:
        renderer = [structlog.processors.format_exc_info, _render_json]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_of_foreign_logger],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def _name_of_foreign_logger(
    _logger: Any, _method: str, event: "MutableMapping[str, Any]"
) -> "MutableMapping[str, Any]":
    record = event.get("_record")
    if record is not None:
        event["component"] = record.name
    return event


def _render_json(_logger: Any, _method: str, event: "MutableMapping[str, Any]") -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class Metrics:
    """The Prometheus metrics of one process, in a registry of their own.

    Labels are closed sets (route templates, status codes, outcomes), never ids.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "storecredit_requests_total",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "storecredit_request_seconds",
            "Time to answer an HTTP request.",
            ["route"],
            registry=registry,
        )
        self.credits_deducted = Counter(
            "storecredit_credits_deducted_total",
            "Credits taken by this process.",
            registry=registry,
        )
        self.credits_refunded = Counter(
            "storecredit_credits_refunded_total",
            "Credits given back by this process.",
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
            "storecredit_queue_depth", "Generations not yet ended.", ["status"], registry=registry
        )
        self.queue_oldest_seconds = Gauge(
            "storecredit_queue_oldest_job_seconds",
            "Age of the oldest job waiting for a worker; 0 when none waits.",
            registry=registry,
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
