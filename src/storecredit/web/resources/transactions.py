"""A ledger, in pages or whole; each door says in which form."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response

from storecredit.ledger.credits import Movement, MovementFilter
from storecredit.ledger.outcomes import StoreMovementType
from storecredit.ledger.owners import Owner
from storecredit.web.http.csv_export import CsvFile, csv_page, lines, struct_lines, wants_csv
from storecredit.web.http.envelope import Envelope
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said
from storecredit.web.http.paging import PAGE_DEFAULT, seq_cursor
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


DESCRIPTION: Final = (
    "Movements, newest first; with `Accept: text/csv` a CSV file of all of them, or of the page "
    "that `limit` or `cursor` asks for"
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a ledger is answered as: its movements, its pages, and the columns of its file."""

    row: Callable[[Movement], Transaction]
    page: Callable[[Any, str | None], msgspec.Struct]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for, and in which form."""

    limit: int | None
    cursor: str | None
    form: Form


def movement_fields(movement: Movement) -> dict[str, Any]:
    """All but the type, which each door names in its own way."""
    return {
        "seq": movement.seq,
        "amount": movement.amount,
        "balance_after": movement.balance_after,
        "request_id": movement.request_id,
        "session_id": movement.session_id,
        "description": movement.description,
        "created_at": utc(movement.created_at),
    }


def _transaction(movement: Movement) -> Transaction:
    return Transaction(type=StoreMovementType(movement.type.value), **movement_fields(movement))


# Who made a movement is for the operator alone: a store does not learn the names of people there.
AS_STORE: Final = Form(_transaction, TransactionPage, Transaction.__struct_fields__)


async def answered(
    request: Request[Any, Any, Any],
    parts: Parts,
    owner: Owner,
    wanted: MovementFilter,
    paging: Paging,
) -> Response[Any] | CsvFile:
    """A page of an owner's movements, or all of them as a file."""
    is_csv = wants_csv(request)
    if is_csv and paging.limit is None and paging.cursor is None:
        return await whole_file(parts, owner, wanted, paging.form)
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


async def whole_file(parts: Parts, owner: Owner, wanted: MovementFilter, form: Form) -> CsvFile:
    """All of an owner's movements that are wanted, newest first, as a file."""
    windows = parts.credits.whole_ledger(owner, wanted)
    # Before the answer begins: what cannot be read now is an error like any other.
    first = await anext(windows, None) or ()

    async def content() -> AsyncIterator[bytes]:
        yield lines([form.names])
        yield struct_lines(map(form.row, first))
        async for window in windows:
            yield struct_lines(map(form.row, window))

    return CsvFile(content(), f"transactions-{owner.id}")
