"""What changes while a page of the portal is open, told to its script."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from storecredit.ledger.owners import Owner
from storecredit.web.http.streams import EVENTS
from storecredit.web.pages.live import live_events
from storecredit.web.pages.signed_in import signed_in
from storecredit.web.parts import Parts


@get("/events", media_type=EVENTS)
async def portal_events(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> ASGIApp:
    """Of the store that is signed in: its balance, its newest movements and generations."""
    store_id = signed_in(request).store_id
    assert store_id is not None, "a portal's sign-in is a store's"
    account_id = await parts.credits.account_id(Owner.store(store_id))
    return live_events(request, parts, account_id=account_id)
