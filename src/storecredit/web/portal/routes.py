"""The pages of a store's portal, by address."""

from litestar import Router

from storecredit.web.pages.routers import page_router
from storecredit.web.portal import colours, credits, live


def portal_router() -> Router:
    """Every address below `/portal`."""
    return page_router(
        "portal",
        [
            colours.colours,  # GET /colours.css
            credits.credits_page,  # GET /
            live.portal_events,  # GET /events
        ],
    )
