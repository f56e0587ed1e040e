"""The addresses of the pages of webhook endpoints, of which each door has a set or two."""

from collections.abc import Callable
from typing import Any

from litestar import Router
from litestar.di import Provide

from storecredit.web.pages import webhook_deliveries as deliveries
from storecredit.web.pages import webhook_endpoints as endpoints


def webhook_router(hearing: Callable[..., Any], listed: Any = endpoints.endpoints_page) -> Router:
    """`/webhooks` and below, of the endpoints of whom `hearing`, a dependency, says.

    `listed`: the page at `/webhooks` itself.
    """
    return Router(
        "/webhooks",
        dependencies={"hearing": Provide(hearing)},
        route_handlers=[
            listed,  # GET /
            endpoints.new_endpoint_page,  # GET /new
            endpoints.create_endpoint,  # POST /new
            deliveries.endpoint_page,  # GET /{endpoint_id}
            endpoints.change_page,  # GET /{endpoint_id}/change
            endpoints.change_endpoint,  # POST /{endpoint_id}/change
            endpoints.enable_endpoint,  # POST /{endpoint_id}/enable
            endpoints.disable_page,  # GET /{endpoint_id}/disable
            endpoints.disable_endpoint,  # POST /{endpoint_id}/disable
            endpoints.delete_page,  # GET /{endpoint_id}/delete
            endpoints.delete_endpoint,  # POST /{endpoint_id}/delete
            endpoints.rotate_page,  # GET /{endpoint_id}/rotate
            endpoints.rotate_secret,  # POST /{endpoint_id}/rotate
            endpoints.test_endpoint,  # POST /{endpoint_id}/test
            deliveries.resend_page,  # GET /{endpoint_id}/resend
            deliveries.resend_since,  # POST /{endpoint_id}/resend
            deliveries.delivery_page,  # GET /{endpoint_id}/deliveries/{event_id}
            deliveries.resend_delivery,  # POST /{endpoint_id}/deliveries/{event_id}/resend
        ],
    )
