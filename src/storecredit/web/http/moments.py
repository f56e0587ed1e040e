"""Moments and days as people and programs write them in a query: `from` and `to` of a list.

Taken is what ISO 8601 and RFC 3339 (5.6) allow and what languages and databases print of it:

    2026-11-29, 20261129            a day of UTC; with an offset (2026-11-29+05:30) of that offset
    2026-11-29T10:30:00Z            without seconds, too, or with a fraction (`.` or `,`) of any
                                    length, of which microseconds count
    2026-11-29 10:30:00             a space or a small t for the T; without an offset it is UTC
    …Z …z …UTC …+05:30 …+0530 …+05  every spelling of an offset, also after a space
    …T10:30:00 05:30                a plus sign that was not encoded: a query has it as a space
    …T24:00, …T23:59:60Z            the end of a day, a leap second: the moment after it
    1795948200, 1795948200.5        Unix seconds

Refused and not guessed are months and years alone, names of time zones, and milliseconds.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

TEXT_MAX: Final = 64
LEAP_SECOND: Final = 60

_MOMENT: Final = re.compile(
    r"""(?P<year>\d{4}) (?:-(?P<month>\d{2})-(?P<day>\d{2}) | (?P<monthday>\d{4}))
        (?P<time>[Tt\ ] (?P<hour>\d{2}) :?(?P<minute>\d{2})
            (?: :?(?P<second>\d{2}) (?:[.,](?P<fraction>\d+))? )? )?
        (?: \ ?(?:Z|z|UTC|GMT)
          | (?: \ ?(?P<sign>[+-]) | (?(time)\ |(?!)) )
            (?P<hours>\d{2}) (?: :?(?P<minutes>[0-5]\d) )?
        )?""",
    re.VERBOSE | re.ASCII,
)
_UNIX: Final = re.compile(r"(\d{9,11})(?:[.,](\d+))?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"\d{12,}", re.ASCII)

UNREADABLE: Final = (
    "This is no moment: write 2026-11-29 for a day, or 2026-11-29T10:30:00Z, where an offset such "
    "as +05:30 may stand for the Z."
)
IN_SECONDS: Final = "Unix time is in seconds here, not in milliseconds."
BEYOND: Final = "This time is beyond the years 1 to 9999."


class Span(NamedTuple):
    """What a text stands for, in UTC: a moment, which begins and ends at once, or a whole day.

    `end` is the moment after the day; None: no moment that can be written is.
    """

    start: datetime
    end: datetime | None

    def is_over_before(self, moment: datetime) -> bool:
        """Whether all of it lies before the moment; a day that ends then does."""
        return self.start < moment and self.end is not None and self.end <= moment


def span(text: str) -> Span:
    """What `text` stands for. Raises ValueError with a sentence for people."""
    text = text.strip(" ").replace("\N{MINUS SIGN}", "-")
    if unix := _UNIX.fullmatch(text):
        seconds, fraction = unix.groups()
        moment = datetime.fromtimestamp(int(seconds), UTC) + _fraction(fraction)
        return Span(moment, moment)
    if _MILLISECONDS.fullmatch(text):
        raise ValueError(IN_SECONDS)
    parts = _MOMENT.fullmatch(text)
    if parts is None:
        raise ValueError(UNREADABLE)
    start = _start(parts)
    if parts["time"] is not None:
        return Span(start, start)
    try:
        return Span(start, start + timedelta(days=1))
    except OverflowError:
        return Span(start, None)


def utc(moment: datetime) -> datetime:
    """The moment as UTC, which it is if it has no offset. Raises OverflowError for no such year."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _start(parts: re.Match[str]) -> datetime:
    month, day = parts["month"], parts["day"]
    if parts["monthday"] is not None:
        month, day = parts["monthday"][:2], parts["monthday"][2:]
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    after = _fraction(parts["fraction"])
    is_leap_second = second == LEAP_SECOND
    if is_leap_second:
        second, after = 59, timedelta(seconds=1)
    elif (hour, minute, second) == (24, 0, 0) and not after:
        hour, after = 0, timedelta(days=1)
    try:
        moment = datetime(int(parts["year"]), int(month), int(day), hour, minute, second, 0, UTC)
        moment = (moment + after).replace(tzinfo=_offset(parts)).astimezone(UTC)
    except ValueError:
        raise ValueError(BEYOND if parts["year"] == "0000" else UNREADABLE) from None
    except OverflowError:
        raise ValueError(BEYOND) from None
    if is_leap_second and (moment.hour, moment.minute) != (0, 0):
        raise ValueError(UNREADABLE)  # they are the last second of a day of UTC
    return moment


def _fraction(digits: str | None) -> timedelta:
    return timedelta(microseconds=int((digits or "")[:6].ljust(6, "0")))


def _offset(parts: re.Match[str]) -> tzinfo:
    if parts["hours"] is None:
        return UTC
    hours, minutes = int(parts["hours"]), int(parts["minutes"] or 0)
    distance = timedelta(hours=hours, minutes=minutes)
    return timezone(-distance if parts["sign"] == "-" else distance)
