"""The application: the doors of every caller, behind what lets requests in."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Response
from litestar.di import Provide
from litestar.types import ASGIApp, ExceptionHandlersMap, Scope

from storecredit.billing import paddle
from storecredit.settings import Settings
from storecredit.web import trpc
from storecredit.web.console.routes import console_router
from storecredit.web.http.access import Access
from storecredit.web.http.bodies import JsonRequest
from storecredit.web.http.direct import Direct, DirectDoor, DirectRoute, template_at
from storecredit.web.http.envelope import answer_to
from storecredit.web.http.framework import Framework
from storecredit.web.http.head import HeadAsGet, allow_head
from storecredit.web.operator_api.routes import operator_router
from storecredit.web.pages.assets import asset
from storecredit.web.pages.errors import UnroutedPage
from storecredit.web.pages.permissions import NeededScopes
from storecredit.web.pages.rendering import is_page
from storecredit.web.parts import Parts
from storecredit.web.portal.routes import portal_router
from storecredit.web.public.metrics import metrics
from storecredit.web.public.openapi_document import document, document_handler
from storecredit.web.public.routes import public_routes
from storecredit.web.store_api.routes import direct_store_routes, store_router
from storecredit.web.store_api.waiting_reads import WaitingReads
from storecredit.web.trpc.errors import refusal
from storecredit.web.trpc.routes import direct_trpc_routes, trpc_routes


def routes(*, serves_metrics: bool = True) -> list[Any]:
    """Every door; which there are stands in the `routes.py` of each caller's folder.

    `serves_metrics` False: `/metrics` has an address of its own.
    """
    return [
        store_router(),  # /api/v1
        operator_router(),  # /api/admin
        *trpc_routes(),  # /api/trpc
        console_router(),  # /console
        portal_router(),  # /portal
        asset,  # /assets/{name}
        *public_routes(serves_metrics=serves_metrics),  # /health, /metrics, /results, /api/docs, …
    ]


def direct_routes() -> dict[tuple[str, str], DirectRoute | DirectDoor]:
    """Those of the doors above that are served without the framework, by method and path."""
    return {**direct_store_routes(), **direct_trpc_routes()}


def create_app(
    parts: Parts, *, is_direct: bool = True, framework: Framework | None = None
) -> ASGIApp:
    """The whole HTTP application over a running service's parts.

    `is_direct` False: the framework serves the direct routes as well, to compare. `framework`: of
    these parts; where it is not made yet, whoever asks for it waits. None: it is made now.
    """
    if framework is None:
        framework = framework_of(parts)
        framework.make()
    served = Direct(WaitingReads(framework, parts), parts, direct_routes())
    return Access(
        HeadAsGet(served if is_direct else framework),
        parts.api_keys,
        parts.operator.tokens,
        parts.rate_limits,
        parts.settings,
        parts.metrics,
        framework,
        refusal,
    )


def framework_of(parts: Parts) -> Framework:
    """Every route over these parts, still to be made."""

    def make() -> Litestar:
        made = framework_for(parts.settings)
        _serve(made, parts)
        return made

    direct = direct_routes().items()
    return Framework(make, {asked: template_at(asked[1], route) for asked, route in direct})


def create_metrics_app(parts: Parts) -> ASGIApp:
    """`/metrics` and nothing else, for an address of its own; its requests are not counted."""
    framework = _framework(parts.settings, [metrics])
    _serve(framework, parts)
    return HeadAsGet(framework)


def framework_for(settings: Settings) -> Litestar:
    """Every route, over no service's parts yet: most of what an application takes to make."""
    serves_metrics = settings.metrics_address is None
    framework = _framework(
        settings, [*routes(serves_metrics=serves_metrics), document_handler(openapi_document)]
    )
    framework.state["needed_scopes"] = NeededScopes(framework.routes)
    return framework


def _serve(framework: Litestar, parts: Parts) -> None:
    framework.state.update({"parts": parts, "settings": parts.settings})


async def _parts(scope: Scope) -> Parts:
    parts: Parts = scope["litestar_app"].state["parts"]
    return parts


def _framework(settings: Settings, route_handlers: Sequence[Any]) -> Litestar:
    return Litestar(
        route_handlers,
        dependencies={"parts": Provide(_parts)},
        exception_handlers=_exception_handlers(),
        before_send=[allow_head],
        openapi_config=None,
        request_class=JsonRequest,
        request_max_body_size=settings.body_max_bytes,
        logging_config=None,
    )


def openapi_document() -> bytes:
    """The OpenAPI document of all routes, JSON."""
    return document(routes(), published_elsewhere=(trpc, paddle))


def _exception_handlers() -> ExceptionHandlersMap:
    def answer(request: Any, error: Exception) -> Response[Any]:
        # What is no page of a door's, or not asked for as it can be, did not get as far as that.
        if is_page(request.scope["path"]):
            return UnroutedPage(error)
        return answer_to(error).response()

    return {Exception: answer, 404: answer, 405: answer}
