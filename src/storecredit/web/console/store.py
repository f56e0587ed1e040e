"""`/console/stores/{store_id}`: what a store has, how long it lasts, what happened to it last."""

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.billing.problems import ShortClawback, UnpaidBill
from storecredit.billing.top_ups import TopUp, TopUpStatus
from storecredit.web.pages.places import Place
from storecredit.web.pages.standings import standing_of
from storecredit.web.parts import Parts
from storecredit.webhooks.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class StoreProblems:
    """What of a store needs somebody. `top_up`: one that is paused."""

    clawbacks: tuple[ShortClawback, ...]
    bills: tuple[UnpaidBill, ...]
    endpoints: tuple[Endpoint, ...]
    top_up: TopUp | None


@get("/")
async def store_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """A store."""
    standing, problems = await asyncio.gather(
        standing_of(request, parts, place.owner), _problems(parts, place)
    )
    return place.page(
        request,
        "store.html",
        status=standing.query.status,
        form=standing.query.form,
        standing=standing,
        problems=problems,
    )


async def _problems(parts: Parts, place: Place) -> StoreProblems:
    account_id = await parts.credits.account_id(place.owner)
    clawbacks, bills, endpoints, top_up = await asyncio.gather(
        parts.problems.clawbacks(place.owner),
        parts.problems.bills(place.owner),
        parts.endpoints.list(account_id),
        parts.top_ups.read(place.owner.id),
    )
    return StoreProblems(
        clawbacks.items,
        bills.items,
        tuple(each for each in endpoints if _is_in_trouble(each)),
        top_up if top_up.status is TopUpStatus.PAUSED else None,
    )


def _is_in_trouble(endpoint: Endpoint) -> bool:
    """Whether it does not take what it is sent; one that its owner switched off is in none."""
    if endpoint.disabled_at is not None:
        return endpoint.disabled_reason != "requested"
    return endpoint.failing_since is not None
