"""`/console`: how the whole service is."""

from typing import Any

from litestar import Request, Response, get

from storecredit.web.pages.rendering import page


@get("/")
async def overview_page(request: Request[Any, Any, Any]) -> Response[str]:
    """How the whole service is."""
    return page(request, "overview.html")
