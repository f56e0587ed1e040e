"""`GET /api/v1/credits/grants`: what remains of each addition of a store's credits."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from storecredit.ledger.outcomes import StoreMovementType
from storecredit.web.http.envelope import Envelope
from storecredit.web.http.openapi import said, store_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.parts import Parts
from storecredit.web.resources.grants import GrantLeft, fields_of, next_cursor
from storecredit.web.store_api.accounts import account_of


class GrantView(GrantLeft, frozen=True):
    """One addition of credits to a store, and what is left of it."""

    type: StoreMovementType


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
    account = account_of(request.scope)
    page = await parts.grants.list(account.id, limit=limit, after=seq_cursor(cursor))
    items = [
        GrantView(**fields_of(grant), type=StoreMovementType(grant.type.value))
        for grant in page.items
    ]
    return Envelope(GrantPage(items, next_cursor(page)))
