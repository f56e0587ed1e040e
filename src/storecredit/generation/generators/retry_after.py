"""How long an answer asks its client to wait.

Hides the forms in which services say it, of which the most exact one that is there and can be
read is taken:

    retry-after-ms: 1500                            Azure, and what OpenAI's clients look for first
    Retry-After: 20, or 0.5                         seconds (RFC 9110, section 10.2.3); fractions
                                                    are not in the RFC, and are sent
    Retry-After: Wed, 21 Oct 2026 07:28:00 GMT      a date (RFC 9110, section 5.6.7), measured from
                                                    the answer's own Date, whatever our clock says
    {"retryDelay": "34.5s"}                         google.rpc.RetryInfo, in an error's details
    x-ratelimit-remaining-requests: 0               OpenAI; the same for tokens
    x-ratelimit-reset-requests: 6m0s
    "… Please try again in 12s."                    OpenAI, in an error's message
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_MAX_SECONDS: Final = 300.0
"""The longest wait that is granted; whoever asks for a longer one is asked again after this."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_DURATION: Final = re.compile(
    r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,12})?)s)?(?:([0-9]{1,9})ms)?"
)
_TOLD: Final = re.compile(r"\btry again in ([0-9][0-9hms.]{0,30}[ms])(?![A-Za-z0-9])")
_DATE: Final = re.compile(r"[A-Za-z]{3,9},? [A-Za-z0-9: -]{12,40}")
"""Roughly an HTTP date, in any of its three forms; what else the parser reads is not asked."""


def asked_wait_seconds(
    headers: Mapping[str, str], retry_delay: object = None, message: str = ""
) -> float | None:
    """The wait that an answer asks for, at most `RETRY_AFTER_MAX_SECONDS`; None: for none.

    `headers` are looked up in any case of letters, as httpx offers them; `retry_delay` is a
    google.rpc.RetryInfo's `retryDelay`, if the answer's body has one, `message` the error's.
    """
    retry_after = headers.get("retry-after")
    milliseconds = _number(headers.get("retry-after-ms"))
    forms = (
        None if milliseconds is None else milliseconds / 1000,
        _number(retry_after),
        _seconds_until(retry_after, headers.get("date")),
        _duration(retry_delay),
        _reset(headers),
        _duration(told[1]) if (told := _TOLD.search(message)) else None,
    )
    wait = next((form for form in forms if form is not None), None)
    return None if wait is None else min(wait, RETRY_AFTER_MAX_SECONDS)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _duration(text: object) -> float | None:
    parts = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if parts is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _reset(headers: Mapping[str, str]) -> float | None:
    """When the limit is lifted that leaves nothing; the later, if both limits leave nothing."""
    resets = [
        _duration(headers.get(f"x-ratelimit-reset-{limit}"))
        for limit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def _seconds_until(text: str | None, sent: str | None) -> float | None:
    moment = _date(text)
    if moment is None:
        return None
    return max(0.0, (moment - (_date(sent) or datetime.now(UTC))).total_seconds())


def _date(text: str | None) -> datetime | None:
    if text is None or not _DATE.fullmatch(text.strip()):
        return None
    try:
        moment = parsedate_to_datetime(text.strip())
    except (ValueError, OverflowError):
        return None
    # asctime's form names no zone, and means GMT like the others.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
