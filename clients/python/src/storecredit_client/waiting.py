"""Waiting for the end of a generation: the service is asked to wait, and asked again."""

from itertools import count
from time import monotonic
from typing import Final

from storecredit_client import calls
from storecredit_client.errors import (
    ApiError,
    GenerationNotEnded,
    NoAnswer,
    StorecreditError,
    UnexpectedAnswer,
)
from storecredit_client.exchange import Conversation, Pause, exchange
from storecredit_client.models import Generation
from storecredit_client.retrying import RETRIED_STATUSES, RetryPolicy

WAIT_MAX_SECONDS: Final = 30
"""How long the service is asked to hold an answer back until there is something to tell."""
PAUSE_MIN_SECONDS: Final = 0.25
PAUSE_MAX_SECONDS: Final = 10.0
PAUSE_GROWTH: Final = 1.5


def until_ended(
    session_id: str, timeout_seconds: float, policy: RetryPolicy
) -> Conversation[Generation]:
    """The generation once it has ended, completed or failed.

    A service that waits is asked again at once. One that answers at once (where too many wait, or
    an older one that does not know how) is asked when its answer says, else ever more seldom; and
    so is one that is away: it is started anew, say.
    Raises GenerationNotEnded, and what `exchange` raises.
    """
    ends_at = monotonic() + timeout_seconds
    can_wait = True
    for look in count():
        begun_at = monotonic()
        left = ends_at - begun_at
        wait = max(0, min(int(left), WAIT_MAX_SECONDS)) if can_wait else 0
        try:
            answer = yield from exchange(
                calls.get_generation(session_id, wait=wait or None), policy
            )
        except StorecreditError as error:
            if wait and isinstance(error, ApiError) and error.names("wait"):
                can_wait = False
                continue
            wanted, now = error.retry_after_seconds, monotonic()
            if not _is_away(error) or now + (wanted or 0) >= ends_at:
                raise
            yield Pause(min(_apart_seconds(wanted, look), ends_at - now))
            continue
        if answer.data.completed_at is not None:
            return answer.data
        if left <= 0:
            raise GenerationNotEnded(answer.data)
        now = monotonic()
        next_at = min(begun_at + _apart_seconds(answer.retry_after_seconds, look), ends_at)
        if next_at > now:
            yield Pause(next_at - now)
    raise AssertionError("the count of looks has no end")


def _is_away(error: StorecreditError) -> bool:
    """Whether it may well be answered later."""
    if isinstance(error, ApiError | UnexpectedAnswer):
        return error.status in RETRIED_STATUSES
    return isinstance(error, NoAnswer)


def _apart_seconds(wanted_seconds: float | None, look: int) -> float:
    """How long from one look to the next: as is wanted, or ever longer."""
    longer = PAUSE_MIN_SECONDS * PAUSE_GROWTH ** min(look, 30)
    return wanted_seconds or min(longer, PAUSE_MAX_SECONDS)
