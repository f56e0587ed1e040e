"""`/console/webhooks`: the operator's own endpoints, and those of any owner that take nothing."""

import asyncio
from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.web.pages.hearing import Heard
from storecredit.web.parts import Parts

UNWELL_SHOWN: Final = 50


@get("/")
async def operators_endpoints_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], hearing: Heard
) -> Response[str]:
    """The operator's own, after those of any owner that take nothing."""
    found, unwell = await asyncio.gather(
        hearing.endpoints.list(hearing.account_id), parts.endpoints.unwell(limit=UNWELL_SHOWN)
    )
    named = await parts.stores.several([each.store_id for each in unwell if each.store_id])
    return hearing.page(
        request,
        "operator_webhooks.html",
        endpoints=found,
        unwell=unwell,
        names={store.store_id: store.name for store in named},
        done=request.query_params.get("done"),
    )
