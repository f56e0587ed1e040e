"""Whose webhook endpoints an address is about, and which of them."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from litestar.params import PathParameter

from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.endpoints import Endpoints

EndpointId = Annotated[
    str, PathParameter(format="uuid", description="The endpoint, as its creation named it.")
]


@dataclass(frozen=True, slots=True)
class Hearer:
    """Whose endpoints they are: a store's, or (`store_id` None) the operator's; their address.

    `endpoints`, `deliveries`: by which they are changed and read.
    """

    account_id: int
    store_id: UUID | None
    address: str
    endpoints: Endpoints
    deliveries: DeliveryRecords


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
