"""`/console/stores/{store_id}`: what a store has, how long it lasts, what happened to it last."""

import asyncio
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.stores.stores import Store
from storecredit.web.console.owners import place_of_store
from storecredit.web.parts import Parts


@get("/stores/{store_id:str}")
async def store_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Response[str]:
    """A store."""
    place = place_of_store(store)
    account_id = await parts.credits.account_id(place.owner)
    balance, now = await asyncio.gather(
        parts.credits.balance(place.owner), parts.live.now(account_id)
    )
    return place.page(request, "store.html", balance=balance, now=now.accounts[0])
