"""The pages of a store's portal, by address."""

from litestar import Router
from litestar.di import Provide

from storecredit.web.pages import generations, keys, ledgers, purchases, top_ups
from storecredit.web.pages.hearing import stores_hearing
from storecredit.web.pages.live import owner_events
from storecredit.web.pages.routers import page_router
from storecredit.web.pages.webhook_routes import webhook_router
from storecredit.web.portal import colours, credits
from storecredit.web.portal.places import own_place, own_store


def portal_router() -> Router:
    """Every address below `/portal`."""
    return page_router(
        "portal",
        [
            colours.colours,  # GET /colours.css
            credits.credits_page,  # GET /
            owner_events,  # GET /events
            *ledgers.HANDLERS,  # /ledger
            *generations.HANDLERS,  # /generations
            *keys.HANDLERS,  # /keys
            webhook_router(stores_hearing),  # /webhooks
            *top_ups.HANDLERS,  # /top-up
            *purchases.HANDLERS,  # /purchases
        ],
        {"store": Provide(own_store), "place": Provide(own_place)},
    )
