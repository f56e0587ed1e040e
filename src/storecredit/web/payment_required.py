"""402: the credits do not suffice, and where more can be bought."""

from typing import Any

from litestar.types import HTTPScope

from storecredit.web.envelope import ErrorCode, Failure
from storecredit.web.headers import CREDITS_REMAINING
from storecredit.web.links import link_base
from storecredit.web.parts import Parts


def payment_required(scope: HTTPScope, parts: Parts, *, balance: int, required: int) -> Failure:
    """Bought they are at the operator's page, else by the checkout of this API."""
    fields: dict[str, Any] = {"balance": balance, "required": required}
    buy_url = parts.settings.buy_url
    if buy_url is None and parts.signatures is not None:
        buy_url = f"{link_base(scope, parts)}/api/v1/billing/checkout"
    if buy_url is not None:
        fields["buy_url"] = buy_url
    return Failure(
        ErrorCode.INSUFFICIENT_CREDITS,
        "The store has not enough credits for this. Nothing was charged; the same request may be "
        f"sent again once there are. {_where_to_buy(buy_url)}",
        fields,
        {CREDITS_REMAINING: str(balance)},
    )


def _where_to_buy(buy_url: str | None) -> str:
    return "Whoever runs this service adds credits." if buy_url is None else "Buy at `buy_url`."
