"""The calls of the API, one function for each operation that a store's key may ask for.

A function makes a `Call`, which is a value and has not been sent. Made once is done once: a call
that changes something gets its idempotency key here, so the same `Call` may be sent again, by
another process or tomorrow, and is one and the same for the service. Those of webhook endpoints
are in `webhook_calls.py`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime

from storecredit_client import models
from storecredit_client.calling import (
    PAGE_MAX,
    Call,
    changing,
    changing_without_key,
    copied,
    path_part,
    reading,
)


def create_generation(
    image_urls: Sequence[str],
    *,
    prompt: str | None = None,
    options: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    wait: int | None = None,
    idempotency_key: str | None = None,
) -> Call[models.GenerationCreated]:
    """Take what a generation costs, and queue it.

    With `wait` the answer comes when it has ended, or after that many seconds, and `generation` is
    what it is by then; of an older service, which does not wait, it is None.
    """
    body = models.CreateBody(
        image_urls=list(image_urls),
        prompt=prompt,
        options=copied(options),
        metadata=copied(metadata),
    )
    path = "/api/v1/generation/create"
    call = changing("createGeneration", path, models.GenerationCreated, body, idempotency_key)
    if wait is None:
        return call
    return dataclasses.replace(call, headers={"Prefer": f"wait={wait}"}, wait_seconds=wait)


def get_generation(session_id: str, *, wait: int | None = None) -> Call[models.Generation]:
    """A generation; with `wait` once it has ended, or after that many seconds."""
    path = f"/api/v1/generation/{path_part(session_id)}"
    call = reading("getGeneration", path, models.Generation, wait=wait)
    return dataclasses.replace(call, wait_seconds=wait or 0)


def list_generations(
    *,
    status: models.SessionStatus | None = None,
    request_id: str | None = None,
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.GenerationPage]:
    """Generations, newest first; `limit` of them at a time."""
    return reading(
        "listGenerations",
        "/api/v1/generations",
        models.GenerationPage,
        status=status,
        request_id=request_id,
        limit=limit,
        cursor=cursor,
    )


def get_balance() -> Call[models.BalanceView]:
    """What the store has, bought and spent."""
    return reading("getBalance", "/api/v1/credits/balance", models.BalanceView)


def list_transactions(
    *,
    type: models.MovementType | None = None,  # noqa: A002 - the API's own name for it
    request_id: str | None = None,
    from_: datetime | str | None = None,
    to: datetime | str | None = None,
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.TransactionPage]:
    """The ledger, newest first; a moment without a time zone is UTC."""
    return reading(
        "listTransactions",
        "/api/v1/credits/transactions",
        models.TransactionPage,
        type=type,
        request_id=request_id,
        from_=from_,
        to=to,
        limit=limit,
        cursor=cursor,
    )


def list_grants(*, limit: int = PAGE_MAX, cursor: str | None = None) -> Call[models.GrantPage]:
    """Additions with credits left, in the order in which they are spent."""
    return reading(
        "listGrants", "/api/v1/credits/grants", models.GrantPage, limit=limit, cursor=cursor
    )


def get_ledger_proof(
    *, checkpoint: int | None = None, since: int | None = None
) -> Call[models.LedgerProof]:
    """Where the ledger stood in a signed checkpoint; `since`: and that it continues that one."""
    return reading(
        "getLedgerProof",
        "/api/v1/ledger/proof",
        models.LedgerProof,
        checkpoint=checkpoint,
        since=since,
    )


def list_holds(
    *,
    status: models.HoldStatus | None = None,
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.HoldPage]:
    """Holds, newest first."""
    return reading(
        "listHolds",
        "/api/v1/credits/holds",
        models.HoldPage,
        status=status,
        limit=limit,
        cursor=cursor,
    )


def create_hold(
    amount: int,
    *,
    expires_in_seconds: int = 600,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[models.HoldMade]:
    """Set credits aside until they are captured, released, or their time is over."""
    body = models.HoldBody(
        amount=amount,
        expires_in_seconds=expires_in_seconds,
        description=description,
        metadata=copied(metadata),
    )
    return changing("createHold", "/api/v1/credits/holds", models.HoldMade, body, idempotency_key)


def get_hold(hold_id: str) -> Call[models.HoldView]:
    """A hold, and how it ended."""
    return reading("getHold", f"/api/v1/credits/holds/{path_part(hold_id)}", models.HoldView)


def capture_hold(
    hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
) -> Call[models.HoldOver]:
    """Spend `amount` of what is held, or all of it; the rest goes back."""
    path = f"/api/v1/credits/holds/{path_part(hold_id)}/capture"
    body = models.CaptureBody(amount=amount)
    return changing("captureHold", path, models.HoldOver, body, idempotency_key)


def release_hold(hold_id: str, *, idempotency_key: str | None = None) -> Call[models.HoldOver]:
    """Give back all that is held."""
    path = f"/api/v1/credits/holds/{path_part(hold_id)}/release"
    return changing("releaseHold", path, models.HoldOver, None, idempotency_key)


def extend_hold(
    hold_id: str, expires_in_seconds: int, *, idempotency_key: str | None = None
) -> Call[models.HoldExtended]:
    """Have a hold last that long from now on; it is never shortened."""
    path = f"/api/v1/credits/holds/{path_part(hold_id)}/extend"
    body = models.ExtendBody(expires_in_seconds=expires_in_seconds)
    return changing("extendHold", path, models.HoldExtended, body, idempotency_key)


def spend_credits(
    amount: int,
    *,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[models.SpendMade]:
    """Take credits. The key is the spend's name, too: `get_spend` and `refund_spend` take it."""
    body = models.SpendBody(amount=amount, description=description, metadata=copied(metadata))
    return changing(
        "spendCredits", "/api/v1/credits/spend", models.SpendMade, body, idempotency_key
    )


def spend_credits_in_batch(
    items: Sequence[models.SpendItem], *, idempotency_key: str | None = None
) -> Call[models.SpendAnswers]:
    """Take credits up to a thousand times at once, each spend under its own `request_id`.

    Some may be refused while the others are done: look at each `outcome`. `replayed` may be the
    doing of this very call, by an attempt whose answer was lost.
    """
    body = models.SpendBatch(items=list(items))
    path = "/api/v1/credits/spend/batch"
    return changing("spendCreditsInBatch", path, models.SpendAnswers, body, idempotency_key)


def get_spend(spend_request_id: str) -> Call[models.SpendView]:
    """A spend, and what was given back of it."""
    path = f"/api/v1/credits/spend/{path_part(spend_request_id)}"
    return reading("getSpend", path, models.SpendView)


def refund_spend(
    spend_request_id: str, *, amount: int | None = None, idempotency_key: str | None = None
) -> Call[models.RefundMade]:
    """Give back `amount` of a spend, or all that is left."""
    path = f"/api/v1/credits/spend/{path_part(spend_request_id)}/refund"
    body = models.RefundBody(amount=amount)
    return changing("refundSpend", path, models.RefundMade, body, idempotency_key)


def create_checkout(
    *,
    plan: str | None = None,
    credits: int | None = None,
    idempotency_key: str | None = None,
) -> Call[models.CheckoutView]:
    """An address at which to pay for a plan, or for a number of credits."""
    body = models.CheckoutBody(plan=plan, credits=credits)
    path = "/api/v1/billing/checkout"
    return changing("createCheckout", path, models.CheckoutView, body, idempotency_key)


def list_plans() -> Call[models.CatalogueView]:
    """What is on sale, and what a generation costs."""
    return reading("listPlans", "/api/v1/billing/plans", models.CatalogueView)


def list_subscriptions() -> Call[models.SubscriptionList]:
    """The store's subscriptions, newest first, ended ones included."""
    return reading("listSubscriptions", "/api/v1/billing/subscriptions", models.SubscriptionList)


def get_top_up() -> Call[models.TopUpView]:
    """Whether credits are bought by themselves, how many, and how often that was so."""
    return reading("getTopUp", "/api/v1/top-up", models.TopUpView)


def set_top_up(
    threshold: int,
    credits: int,
    *,
    max_per_day: int | None = None,
    max_per_month: int | None = None,
) -> Call[models.TopUpView]:
    """Have `credits` bought while the balance is `threshold` or below; a paused one goes on."""
    body = models.TopUpBody(
        threshold=threshold,
        credits=credits,
        max_per_day=max_per_day,
        max_per_month=max_per_month,
    )
    return changing_without_key("setTopUp", "PUT", "/api/v1/top-up", models.TopUpView, body)


def delete_top_up() -> Call[models.TopUpView]:
    """Buy nothing more by itself; a charge that was begun is seen to its end."""
    return changing_without_key("deleteTopUp", "DELETE", "/api/v1/top-up", models.TopUpView)


def create_portal_session(
    *, expires_in_seconds: int | None = None, sign_in_seconds: int | None = None
) -> Call[models.PortalSessionView]:
    """A link that signs one browser in to the store's portal, once; asked again, another."""
    body = models.PortalSessionBody(
        expires_in_seconds=expires_in_seconds, sign_in_seconds=sign_in_seconds
    )
    path = "/api/v1/portal/sessions"
    return changing_without_key("createPortalSession", "POST", path, models.PortalSessionView, body)


def get_health() -> Call[models.Health]:
    """Whether the key works."""
    return reading("getHealth", "/api/v1/health", models.Health)
