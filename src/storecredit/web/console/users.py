"""`/console/users`: all end users, found by what is known of them, which is little."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.owner_cursors import OwnerSort
from storecredit.ledger.owner_pages import OwnerFilter
from storecredit.ledger.owners import OwnerKind
from storecredit.users.directory import User, UserStatus
from storecredit.web.console.owner_rows import OwnerRow, user_rows
from storecredit.web.http.paging import PAGE_DEFAULT
from storecredit.web.pages.queries import read_query
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts
from storecredit.web.resources.owner_lists import (
    Below,
    OwnerCursorText,
    Search,
    UserSort,
    owner_page,
)


class UserQuery(msgspec.Struct, frozen=True):
    """Which end users are wanted, in which order, from where on."""

    search: Search = None
    status: UserStatus | None = None
    below: Below = None
    sort: UserSort = "created"
    cursor: OwnerCursorText = None


@get("/users")
async def users_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """End users, newest first unless another order is asked for."""
    query = read_query(request, UserQuery)
    rows: list[OwnerRow[User]] = []
    next_address = ""
    if (wanted := query.wanted) is not None:
        filters = OwnerFilter(below=wanted.below, status=wanted.status, search=wanted.search)
        found = await owner_page(
            parts,
            OwnerKind.USER,
            filters,
            OwnerSort(wanted.sort),
            PAGE_DEFAULT,
            wanted.cursor,
        )
        rows = await user_rows(parts, await parts.user_directory.several(found.owner_ids))
        next_address = query.next(found.next_cursor)
    return page(
        request,
        "users.html",
        status=query.status,
        form=query.form,
        asked=query,
        rows=rows,
        next_address=next_address,
    )
