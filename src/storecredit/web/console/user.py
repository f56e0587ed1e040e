"""`/console/users/{user_id}`: what an end user has, and what the operator does to it."""

from typing import Any, Final, assert_never

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from storecredit.generation.erasure import Erasing
from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.users.directory import Unblocking
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.http.scopes import needs
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.pages.standings import standing_of
from storecredit.web.parts import Parts

GONE: Final = "end user"


@get("/")
async def user_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """An end user."""
    standing = await standing_of(request, parts, place.owner)
    return place.page(
        request,
        "user.html",
        status=standing.query.status,
        form=standing.query.form,
        standing=standing,
        done=request.query_params.get("done"),
    )


@get("/block", **needs(Scope.ALL))
async def block_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Says what blocking does, and asks for it."""
    return place.page(request, "user_block.html")


@get("/unblock", **needs(Scope.ALL))
async def unblock_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Says what it does to let a user in again, and asks for it."""
    return place.page(request, "user_unblock.html")


@get("/erase", **needs(Scope.ALL))
async def erase_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """Says what erasing removes and what stays, and asks for it."""
    balance = await parts.credits.balance(place.owner)
    return place.page(request, "user_erase.html", balance=balance)


@post("/block")
async def block_user(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Refuses all that the user asks for, within a second."""
    if not await parts.operator.users.block(context, place.owner.id):
        raise not_found(GONE)
    return _done(place, "blocked")


@post("/unblock")
async def unblock_user(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Lets a blocked user in again, within a second."""
    outcome = await parts.operator.users.unblock(context, place.owner.id)
    match outcome:
        case Unblocking.UNBLOCKED:
            return _done(place, "unblocked")
        case Unblocking.ERASED:
            raise Failure(
                ErrorCode.USER_ERASED, "This user was erased, and stays blocked. Nothing changed."
            )
        case Unblocking.NOT_FOUND:
            raise not_found(GONE)
        case _:
            assert_never(outcome)


@post("/erase")
async def erase_user(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Removes what is personal of the user, for ever; sent again, it looks for what is left."""
    if await parts.operator.users.erase(context, place.owner.id) is Erasing.NOT_FOUND:
        raise not_found(GONE)
    await parts.erasure.settle(place.owner.id)
    return _done(place, "erased")


def _done(place: Place, what: str) -> Response[Any]:
    return Redirect(f"{place.address}?done={what}", status_code=SEE_OTHER)
