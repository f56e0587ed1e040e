"""`…/top-up`: at how many credits a store is told, and whether it buys more by itself then."""

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from storecredit.billing.top_ups import (
    DAY_DEFAULT,
    DAY_MAX,
    MONTH_DEFAULT,
    MONTH_MAX,
    NotSwitchedOn,
    TopUpSettings,
)
from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import StoreChanges
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts
from storecredit.web.resources.store_fields import CreditCount
from storecredit.web.resources.top_ups import Credits, PerDay, PerMonth, Threshold


class LowThreshold(msgspec.Struct):
    """At or below so many credits the store is told; 0: never, None: at a tenth of an addition."""

    low_threshold: CreditCount | None = None


class TopUpForm(msgspec.Struct):
    """At a balance of `threshold` or below, `credits` are bought, so often at most."""

    threshold: Threshold
    credits: Credits
    max_per_day: PerDay
    max_per_month: PerMonth


@get("/top-up")
async def top_up_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """Both, as they are, with the forms that change them."""
    return await _page(request, parts, place)


@post("/top-up/threshold", status_code=200)
async def change_low_threshold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """From now on the store is told at so many credits."""
    try:
        wanted = read_form(request, form, LowThreshold)
    except FormRefused as refused:
        return await _page(request, parts, place, refused.form)
    changes = StoreChanges(low_threshold=wanted.low_threshold)
    await parts.operator.stores.change(context, place.owner.id, changes)
    return _done(place, "told")


@post("/top-up", status_code=200)
async def switch_on(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Credits are bought by themselves from now on; one that is paused goes on."""
    try:
        wanted = read_form(request, form, TopUpForm)
    except FormRefused as refused:
        return await _page(request, parts, place, refused.form)
    outcome = await parts.billing_actions.switch_top_up_on(
        context, place.owner.id, TopUpSettings(**msgspec.structs.asdict(wanted))
    )
    if isinstance(outcome, NotSwitchedOn):
        faults = {outcome.field or "subscription": outcome.message}
        return await _page(request, parts, place, form.with_faults(faults))
    return _done(place, "on")


@post("/top-up/off", status_code=200)
async def switch_off(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Nothing more is bought by itself; a charge that was begun is seen to its end."""
    await parts.billing_actions.switch_top_up_off(context, place.owner.id)
    return _done(place, "off")


def _done(place: Place, what: str) -> Response[Any]:
    return Redirect(f"{place.address}/top-up?done={what}", status_code=SEE_OTHER)


async def _page(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form = NO_FORM
) -> Response[str]:
    balance, top_up, subscriptions = await asyncio.gather(
        parts.credits.balance(place.owner),
        parts.top_ups.read(place.owner.id),
        parts.subscriptions.of_store(place.owner.id),
    )
    return place.page(
        request,
        "top_up.html",
        status=400 if form.faults else 200,
        form=form,
        balance=balance,
        top_up=top_up,
        wanted=top_up.settings,
        catalogue=parts.catalogue,
        usual=(DAY_DEFAULT, MONTH_DEFAULT),
        most=(DAY_MAX, MONTH_MAX),
        is_subscribed=any(each.is_charged for each in subscriptions),
        done=request.query_params.get("done"),
    )


HANDLERS: Final = (
    top_up_page,  # GET /top-up
    change_low_threshold,  # POST /top-up/threshold
    switch_on,  # POST /top-up
    switch_off,  # POST /top-up/off
)
