"""`/console`: how the whole service is."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts


@get("/")
async def overview_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """How the whole service is."""
    now = await parts.live.now(everything=True)
    return page(request, "overview.html", now=now)
