"""When a delivery that failed is tried again: back-off with jitter over three days.

What the receiver asks for (`Retry-After`, RFC 9110, section 10.2.3) is obeyed: it is not asked
before then, and at the latest after `WAIT_MAX_SECONDS`.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

from storecredit.postgres.pacing import backoff

FIRST_WAIT_SECONDS: Final = 5.0
WAIT_MAX_SECONDS: Final = 12 * 3600.0
RETRIES_MAX: Final = 18
"""After the first attempt: with waits doubled up to twelve hours, the last is on the third day."""
JITTER: Final = 0.2
"""So much longer a wait may be: those that failed together do not come back together."""


def wait_seconds(retries: int, asked_seconds: float | None, random: Random) -> float | None:
    """How long to wait after an attempt that failed; None: it is given up.

    `retries`: how many attempts had failed before this one since the delivery was begun.
    `asked_seconds`: what the receiver asked for, if it did.
    """
    if retries >= RETRIES_MAX:
        return None
    own = backoff(FIRST_WAIT_SECONDS, retries + 1, WAIT_MAX_SECONDS)
    wait = min(max(own, asked_seconds or 0.0), WAIT_MAX_SECONDS)
    return wait * random.uniform(1.0, 1.0 + JITTER)


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds from `now` that a `Retry-After` header names, as seconds or as a date.

    None: it is not there, or says neither. A date that is over is 0.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # RFC 9110, section 5.6.7: an HTTP date is always in GMT; "-0000" is read as naive.
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
