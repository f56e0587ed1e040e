"""The pages of the operator's console, by address."""

from litestar import Router
from litestar.di import Provide

from storecredit.web.console import overview, owners, store
from storecredit.web.pages.routers import page_router


def console_router() -> Router:
    """Every address below `/console`."""
    return page_router(
        "console",
        [
            overview.overview_page,  # GET /
            store.store_page,  # GET /stores/{store_id}
        ],
        {"store": Provide(owners.named_store), "user": Provide(owners.known_user)},
    )
