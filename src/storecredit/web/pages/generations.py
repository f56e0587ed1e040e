"""`…/generations`: what became of the generations of an owner, and why, at console and portal."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit import telemetry
from storecredit.generation.results.store import reason_of
from storecredit.generation.sessions import Session, SessionStatus
from storecredit.ledger.owners import Owner
from storecredit.web.http.envelope import not_found
from storecredit.web.http.paging import PAGE_DEFAULT, UuidCursor, WantedRequest, uuid_cursor
from storecredit.web.pages.places import Place
from storecredit.web.pages.queries import Query, read_query
from storecredit.web.pages.rendering import headers
from storecredit.web.parts import Parts

log = telemetry.get_logger("web.pages.generations")

PLACEHOLDER_TYPE: Final = "image/svg+xml"
# As wide as pictures in lists are; its colours stand out on light pages and on dark ones.
_PLACEHOLDER: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 48" role="img">
<title>{} {} {}</title><rect width="72" height="48" fill="#5f666c"/>
<g fill="#fff" font-family="system-ui, sans-serif" font-size="11" text-anchor="middle">
<text x="36" y="15">{}</text><text x="36" y="28">{}</text>
<text x="36" y="41">{}</text></g></svg>
"""
GONE: Final = ("Picture", "no longer", "kept")
NOT_NOW: Final = ("Picture", "cannot be", "read now")


class GenerationQuery(msgspec.Struct, frozen=True):
    """Which generations are wanted, from where on."""

    status: SessionStatus | None = None
    request_id: WantedRequest = None
    cursor: UuidCursor = None


@dataclass(frozen=True, slots=True)
class GenerationsShown:
    """What was asked for, and a page of it: none of it where the query is not taken."""

    query: Query[GenerationQuery]
    sessions: tuple[Session, ...] = ()
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
    following = found.next_before
    return GenerationsShown(query, found.items, query.next(str(following) if following else None))


@get("/generations")
async def generations_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """An owner's generations, newest first."""
    shown = await generations_shown(request, parts, place.owner)
    return place.page(request, "generations_of.html", status=shown.query.status, shown=shown)


@get("/generations/{session_id:str}/picture", media_type=PLACEHOLDER_TYPE)
async def generation_picture(
    parts: NamedDependency[Parts], place: NamedDependency[Place], session_id: FromPath[str]
) -> Response[bytes]:
    """What was made, as long as it is kept; then a picture that says that it is not.

    So it is said with and without a script, and whoever took the file away. Another picture says
    that the disk or the bucket failed.
    """
    session = None
    with suppress(ValueError):
        account_id = await parts.credits.account_id(place.owner)
        session = await parts.sessions.get(account_id, UUID(session_id))
    if session is None:
        raise not_found("generation")
    if session.result_key is None:
        return _placeholder(GONE)
    try:
        image = await parts.results.load(session.result_key)
    except OSError as failure:
        log.warning("result_not_read", session_id=str(session.session_id), error=reason_of(failure))
        return _placeholder(NOT_NOW)
    if image is None:
        return _placeholder(GONE)
    return Response(image.content, media_type=image.media_type, headers=headers())


def _placeholder(words: tuple[str, str, str]) -> Response[bytes]:
    picture = _PLACEHOLDER.format(*words, *words).encode()
    return Response(picture, media_type=PLACEHOLDER_TYPE, headers=headers())


HANDLERS: Final = (
    generations_page,  # GET /generations
    generation_picture,  # GET /generations/{session_id}/picture
)
