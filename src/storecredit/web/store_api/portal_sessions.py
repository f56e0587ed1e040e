"""`/api/v1/portal/sessions`: links by which a store sends its own people to its portal."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.operator.tokens import STORE
from storecredit.web.http.envelope import Envelope
from storecredit.web.http.headers import bearer_of
from storecredit.web.http.links import link_base
from storecredit.web.http.openapi import example, store_errors
from storecredit.web.http.visits import caller_of, visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.portal_sessions import (
    EXAMPLE,
    PortalSessionBody,
    PortalSessionView,
    portal_session_view,
)


@post(
    "/portal/sessions",
    summary="Make a link to the store's portal",
    operation_id="createPortalSession",
    responses=store_errors(),
    **example(EXAMPLE),
)
async def create_portal_session(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    data: JSONBody[PortalSessionBody | None] = None,
) -> Envelope[PortalSessionView]:
    """A link that signs one browser in to the store's portal, once.

    It ends with the key that asked for it, and so does the sign-in that it begins. A request that
    is sent again makes another link: the first one is kept nowhere, and cannot be shown again.
    """
    asked = data or PortalSessionBody()
    base = link_base(request.scope, parts)
    key_id = await parts.api_keys.id_of(_key_of(request))
    assert key_id is not None, "keys are never removed"
    link = await parts.operator.sign_ins.portal_link(
        caller_of(request.scope).store_id,
        STORE,
        seconds=asked.sign_in_seconds,
        behind=key_id,
        link_seconds=asked.expires_in_seconds,
    )
    return Envelope(portal_session_view(link, base))


def _key_of(request: Request[Any, Any, Any]) -> str:
    key = bearer_of(visit_of(request.scope).sent.get(b"authorization"))
    assert key is not None, "the request was let in by it"
    return key
