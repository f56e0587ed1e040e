"""`GET /api/admin/…/grants`: what remains of each addition, of a store or an end user."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import operator_errors, said
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.operator_api.user_accounts import account_of_user
from storecredit.web.parts import Parts
from storecredit.web.resources.grants import GrantLeft, fields_of, next_cursor


class OperatorGrant(GrantLeft, frozen=True):
    """One addition of credits to a store or an end user, and what is left of it."""

    type: Annotated[str, said("The type of its movement.")]


class OperatorGrantPage(msgspec.Struct, frozen=True):
    """Grants, in the order in which they are spent."""

    items: list[OperatorGrant]
    next_cursor: str | None


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
    items = [OperatorGrant(**fields_of(grant), type=grant.type.value) for grant in page.items]
    return Envelope(OperatorGrantPage(items, next_cursor(page)))
