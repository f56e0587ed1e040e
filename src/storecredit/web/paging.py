"""Query parameters that several lists share: how many, from where, and which."""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from litestar.params import QueryParameter

from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.store_credits import MovementFilter
from storecredit.web.envelope import Failure, invalid

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 100
SEQ_DIGITS_MAX: Final = 18

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX, description="How many items at most.")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=100, description="`next_cursor` of the page before.")
]


async def movement_filter(
    type_: Annotated[MovementType | None, QueryParameter(name="type")] = None,
    request_id: Annotated[str | None, QueryParameter(max_length=200)] = None,
    from_: Annotated[datetime | None, QueryParameter(name="from", description="Inclusive.")] = None,
    to: Annotated[datetime | None, QueryParameter(description="Exclusive.")] = None,
) -> MovementFilter:
    """Which movements of a ledger are wanted; a time without an offset is UTC."""
    if request_id is not None and "\0" in request_id:
        raise _wrong("request_id", "No request id has a NUL character.")
    return MovementFilter(type_, request_id, _moment("from", from_), _moment("to", to))


def uuid_cursor(cursor: str | None) -> UUID | None:
    """The cursor of a list ordered by id. Raises Failure for one that was not given out."""
    if cursor is None:
        return None
    try:
        return UUID(cursor)
    except ValueError:
        raise _bad_cursor() from None


def seq_cursor(cursor: str | None) -> int | None:
    """The cursor of a ledger. Raises Failure for one that was not given out."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= SEQ_DIGITS_MAX):
        raise _bad_cursor()
    return int(cursor)


def utc(moment: datetime) -> datetime:
    """The moment as UTC, which it is if it has no offset. Raises OverflowError for no such year."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(name: str, moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else utc(moment)
    except OverflowError:
        raise _wrong(name, "This time is beyond the years 1 to 9999.") from None


def _bad_cursor() -> Failure:
    return _wrong("cursor", "This cursor was not given out by us: use next_cursor of a page.")


def _wrong(name: str, message: str) -> Failure:
    return invalid(message, [{"key": name, "source": "query", "message": message}])
