"""`GET …/transactions`: a ledger as its store or the operator reads it, in pages or whole."""

from collections.abc import AsyncIterator
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
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.stores.stores import Store
from storecredit.web.access import caller_of
from storecredit.web.csv_export import CsvFile, csv_page, lines, struct_lines, wants_csv
from storecredit.web.envelope import Envelope, ErrorCode, not_found
from storecredit.web.headers import CREDITS_REMAINING
from storecredit.web.moments import utc
from storecredit.web.openapi import operator_errors, said, store_errors
from storecredit.web.paging import (
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


class UserTransaction(Transaction, frozen=True):
    """One movement of an end user's credits."""

    # It stays in its place, in JSON and CSV.
    type: MovementType  # type: ignore[assignment]  # only read, and never as a store's


class UserTransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[UserTransaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


Answer = Response[Envelope[TransactionPage]] | Response[bytes] | CsvFile
UserAnswer = Response[Envelope[UserTransactionPage]] | Response[bytes] | CsvFile

_DESCRIPTION: Final = (
    "Movements, newest first; with `Accept: text/csv` a CSV file of all of them, or of the page "
    "that `limit` or `cursor` asks for"
)
_ANSWERED: Final = {
    200: ResponseSpec(Envelope[TransactionPage], description=_DESCRIPTION, generate_examples=False)
}
_USERS_ANSWERED: Final = {
    200: ResponseSpec(
        Envelope[UserTransactionPage], description=_DESCRIPTION, generate_examples=False
    )
}


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
    return await _answer(request, parts, owner, wanted, limit, cursor)


@get(
    "/stores/{store_id:str}/transactions",
    summary="Read a store's ledger",
    operation_id="listStoreTransactions",
    dependencies={"wanted": Provide(movement_filter)},
    responses={**_ANSWERED, **operator_errors(ErrorCode.NOT_FOUND)},
)
async def list_store_transactions(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    wanted: NamedDependency[MovementFilter],
    limit: OptionalLimit = None,
    cursor: SeqCursor = None,
) -> Answer:
    """As the store reads it: newest first; with `Accept: text/csv` whole, as a file."""
    return await _answer(request, parts, Owner.store(store.store_id), wanted, limit, cursor)


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
    return await _answer(request, parts, Owner.user(user_id), wanted, limit, cursor)


async def _answer(
    request: Request[Any, Any, Any],
    parts: Parts,
    owner: Owner,
    wanted: MovementFilter,
    limit: int | None,
    cursor: str | None,
) -> Response[Any] | CsvFile:
    is_csv = wants_csv(request)
    if is_csv and limit is None and cursor is None:
        return await _whole(parts, owner, wanted)
    page = await _page(parts, owner, wanted, limit=limit or PAGE_DEFAULT, cursor=cursor)
    if is_csv:
        return csv_page(Transaction.__struct_fields__, page.items, page.next_cursor)
    if cursor is not None or wanted != MovementFilter():
        return Response(Envelope(page))
    # Not what the newest movement left: some of that may have expired since.
    credits = await parts.credits.balance(owner)
    return Response(Envelope(page), headers={CREDITS_REMAINING: str(credits.balance)})


async def _page(
    parts: Parts, owner: Owner, wanted: MovementFilter, *, limit: int, cursor: str | None
) -> TransactionPage | UserTransactionPage:
    page = await parts.credits.movements(owner, wanted, limit=limit, before_seq=seq_cursor(cursor))
    next_cursor = str(page.next_before_seq) if page.next_before_seq else None
    if owner.kind is OwnerKind.USER:
        return UserTransactionPage(list(map(_user_transaction, page.items)), next_cursor)
    return TransactionPage(list(map(_transaction, page.items)), next_cursor)


async def _whole(parts: Parts, owner: Owner, wanted: MovementFilter) -> CsvFile:
    row = _user_transaction if owner.kind is OwnerKind.USER else _transaction
    windows = parts.credits.whole_ledger(owner, wanted)
    # Before the answer begins: what cannot be read now is an error like any other.
    first = await anext(windows, None) or ()

    async def content() -> AsyncIterator[bytes]:
        yield lines([Transaction.__struct_fields__])
        yield struct_lines(map(row, first))
        async for window in windows:
            yield struct_lines(map(row, window))

    return CsvFile(content(), f"transactions-{owner.id}")


def _transaction(movement: Movement) -> Transaction:
    return Transaction(type=StoreMovementType(movement.type.value), **_fields(movement))


def _user_transaction(movement: Movement) -> UserTransaction:
    return UserTransaction(type=movement.type, **_fields(movement))


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
