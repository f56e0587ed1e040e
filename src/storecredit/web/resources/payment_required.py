"""402: the credits do not suffice, and where more can be bought."""

from typing import Any

from litestar.types import HTTPScope

from storecredit.ledger.owners import OwnerKind
from storecredit.web.http.envelope import ErrorCode, Failure
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.links import link_base
from storecredit.web.parts import Parts


def payment_required(
    scope: HTTPScope,
    parts: Parts,
    *,
    balance: int,
    required: int,
    kind: OwnerKind = OwnerKind.STORE,
) -> Failure:
    """A store buys them at the operator's page, else by the checkout of this API."""
    fields: dict[str, Any] = {"balance": balance, "required": required}
    where = "Whoever runs this service adds credits."
    if kind is OwnerKind.USER:
        where = "The user buys them in your app, or you add some."
    elif (buy_url := _buy_url(scope, parts)) is not None:
        fields["buy_url"] = buy_url
        where = "Buy at `buy_url`."
    return Failure(
        ErrorCode.INSUFFICIENT_CREDITS,
        f"The {kind.value} does not have enough credits for this. Nothing was charged; the same "
        f"request may be sent again once there are enough. {where}",
        fields,
        {CREDITS_REMAINING: str(balance)},
    )


def _buy_url(scope: HTTPScope, parts: Parts) -> str | None:
    buy_url = parts.settings.buy_url
    if buy_url is None and parts.signatures is not None:
        return f"{link_base(scope, parts)}/api/v1/billing/checkout"
    return buy_url
