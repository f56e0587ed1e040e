"""`/api/admin/requests/{request_id}`: everything about a request, whoever's it is."""

from typing import Annotated, Final
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from storecredit.ledger.owners import Owner
from storecredit.operator.records import RequestsFound
from storecredit.postgres.errors import StatementCancelled
from storecredit.web.http.envelope import (
    Envelope,
    ErrorCode,
    Failure,
    invalid,
    not_found,
    unavailable,
)
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.paths import named_request
from storecredit.web.http.request_ids import is_request_id
from storecredit.web.operator_api.named_stores import store_called
from storecredit.web.parts import Parts

OfStore = Annotated[
    str | None,
    QueryParameter(
        name="store_id",
        min_length=1,
        max_length=253,
        description="Only this store's: its id, or its name or domain where no other has the same.",
    ),
    Check(no_nul),
]
OfUser = Annotated[UUID | None, QueryParameter(name="user_id", description="Or this end user's.")]
AnyId = Annotated[str, PathParameter(description="The id: of a request, or of what it made.")]
_TOO_LONG: Final = (
    "Looking through all accounts took too long. Say whose the request is: with `store_id` or "
    "`user_id` one account is asked."
)


@get(
    "/requests/{request_id:str}",
    summary="Find everything about a request",
    operation_id="getRequest",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_request(
    parts: NamedDependency[Parts],
    request_id: AnyId,
    store_id: OfStore = None,
    user_id: OfUser = None,
) -> Envelope[RequestsFound]:
    """Its whole life, of every store and end user that used it: the rows, and one time line of all.

    Taken is any id: of a request, a generation, a hold, a checkout, a webhook, or what the payment
    provider calls a transaction, subscription, adjustment or event; of a store, an end user, a key
    or an endpoint what it is; of one owner also the `seq` of a movement, which is the `grant_id` of
    a grant. Percent-encode what a path cannot hold. Prompts and image URLs are never in it.
    """
    if store_id is not None and user_id is not None:
        message = "Name a store or an end user, not both."
        raise invalid(message, [{"key": "user_id", "source": "query", "message": message}])
    identifier = named_request(request_id)
    if not is_request_id(identifier):
        raise _unknown()
    owner = None if user_id is None else Owner.user(user_id)
    if store_id is not None:
        owner = Owner.store((await store_called(parts, store_id, source="query")).store_id)
    try:
        found = await parts.requests.find(identifier, owner)
    except StatementCancelled as error:
        raise unavailable(_TOO_LONG) from error
    if found.is_nothing:
        raise _unknown()
    return Envelope(found)


def _unknown() -> Failure:
    return not_found("request, nor anything else of that id")
