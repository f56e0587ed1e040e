"""The pages of the operator's console, by address."""

from litestar import Router

from storecredit.web.console import overview
from storecredit.web.pages.routers import page_router


def console_router() -> Router:
    """Every address below `/console`."""
    return page_router(
        "console",
        [
            overview.overview_page,  # GET /
        ],
    )
