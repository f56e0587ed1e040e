"""`GET …/grants`: what remains of each addition, of a store's own credits or for the operator."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.ledger import grants
from storecredit.ledger.grants import Grant, GrantKind
from storecredit.ledger.outcomes import StoreMovementType
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import operator_errors, said, store_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.operator_api.user_accounts import account_of_user
from storecredit.web.parts import Parts
from storecredit.web.store_api.generations import account_of


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


class GrantView(GrantLeft, frozen=True):
    """One addition of credits to a store, and what is left of it."""

    type: StoreMovementType


class OperatorGrant(GrantLeft, frozen=True):
    """One addition of credits to a store or an end user, and what is left of it."""

    type: Annotated[str, said("The type of its movement.")]


class OperatorGrantPage(msgspec.Struct, frozen=True):
    """Grants, in the order in which they are spent."""

    items: list[OperatorGrant]
    next_cursor: str | None


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
        GrantView(**_fields(grant), type=StoreMovementType(grant.type.value))
        for grant in page.items
    ]
    return Envelope(GrantPage(items, _next_cursor(page)))


@get(
    "/stores/{store_id:str}/grants",
    summary="List what remains of a store's additions",
    operation_id="listStoreGrants",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_store_grants(
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    limit: Limit = PAGE_DEFAULT,
    cursor: SeqCursor = None,
) -> Envelope[OperatorGrantPage]:
    """As the store reads them: those that have credits left, in the order of spending."""
    account_id = await parts.credits.account_id(Owner.store(store.store_id))
    return await _page(parts, account_id, limit, cursor)


@get(
    "/users/{user_id:uuid}/grants",
    summary="List what remains of a user's additions",
    operation_id="listUserGrants",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_user_grants(
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    limit: Limit = PAGE_DEFAULT,
    cursor: SeqCursor = None,
) -> Envelope[OperatorGrantPage]:
    """Those of an end user that have credits left, in the order of spending."""
    return await _page(parts, (await account_of_user(parts, user_id)).id, limit, cursor)


async def _page(
    parts: Parts, account_id: int, limit: int, cursor: str | None
) -> Envelope[OperatorGrantPage]:
    page = await parts.grants.list(account_id, limit=limit, after=seq_cursor(cursor))
    items = [OperatorGrant(**_fields(grant), type=grant.type.value) for grant in page.items]
    return Envelope(OperatorGrantPage(items, _next_cursor(page)))


def _next_cursor(page: grants.GrantPage) -> str | None:
    return str(page.next_after) if page.next_after else None


def _fields(grant: Grant) -> dict[str, Any]:
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
