"""`/api/admin/…webhooks`: the operator's own webhook endpoints, and those of a store."""

from dataclasses import replace
from typing import Final

from litestar.di import NamedDependency

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.stores.stores import Store
from storecredit.web.http.openapi import operator_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.webhooks.doors import Whose
from storecredit.web.resources.webhooks.hearers import Hearer
from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT


async def the_operator(
    parts: NamedDependency[Parts], context: NamedDependency[ActionContext]
) -> Hearer:
    """The operator, who hears of every owner."""
    context = _unkeyed(context)
    return Hearer(
        *(OPERATOR_ACCOUNT, None, "/api/admin/webhooks"),
        parts.operator.endpoints(context, None),
        parts.operator.deliveries(context, None),
    )


async def named_store(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
) -> Hearer:
    """The store that an address of the operator's API names."""
    context = _unkeyed(context)
    owner = Owner.store(store.store_id)
    return Hearer(
        await parts.credits.account_id(owner),
        store.store_id,
        f"/api/admin/stores/{store.store_id}/webhooks",
        parts.operator.endpoints(context, owner),
        parts.operator.deliveries(context, owner),
    )


def _unkeyed(context: ActionContext) -> ActionContext:
    # The doors are those of stores, too, which heed no Idempotency-Key: a secret is answered with.
    return replace(context, idempotency_key=None)


OPERATORS: Final = Whose(
    "/webhooks",
    "OperatorWebhook",
    " of the operator's",
    the_operator,
    operator_errors,
)
STORES: Final = Whose(
    "/stores/{store_id:str}/webhooks",
    "StoreWebhook",
    " of a store's",
    named_store,
    operator_errors,
)
