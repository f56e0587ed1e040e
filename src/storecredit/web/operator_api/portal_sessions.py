"""`/api/admin/stores/{store_id}/portal/sessions`: links by which the operator lets a store in."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure
from storecredit.web.http.links import link_base
from storecredit.web.http.openapi import example, operator_errors
from storecredit.web.http.scopes import needs
from storecredit.web.http.visits import principal_of
from storecredit.web.parts import Parts
from storecredit.web.resources.portal_sessions import (
    EXAMPLE,
    PortalSessionBody,
    PortalSessionView,
    portal_session_view,
)


# Who may make a key for a store can do all that the store can: a link is no more than that.
@post(
    "/stores/{store_id:str}/portal/sessions",
    summary="Make a link to a store's portal",
    operation_id="createStorePortalSession",
    responses=operator_errors(ErrorCode.NOT_FOUND, ErrorCode.STORE_SUSPENDED),
    **example(EXAMPLE),
    **needs(Scope.KEYS),
)
async def create_store_portal_session(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[PortalSessionBody | None] = None,
) -> Envelope[PortalSessionView]:
    """A link that signs one browser in to the store's portal, once.

    It ends with the token that asked for it, and so does the sign-in that it begins. A request that
    is sent again makes another link, whatever its Idempotency-Key: the first one is kept nowhere.
    """
    asked = data or PortalSessionBody()
    base = link_base(request.scope, parts)
    link = await parts.operator.portal_links.give_out(
        context,
        store,
        principal_of(request.scope),
        seconds=asked.sign_in_seconds,
        link_seconds=asked.expires_in_seconds,
    )
    if link is None:
        raise Failure(
            ErrorCode.STORE_SUSPENDED,
            "This store is suspended, so nobody is let into its portal. Nothing was done.",
        )
    return Envelope(portal_session_view(link, base))
