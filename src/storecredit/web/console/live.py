"""What changes while a page of the console is open, told to its script."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from storecredit.web.http.streams import EVENTS
from storecredit.web.pages.live import live_events
from storecredit.web.parts import Parts


@get("/events", media_type=EVENTS)
async def console_events(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> ASGIApp:
    """Of all accounts: the queue, the latest movements, what there is to look at."""
    return live_events(request, parts, everything=True)
