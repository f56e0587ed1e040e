"""Purchases: what is on sale, checkouts started by the store or the operator, subscriptions."""

from datetime import datetime
from typing import Annotated, Any, Literal, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from storecredit.billing.checkouts import (
    AlreadySubscribed,
    BillingOff,
    CreditsOrder,
    NotOnSale,
    Opened,
    Order,
    PlanOrder,
    PurchaseType,
    RequestConflict,
    UnknownBuyer,
)
from storecredit.billing.subscriptions import Subscription, SubscriptionStatus
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.access import caller_of, visit_of
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, billing_off, not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import example, operator_errors, store_errors
from storecredit.web.operator_api.keys import wrong
from storecredit.web.parts import Parts

PlanName = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
CreditCount = Annotated[int, msgspec.Meta(ge=1)]


class CheckoutBody(Body, frozen=True):
    """What to buy: a plan to subscribe to, or a number of credits; one of the two."""

    plan: PlanName | None = None
    credits: CreditCount | None = None


class CheckoutView(msgspec.Struct, frozen=True):
    """A checkout to pay at. `amount` is in the currency's smallest unit, before tax."""

    checkout_url: str
    transaction_id: str
    purchase_type: PurchaseType
    plan: str
    credits: int
    amount: int
    currency: str
    request_id: str


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


class SubscriptionView(msgspec.Struct, frozen=True):
    """A subscription of a store."""

    subscription_id: str
    status: SubscriptionStatus
    plan: str
    credits: int
    amount: int
    currency: str
    period_starts_at: datetime | None
    period_ends_at: datetime | None
    created_at: datetime


class SubscriptionList(msgspec.Struct, frozen=True):
    """A store's subscriptions, newest first, ended ones included."""

    items: list[SubscriptionView]


_OPENED = {
    200: ResponseSpec(
        Envelope[CheckoutView],
        description="This very request was sent before; the checkout is the same",
        generate_examples=False,
    )
}


@post(
    "/billing/checkout",
    summary="Buy credits or subscribe",
    operation_id="createCheckout",
    responses={**_OPENED, **store_errors(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT)},
    **example({"credits": 100}),
)
async def create_checkout(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[CheckoutBody]
) -> Response[Envelope[CheckoutView]]:
    """Opens a checkout. The credits come when it is paid. The request id makes a retry safe."""
    # What switches billing on is no concern of a store's.
    off = Failure(ErrorCode.NOT_FOUND, "Nothing is sold here.")
    return await _open(request, parts, caller_of(request.scope).store_id, data, off)


@post(
    "/stores/{store_id:str}/checkout",
    summary="Start a purchase for a store",
    operation_id="createStoreCheckout",
    responses={**_OPENED, **operator_errors(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT)},
    **example({"plan": "growth"}),
)
async def create_store_checkout(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    data: JSONBody[CheckoutBody],
) -> Response[Envelope[CheckoutView]]:
    """As the store itself would; whoever has the address of the checkout can pay it."""
    return await _open(request, parts, store.store_id, data, billing_off())


async def _open(
    request: Request[Any, Any, Any],
    parts: Parts,
    store_id: UUID,
    data: CheckoutBody,
    off: Failure,
) -> Response[Envelope[CheckoutView]]:
    request_id = visit_of(request.scope).request_id
    outcome = await parts.checkouts.start(Owner.store(store_id), _order(data), request_id)
    match outcome:
        case Opened(replayed=replayed):
            fields = {name: getattr(outcome, name) for name in CheckoutView.__struct_fields__[:-1]}
            return Response(
                Envelope(CheckoutView(**fields, request_id=request_id)),
                status_code=200 if replayed else 201,
                headers={"Idempotent-Replayed": "true"} if replayed else None,
            )
        case RequestConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for something else. Nothing was sold; send a new id.",
            )
        case NotOnSale(message):
            raise wrong("plan" if data.plan is not None else "credits", message)
        case AlreadySubscribed():
            raise wrong(
                "plan",
                "The store has a subscription already: cancel that at Paddle first. "
                "Nothing was sold.",
            )
        case UnknownBuyer():
            raise not_found("store")
        case BillingOff():
            raise off
        case _:
            assert_never(outcome)


def _order(data: CheckoutBody) -> Order:
    if data.plan is not None and data.credits is None:
        return PlanOrder(data.plan)
    if data.credits is not None and data.plan is None:
        return CreditsOrder(data.credits)
    raise wrong("plan", "Name a plan or a number of credits, one of the two.")


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
    return Envelope(await _subscriptions(parts, caller_of(request.scope).store_id))


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
    return Envelope(await _subscriptions(parts, store.store_id))


async def _subscriptions(parts: Parts, store_id: UUID) -> SubscriptionList:
    found = await parts.subscriptions.of_store(store_id)
    return SubscriptionList([_subscription_view(each) for each in found])


def _subscription_view(subscription: Subscription) -> SubscriptionView:
    return SubscriptionView(
        subscription_id=subscription.provider_subscription_id,
        status=subscription.status,
        plan=subscription.plan,
        credits=subscription.credits,
        amount=subscription.amount,
        currency=subscription.currency,
        period_starts_at=subscription.period_starts_at and utc(subscription.period_starts_at),
        period_ends_at=subscription.period_ends_at and utc(subscription.period_ends_at),
        created_at=utc(subscription.created_at),
    )
