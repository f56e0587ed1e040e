"""The terms that credits can be added with: when they expire, and when it is their turn."""

from datetime import datetime
from typing import Annotated, Literal, assert_never

import msgspec

from storecredit.ledger.grants import LIVE_MAX, PRIORITY_DEFAULT, PRIORITY_MAX, GrantKind, Terms
from storecredit.ledger.outcomes import Addition
from storecredit.settings import Settings
from storecredit.web.http.envelope import Failure, invalid
from storecredit.web.http.faults import Check
from storecredit.web.http.moments import BEYOND, utc
from storecredit.web.http.openapi import said


def _moment_refusal(moment: datetime, _settings: Settings) -> str | None:
    try:
        utc(moment)
    except OverflowError:
        return BEYOND
    return None


ExpiresAt = Annotated[
    Annotated[datetime, Check(_moment_refusal)] | None,
    said("From then on what is left of them cannot be spent; null: they never expire."),
]
Kind = Annotated[
    GrantKind | None,
    said("Of what is alike else, `promo` is spent first. Unless given, what is granted is."),
]
Priority = Annotated[
    Annotated[int, msgspec.Meta(ge=0, le=PRIORITY_MAX)] | None,
    said(f"The lower number is spent first; {PRIORITY_DEFAULT} unless given."),
]


def terms_of(expires_at: datetime | None, kind: GrantKind | None, priority: int | None) -> Terms:
    """What a body says of the credits that it adds."""
    return Terms(None if expires_at is None else utc(expires_at), None, kind, priority)


def refused_terms(
    outcome: Literal[Addition.EXPIRED, Addition.TOO_MANY_GRANTS],
) -> Failure:
    """400: credits cannot be added with these terms."""
    match outcome:
        case Addition.EXPIRED:
            key = "expires_at"
            message = "This time is past: nobody could spend them. Nothing was added."
        case Addition.TOO_MANY_GRANTS:
            key = ""
            message = (
                f"{LIVE_MAX} additions with an expiry or a priority have credits left, and more "
                "are not kept apart. Nothing was added: add them without, or once some are used up."
            )
        case _:
            assert_never(outcome)
    detail = {"key": key, "source": "body", "message": message}
    return invalid(message, [{name: text for name, text in detail.items() if text}])
