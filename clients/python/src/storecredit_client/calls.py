"""The calls of the API, one function for each operation that a store's key may ask for.

A function makes a `Call`, which is a value and has not been sent. Made once is done once: a call
that changes something gets its idempotency key here, so the same `Call` may be sent again, by
another process or tomorrow, and is one and the same for the service.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

from storecredit_client import models
from storecredit_client.errors import StorecreditError

KEY_MAX: Final = 200
PAGE_MAX: Final = 100

T_co = TypeVar("T_co", covariant=True)
PageT = TypeVar("PageT", bound="Page[Any]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request for one operation, by the `operationId` of the OpenAPI document.

    `result` is what its answer holds. `wait_seconds`: the service may take that much longer.
    """

    operation: str
    method: Literal["GET", "POST"]
    path: str
    result: type[T_co]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    wait_seconds: float = 0.0

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent again while nobody knows what became of it."""
        return self.method == "GET" or self.idempotency_key is not None


class Page(Protocol[T_co]):
    """Some items of a list."""

    @property
    def items(self) -> Sequence[T_co]:
        """They themselves."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; None: there is none."""


def following(call: Call[PageT], page: PageT) -> Call[PageT] | None:
    """The call for the page after this one; None: it was the last."""
    cursor = page.next_cursor
    if cursor is None:
        return None
    if cursor == call.query.get("cursor"):
        raise StorecreditError("The list does not go on: its next page is the one that was read.")
    return dataclasses.replace(call, query={**call.query, "cursor": cursor})


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
        options=_copied(options),
        metadata=_copied(metadata),
    )
    path = "/api/v1/generation/create"
    call = _post("createGeneration", path, models.GenerationCreated, body, idempotency_key)
    if wait is None:
        return call
    return dataclasses.replace(call, headers={"Prefer": f"wait={wait}"}, wait_seconds=wait)


def get_generation(session_id: str, *, wait: int | None = None) -> Call[models.Generation]:
    """A generation; with `wait` once it has ended, or after that many seconds."""
    path = f"/api/v1/generation/{_part(session_id)}"
    call = _get("getGeneration", path, models.Generation, wait=wait)
    return dataclasses.replace(call, wait_seconds=wait or 0)


def list_generations(
    *,
    status: models.SessionStatus | None = None,
    request_id: str | None = None,
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.GenerationPage]:
    """Generations, newest first; `limit` of them at a time."""
    return _get(
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
    return _get("getBalance", "/api/v1/credits/balance", models.BalanceView)


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
    return _get(
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
    return _get(
        "listGrants", "/api/v1/credits/grants", models.GrantPage, limit=limit, cursor=cursor
    )


def list_holds(
    *,
    status: models.HoldStatus | None = None,
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.HoldPage]:
    """Holds, newest first."""
    return _get(
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
        metadata=_copied(metadata),
    )
    return _post("createHold", "/api/v1/credits/holds", models.HoldMade, body, idempotency_key)


def get_hold(hold_id: str) -> Call[models.HoldView]:
    """A hold, and how it ended."""
    return _get("getHold", f"/api/v1/credits/holds/{_part(hold_id)}", models.HoldView)


def capture_hold(
    hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
) -> Call[models.HoldOver]:
    """Spend `amount` of what is held, or all of it; the rest goes back."""
    path = f"/api/v1/credits/holds/{_part(hold_id)}/capture"
    body = models.CaptureBody(amount=amount)
    return _post("captureHold", path, models.HoldOver, body, idempotency_key)


def release_hold(hold_id: str, *, idempotency_key: str | None = None) -> Call[models.HoldOver]:
    """Give back all that is held."""
    path = f"/api/v1/credits/holds/{_part(hold_id)}/release"
    return _post("releaseHold", path, models.HoldOver, None, idempotency_key)


def extend_hold(
    hold_id: str, expires_in_seconds: int, *, idempotency_key: str | None = None
) -> Call[models.HoldExtended]:
    """Have a hold last that long from now on; it is never shortened."""
    path = f"/api/v1/credits/holds/{_part(hold_id)}/extend"
    body = models.ExtendBody(expires_in_seconds=expires_in_seconds)
    return _post("extendHold", path, models.HoldExtended, body, idempotency_key)


def spend_credits(
    amount: int,
    *,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[models.SpendMade]:
    """Take credits. The key is the spend's name, too: `get_spend` and `refund_spend` take it."""
    body = models.SpendBody(amount=amount, description=description, metadata=_copied(metadata))
    return _post("spendCredits", "/api/v1/credits/spend", models.SpendMade, body, idempotency_key)


def spend_credits_in_batch(
    items: Sequence[models.SpendItem], *, idempotency_key: str | None = None
) -> Call[models.SpendAnswers]:
    """Take credits up to a thousand times at once, each spend under its own `request_id`.

    Some may be refused while the others are done: look at each `outcome`. `replayed` may be the
    doing of this very call, by an attempt whose answer was lost.
    """
    body = models.SpendBatch(items=list(items))
    path = "/api/v1/credits/spend/batch"
    return _post("spendCreditsInBatch", path, models.SpendAnswers, body, idempotency_key)


def get_spend(spend_request_id: str) -> Call[models.SpendView]:
    """A spend, and what was given back of it."""
    path = f"/api/v1/credits/spend/{_part(spend_request_id)}"
    return _get("getSpend", path, models.SpendView)


def refund_spend(
    spend_request_id: str, *, amount: int | None = None, idempotency_key: str | None = None
) -> Call[models.RefundMade]:
    """Give back `amount` of a spend, or all that is left."""
    path = f"/api/v1/credits/spend/{_part(spend_request_id)}/refund"
    body = models.RefundBody(amount=amount)
    return _post("refundSpend", path, models.RefundMade, body, idempotency_key)


def create_checkout(
    *,
    plan: str | None = None,
    credits: int | None = None,
    idempotency_key: str | None = None,
) -> Call[models.CheckoutView]:
    """An address at which to pay for a plan, or for a number of credits."""
    body = models.CheckoutBody(plan=plan, credits=credits)
    path = "/api/v1/billing/checkout"
    return _post("createCheckout", path, models.CheckoutView, body, idempotency_key)


def list_plans() -> Call[models.CatalogueView]:
    """What is on sale, and what a generation costs."""
    return _get("listPlans", "/api/v1/billing/plans", models.CatalogueView)


def list_subscriptions() -> Call[models.SubscriptionList]:
    """The store's subscriptions, newest first, ended ones included."""
    return _get("listSubscriptions", "/api/v1/billing/subscriptions", models.SubscriptionList)


def get_health() -> Call[models.Health]:
    """Whether the key works."""
    return _get("getHealth", "/api/v1/health", models.Health)


ResultT = TypeVar("ResultT")


def _get(
    operation: str,
    path: str,
    result: type[ResultT],
    **query: datetime | str | int | None,
) -> Call[ResultT]:
    """A call that reads. In the names of parameters a `_` at the end is Python's."""
    asked = {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return Call(operation=operation, method="GET", path=path, result=result, query=asked)


def _post(
    operation: str, path: str, result: type[ResultT], body: Any, idempotency_key: str | None
) -> Call[ResultT]:
    return Call(
        operation=operation,
        method="POST",
        path=path,
        result=result,
        body=None if body is None else _given(body),
        idempotency_key=_key(idempotency_key),
    )


def _given(body: Any) -> dict[str, Any]:
    """The fields of a body that were given."""
    values = ((each.name, getattr(body, each.name)) for each in dataclasses.fields(body))
    return {name: value for name, value in values if value is not None}


def _copied(strings: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if strings is None else dict(strings)


def _key(given: str | None) -> str:
    if given is None:
        return str(uuid.uuid4())
    is_of_a_length = 1 <= len(given) <= KEY_MAX and given == given.strip()
    if not (is_of_a_length and given.isascii() and given.isprintable()):
        raise ValueError(
            f"An idempotency key is 1 to {KEY_MAX} printable ASCII characters, with no space at "
            "its ends."
        )
    return given


def _part(name: str) -> str:
    """One part of a path. Dots alone would lead elsewhere (RFC 3986, 5.2.4): they are encoded."""
    if not name:
        raise ValueError("An id is needed, and this one is empty.")
    encoded = quote(name, safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")
