"""`…/generations`: what became of the generations of an owner, and why, at console and portal."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.generation.sessions import Session, SessionStatus
from storecredit.ledger.owners import Owner
from storecredit.web.http.paging import PAGE_DEFAULT, UuidCursor, WantedRequest, uuid_cursor
from storecredit.web.pages.places import Place
from storecredit.web.pages.queries import Query, read_query
from storecredit.web.parts import Parts
from storecredit.web.resources.generation_views import result_url


class GenerationQuery(msgspec.Struct, frozen=True):
    """Which generations are wanted, from where on."""

    status: SessionStatus | None = None
    request_id: WantedRequest = None
    cursor: UuidCursor = None


@dataclass(frozen=True, slots=True)
class GenerationLine:
    """A generation. `picture`: a path of ours, for a while; None: there is none, or no longer."""

    session: Session
    picture: str | None


@dataclass(frozen=True, slots=True)
class GenerationsShown:
    """What was asked for, and a page of it: none of it where the query is not taken."""

    query: Query[GenerationQuery]
    lines: tuple[GenerationLine, ...] = ()
    next_address: str = ""


async def generations_shown(
    request: Request[Any, Any, Any], parts: Parts, owner: Owner
) -> GenerationsShown:
    """A page of an owner's generations, newest first, as the address asks for it."""
    query = read_query(request, GenerationQuery)
    if query.wanted is None:
        return GenerationsShown(query)
    found = await parts.sessions.list(
        await parts.credits.account_id(owner),
        status=query.wanted.status,
        limit=PAGE_DEFAULT,
        before=uuid_cursor(query.wanted.cursor),
        request_id=query.wanted.request_id,
    )
    lines = tuple(
        GenerationLine(each, result_url(each.result_key, parts, "")) for each in found.items
    )
    following = found.next_before
    return GenerationsShown(query, lines, query.next(str(following) if following else None))


@get("/generations")
async def generations_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """An owner's generations, newest first."""
    shown = await generations_shown(request, parts, place.owner)
    return place.page(request, "generations_of.html", status=shown.query.status, shown=shown)


HANDLERS: Final = (generations_page,)  # GET /generations
