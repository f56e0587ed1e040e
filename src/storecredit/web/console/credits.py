"""Credits of a store or an end user by hand: added, taken out, handed over, each seen beforehand.

Both have the same pages, below `/console/stores/{store_id}/credits` and
`/console/users/{user_id}/credits`. Each action is asked for by a form that is sent by GET, whose
answer says what the balances will be; the form on that does it, and is sent by POST.
"""

import asyncio
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from storecredit.ledger.credits import MovementFilter
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import Action, ActionContext
from storecredit.operator.audit_entries import AuditFilter, Entry
from storecredit.operator.credits import Removed, Transferred
from storecredit.operator.tokens import Scope
from storecredit.web.console.credit_previews import (
    Previewing,
    addition,
    addition_seen,
    handover,
    not_done,
    refuse_addition,
    refuse_without_reason,
    removal,
    removal_seen,
    transfer_seen,
)
from storecredit.web.http.request_ids import is_request_id
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import REASON, Form, FormRefused, form_of_query
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts
from storecredit.web.resources.grant_terms import terms_of

ENTRIES_LOOKED_AT: Final = 50
ENTRIES_SHOWN: Final = 10
BY_HAND: Final = frozenset(
    {Action.CREDITS_ADD, Action.CREDITS_REMOVE, Action.CREDITS_TRANSFER, Action.GRANT_SET_EXPIRY}
)


@get("/credits")
async def credits_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """What there is, what can be done with it, and what was done by hand lately."""
    done, request_id = (request.query_params.get(name) for name in ("done", "request"))
    balance, entries, moved = await asyncio.gather(
        parts.credits.balance(place.owner),
        _by_hand(parts, place.owner),
        _moved(parts, place.owner, request_id),
    )
    return place.page(
        request, "credits.html", balance=balance, entries=entries, done=done, moved=moved
    )


@get("/credits/add", **needs(Scope.CREDITS))
async def add_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """Asks how many and which; then says what will be."""
    return await _asked(request, parts, place, ("credits_add.html", addition_seen))


@post("/credits/add", status_code=200, **needs(Scope.CREDITS))
async def add(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Adds them, once per form."""
    try:
        wanted = addition(request, place, form)
        outcome = await parts.operator.credits.add(
            *(context, place.owner, wanted.amount, wanted.type, wanted.description),
            terms_of(wanted.expires_at, wanted.kind, wanted.priority),
        )
        refuse_addition(outcome, form)
    except FormRefused as refused:
        how = ("credits_add.html", addition_seen)
        return await _asked(request, parts, place, how, refused.form)
    return _done(place, "added", context)


@get("/credits/remove", **needs(Scope.CREDITS))
async def remove_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """Asks how many; then says what will be left."""
    return await _asked(request, parts, place, ("credits_remove.html", removal_seen))


@post("/credits/remove", status_code=200, **needs(Scope.CREDITS))
async def remove(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Takes them out, once per form, never below zero."""
    try:
        wanted = removal(request, form)
        refuse_without_reason(context, form)
        outcome = await parts.operator.credits.remove(context, place.owner, wanted.amount)
        if not isinstance(outcome, Removed):
            raise not_done(outcome, form)
    except FormRefused as refused:
        how = ("credits_remove.html", removal_seen)
        return await _asked(request, parts, place, how, refused.form)
    return _done(place, "removed", context)


@get("/credits/transfer", **needs(Scope.CREDITS))
async def transfer_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """Asks to whom and how many; then says what both will have."""
    return await _asked(request, parts, place, ("credits_transfer.html", transfer_seen))


@post("/credits/transfer", status_code=200, **needs(Scope.CREDITS))
async def transfer(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Hands them over, once per form: both movements, or neither."""
    try:
        wanted, target = await handover(request, parts, place, form)
        refuse_without_reason(context, form)
        outcome = await parts.operator.credits.transfer(context, place.owner, target, wanted.amount)
        if not isinstance(outcome, Transferred):
            raise not_done(outcome, form)
    except FormRefused as refused:
        how = ("credits_transfer.html", transfer_seen)
        return await _asked(request, parts, place, how, refused.form)
    return _done(place, "transferred", context)


async def _asked(
    request: Request[Any, Any, Any],
    parts: Parts,
    place: Place,
    how: tuple[str, Previewing],
    refused: Form | None = None,
) -> Response[str]:
    """The page of an action: what it asks, and once that is said, what will be.

    `refused`: the form that was to do it, and what was wrong with that.
    """
    template, preview_of = how
    form = form_of_query(request) if refused is None else refused
    preview = None
    # A reason that is missing is asked for beside the preview.
    if form.texts and set(form.faults) <= {REASON}:
        try:
            preview = await preview_of(request, parts, place, form)
        except FormRefused as error:
            form = error.form
    balance = await parts.credits.balance(place.owner)
    return place.page(
        request,
        template,
        status=400 if form.faults else 200,
        form=form,
        preview=preview,
        balance=balance,
    )


def _done(place: Place, what: str, context: ActionContext) -> Response[Any]:
    address = f"{place.address}/credits?done={what}&request={context.request_id}"
    return Redirect(address, status_code=SEE_OTHER)


async def _moved(parts: Parts, owner: Owner, request_id: str | None) -> Any:
    """The movement that an action just made."""
    if request_id is None or not is_request_id(request_id):
        return None
    found = await parts.credits.movements(owner, MovementFilter(request_id=request_id), limit=1)
    return found.items[0] if found.items else None


async def _by_hand(parts: Parts, owner: Owner) -> list[Entry]:
    """What operators did to the owner's credits lately, newest first."""
    wanted = AuditFilter(owner=owner)
    found = await parts.operator.audit_entries.page(wanted, limit=ENTRIES_LOOKED_AT, cursor=None)
    return [entry for entry in found.items if entry.action in BY_HAND][:ENTRIES_SHOWN]


HANDLERS: Final = (
    credits_page,  # GET /credits
    add_page,  # GET /credits/add
    add,  # POST /credits/add
    remove_page,  # GET /credits/remove
    remove,  # POST /credits/remove
    transfer_page,  # GET /credits/transfer
    transfer,  # POST /credits/transfer
)
