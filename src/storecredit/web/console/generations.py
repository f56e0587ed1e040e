"""`/console/…/generations`: what became of the generations of a store or an end user, and why."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.stores.stores import Store
from storecredit.users.directory import User
from storecredit.web.console.owners import Place, place_of_store, place_of_user
from storecredit.web.pages.generations import generations_shown
from storecredit.web.parts import Parts


@get("/stores/{store_id:str}/generations")
async def store_generations_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Response[str]:
    """A store's generations, newest first."""
    return await _page(request, parts, place_of_store(store))


@get("/users/{user_id:uuid}/generations")
async def user_generations_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], user: NamedDependency[User]
) -> Response[str]:
    """An end user's, likewise."""
    return await _page(request, parts, place_of_user(user))


async def _page(request: Request[Any, Any, Any], parts: Parts, place: Place) -> Response[str]:
    shown = await generations_shown(request, parts, place.owner)
    return place.page(request, "generations_of.html", status=shown.query.status, shown=shown)
