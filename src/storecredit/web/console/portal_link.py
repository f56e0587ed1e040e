"""`/console/stores/{store_id}/portal`: a link that lets a store into its own page."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from storecredit.operator.audit import ActionContext
from storecredit.operator.portal_links import LinkShown
from storecredit.operator.sign_ins import LINK_SECONDS, PORTAL_SECONDS
from storecredit.operator.tokens import Scope
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import ErrorCode, Failure
from storecredit.web.http.links import link_base
from storecredit.web.http.scopes import needs
from storecredit.web.http.visits import principal_of
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.parts import Parts
from storecredit.web.resources.portal_sessions import PortalSessionBody, portal_session_view

LINK_TIMES: Final = (
    (str(LINK_SECONDS), "5 minutes"),
    ("3600", "an hour"),
    ("86400", "a day"),
)
SIGN_IN_TIMES: Final = (
    (str(PORTAL_SECONDS), "an hour"),
    ("28800", "8 hours"),
    ("86400", "a day"),
)


@get("/portal", **needs(Scope.KEYS))
async def portal_link_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Asks how long the link is to work, and whoever uses it to stay signed in."""
    return _asking(request, place, NO_FORM)


@post("/portal", status_code=200, **needs(Scope.KEYS))
async def make_portal_link(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Makes the link, and shows it this once."""
    try:
        wanted = read_form(request, form, PortalSessionBody)
    except FormRefused as refused:
        return _asking(request, place, refused.form)
    try:
        link = await parts.operator.portal_links.give_out(
            context,
            store,
            principal_of(request.scope),
            seconds=wanted.sign_in_seconds,
            link_seconds=wanted.expires_in_seconds,
        )
    except LinkShown:
        return place.page(request, "portal_link_made.html", made=None)
    if link is None:
        raise Failure(
            ErrorCode.STORE_SUSPENDED,
            "This store is suspended, so nobody is let into its portal. Nothing was done.",
        )
    made = portal_session_view(link, link_base(request.scope, parts))
    return place.page(request, "portal_link_made.html", made=made)


def _asking(request: Request[Any, Any, Any], place: Place, form: Form) -> Response[str]:
    status = 400 if form.faults else 200
    times = {"link_times": LINK_TIMES, "sign_in_times": SIGN_IN_TIMES}
    return place.page(request, "portal_link.html", status=status, form=form, **times)


HANDLERS: Final = (
    portal_link_page,  # GET /portal
    make_portal_link,  # POST /portal
)
