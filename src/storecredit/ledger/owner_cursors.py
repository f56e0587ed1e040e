"""In which orders owners are listed, and where a page ended: what stands in a cursor."""

import contextlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, assert_never
from uuid import UUID

import msgspec

from storecredit.postgres.servers import Record

CURSOR_LENGTH_MAX: Final = 2_500
"""A name of 200 characters may take 1,200 bytes of JSON, and four thirds of that here."""


class OwnerSort(StrEnum):
    """The order of a list. balance: the lowest first; name: A to Z; created: the newest first."""

    BALANCE = "balance"
    NAME = "name"
    CREATED = "created"


class ByAge(msgspec.Struct, frozen=True):
    """Where a page in order of creation ended."""

    owner_id: UUID


class ByName(msgspec.Struct, frozen=True, array_like=True, tag="name"):
    """Where a page in order of name ended."""

    owner_id: UUID
    name: str


class ByBalance(msgspec.Struct, frozen=True, array_like=True, tag="balance"):
    """Where a page in order of balance ended, and the moment whose balances are meant."""

    owner_id: UUID
    balance: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]


OwnerCursor = ByAge | ByName | ByBalance


def read_cursor(text: str) -> OwnerCursor:
    """A cursor as it was given out. Raises ValueError for any other text."""
    with contextlib.suppress(ValueError):
        return ByAge(UUID(text))
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(padded), type=ByName | ByBalance)
        if isinstance(cursor, ByBalance):
            # At the ends of time an offset leads to a year that there is not.
            return msgspec.structs.replace(cursor, at=cursor.at.astimezone(UTC))
    except (RecursionError, OverflowError) as error:
        raise ValueError("no cursor is like that") from error
    if "\0" in cursor.name:
        raise ValueError("no name has a NUL character")
    return cursor


def written(cursor: OwnerCursor) -> str:
    """A cursor as `read_cursor` reads it."""
    if isinstance(cursor, ByAge):
        return str(cursor.owner_id)
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


class CursorMisplaced(ValueError):
    """The cursor is of a list in another order; the message is a sentence for people."""


def cursor_after(sort: OwnerSort, last: Record) -> OwnerCursor:
    """Where a page ended whose last row is this one: with `owner_id`, `key` and `at`."""
    match sort:
        case OwnerSort.BALANCE:
            return ByBalance(last["owner_id"], last["key"], last["at"])
        case OwnerSort.NAME:
            return ByName(last["owner_id"], last["key"])
        case OwnerSort.CREATED:
            return ByAge(last["owner_id"])
        case _:
            assert_never(sort)
