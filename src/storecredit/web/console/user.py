"""`/console/users/{user_id}`: what an end user has, and what the operator does to it."""

from typing import Any, Final, assert_never

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from storecredit.generation.erasure import Erasing
from storecredit.operator.audit import ActionContext
from storecredit.users.directory import Unblocking, User
from storecredit.web.console.owners import place_of_user
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.pages.standings import standing_of
from storecredit.web.parts import Parts

GONE: Final = "end user"


@get("/users/{user_id:uuid}")
async def user_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], user: NamedDependency[User]
) -> Response[str]:
    """An end user."""
    place = place_of_user(user)
    standing = await standing_of(request, parts, place.owner)
    return place.page(
        request,
        "user.html",
        status=standing.query.status,
        form=standing.query.form,
        standing=standing,
        done=request.query_params.get("done"),
    )


@get("/users/{user_id:uuid}/block")
async def block_page(request: Request[Any, Any, Any], user: NamedDependency[User]) -> Response[str]:
    """Says what blocking does, and asks for it."""
    return place_of_user(user).page(request, "user_block.html")


@get("/users/{user_id:uuid}/unblock")
async def unblock_page(
    request: Request[Any, Any, Any], user: NamedDependency[User]
) -> Response[str]:
    """Says what it does to let a user in again, and asks for it."""
    return place_of_user(user).page(request, "user_unblock.html")


@get("/users/{user_id:uuid}/erase")
async def erase_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], user: NamedDependency[User]
) -> Response[str]:
    """Says what erasing removes and what stays, and asks for it."""
    place = place_of_user(user)
    balance = await parts.credits.balance(place.owner)
    return place.page(request, "user_erase.html", balance=balance)


@post("/users/{user_id:uuid}/block")
async def block_user(
    parts: NamedDependency[Parts],
    user: NamedDependency[User],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Refuses all that the user asks for, within a second."""
    if not await parts.operator.users.block(context, user.user_id):
        raise not_found(GONE)
    return _done(user, "blocked")


@post("/users/{user_id:uuid}/unblock")
async def unblock_user(
    parts: NamedDependency[Parts],
    user: NamedDependency[User],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Lets a blocked user in again, within a second."""
    outcome = await parts.operator.users.unblock(context, user.user_id)
    match outcome:
        case Unblocking.UNBLOCKED:
            return _done(user, "unblocked")
        case Unblocking.ERASED:
            raise Failure(
                ErrorCode.USER_ERASED, "This user was erased, and stays blocked. Nothing changed."
            )
        case Unblocking.NOT_FOUND:
            raise not_found(GONE)
        case _:
            assert_never(outcome)


@post("/users/{user_id:uuid}/erase")
async def erase_user(
    parts: NamedDependency[Parts],
    user: NamedDependency[User],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Removes what is personal of the user, for ever; sent again, it looks for what is left."""
    if await parts.operator.users.erase(context, user.user_id) is Erasing.NOT_FOUND:
        raise not_found(GONE)
    await parts.erasure.settle(user.user_id)
    return _done(user, "erased")


def _done(user: User, what: str) -> Response[Any]:
    return Redirect(f"{place_of_user(user).address}?done={what}", status_code=SEE_OTHER)
