"""`GET /api/admin/…/transactions`: ledgers of stores and end users, and who made what."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from storecredit.ledger.credits import MovementFilter
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.csv_export import CsvFile
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.paging import (
    OptionalLimit,
    SeqCursor,
    movement_filter,
    user_movement_filter,
)
from storecredit.web.parts import Parts
from storecredit.web.resources.operator_transactions import (
    OF_STORE,
    OF_USER,
    OperatorTransactionPage,
    UserTransactionPage,
)
from storecredit.web.resources.transactions import DESCRIPTION, Paging, answered

OperatorAnswer = Response[Envelope[OperatorTransactionPage]] | Response[bytes] | CsvFile
UserAnswer = Response[Envelope[UserTransactionPage]] | Response[bytes] | CsvFile

_OPERATORS_ANSWERED: Final = {
    200: ResponseSpec(
        Envelope[OperatorTransactionPage], description=DESCRIPTION, generate_examples=False
    )
}
_USERS_ANSWERED: Final = {
    200: ResponseSpec(
        Envelope[UserTransactionPage], description=DESCRIPTION, generate_examples=False
    )
}


@get(
    "/stores/{store_id:str}/transactions",
    summary="Read a store's ledger",
    operation_id="listStoreTransactions",
    dependencies={"wanted": Provide(movement_filter)},
    responses={**_OPERATORS_ANSWERED, **operator_errors(ErrorCode.NOT_FOUND)},
)
async def list_store_transactions(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    wanted: NamedDependency[MovementFilter],
    limit: OptionalLimit = None,
    cursor: SeqCursor = None,
) -> OperatorAnswer:
    """As the store reads it, and who made what: newest first; as CSV whole, as a file."""
    owner = Owner.store(store.store_id)
    return await answered(request, parts, owner, wanted, Paging(limit, cursor, OF_STORE))


@get(
    "/users/{user_id:uuid}/transactions",
    summary="Read an end user's ledger",
    operation_id="listUserTransactions",
    dependencies={"wanted": Provide(user_movement_filter)},
    responses={**_USERS_ANSWERED, **operator_errors(ErrorCode.NOT_FOUND)},
)
async def list_user_transactions(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    wanted: NamedDependency[MovementFilter],
    limit: OptionalLimit = None,
    cursor: SeqCursor = None,
) -> UserAnswer:
    """Newest first, by the ledger's own names; with `Accept: text/csv` whole, as a file."""
    if await parts.user_directory.get(user_id) is None:
        raise not_found("user")
    owner = Owner.user(user_id)
    return await answered(request, parts, owner, wanted, Paging(limit, cursor, OF_USER))
