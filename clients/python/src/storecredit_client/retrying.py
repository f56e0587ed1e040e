"""When a call is sent again, and how long before: the policy, and what `Retry-After` says."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRIED_STATUSES: Final = frozenset({408, 429, 502, 503, 504, *range(520, 525)})
"""Not now: the service's own word, or that of what stands before it.

408: a proxy that did not get the request in time. 520 to 524: Cloudflare, which has no answer of
the service (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/).
"""

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long apart, and how long in all.

    `attempts_max` counts the first one: 1 means that nothing is sent twice. An attempt is given up
    when nothing moves for `attempt_seconds`, or its answer takes longer to come in. After
    `total_seconds` no further one begins, and one that the service wants later than that is not
    waited for. The pause after attempt n is drawn from the upper half of
    `backoff_seconds` * 2 ** (n - 1), at most `backoff_max_seconds`; where the service names a time,
    that is added to it.
    """

    attempts_max: int = 5
    attempt_seconds: float = 30.0
    total_seconds: float = 60.0
    backoff_seconds: float = 0.25
    backoff_max_seconds: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError("attempts_max counts the first attempt, so it is at least 1.")
        if self.attempt_seconds <= 0 or self.total_seconds <= 0:
            raise ValueError("A time limit is above 0.")

    def pause_seconds(self, attempt: int, retry_after_seconds: float | None) -> float:
        """How long to wait after attempt `attempt` (from 1); never less than was asked for."""
        doubled = self.backoff_seconds * 2.0 ** min(attempt - 1, 30)
        longest = min(doubled, self.backoff_max_seconds)
        # Apart from each other, so that those who failed together do not come back together.
        drawn = random.uniform(longest / 2, longest)  # noqa: S311 - nobody gains by guessing it
        return drawn + (retry_after_seconds or 0.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks for (RFC 9110, 10.2.3), names in lower case.

    A date is measured from the answer's own `Date`, so that clocks need not agree. None: it is not
    there, or is neither seconds nor a date.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max((until - now).total_seconds(), 0.0)


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
