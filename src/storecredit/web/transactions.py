"""`GET …/transactions`: a store's ledger as store and operator read it, in pages or whole."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec

from storecredit.ledger.credits import Movement, MovementFilter
from storecredit.ledger.outcomes import StoreMovementType
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.access import caller_of
from storecredit.web.csv_export import CsvFile, csv_page, lines, struct_lines, wants_csv
from storecredit.web.envelope import Envelope, ErrorCode
from storecredit.web.headers import CREDITS_REMAINING
from storecredit.web.moments import utc
from storecredit.web.openapi import operator_errors, said, store_errors
from storecredit.web.paging import (
    PAGE_DEFAULT,
    OptionalLimit,
    SeqCursor,
    movement_filter,
    seq_cursor,
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


Answer = Response[Envelope[TransactionPage]] | Response[bytes] | CsvFile

_ANSWERED = {
    200: ResponseSpec(
        Envelope[TransactionPage],
        description="Movements, newest first; with `Accept: text/csv` a CSV file of all of them, "
        "or of the page that `limit` or `cursor` asks for",
        generate_examples=False,
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
    return await _answer(request, parts, caller_of(request.scope).store_id, wanted, limit, cursor)


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
    return await _answer(request, parts, store.store_id, wanted, limit, cursor)


async def _answer(
    request: Request[Any, Any, Any],
    parts: Parts,
    store_id: UUID,
    wanted: MovementFilter,
    limit: int | None,
    cursor: str | None,
) -> Answer:
    is_csv = wants_csv(request)
    if is_csv and limit is None and cursor is None:
        return await _whole(parts, store_id, wanted)
    page = await _page(parts, store_id, wanted, limit=limit or PAGE_DEFAULT, cursor=cursor)
    if is_csv:
        return csv_page(Transaction.__struct_fields__, page.items, page.next_cursor)
    return Response(Envelope(page), headers=_remaining(page, wanted, cursor))


def _remaining(page: TransactionPage, wanted: MovementFilter, cursor: str | None) -> dict[str, str]:
    """What the newest movement left, where the page begins with it."""
    if cursor is not None or wanted != MovementFilter():
        return {}
    return {CREDITS_REMAINING: str(page.items[0].balance_after if page.items else 0)}


async def _page(
    parts: Parts, store_id: UUID, wanted: MovementFilter, *, limit: int, cursor: str | None
) -> TransactionPage:
    page = await parts.credits.movements(
        Owner.store(store_id), wanted, limit=limit, before_seq=seq_cursor(cursor)
    )
    return TransactionPage(
        [_transaction(movement) for movement in page.items],
        str(page.next_before_seq) if page.next_before_seq else None,
    )


async def _whole(parts: Parts, store_id: UUID, wanted: MovementFilter) -> CsvFile:
    windows = parts.credits.whole_ledger(Owner.store(store_id), wanted)
    # Before the answer begins: what cannot be read now is an error like any other.
    first = await anext(windows, None) or ()

    async def content() -> AsyncIterator[bytes]:
        yield lines([Transaction.__struct_fields__])
        yield struct_lines(map(_transaction, first))
        async for window in windows:
            yield struct_lines(map(_transaction, window))

    return CsvFile(content(), f"transactions-{store_id}")


def _transaction(movement: Movement) -> Transaction:
    return Transaction(
        seq=movement.seq,
        type=StoreMovementType(movement.type.value),
        amount=movement.amount,
        balance_after=movement.balance_after,
        request_id=movement.request_id,
        session_id=movement.session_id,
        description=movement.description,
        created_at=utc(movement.created_at),
    )
