"""`/portal`: what the store has, and how long it lasts."""

import asyncio
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.owners import Owner
from storecredit.web.pages.rendering import page
from storecredit.web.pages.signed_in import signed_in
from storecredit.web.parts import Parts


@get("/")
async def credits_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """The store's balance."""
    store_id = signed_in(request).store_id
    assert store_id is not None, "a portal's sign-in is a store's"
    owner = Owner.store(store_id)
    account_id = await parts.credits.account_id(owner)
    balance, now = await asyncio.gather(parts.credits.balance(owner), parts.live.now(account_id))
    return page(request, "credits.html", balance=balance, now=now.accounts[0])
