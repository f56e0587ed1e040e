"""`GET …/transactions`: a ledger as its store or the operator reads it, in pages or whole."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
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
from storecredit.web.http.access import caller_of
from storecredit.web.http.csv_export import CsvFile, csv_page, lines, struct_lines, wants_csv
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import operator_errors, said, store_errors
from storecredit.web.http.paging import (
    PAGE_DEFAULT,
    OptionalLimit,
    SeqCursor,
    movement_filter,
    seq_cursor,
    user_movement_filter,
)
from storecredit.web.parts import Parts


class Transaction(msgspec.Struct, frozen=True):
    """One movement of a store's credits."""

    seq: Annotated[int, said("Its place in the store's ledger: 1, 2, 3 without gaps.")]
    type: StoreMovementType
    amount: Annotated[int, said("How many credits, always above 0: the type gives the sign.")]
    balance_after: Annotated[int, said("The balance after it.")]
    request_id: Annotated[str, said("The request that caused it.")]
    session_id: Annotated[UUID | None, said("The generation that it was for, if any.")]
    description: str
    created_at: datetime


class TransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[Transaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


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


Answer = Response[Envelope[TransactionPage]] | Response[bytes] | CsvFile
OperatorAnswer = Response[Envelope[OperatorTransactionPage]] | Response[bytes] | CsvFile
UserAnswer = Response[Envelope[UserTransactionPage]] | Response[bytes] | CsvFile

_DESCRIPTION: Final = (
    "Movements, newest first; with `Accept: text/csv` a CSV file of all of them, or of the page "
    "that `limit` or `cursor` asks for"
)
_ANSWERED: Final = {
    200: ResponseSpec(Envelope[TransactionPage], description=_DESCRIPTION, generate_examples=False)
}
_OPERATORS_ANSWERED: Final = {
    200: ResponseSpec(
        Envelope[OperatorTransactionPage], description=_DESCRIPTION, generate_examples=False
    )
}
_USERS_ANSWERED: Final = {
    200: ResponseSpec(
        Envelope[UserTransactionPage], description=_DESCRIPTION, generate_examples=False
    )
}


@dataclass(frozen=True, slots=True)
class _Form:
    """What a ledger is answered as: its movements, its pages, and the columns of its file."""

    row: Callable[[Movement], Transaction]
    page: Callable[[Any, str | None], msgspec.Struct]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Paging:
    """Which page is asked for, and in which form."""

    limit: int | None
    cursor: str | None
    form: _Form


def _transaction(movement: Movement) -> Transaction:
    return Transaction(type=StoreMovementType(movement.type.value), **_fields(movement))


def _operator_transaction(movement: Movement) -> OperatorTransaction:
    type_ = StoreMovementType(movement.type.value)
    return OperatorTransaction(type=type_, actor=movement.actor, **_fields(movement))


def _user_transaction(movement: Movement) -> UserTransaction:
    return UserTransaction(type=movement.type, actor=movement.actor, **_fields(movement))


def _fields(movement: Movement) -> dict[str, Any]:
    return {
        "seq": movement.seq,
        "amount": movement.amount,
        "balance_after": movement.balance_after,
        "request_id": movement.request_id,
        "session_id": movement.session_id,
        "description": movement.description,
        "created_at": utc(movement.created_at),
    }


# Who made a movement is for the operator alone: a store does not learn the names of people there.
_AS_STORE: Final = _Form(_transaction, TransactionPage, Transaction.__struct_fields__)
_AS_OPERATOR: Final = _Form(
    _operator_transaction, OperatorTransactionPage, OperatorTransaction.__struct_fields__
)
_OF_USER: Final = _Form(_user_transaction, UserTransactionPage, UserTransaction.__struct_fields__)


@get(
    "/credits/transactions",
    summary="Read the ledger",
    operation_id="listTransactions",
    dependencies={"wanted": Provide(movement_filter)},
    responses={**_ANSWERED, **store_errors()},
)
async def list_transactions(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    wanted: NamedDependency[MovementFilter],
    limit: OptionalLimit = None,
    cursor: SeqCursor = None,
) -> Answer:
    """The store's ledger, newest first, in pages of 50 unless `limit` says otherwise.

    `Accept: text/csv` gives a file (RFC 4180, UTF-8 without a byte order mark) of everything that
    the filters leave, as it stood when it was asked for; with `limit` or `cursor` one page of it,
    whose `X-Next-Cursor` continues. Before a text that a spreadsheet would take for a formula
    stands a `'`. A file that could not be read to its end is broken off, without the end of its
    chunked encoding.
    """
    owner = Owner.store(caller_of(request.scope).store_id)
    return await _answer(request, parts, owner, wanted, _Paging(limit, cursor, _AS_STORE))


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
    return await _answer(request, parts, owner, wanted, _Paging(limit, cursor, _AS_OPERATOR))


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
    return await _answer(request, parts, owner, wanted, _Paging(limit, cursor, _OF_USER))


async def _answer(
    request: Request[Any, Any, Any],
    parts: Parts,
    owner: Owner,
    wanted: MovementFilter,
    paging: _Paging,
) -> Response[Any] | CsvFile:
    is_csv = wants_csv(request)
    if is_csv and paging.limit is None and paging.cursor is None:
        return await _whole(parts, owner, wanted, paging.form)
    found = await parts.credits.movements(
        owner,
        wanted,
        limit=paging.limit or PAGE_DEFAULT,
        before_seq=seq_cursor(paging.cursor),
    )
    items = [paging.form.row(movement) for movement in found.items]
    next_cursor = str(found.next_before_seq) if found.next_before_seq else None
    if is_csv:
        return csv_page(paging.form.names, items, next_cursor)
    page = paging.form.page(items, next_cursor)
    if paging.cursor is not None or wanted != MovementFilter():
        return Response(Envelope(page))
    # Not what the newest movement left: some of that may have expired since.
    credits = await parts.credits.balance(owner)
    return Response(Envelope(page), headers={CREDITS_REMAINING: str(credits.balance)})


async def _whole(parts: Parts, owner: Owner, wanted: MovementFilter, form: _Form) -> CsvFile:
    windows = parts.credits.whole_ledger(owner, wanted)
    # Before the answer begins: what cannot be read now is an error like any other.
    first = await anext(windows, None) or ()

    async def content() -> AsyncIterator[bytes]:
        yield lines([form.names])
        yield struct_lines(map(form.row, first))
        async for window in windows:
            yield struct_lines(map(form.row, window))

    return CsvFile(content(), f"transactions-{owner.id}")
