"""What the lists of stores and of end users have in common: filters, order, cursor."""

from typing import Annotated, Final, Literal

from litestar.params import QueryParameter

from storecredit.ledger.owner_cursors import (
    CURSOR_LENGTH_MAX,
    CursorMisplaced,
    OwnerSort,
    read_cursor,
)
from storecredit.ledger.owner_pages import SEARCH_LENGTH_MAX, OwnerFilter, OwnerPage
from storecredit.ledger.owners import OwnerKind
from storecredit.web.http.envelope import invalid
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.paging import given_out
from storecredit.web.parts import Parts

BALANCE_MAX: Final = 2**63 - 1

Sort = Annotated[
    OwnerSort,
    QueryParameter(
        description="`balance`: the lowest first; `name`: A to Z; `created`: the newest first."
    ),
]
UserSort = Annotated[
    Literal["balance", "created"],
    QueryParameter(description="`balance`: the lowest first; `created`: the newest first."),
]
OwnerCursorText = Annotated[
    str | None,
    QueryParameter(max_length=CURSOR_LENGTH_MAX, description="`next_cursor` of the page before."),
    given_out(read_cursor),
]
Below = Annotated[
    int | None,
    QueryParameter(ge=0, le=BALANCE_MAX, description="Only those with fewer credits than that."),
]
Search = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=SEARCH_LENGTH_MAX,
        description="Only those with this text, in any case, in their id or, of a store, in its "
        "name or domain.",
    ),
    Check(no_nul),
]
TierWanted = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=50, description="Only those of this tier."),
    Check(no_nul),
]


async def owner_page(
    parts: Parts,
    kind: OwnerKind,
    wanted: OwnerFilter,
    sort: OwnerSort,
    limit: int,
    cursor: str | None,
) -> OwnerPage:
    """A page of owners' ids. Raises Failure for a cursor of a list in another order."""
    try:
        return await parts.owner_pages.page(
            kind,
            wanted,
            sort=sort,
            limit=limit,
            cursor=None if cursor is None else read_cursor(cursor),
        )
    except CursorMisplaced as error:
        message = str(error)
        detail = {"key": "cursor", "source": "query", "message": message}
        raise invalid(message, [detail]) from error
