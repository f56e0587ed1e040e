"""The store that an address of the operator's API names: by its id, or as people call it."""

from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Failure, invalid, not_found
from storecredit.web.parts import Parts


async def named_store(parts: NamedDependency[Parts], store_id: FromPath[str]) -> Store:
    """The store of this id, name or domain: a dependency of every address below `/stores/`.

    Raises Failure where there is none, and for several of one name.
    """
    return await store_called(parts, store_id, source="path")


async def store_called(parts: Parts, name: str, *, source: str) -> Store:
    """The same of a name that stands somewhere else: `source` is path, query or body."""
    match await parts.stores.named(name):
        case ():
            raise not_found("store")
        case (store,):
            return store
        case several:
            raise _ambiguous(several, source)


def _ambiguous(candidates: tuple[Store, ...], source: str) -> Failure:
    listed = ", ".join(f"{each.store_id} ({each.name}, {each.shop_domain})" for each in candidates)
    message = f"Several stores are called that: {listed}. Give the id of the one that is meant."
    return invalid(message, [{"key": "store_id", "source": source, "message": message}])
