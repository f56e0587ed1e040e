"""The entries of the audit log as they are read: page by page, newest first, by whatever is wanted.

Of several buckets they are one list (`audit_cursors.py`).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from storecredit.ledger.owners import Owner
from storecredit.operator import audit_cursors
from storecredit.operator.audit import Action, Door
from storecredit.operator.audit_statements import (
    OF_ACTION,
    OF_ACTOR,
    OF_ALL,
    OF_OWNER,
    OF_REQUEST,
    WITH_OWNERS,
)
from storecredit.operator.entry_owners import elsewhere, other_of, owner_of
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log. `other`: of a transfer, who was given the credits."""

    entry_id: int
    acted_at: datetime
    actor: str
    door: Door
    action: Action
    owner: Owner | None
    other: Owner | None
    subject: str
    reason: str
    request_id: str
    idempotency_key: str | None
    asked: dict[str, Any]
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None leaves a field out. `from_` is inclusive, `to` exclusive.

    `owner`: whoever credits were handed to is meant, too.
    """

    actor: str | None = None
    action: Action | None = None
    owner: Owner | None = None
    request_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; `next_cursor` continues the list, None at its end."""

    items: tuple[Entry, ...]
    next_cursor: str | None


class AuditEntries:
    """All entries of the audit log."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def page(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        """At most `limit` (1 to `PAGE_MAX`) entries, newest first, after the page before.

        Raises ValueError for a cursor that was not given out, DatabaseUnavailable.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise ValueError(f"a page has 1 to {PAGE_MAX} entries, not {limit}")
        befores = audit_cursors.befores(cursor, len(self._buckets.all))
        statement, args = await self._asked(wanted, limit)
        of_each = await asyncio.gather(
            *(
                bucket.fetch(statement, before, *args)
                for bucket, before in zip(self._buckets.all, befores, strict=True)
            )
        )
        taken = audit_cursors.newest_first(of_each, limit)
        others = await elsewhere(self._buckets, taken)
        items = tuple(_entry(row, others) for row in taken)
        return AuditPage(items, audit_cursors.following(of_each, taken, befores))

    async def _asked(self, wanted: AuditFilter, limit: int) -> tuple[str, list[object]]:
        """The statement for one bucket, and what it is asked with besides where it goes on."""
        args: list[object] = [
            wanted.actor,
            wanted.action,
            wanted.request_id,
            wanted.from_,
            wanted.to,
            limit + 1,
        ]
        if wanted.owner is not None:
            account_id = await (await self._buckets.of(wanted.owner)).fetchval(
                "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
                wanted.owner.kind,
                wanted.owner.id,
            )
            args.append(account_id)
        return WITH_OWNERS.format(entries=_statement(wanted)), args


def _statement(wanted: AuditFilter) -> str:
    """The one whose index leads to the fewest entries."""
    if wanted.owner is not None:
        return OF_OWNER
    if wanted.request_id is not None:
        return OF_REQUEST
    if wanted.actor is not None:
        return OF_ACTOR
    return OF_ALL if wanted.action is None else OF_ACTION


def _entry(row: Record, others: Mapping[int, Owner]) -> Entry:
    return Entry(
        entry_id=row["entry_id"],
        acted_at=row["acted_at"],
        actor=row["actor"],
        door=row["door"],
        action=Action(row["action"]),
        owner=owner_of(row),
        other=other_of(row, others),
        subject=row["subject"],
        reason=row["reason"],
        request_id=row["request_id"],
        idempotency_key=row["idempotency_key"],
        asked=json.loads(row["asked"]),
        outcome=json.loads(row["outcome"]),
    )
