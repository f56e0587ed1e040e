"""`GET /api/v1/credits/balance`: what a store has."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.types import HTTPScope

from storecredit.ledger.balances import Balance
from storecredit.web.http.envelope import Envelope, Success
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.openapi import said, store_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.expiring_credits import ExpiringView, expiring_views
from storecredit.web.store_api.accounts import account_of


class BalanceView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A store's credits."""

    balance: Annotated[int, said("The credits that can be spent.")]
    total_purchased: Annotated[int, said("All that ever came in: bought, subscribed, granted.")]
    total_spent: Annotated[int, said("What was spent, less what was refunded.")]
    total_clawed_back: Annotated[
        int | None, said("What was taken back with a payment; left out where nothing was.")
    ] = None
    total_expired: Annotated[
        int | None, said("What expired before it was spent; left out where nothing did.")
    ] = None
    total_removed: Annotated[
        int | None, said("What the operator took out; left out where nothing was.")
    ] = None
    held: Annotated[
        int | None,
        said("What is set aside by holds, and no part of the balance; left out without."),
    ] = None
    expiring: Annotated[
        list[ExpiringView] | None,
        said("What of the balance will expire, the soonest first; left out where nothing will."),
    ] = None
    overage_used: Annotated[
        int | None, said("What was used beyond the balance and is not billed; left out without.")
    ] = None
    overage_limit: Annotated[
        int | None, said("How much may be used beyond the balance; left out without overage.")
    ] = None


@get(
    "/credits/balance",
    summary="Read the balance",
    operation_id="getBalance",
    responses=store_errors(),
)
async def get_balance(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[Envelope[BalanceView]]:
    """The store's credits now; if they cannot be read, an error, never a made-up zero."""
    return (await balance(request.scope, parts)).response()


async def balance(scope: HTTPScope, parts: Parts) -> Success[BalanceView]:
    """The whole of `get_balance`, without the framework: a direct route."""
    credits = await parts.balances.read(account_of(scope))
    view = BalanceView(credits.balance, credits.total_added, credits.total_spent)
    if credits.total_added != credits.balance + credits.total_spent or credits.expiring:
        view = msgspec.structs.replace(view, **_rarely_told(credits))
    if credits.overage_limit or credits.overage_used:
        view = msgspec.structs.replace(
            view, overage_used=credits.overage_used, overage_limit=credits.overage_limit
        )
    return Success(view, headers={CREDITS_REMAINING: str(credits.balance)})


def _rarely_told(credits: Balance) -> dict[str, Any]:
    """What stands in a balance only where it is not zero."""
    return {
        "total_clawed_back": credits.total_clawed_back or None,
        "total_expired": credits.total_expired or None,
        "total_removed": credits.total_removed or None,
        "held": credits.held or None,
        "expiring": expiring_views(credits) or None,
    }
