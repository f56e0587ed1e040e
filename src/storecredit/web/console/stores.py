"""`/console/stores`: all stores, found by what is known of them; and a new one."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from storecredit.ledger.owner_cursors import OwnerSort
from storecredit.ledger.owner_pages import OwnerFilter
from storecredit.ledger.owners import OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.web.console.owner_rows import store_rows
from storecredit.web.http.links import link_base
from storecredit.web.http.paging import PAGE_DEFAULT
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.queries import read_query
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts
from storecredit.web.resources.owner_lists import (
    Below,
    OwnerCursorText,
    Search,
    Sort,
    TierWanted,
    owner_page,
)
from storecredit.web.resources.store_fields import Status, StoreBody, refusing

CREATED: Final = 201


class StoreQuery(msgspec.Struct, frozen=True):
    """Which stores are wanted, in which order, from where on."""

    search: Search = None
    status: Status | None = None
    tier: TierWanted = None
    below: Below = None
    sort: Sort = OwnerSort.CREATED
    cursor: OwnerCursorText = None


@get("/stores")
async def stores_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Stores, newest first unless another order is asked for."""
    query = read_query(request, StoreQuery)
    rows, next_address = [], ""
    if (wanted := query.wanted) is not None:
        filters = OwnerFilter(wanted.below, wanted.status, wanted.tier, wanted.search)
        found = await owner_page(
            parts, OwnerKind.STORE, filters, wanted.sort, PAGE_DEFAULT, wanted.cursor
        )
        rows = await store_rows(parts, await parts.stores.several(found.owner_ids))
        next_address = query.next(found.next_cursor)
    return page(
        request,
        "stores.html",
        status=query.status,
        form=query.form,
        asked=query,
        rows=rows,
        next_address=next_address,
        tiers=_tiers(parts),
    )


@get("/stores/new", **needs(Scope.ALL))
async def new_store_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Asks what the store is to be."""
    return _asking(request, parts, NO_FORM)


@post("/stores/new")
async def make_store(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Makes the store, its account, its opening credits and its first key, which is shown once."""
    try:
        wanted = read_form(request, form, StoreBody)
    except FormRefused as refused:
        return _asking(request, parts, refused.form)
    with refusing():
        made = await parts.operator.stores.make(context, wanted.new_store())
    return page(
        request,
        "store_made.html",
        status=CREATED if made.key else 200,
        made=made,
        credits=wanted.credits,
        base=link_base(request.scope, parts),
    )


def _asking(request: Request[Any, Any, Any], parts: Parts, form: Form) -> Response[str]:
    return page(
        request,
        "store_new.html",
        status=400 if form.faults else 200,
        form=form,
        tiers=_tiers(parts),
    )


def _tiers(parts: Parts) -> list[tuple[str, str]]:
    """The choices of a field that is a tier."""
    return [(tier, tier) for tier in parts.settings.rate_limits]
