"""Waiting for the end of a generation: the service is asked to wait, and asked again."""

from itertools import count
from time import monotonic
from typing import Final

from storecredit_client import calls
from storecredit_client.errors import ApiError, GenerationNotEnded
from storecredit_client.exchange import Answer, Conversation, Pause, exchange
from storecredit_client.models import Generation
from storecredit_client.retrying import RetryPolicy

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
    an older one that does not know how) is asked when its answer says, else ever more seldom.
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
        except ApiError as error:
            if not (wait and error.names("wait")):
                raise
            can_wait = False
            continue
        if answer.data.completed_at is not None:
            return answer.data
        if left <= 0:
            raise GenerationNotEnded(answer.data)
        now = monotonic()
        next_at = min(begun_at + _apart_seconds(answer, look), ends_at)
        if next_at > now:
            yield Pause(next_at - now)
    raise AssertionError("the count of looks has no end")


def _apart_seconds(answer: Answer[Generation], look: int) -> float:
    """How long from one look to the next."""
    if answer.retry_after_seconds is not None:
        return answer.retry_after_seconds
    return min(PAUSE_MIN_SECONDS * PAUSE_GROWTH ** min(look, 30), PAUSE_MAX_SECONDS)
