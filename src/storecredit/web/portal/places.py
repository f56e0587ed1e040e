"""Whose pages the portal's are: those of the store that is signed in, and of no other."""

from typing import Any, Final

from litestar import Request
from litestar.di import NamedDependency

from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import not_found
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import signed_in
from storecredit.web.parts import Parts

ADDRESS: Final = "/portal"


async def own_store(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Store:
    """The store that is signed in: no address names another."""
    store_id = signed_in(request).store_id
    assert store_id is not None, "a portal's sign-in is a store's"
    store = await parts.stores.get(store_id)
    if store is None:
        raise not_found("store")
    return store


async def own_place(store: NamedDependency[Store]) -> Place:
    """Its pages."""
    return Place(Owner.store(store.store_id), ADDRESS, "own_layout.html", store)
