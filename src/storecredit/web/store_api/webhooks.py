"""`/api/v1/webhooks…`: a store's own webhook endpoints."""

from typing import Any, Final

from litestar import Request
from litestar.di import NamedDependency

from storecredit.web.http.openapi import store_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.webhooks.doors import Whose
from storecredit.web.resources.webhooks.hearers import Hearer
from storecredit.web.store_api.accounts import account_of


async def asking_store(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Hearer:
    """The store whose key was sent."""
    account = account_of(request.scope)
    return Hearer(
        *(account.id, account.owner.id, "/api/v1/webhooks"),
        parts.endpoints,
        parts.delivery_records,
    )


OWN: Final = Whose("/webhooks", "Webhook", "", asking_store, store_errors)
