"""What changes while a page of the console is open, told to its script."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.users.directory import User
from storecredit.web.http.streams import EVENTS
from storecredit.web.pages.live import live_events
from storecredit.web.parts import Parts


@get("/events", media_type=EVENTS)
async def console_events(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> ASGIApp:
    """Of all accounts: the queue, the latest movements, what there is to look at."""
    return live_events(request, parts, everything=True)


@get("/stores/{store_id:str}/events", media_type=EVENTS)
async def store_events(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
) -> ASGIApp:
    """Of one store: its balance, its newest movements and generations."""
    account_id = await parts.credits.account_id(Owner.store(store.store_id))
    return live_events(request, parts, account_id=account_id)


@get("/users/{user_id:str}/events", media_type=EVENTS)
async def user_events(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user: NamedDependency[User],
) -> ASGIApp:
    """Of one end user, likewise."""
    account_id = await parts.credits.account_id(Owner.user(user.user_id))
    return live_events(request, parts, account_id=account_id)
