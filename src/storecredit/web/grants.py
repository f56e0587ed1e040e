"""`GET /api/v1/credits/grants`: what remains of each addition of credits."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from storecredit.ledger.grants import Grant, GrantKind
from storecredit.ledger.outcomes import StoreMovementType
from storecredit.web.b2b import account_of
from storecredit.web.envelope import Envelope
from storecredit.web.moments import utc
from storecredit.web.openapi import said, store_errors
from storecredit.web.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.parts import Parts


class GrantView(msgspec.Struct, frozen=True):
    """One addition of credits, and what is left of it."""

    grant_id: Annotated[int, said("The `seq` of its movement in the ledger.")]
    type: StoreMovementType
    kind: GrantKind
    priority: Annotated[int, said("The lower number is spent first; 100 unless it was given.")]
    amount: Annotated[int, said("How many credits came in with it.")]
    remaining: Annotated[int, said("How many of them are part of the balance.")]
    expires_at: Annotated[datetime | None, said("From then on they are not; null: never.")]
    request_id: Annotated[str, said("The request that added it.")]
    description: str
    created_at: datetime


class GrantPage(msgspec.Struct, frozen=True):
    """Grants, in the order in which they are spent."""

    items: list[GrantView]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


@get(
    "/credits/grants",
    summary="List what remains of each addition",
    operation_id="listGrants",
    responses=store_errors(),
)
async def list_grants(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    limit: Limit = PAGE_DEFAULT,
    cursor: SeqCursor = None,
) -> Envelope[GrantPage]:
    """The additions that have credits left, in the order in which they are spent.

    First the lower priority, then what expires sooner, then `promo`, then the older. Held credits
    are no part of what remains.
    """
    page = await parts.grants.list(
        account_of(request.scope).id, limit=limit, after=seq_cursor(cursor)
    )
    return Envelope(
        GrantPage(
            [_view(grant) for grant in page.items],
            str(page.next_after) if page.next_after else None,
        )
    )


def _view(grant: Grant) -> GrantView:
    return GrantView(
        grant_id=grant.seq,
        type=StoreMovementType(grant.type.value),
        kind=grant.kind,
        priority=grant.priority,
        amount=grant.amount,
        remaining=grant.remaining,
        expires_at=grant.expires_at and utc(grant.expires_at),
        request_id=grant.request_id,
        description=grant.description,
        created_at=utc(grant.created_at),
    )
