"""`/api/v1/billing`: what is on sale, checkouts that the store starts, its subscriptions."""

from typing import Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.billing.checkouts import Order, Start
from storecredit.ledger.owners import Owner
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure
from storecredit.web.http.openapi import example, store_errors
from storecredit.web.http.visits import caller_of, visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.purchases import (
    OPENED,
    CheckoutBody,
    CheckoutView,
    SubscriptionList,
    start_checkout,
    subscriptions_of,
)


class PlanView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subscription on sale: so many credits each month for `amount`.

    `rollover`: how many of a month's credits live on into the next one (`none`, or a number); left
    out where they do not expire.
    """

    plan: str
    credits: int
    amount: int
    overage_unit_amount: int
    rollover: Literal["none", "all"] | int = "all"


class CreditsOnSale(msgspec.Struct, frozen=True, omit_defaults=True):
    """Single credits: how many at a time, and `unit_amount` for each.

    `expires_after_days`: how long they can be spent; left out where they do not expire.
    """

    unit_amount: int
    min: int
    max: int
    expires_after_days: int | None = None


class GenerationPrice(msgspec.Struct, frozen=True):
    """What a generation costs: `credits`, multiplied by what each of its options says."""

    credits: int
    options: dict[str, dict[str, int]]


class CatalogueView(msgspec.Struct, frozen=True):
    """What a store can buy. Amounts are in the currency's smallest unit, before tax."""

    currency: str
    plans: list[PlanView]
    credits: CreditsOnSale
    generation: GenerationPrice


@post(
    "/billing/checkout",
    summary="Buy credits or subscribe",
    operation_id="createCheckout",
    responses={**OPENED, **store_errors(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT)},
    **example({"credits": 100}),
)
async def create_checkout(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[CheckoutBody]
) -> Response[Envelope[CheckoutView]]:
    """Opens a checkout. The credits come when it is paid. The request id makes a retry safe."""
    # What switches billing on is no concern of a store's.
    off = Failure(ErrorCode.NOT_FOUND, "Nothing is sold here.")
    owner = Owner.store(caller_of(request.scope).store_id)
    request_id = visit_of(request.scope).request_id

    async def start(order: Order) -> Start:
        return await parts.checkouts.start(owner, order, request_id)

    return await start_checkout(start, request_id, data, off)


@get(
    "/billing/plans",
    summary="List what can be bought",
    operation_id="listPlans",
    responses=store_errors(),
)
async def list_plans(parts: NamedDependency[Parts]) -> Envelope[CatalogueView]:
    """The plans to subscribe to, the price of single credits, and what a generation costs."""
    catalogue = parts.catalogue
    return Envelope(
        CatalogueView(
            catalogue.currency,
            [
                PlanView(
                    *(plan.name, plan.credits, plan.amount, plan.overage_unit_amount), plan.rollover
                )
                for plan in catalogue.plans
            ],
            CreditsOnSale(
                *(catalogue.credit_unit_amount, catalogue.credits_min, catalogue.credits_max),
                catalogue.credits_expire_after_days,
            ),
            GenerationPrice(
                catalogue.generation.credits,
                {name: dict(values) for name, values in catalogue.generation.options.items()},
            ),
        )
    )


@get(
    "/billing/subscriptions",
    summary="List the store's subscriptions",
    operation_id="listSubscriptions",
    responses=store_errors(),
)
async def list_subscriptions(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Envelope[SubscriptionList]:
    """The store's subscriptions, newest first."""
    return Envelope(await subscriptions_of(parts, caller_of(request.scope).store_id))
