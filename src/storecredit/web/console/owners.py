"""Whose pages they are, a store's or an end user's: found by the address, shown in their layout."""

from typing import Final
from urllib.parse import quote_plus
from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.ledger.owner_pages import SEARCH_LENGTH_MAX
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.users.directory import User
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.pages.errors import LookElsewhere
from storecredit.web.pages.places import Place
from storecredit.web.parts import Parts

STORES: Final = "/console/stores"
USERS: Final = "/console/users"


async def place_of_store(store: NamedDependency[Store]) -> Place:
    """A store's pages."""
    owner = Owner.store(store.store_id)
    return Place(owner, f"{STORES}/{store.store_id}", "store_layout.html", store)


async def place_of_user(user: NamedDependency[User]) -> Place:
    """An end user's pages."""
    owner = Owner.user(user.user_id)
    return Place(owner, f"{USERS}/{user.user_id}", "user_layout.html", user)


async def named_store(parts: NamedDependency[Parts], store_id: FromPath[str]) -> Store:
    """The store of this id, name or domain: a dependency of every page below `/console/stores/`.

    Raises LookElsewhere where there is none, and for several of one name.
    """
    match await parts.stores.named(store_id):
        case ():
            raise LookElsewhere(not_found("store"), *_search(store_id, "Search for it"))
        case (store,):
            return store
        case _:
            message = "Several stores are called that; each has an id, which none shares with it."
            failure = Failure(ErrorCode.NOT_FOUND, message)
            raise LookElsewhere(failure, *_search(store_id, "Choose among them"))


def _search(text: str, why: str) -> tuple[str, str]:
    if "\0" not in text and len(text) <= SEARCH_LENGTH_MAX:
        return f"{STORES}?search={quote_plus(text)}", why
    return STORES, "All stores"


async def known_user(parts: NamedDependency[Parts], user_id: FromPath[UUID]) -> User:
    """The end user of this id: a dependency of every page below `/console/users/`."""
    user = await parts.user_directory.get(user_id)
    if user is None:
        raise not_found("end user")
    return user
