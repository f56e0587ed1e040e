"""What remains of each addition, as every door tells it."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from storecredit.ledger import grants
from storecredit.ledger.grants import Grant, GrantKind
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said


class GrantLeft(msgspec.Struct, frozen=True):
    """One addition of credits, and what is left of it, whoever's it is."""

    grant_id: Annotated[int, said("The `seq` of its movement in the ledger.")]
    kind: GrantKind
    priority: Annotated[int, said("The lower number is spent first; 100 unless it was given.")]
    amount: Annotated[int, said("How many credits came in with it.")]
    remaining: Annotated[int, said("How many of them are part of the balance.")]
    expires_at: Annotated[datetime | None, said("From then on they are not; null: never.")]
    request_id: Annotated[str, said("The request that added it.")]
    description: str
    created_at: datetime


def next_cursor(page: grants.GrantPage) -> str | None:
    """The cursor of the page after this one; None: there is none."""
    return str(page.next_after) if page.next_after else None


def fields_of(grant: Grant) -> dict[str, Any]:
    """All but the type, which each door names in its own way."""
    return {
        "grant_id": grant.seq,
        "kind": grant.kind,
        "priority": grant.priority,
        "amount": grant.amount,
        "remaining": grant.remaining,
        "expires_at": grant.expires_at and utc(grant.expires_at),
        "request_id": grant.request_id,
        "description": grant.description,
        "created_at": utc(grant.created_at),
    }
