"""`…/ledger`: what moved in the credits of an owner, as list and as file, at console and portal."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.credits import Movement, MovementFilter
from storecredit.ledger.outcomes import MovementType, StoreMovementType
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.movement_words import MovementWords, names_of, words_of
from storecredit.web.http.csv_export import MEDIA_TYPE as FILE
from storecredit.web.http.csv_export import CsvFile
from storecredit.web.http.envelope import Failure, invalid
from storecredit.web.http.paging import (
    PAGE_DEFAULT,
    From,
    SeqCursor,
    To,
    WantedRequest,
    bounds,
    seq_cursor,
)
from storecredit.web.pages.places import Place
from storecredit.web.pages.queries import Query, read_query
from storecredit.web.parts import Parts
from storecredit.web.resources.operator_transactions import OF_OWNER
from storecredit.web.resources.transactions import AS_STORE, whole_file

DEPTH: Final = 50_000
"""Movements that are looked at for a page of those of a type or a time: work of milliseconds."""


class LedgerQuery(msgspec.Struct, frozen=True):
    """Which movements are wanted, from where on."""

    type: MovementType | None = None
    from_: From = msgspec.field(default=None, name="from")
    to: To = None
    request_id: WantedRequest = None
    cursor: SeqCursor = None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A movement, and what it did to the balance: 0 where it moved something else.

    `metadata`: what was sent along with the generation, spend or hold that it is of.
    """

    movement: Movement
    change: int
    words: MovementWords
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LedgerShown:
    """What was asked for, and a page of it; `filter` is None where it is not taken.

    `looked_at`: that many movements were, and there may be more of those asked for; None: all were.
    """

    query: Query[LedgerQuery]
    filter: MovementFilter | None
    lines: tuple[LedgerLine, ...] = ()
    next_address: str = ""
    looked_at: int | None = None


def ledger_query(
    request: Request[Any, Any, Any],
) -> tuple[Query[LedgerQuery], MovementFilter | None]:
    """What the address asks for; None where something of it is not taken."""
    query = read_query(request, LedgerQuery)
    wanted = query.wanted
    if wanted is None:
        return query, None
    try:
        from_, to = bounds(wanted.from_, wanted.to)
    except Failure as failure:
        return query.refused("to", failure.message), None
    return query, MovementFilter(wanted.type, wanted.request_id, from_, to)


async def ledger_shown(request: Request[Any, Any, Any], parts: Parts, owner: Owner) -> LedgerShown:
    """A page of an owner's movements, as the address asks for it."""
    query, wanted = ledger_query(request)
    if query.wanted is None or wanted is None:
        return LedgerShown(query, None)
    account_id, found, changes = await asyncio.gather(
        parts.credits.account_id(owner),
        parts.credits.movements(
            owner,
            wanted,
            limit=PAGE_DEFAULT,
            before_seq=seq_cursor(query.wanted.cursor),
            depth=DEPTH,
        ),
        parts.credits.changes(),
    )
    metadata = await parts.sent_along.of(account_id, found.items)
    lines = tuple(
        LedgerLine(
            each,
            each.amount * changes[each.type],
            words_of(each.type, each.description, parts.catalogue),
            metadata.get(each.seq, {}),
        )
        for each in found.items
    )
    following = found.next_before_seq
    next_address = query.next(str(following) if following else None)
    return LedgerShown(query, wanted, lines, next_address, DEPTH if found.is_cut else None)


@get("/ledger")
async def ledger_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """An owner's movements, newest first."""
    shown = await ledger_shown(request, parts, place.owner)
    types = StoreMovementType if place.owner.kind is OwnerKind.STORE else MovementType
    return place.page(
        request,
        "ledger.html",
        status=shown.query.status,
        shown=shown,
        types=names_of(types),
    )


@get("/ledger.csv", media_type=FILE)
async def ledger_file(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> CsvFile:
    """All of the movements that the same filters leave, as a file."""
    query, wanted = ledger_query(request)
    if wanted is None:
        raise invalid(" ".join(query.form.faults.values()))
    form = AS_STORE if place.is_own else OF_OWNER[place.owner.kind]
    return await whole_file(parts, place.owner, wanted, form)


HANDLERS: Final = (
    ledger_page,  # GET /ledger
    ledger_file,  # GET /ledger.csv
)
