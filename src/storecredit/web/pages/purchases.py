"""`…/purchases`: what a store can buy, checkouts to pay it at, and what it subscribes to."""

from typing import Any, Final, assert_never

from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from storecredit.billing.checkouts import (
    AlreadySubscribed,
    BillingOff,
    NotOnSale,
    Opened,
    Order,
    RequestConflict,
    UnknownBuyer,
)
from storecredit.operator.audit import ActionContext
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.pages.forms import NO_FORM, UNTRUSTED, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.parts import Parts
from storecredit.web.resources.purchases import CheckoutBody, order_of

SUBSCRIBED: Final = (
    "There is a subscription that runs already. Cancel that first, by the link in Paddle's mails. "
    "Nothing was sold."
)


@get("/purchases")
async def purchases_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """What is on sale, and the store's subscriptions."""
    return await _page(request, parts, place)


@post("/purchases", status_code=200)
async def start_checkout(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Opens a checkout, and shows the link to it: no form of a page may lead elsewhere itself."""
    try:
        order = _order(request, form)
    except FormRefused as refused:
        return await _page(request, parts, place, refused.form)
    outcome = await parts.billing_actions.start_checkout(context, place.owner, order)
    match outcome:
        case Opened():
            return place.page(request, "checkout.html", checkout=outcome)
        case NotOnSale(message):
            return await _refused(request, parts, place, form, message)
        case AlreadySubscribed():
            return await _refused(request, parts, place, form, SUBSCRIBED)
        case RequestConflict():
            raise Failure(ErrorCode.IDEMPOTENCY_CONFLICT, UNTRUSTED)
        case UnknownBuyer():
            raise not_found("store")
        case BillingOff():
            raise _nothing_sold()
        case _:
            assert_never(outcome)


def _order(request: Request[Any, Any, Any], form: Form) -> Order:
    """What a form asks for. Raises FormRefused."""
    wanted = read_form(request, form, CheckoutBody)
    try:
        return order_of(wanted)
    except Failure as failure:
        raise FormRefused(form.with_faults({"credits": failure.message})) from None


async def _refused(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form, message: str
) -> Response[str]:
    field = "plan" if form.texts.get("plan") else "credits"
    return await _page(request, parts, place, form.with_faults({field: message}))


async def _page(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form = NO_FORM
) -> Response[str]:
    if parts.signatures is None and place.is_own:
        raise _nothing_sold()
    subscriptions = await parts.subscriptions.of_store(place.owner.id)
    return place.page(
        request,
        "purchases.html",
        status=400 if form.faults else 200,
        form=form,
        catalogue=parts.catalogue,
        subscriptions=subscriptions,
        running=next((each for each in subscriptions if not each.is_over), None),
    )


def _nothing_sold() -> Failure:
    return Failure(ErrorCode.NOT_FOUND, "Nothing is sold here.")


HANDLERS: Final = (
    purchases_page,  # GET /purchases
    start_checkout,  # POST /purchases
)
