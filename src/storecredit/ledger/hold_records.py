"""Holds, as their owner reads them: credits set aside, and what became of them.

A hold whose time is over reads as expired from that instant of the database's clock on, whether its
end has been written down or not.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

import msgspec

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
NEWEST: Final = UUID(int=2**128 - 1)
"""Hold ids are in order of time: none is beyond this one."""
_IS_OVER: Final = "ended_at IS NULL AND expires_at <= now()"
_COLUMNS: Final = f"""hold_id, request_id, amount, description, metadata, created_at, expires_at,
    CASE WHEN {_IS_OVER} THEN 'expired' ELSE status END AS status,
    CASE WHEN {_IS_OVER} THEN 0 ELSE captured END AS captured,
    CASE WHEN {_IS_OVER} THEN expires_at ELSE ended_at END AS ended_at"""


class HoldStatus(StrEnum):
    """held -> captured | released | expired; the last three are final."""

    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """Credits set aside by one request. `captured` and `ended_at` are None until it has ended.

    `captured`: how many of them were spent; the others went back to the balance when it ended.
    """

    hold_id: UUID
    status: HoldStatus
    request_id: str
    amount: int
    captured: int | None
    description: str
    metadata: dict[str, str] | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class HoldPage:
    """Holds, newest first; `next_before` continues the list, None at its end."""

    items: tuple[Hold, ...]
    next_before: UUID | None


class HoldRecords:
    """Reads the holds of one account at a time; another's are as absent as unknown ones."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def get(self, account_id: int, hold_id: UUID) -> Hold | None:
        """One hold of this account, or None."""
        row = await self._buckets.of_account(account_id).fetchrow(
            f"SELECT {_COLUMNS} FROM holds WHERE account_id = $1 AND hold_id = $2",  # noqa: S608 - constants
            account_id,
            hold_id,
        )
        return None if row is None else _hold(row)

    async def list(
        self,
        account_id: int,
        *,
        status: HoldStatus | None,
        limit: int,
        before: UUID | None = None,
    ) -> HoldPage:
        """This account's holds, newest first; at most `PAGE_MAX` at once."""
        limit = min(limit, PAGE_MAX)
        rows = await self._buckets.of_account(account_id).fetch(
            f"""SELECT {_COLUMNS} FROM ({_of_status(status)}) h
               WHERE hold_id < $2 ORDER BY hold_id DESC LIMIT $3""",  # noqa: S608 - constants
            account_id,
            before or NEWEST,
            limit + 1,
        )
        items = tuple(_hold(row) for row in rows[:limit])
        return HoldPage(items, items[-1].hold_id if len(rows) > limit else None)


def _of_status(status: HoldStatus | None) -> str:
    """The holds among which a page is, found by the index that was made for their status."""
    match status:
        case None:
            return _newest("account_id = $1")
        case HoldStatus.HELD:
            return _open("expires_at > now()")
        case HoldStatus.EXPIRED:
            written = _newest("account_id - 0 = $1 AND status = 'expired'")
            return f"({written}) UNION ALL ({_open('expires_at <= now()')})"
        case HoldStatus.RELEASED:
            return _newest("account_id - 0 = $1 AND status = 'released'")
        case HoldStatus.CAPTURED:
            return _newest("account_id = $1 AND status = 'captured'")
        case _:
            assert_never(status)


def _open(condition: str) -> str:
    # Few are open, beside all that ever were. OFFSET 0 has them found by their index alone: by the
    # ids of the page, the primary key would do as well.
    return f"""SELECT * FROM holds
        WHERE account_id - 0 = $1 AND ended_at IS NULL AND {condition} OFFSET 0"""  # noqa: S608 - constants


def _newest(condition: str) -> str:
    return f"""SELECT * FROM holds WHERE {condition} AND hold_id < $2
        ORDER BY hold_id DESC LIMIT $3"""  # noqa: S608 - constants


def _hold(row: Record) -> Hold:
    metadata = row["metadata"]
    return Hold(
        hold_id=row["hold_id"],
        status=HoldStatus(row["status"]),
        request_id=row["request_id"],
        amount=row["amount"],
        captured=row["captured"],
        description=row["description"],
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )
