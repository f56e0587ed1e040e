"""`/portal`: what the store has, how long it lasts, and what happened to it last."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.web.pages.places import Place
from storecredit.web.pages.standings import standing_of
from storecredit.web.parts import Parts


@get("/")
async def credits_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """The store's credits."""
    standing = await standing_of(request, parts, place.owner)
    return place.page(
        request,
        "credits.html",
        status=standing.query.status,
        form=standing.query.form,
        standing=standing,
    )
