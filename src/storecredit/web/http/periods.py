"""From when to when a report is, as people write it: `7d`, a day, or a moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from storecredit.web.http.moments import BEYOND, span

DAYS_MAX: Final = 36_500
SINCE_DEFAULT: Final = "7d"

_DAYS: Final = re.compile(r"(\d{1,5})d", re.ASCII)


class Period(NamedTuple):
    """From `since` on and before `until`, in UTC."""

    since: datetime
    until: datetime


def period(since: str, until: str | None, now: datetime) -> Period:
    """The period that two texts stand for. Raises ValueError with a sentence for people.

    `since` is `7d` (today and the six days before, in UTC), or what `moments.span` takes; `until`
    is the latter, a day to its end, and None is now.
    """
    begins = begin(since, now)
    ends = now if until is None else span(until).end
    if ends is None:
        raise ValueError(BEYOND)
    if ends <= begins:
        raise ValueError("`until` is not after `since`.")
    return Period(begins, ends)


def begin(text: str, now: datetime) -> datetime:
    """When a period begins that is said to be since `text`. Raises ValueError as `period` does."""
    days = _DAYS.fullmatch(text.strip())
    if days is None:
        return span(text).start
    count = int(days[1])
    if not 1 <= count <= DAYS_MAX:
        raise ValueError(f"A report is of 1 to {DAYS_MAX} days.")
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=count - 1)
