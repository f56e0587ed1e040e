"""Whose webhook endpoints an address is about, and which of them."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import PathParameter

from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.parts import Parts
from storecredit.web.store_api.generations import account_of
from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT

EndpointId = Annotated[
    str, PathParameter(format="uuid", description="The endpoint, as its creation named it.")
]


@dataclass(frozen=True, slots=True)
class Hearer:
    """Whose endpoints they are: a store's, or (`store_id` None) the operator's; their address."""

    account_id: int
    store_id: UUID | None
    address: str


async def asking_store(request: Request[Any, Any, Any]) -> Hearer:
    """The store whose key was sent."""
    account = account_of(request.scope)
    return Hearer(account.id, account.owner.id, "/api/v1/webhooks")


async def the_operator() -> Hearer:
    """The operator, who hears of every owner."""
    return Hearer(OPERATOR_ACCOUNT, None, "/api/admin/webhooks")


async def named_store(parts: NamedDependency[Parts], store: NamedDependency[Store]) -> Hearer:
    """The store that an address of the operator's API names."""
    account_id = await parts.credits.account_id(Owner.store(store.store_id))
    return Hearer(account_id, store.store_id, f"/api/admin/stores/{store.store_id}/webhooks")


def named_endpoint(endpoint_id: str) -> UUID:
    """The id that a path names. Raises Failure for what cannot be one."""
    try:
        return UUID(endpoint_id)
    except ValueError:
        raise no_such_endpoint() from None


def no_such_endpoint() -> Failure:
    """404: unknown, or another owner's."""
    return not_found("webhook endpoint")


def endpoint_disabled() -> Failure:
    """409: nothing is sent to it."""
    return Failure(
        ErrorCode.ENDPOINT_DISABLED,
        "This webhook endpoint is disabled. Nothing was sent; enable it first.",
    )
