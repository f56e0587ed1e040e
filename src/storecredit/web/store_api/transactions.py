"""`GET /api/v1/credits/transactions`: a store's ledger, in pages or whole."""

from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec

from storecredit.ledger.credits import MovementFilter
from storecredit.ledger.owners import Owner
from storecredit.web.http.csv_export import CsvFile
from storecredit.web.http.envelope import Envelope
from storecredit.web.http.openapi import store_errors
from storecredit.web.http.paging import OptionalLimit, SeqCursor, movement_filter
from storecredit.web.http.visits import caller_of
from storecredit.web.parts import Parts
from storecredit.web.resources.transactions import (
    AS_STORE,
    DESCRIPTION,
    Paging,
    TransactionPage,
    answered,
)

Answer = Response[Envelope[TransactionPage]] | Response[bytes] | CsvFile

_ANSWERED: Final = {
    200: ResponseSpec(Envelope[TransactionPage], description=DESCRIPTION, generate_examples=False)
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
    return await answered(request, parts, owner, wanted, Paging(limit, cursor, AS_STORE))
