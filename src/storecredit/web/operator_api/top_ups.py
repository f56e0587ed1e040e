"""`/api/admin/stores/{store_id}/top-up`: a store's auto top-up, as the operator switches it."""

from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.operator.audit import ActionContext
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import action_errors, operator_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.top_ups import (
    EXAMPLE,
    TopUpBody,
    TopUpView,
    read_top_up,
    settings_of_top_up,
    shown_top_up,
    switched_on,
)


@get(
    "/stores/{store_id:str}/top-up",
    summary="Read a store's auto top-up",
    operation_id="getStoreTopUp",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_store_top_up(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[TopUpView]:
    """As the store reads it."""
    return await read_top_up(parts, store.store_id)


@put(
    "/stores/{store_id:str}/top-up",
    summary="Switch a store's auto top-up on",
    operation_id="setStoreTopUp",
    responses=action_errors(ErrorCode.NOT_FOUND, ErrorCode.NO_SUBSCRIPTION),
    **EXAMPLE,
)
async def set_store_top_up(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[TopUpBody],
) -> Envelope[TopUpView]:
    """As the store itself would."""
    wanted = settings_of_top_up(data)
    return switched_on(
        await parts.billing_actions.switch_top_up_on(context, store.store_id, wanted)
    )


@delete(
    "/stores/{store_id:str}/top-up",
    status_code=200,
    summary="Switch a store's auto top-up off",
    operation_id="deleteStoreTopUp",
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def delete_store_top_up(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
) -> Envelope[TopUpView]:
    """As the store itself would."""
    return shown_top_up(await parts.billing_actions.switch_top_up_off(context, store.store_id))
