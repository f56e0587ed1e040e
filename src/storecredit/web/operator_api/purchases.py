"""Checkouts that the operator starts for a store, and the store's subscriptions."""

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.billing.checkouts import Order, Start
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode, billing_off
from storecredit.web.http.openapi import action_errors, example, operator_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.purchases import (
    OPENED,
    CheckoutBody,
    CheckoutView,
    SubscriptionList,
    start_checkout,
    subscriptions_of,
)


@post(
    "/stores/{store_id:str}/checkout",
    summary="Start a purchase for a store",
    operation_id="createStoreCheckout",
    responses={**OPENED, **action_errors(ErrorCode.NOT_FOUND)},
    **example({"plan": "growth"}),
)
async def create_store_checkout(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[CheckoutBody],
) -> Response[Envelope[CheckoutView]]:
    """As the store itself would; whoever has the address of the checkout can pay it."""
    owner = Owner.store(store.store_id)

    async def start(order: Order) -> Start:
        return await parts.billing_actions.start_checkout(context, owner, order)

    return await start_checkout(start, context.request_id, data, billing_off())


@get(
    "/stores/{store_id:str}/subscriptions",
    summary="List a store's subscriptions",
    operation_id="listStoreSubscriptions",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_store_subscriptions(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[SubscriptionList]:
    """As the store reads them."""
    return Envelope(await subscriptions_of(parts, store.store_id))
