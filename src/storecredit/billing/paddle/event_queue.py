"""Where the jobs of events wait: one alive for each event, in the bucket that keeps it."""

from collections.abc import Sequence
from typing import Final

from storecredit.postgres.job_queue import Job, enqueue
from storecredit.postgres.servers import Connection

ENTRYPOINT: Final = "paddle_event"
"""The name of the queue."""


async def enqueue_events(connection: Connection, event_ids: Sequence[str]) -> None:
    """Have these events be processed, from the caller's transaction on."""
    await enqueue(connection, ENTRYPOINT, [Job(each, each.encode()) for each in event_ids])
