"""Whose webhook endpoints pages are about: a store's, at either door, or the operator's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.operator.webhooks import OperatedDeliveries, OperatedEndpoints
from storecredit.web.http.envelope import not_found
from storecredit.web.pages.places import Place
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts
from storecredit.webhooks.catalogue import OPERATOR_EVENT_TYPES, STORE_EVENT_TYPES
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT, Endpoint, Endpoints

OPERATORS: Final = "/console/webhooks"


@dataclass(frozen=True, slots=True)
class Hearing:
    """Whose endpoints they are (`owner` None: the operator's own), and where their pages stand.

    `address`: of the list of them. `layout`: the template that the pages extend, and `shown`: what
    that needs.
    """

    parts: Parts
    account_id: int
    owner: Owner | None
    address: str
    layout: str
    shown: Mapping[str, object]

    @property
    def endpoints(self) -> Endpoints:
        """By which they are read."""
        return self.parts.endpoints

    @property
    def deliveries(self) -> DeliveryRecords:
        """By which what they were told is read."""
        return self.parts.delivery_records

    def acting_endpoints(self, context: ActionContext) -> OperatedEndpoints:
        """By which they are changed, once per form."""
        return self.parts.operator.endpoints(context, self.owner)

    def acting_deliveries(self, context: ActionContext) -> OperatedDeliveries:
        """By which they are sent something again, likewise."""
        return self.parts.operator.deliveries(context, self.owner)

    @property
    def types(self) -> list[tuple[str, str]]:
        """The types of event that may be heard, as the choices of a form."""
        others = OPERATOR_EVENT_TYPES if self.owner is None else ()
        return [(type_, type_) for type_ in (*STORE_EVENT_TYPES, *others)]

    def address_of(self, endpoint_id: UUID) -> str:
        """Of an endpoint's page."""
        return f"{self.address}/{endpoint_id}"

    def page(
        self, request: Request[Any, Any, Any], template: str, *, status: int = 200, **values: object
    ) -> Response[str]:
        """One of the pages; the template has `here`, the address of the list."""
        named = {"layout": self.layout, "here": self.address, **self.shown}
        return page(request, template, status=status, **named, **values)

    async def endpoint(self, endpoint_id: UUID) -> Endpoint:
        """The endpoint that an address names. Raises Failure for another's."""
        found = await self.endpoints.get(self.account_id, endpoint_id)
        if found is None:
            raise not_found("webhook endpoint")
        return found


Heard = NamedDependency[SkipValidation[Hearing]]
"""How a handler asks for it, as `hearing`. The framework checks no parts of a service."""


async def stores_hearing(parts: NamedDependency[Parts], place: NamedDependency[Place]) -> Hearing:
    """Those of the store whose pages they are, at whichever door."""
    return Hearing(
        *(parts, await parts.credits.account_id(place.owner), place.owner),
        f"{place.address}/webhooks",
        place.layout,
        {"store": place.shown, "place": place},
    )


async def operators_hearing(parts: NamedDependency[Parts]) -> Hearing:
    """The operator's own."""
    layout = "operator_webhooks_layout.html"
    return Hearing(parts, OPERATOR_ACCOUNT, None, OPERATORS, layout, {})
