"""The addresses of webhook endpoints: one table, of which there are three sets.

`/api/v1/webhooks` is of a store's own; for the operator `/api/admin/webhooks` is of the operator's,
and `/api/admin/stores/{store_id}/webhooks` of a store's. Below each are the same doors, which do
the same (`endpoints.py`, `deliveries.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litestar import delete, get, patch, post
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from storecredit.web.http.envelope import ErrorCode
from storecredit.web.http.openapi import example
from storecredit.web.resources.webhooks import deliveries, endpoints


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose endpoints a set of doors is about: `noun` in their ids, `owner` in their summaries."""

    path: str
    noun: str
    owner: str
    hearer: Callable[..., Any]
    errors: Callable[..., dict[int, ResponseSpec]]


@dataclass(frozen=True, slots=True)
class Door:
    """One address of each set. In its `name` and `summary` `{}` is the set's noun, or owner."""

    method: Callable[..., Callable[..., HTTPRouteHandler]]
    path: str
    name: str
    summary: str
    handler: Callable[..., Any]
    codes: tuple[ErrorCode, ...] = (ErrorCode.NOT_FOUND,)
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, whose: Whose) -> HTTPRouteHandler:
        """This door in the set of whose endpoints it is about."""
        codes = self.codes
        if "{store_id" in whose.path:
            codes = (ErrorCode.NOT_FOUND, *codes)
        made = self.method(
            whose.path + self.path,
            summary=self.summary.format(whose.owner),
            operation_id=self.name.format(whose.noun),
            responses=whose.errors(*codes),
            dependencies={"hearer": Provide(whose.hearer)},
            **self.options,
        )
        return made(self.handler)


_ONE: Final = "/{endpoint_id:str}"
_DELIVERY: Final = "/{endpoint_id:str}/deliveries/{event_id:str}"
_LIMITED: Final = (ErrorCode.NOT_FOUND, ErrorCode.LIMIT_REACHED)
_ENABLED: Final = (ErrorCode.NOT_FOUND, ErrorCode.ENDPOINT_DISABLED)
_OK: Final = {"status_code": 200}

_DOORS: Final = (
    Door(
        post,
        "",
        "create{}",
        "Register a webhook endpoint{}",
        endpoints.create_endpoint,
        (ErrorCode.LIMIT_REACHED,),
        {
            "response_description": "The endpoint was made; its secret is shown this once",
            **example(
                {
                    "url": "https://hats.example/webhooks",
                    "event_types": ["credits.low", "generation.completed"],
                    "description": "the shop's server",
                }
            ),
        },
    ),
    Door(
        get,
        "",
        "list{}s",
        "List webhook endpoints{}",
        endpoints.list_endpoints,
        (),
    ),
    Door(
        get,
        _ONE,
        "get{}",
        "Read a webhook endpoint{}",
        endpoints.get_endpoint,
    ),
    Door(
        patch,
        _ONE,
        "update{}",
        "Change a webhook endpoint{}",
        endpoints.update_endpoint,
        options=example({"event_types": ["*"]}),
    ),
    Door(
        delete,
        _ONE,
        "delete{}",
        "Delete a webhook endpoint{}",
        endpoints.delete_endpoint,
        options=_OK,
    ),
    Door(
        post,
        f"{_ONE}/rotate",
        "rotate{}Secret",
        "Replace the secret of a webhook endpoint{}",
        endpoints.rotate_secret,
        _LIMITED,
        {**_OK, **example({"overlap_seconds": 3600})},
    ),
    Door(
        post,
        f"{_ONE}/enable",
        "enable{}",
        "Enable a webhook endpoint{}",
        endpoints.enable_endpoint,
        options=_OK,
    ),
    Door(
        post,
        f"{_ONE}/disable",
        "disable{}",
        "Disable a webhook endpoint{}",
        endpoints.disable_endpoint,
        options=_OK,
    ),
    Door(
        post,
        f"{_ONE}/test",
        "test{}",
        "Test a webhook endpoint{}",
        endpoints.test_endpoint,
        _ENABLED,
        {"response_description": "The event is on its way"},
    ),
    Door(
        get,
        f"{_ONE}/deliveries",
        "list{}Deliveries",
        "List deliveries to a webhook endpoint{}",
        deliveries.list_deliveries,
    ),
    Door(
        get,
        _DELIVERY,
        "get{}Delivery",
        "Read a delivery to a webhook endpoint{}",
        deliveries.get_delivery,
    ),
    Door(
        post,
        f"{_DELIVERY}/resend",
        "resend{}Delivery",
        "Send an event to a webhook endpoint{} again",
        deliveries.resend_delivery,
        _ENABLED,
        _OK,
    ),
    Door(
        post,
        f"{_ONE}/resend",
        "resend{}Deliveries",
        "Send events since a time to a webhook endpoint{} again",
        deliveries.resend_since,
        _ENABLED,
        {**_OK, **example({"since": "2026-11-29T10:00:00Z", "status": "failed"})},
    ),
)


def doors(whose: Whose) -> list[HTTPRouteHandler]:
    """The doors of one set, for the routes of whoever has them."""
    return [door.of(whose) for door in _DOORS]
