"""`GET /api/admin/…/transactions`: ledgers of stores and end users, and who made what."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from storecredit.ledger.credits import Movement, MovementFilter
from storecredit.ledger.outcomes import MovementType, StoreMovementType
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.csv_export import CsvFile
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.openapi import operator_errors, said
from storecredit.web.http.paging import (
    OptionalLimit,
    SeqCursor,
    movement_filter,
    user_movement_filter,
)
from storecredit.web.parts import Parts
from storecredit.web.resources.transactions import (
    DESCRIPTION,
    Form,
    Paging,
    Transaction,
    answered,
    movement_fields,
)


class OperatorTransaction(Transaction, frozen=True):
    """One movement of a store's credits, and who made it, where an operator did."""

    actor: Annotated[str | None, said("The operator who made it; null: none did.")]


class OperatorTransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[OperatorTransaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


class UserTransaction(OperatorTransaction, frozen=True):
    """One movement of an end user's credits, and who made it, where an operator did."""

    # It stays in its place, in JSON and CSV.
    type: MovementType  # type: ignore[assignment]  # only read, and never as a store's


class UserTransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[UserTransaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


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


def _operator_transaction(movement: Movement) -> OperatorTransaction:
    type_ = StoreMovementType(movement.type.value)
    return OperatorTransaction(type=type_, actor=movement.actor, **movement_fields(movement))


def _user_transaction(movement: Movement) -> UserTransaction:
    return UserTransaction(type=movement.type, actor=movement.actor, **movement_fields(movement))


_AS_OPERATOR: Final = Form(
    _operator_transaction, OperatorTransactionPage, OperatorTransaction.__struct_fields__
)
_OF_USER: Final = Form(_user_transaction, UserTransactionPage, UserTransaction.__struct_fields__)


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
    return await answered(request, parts, owner, wanted, Paging(limit, cursor, _AS_OPERATOR))


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
    return await answered(request, parts, owner, wanted, Paging(limit, cursor, _OF_USER))
