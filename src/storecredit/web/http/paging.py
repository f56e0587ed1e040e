"""Query parameters that several lists share: how many, from where, and which."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from litestar.params import QueryParameter

from storecredit.ledger.credits import MovementFilter
from storecredit.ledger.outcomes import MovementType, StoreMovementType
from storecredit.settings import Settings
from storecredit.web.http.envelope import invalid
from storecredit.web.http.faults import Check
from storecredit.web.http.moments import TEXT_MAX, span

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 100
SEQ_DIGITS_MAX: Final = 18
NOT_GIVEN_OUT: Final = "This cursor was not given out by us: use next_cursor of a page."


def seq_cursor(cursor: str | None) -> int | None:
    """The cursor of a ledger. Raises ValueError for one that was not given out."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= SEQ_DIGITS_MAX):
        raise ValueError("no seq")
    return int(cursor)


def uuid_cursor(cursor: str | None) -> UUID | None:
    """The cursor of a list ordered by id. Raises ValueError for one that was not given out."""
    return None if cursor is None else UUID(cursor)


def given_out(read: Callable[[str], object]) -> Check:
    """Refuses a cursor that `read` raises ValueError for."""

    def refusal(cursor: str, _settings: Settings) -> str | None:
        try:
            read(cursor)
        except ValueError:
            return NOT_GIVEN_OUT
        return None

    return Check(refusal)


def _request_id_refusal(request_id: str, _settings: Settings) -> str | None:
    return "No request id has a NUL character." if "\0" in request_id else None


def _moment_refusal(text: str, _settings: Settings) -> str | None:
    try:
        span(text)
    except ValueError as error:
        return str(error)
    return None


_CURSOR: Final = QueryParameter(max_length=100, description="`next_cursor` of the page before.")
_FORMS: Final = (
    "A day (`2026-11-29`, of UTC) or a moment (`2026-11-29T10:30:00Z`) with any spelling of an "
    "offset; without one it is UTC."
)

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX, description="How many items at most.")]
OptionalLimit = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        le=PAGE_MAX,
        description=f"How many items at most; {PAGE_DEFAULT} unless given, and of CSV all.",
    ),
]
SeqCursor = Annotated[str | None, _CURSOR, given_out(seq_cursor)]
UuidCursor = Annotated[str | None, _CURSOR, given_out(uuid_cursor)]
WantedRequest = Annotated[
    str | None,
    QueryParameter(
        name="request_id",
        max_length=200,
        description="That of one request, exactly as it was sent.",
    ),
    Check(_request_id_refusal),
]
From = Annotated[
    str | None,
    QueryParameter(
        name="from",
        max_length=TEXT_MAX,
        description=f"What was from then on, that moment or day included. {_FORMS}",
    ),
    Check(_moment_refusal),
]
To = Annotated[
    str | None,
    QueryParameter(
        max_length=TEXT_MAX,
        description=f"What was before that moment, or to the end of that day. {_FORMS}",
    ),
    Check(_moment_refusal),
]


async def movement_filter(
    type_: Annotated[StoreMovementType | None, QueryParameter(name="type")] = None,
    request_id: WantedRequest = None,
    from_: From = None,
    to: To = None,
) -> MovementFilter:
    """Which movements of a store are wanted. Raises Failure where `to` ends before `from`."""
    wanted = None if type_ is None else MovementType(type_.value)
    return _movement_filter(wanted, request_id, from_, to)


async def user_movement_filter(
    type_: Annotated[MovementType | None, QueryParameter(name="type")] = None,
    request_id: WantedRequest = None,
    from_: From = None,
    to: To = None,
) -> MovementFilter:
    """Likewise, of an end user."""
    return _movement_filter(type_, request_id, from_, to)


def _movement_filter(
    type_: MovementType | None, request_id: str | None, from_: str | None, to: str | None
) -> MovementFilter:
    return MovementFilter(type_, request_id, *bounds(from_, to))


def bounds(from_: str | None, to: str | None) -> tuple[datetime | None, datetime | None]:
    """From when, and before when. Raises Failure where `to` ends before `from`."""
    first = None if from_ is None else span(from_)
    last = None if to is None else span(to)
    if first is not None and last is not None and last.is_over_before(first.start):
        message = "`to` is before `from`."
        raise invalid(message, [{"key": "to", "source": "query", "message": message}])
    return first and first.start, last and last.end
