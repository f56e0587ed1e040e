"""`/api/admin/stores`: stores, as the operator makes, finds and changes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from storecredit.ledger.balances import Balance
from storecredit.ledger.owner_cursors import OwnerSort
from storecredit.ledger.owner_pages import OwnerFilter
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import UNCHANGED, StoreChanges
from storecredit.stores.stores import Store
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.links import location
from storecredit.web.http.openapi import action_errors, example, operator_errors, said
from storecredit.web.http.paging import PAGE_DEFAULT, Limit
from storecredit.web.parts import Parts
from storecredit.web.resources.expiring_credits import ExpiringView, expiring_views
from storecredit.web.resources.owner_lists import (
    Below,
    OwnerCursorText,
    Search,
    Sort,
    TierWanted,
    owner_page,
)
from storecredit.web.resources.store_fields import (
    CreditCount,
    Domain,
    Name,
    Status,
    StoreBody,
    Tier,
    refusing,
)


class StoreChange(Body, frozen=True):
    """What to change of a store; a field left out stays as it is."""

    name: Name | None = None
    shop_domain: Domain | None = None
    tier: Tier | None = None
    status: Status | None = None
    overage_limit: CreditCount | None = None
    low_threshold: CreditCount | msgspec.UnsetType | None = msgspec.UNSET


class StoreView(msgspec.Struct, frozen=True):
    """A store and its credits."""

    store_id: UUID
    name: str
    shop_domain: str
    tier: str
    status: Status
    balance: int
    total_purchased: int
    total_spent: int
    total_clawed_back: int
    total_expired: int
    total_removed: int
    held: int
    expiring: list[ExpiringView]
    overage_used: int
    overage_limit: int
    low_threshold: Annotated[
        int | None,
        said(
            "At or below so many credits the balance is low, which webhooks are told; 0: never; "
            "null: at 10 % of the last addition."
        ),
    ]
    created_at: datetime
    updated_at: datetime


class StoreMade(StoreView, frozen=True):
    """A new store; its first API key is shown this once."""

    api_key: Annotated[
        str | None, said("Null: the request was sent before, and the key was shown then.")
    ]
    key_id: UUID


class StoreListed(StoreView, frozen=True):
    """A store, its credits, and how long they last."""

    days_left: Annotated[
        float | None,
        said(
            "How many days the balance lasts at the pace of the last seven: what was spent in them "
            "less what was given back, divided by seven. Null: nothing was spent."
        ),
    ]


class StoreList(msgspec.Struct, frozen=True):
    """Stores in the order that was asked for."""

    items: list[StoreListed]
    next_cursor: str | None


@post(
    "/stores",
    summary="Make a store",
    operation_id="createStore",
    responses=action_errors(),
    **example(
        {"name": "Hats & Co", "shop_domain": "hats.example", "tier": "growth", "credits": 500}
    ),
)
async def create_store(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    data: JSONBody[StoreBody],
) -> Response[Envelope[StoreMade]]:
    """Makes the store, its account, its opening credits and its first API key."""
    with refusing():
        made = await parts.operator.stores.make(
            context,
            data.new_store(),
        )
    fields = msgspec.structs.asdict(await _view(parts, made.store))
    replayed = {"Idempotent-Replayed": "true"} if made.key is None else {}
    return Response(
        Envelope(StoreMade(**fields, api_key=made.key, key_id=made.key_id)),
        headers={
            "Location": location(f"/api/admin/stores/{made.store.store_id}", parts),
            **replayed,
        },
    )


@get("/stores", summary="List stores", operation_id="listStores", responses=operator_errors())
async def list_stores(
    parts: NamedDependency[Parts],
    below: Below = None,
    sort: Sort = OwnerSort.CREATED,
    status: FromQuery[Status | None] = None,
    tier: TierWanted = None,
    search: Search = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: OwnerCursorText = None,
) -> Envelope[StoreList]:
    """Stores, newest first unless `sort` says otherwise.

    Pages in order of balance go by what the stores had when the first one was asked for; what is
    shown is what they have now.
    """
    wanted = OwnerFilter(below=below, status=status, tier=tier, search=search)
    page = await owner_page(parts, OwnerKind.STORE, wanted, sort, limit, cursor)
    stores = await parts.stores.several(page.owner_ids)
    return Envelope(StoreList(await _listed(parts, stores), page.next_cursor))


@get(
    "/stores/{store_id:str}",
    summary="Read a store",
    operation_id="getStore",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_store(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[StoreView]:
    """A store and its credits."""
    return Envelope(await _view(parts, store))


@patch(
    "/stores/{store_id:str}",
    summary="Change a store",
    operation_id="updateStore",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"tier": "scale", "overage_limit": 100}),
)
async def update_store(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[StoreChange],
) -> Envelope[StoreView]:
    """Changes what is given; suspending a store stops its keys within a second.

    `overage_limit` is what the store may use beyond its credits until the next bill; 0: nothing.
    `low_threshold`: `credits.low` is told where the balance falls to it; 0: never, null: at 10 % of
    the last addition.
    """
    given = {name: getattr(data, name) for name in data.__struct_fields__}
    if given["low_threshold"] is msgspec.UNSET:
        given["low_threshold"] = UNCHANGED
    with refusing():
        changed = await parts.operator.stores.change(context, store.store_id, StoreChanges(**given))
    if changed is None:
        raise not_found("store")
    return Envelope(await _view(parts, changed))


async def _view(parts: Parts, store: Store) -> StoreView:
    return _store_view(store, await parts.credits.balance(Owner.store(store.store_id)))


async def _listed(parts: Parts, stores: Sequence[Store]) -> list[StoreListed]:
    balances = await parts.credits.balances(OwnerKind.STORE, [store.store_id for store in stores])
    days_left = await parts.pace.days_left(OwnerKind.STORE, balances)
    return [
        StoreListed(
            **msgspec.structs.asdict(_store_view(store, balances[store.store_id])),
            days_left=days_left[store.store_id],
        )
        for store in stores
    ]


def _store_view(store: Store, credits: Balance) -> StoreView:
    return StoreView(
        store_id=store.store_id,
        name=store.name,
        shop_domain=store.shop_domain,
        tier=store.tier,
        status=store.status,
        balance=credits.balance,
        total_purchased=credits.total_added,
        total_spent=credits.total_spent,
        total_clawed_back=credits.total_clawed_back,
        total_expired=credits.total_expired,
        total_removed=credits.total_removed,
        held=credits.held,
        expiring=expiring_views(credits),
        overage_used=credits.overage_used,
        overage_limit=credits.overage_limit,
        low_threshold=credits.low_threshold,
        created_at=store.created_at,
        updated_at=store.updated_at,
    )
