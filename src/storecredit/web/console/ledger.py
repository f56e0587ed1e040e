"""`/console/…/ledger`: what moved in the credits of a store or an end user, as list and as file."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.outcomes import MovementType, StoreMovementType
from storecredit.ledger.owners import OwnerKind
from storecredit.stores.stores import Store
from storecredit.users.directory import User
from storecredit.web.console.owners import Place, place_of_store, place_of_user
from storecredit.web.http.csv_export import MEDIA_TYPE as FILE
from storecredit.web.http.csv_export import CsvFile
from storecredit.web.http.envelope import invalid
from storecredit.web.pages.formats import words
from storecredit.web.pages.ledgers import ledger_query, ledger_shown
from storecredit.web.parts import Parts
from storecredit.web.resources.operator_transactions import OF_OWNER
from storecredit.web.resources.transactions import whole_file


@get("/stores/{store_id:str}/ledger")
async def store_ledger_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Response[str]:
    """A store's movements, newest first."""
    return await _page(request, parts, place_of_store(store))


@get("/users/{user_id:uuid}/ledger")
async def user_ledger_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], user: NamedDependency[User]
) -> Response[str]:
    """An end user's, likewise."""
    return await _page(request, parts, place_of_user(user))


@get("/stores/{store_id:str}/ledger.csv", media_type=FILE)
async def store_ledger_file(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> CsvFile:
    """All of a store's movements that the same filters leave, as a file."""
    return await _file(request, parts, place_of_store(store))


@get("/users/{user_id:uuid}/ledger.csv", media_type=FILE)
async def user_ledger_file(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], user: NamedDependency[User]
) -> CsvFile:
    """An end user's, likewise."""
    return await _file(request, parts, place_of_user(user))


async def _page(request: Request[Any, Any, Any], parts: Parts, place: Place) -> Response[str]:
    shown = await ledger_shown(request, parts, place.owner)
    types = StoreMovementType if place.owner.kind is OwnerKind.STORE else MovementType
    return place.page(
        request,
        "ledger.html",
        status=shown.query.status,
        shown=shown,
        types=[(each.value, words(each.value)) for each in types],
    )


async def _file(request: Request[Any, Any, Any], parts: Parts, place: Place) -> CsvFile:
    query, wanted = ledger_query(request)
    if wanted is None:
        raise invalid(" ".join(query.form.faults.values()))
    return await whole_file(parts, place.owner, wanted, OF_OWNER[place.owner.kind])
