"""Checkouts and subscriptions of a store, for whoever starts them: the store or the operator."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final, assert_never
from uuid import UUID

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec

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
    Start,
    UnknownBuyer,
)
from storecredit.billing.subscriptions import Subscription, SubscriptionStatus
from storecredit.web.http.bodies import Body, wrong
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, not_found
from storecredit.web.http.moments import utc
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


OPENED: Final = {
    200: ResponseSpec(
        Envelope[CheckoutView],
        description="This very request was sent before; the checkout is the same",
        generate_examples=False,
    )
}


async def start_checkout(
    start: Callable[[Order], Awaitable[Start]], request_id: str, data: CheckoutBody, off: Failure
) -> Response[Envelope[CheckoutView]]:
    """Start a purchase for a store by `start`. Raises Failure; `off` where nothing is sold."""
    outcome = await start(order_of(data))
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


def order_of(data: CheckoutBody) -> Order:
    """What is ordered. Raises Failure."""
    if data.plan is not None and data.credits is None:
        return PlanOrder(data.plan)
    if data.credits is not None and data.plan is None:
        return CreditsOrder(data.credits)
    raise wrong("plan", "Name a plan or a number of credits, one of the two.")


async def subscriptions_of(parts: Parts, store_id: UUID) -> SubscriptionList:
    """All that a store ever had, newest first."""
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
