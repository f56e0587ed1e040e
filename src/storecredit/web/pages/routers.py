"""A door's router: what holds for every page behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Router
from litestar.di import Provide

from storecredit.operator.sign_ins import Door
from storecredit.web.http.paths import refuse_nul
from storecredit.web.pages.errors import error_page
from storecredit.web.pages.forms import acting, check_origin, sent_form
from storecredit.web.pages.signed_in import check_signed_in
from storecredit.web.pages.signing_in import HANDLERS


def page_router(
    door: Door, handlers: Sequence[Any], dependencies: Mapping[str, Provide] | None = None
) -> Router:
    """The pages of a door, and the ways in and out of it.

    `dependencies`: what its handlers may ask for by name, besides what every page's may.
    """
    return Router(
        f"/{door}",
        guards=[check_signed_in, refuse_nul],
        before_request=check_origin,
        dependencies={
            "form": Provide(sent_form),
            "context": Provide(acting),
            **(dependencies or {}),
        },
        exception_handlers={Exception: error_page},
        include_in_schema=False,
        route_handlers=[*HANDLERS, *handlers],
    )
