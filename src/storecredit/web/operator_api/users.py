"""`/api/admin/users`: end users, as the operator finds, helps, blocks and erases them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from storecredit.generation.erasure import Erasing
from storecredit.generation.sessions import SessionStatus
from storecredit.ledger.balances import Balance
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owner_cursors import OwnerSort
from storecredit.ledger.owner_pages import OwnerFilter
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.users.directory import Unblocking, User, UserStatus
from storecredit.web.http.bodies import wrong
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import action_errors, example, operator_errors, said
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, UuidCursor, WantedRequest
from storecredit.web.http.scopes import needs
from storecredit.web.operator_api.credits import CreditsAdded, added
from storecredit.web.operator_api.generations import OperatorGenerationPage, generations_of
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import CreditsBody
from storecredit.web.resources.expiring_credits import ExpiringView, expiring_views
from storecredit.web.resources.owner_lists import (
    Below,
    OwnerCursorText,
    Search,
    UserSort,
    owner_page,
)
from storecredit.web.resources.spending import replayed_as


class UserView(msgspec.Struct, frozen=True):
    """An end user and its credits. Nothing else is known of the user here."""

    user_id: UUID
    status: Annotated[
        UserStatus, said("`blocked`: no token of the user is accepted; so is who was `erased`.")
    ]
    balance: int
    total_purchased: int
    total_spent: int
    total_clawed_back: int
    total_expired: int
    total_removed: int
    held: int
    expiring: list[ExpiringView]
    created_at: Annotated[datetime, said("When the user called for the first time.")]
    blocked_at: datetime | None
    erased_at: datetime | None


class UserList(msgspec.Struct, frozen=True):
    """End users in the order that was asked for."""

    items: list[UserView]
    next_cursor: str | None


@get("/users", summary="List end users", operation_id="listUsers", responses=operator_errors())
async def list_users(
    parts: NamedDependency[Parts],
    below: Below = None,
    sort: UserSort = "created",
    status: FromQuery[UserStatus | None] = None,
    search: Search = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: OwnerCursorText = None,
) -> Envelope[UserList]:
    """End users, newest first unless `sort` says otherwise; pages as those of stores."""
    wanted = OwnerFilter(below=below, status=status, search=search)
    page = await owner_page(parts, OwnerKind.USER, wanted, OwnerSort(sort), limit, cursor)
    users = await parts.user_directory.several(page.owner_ids)
    return Envelope(UserList(await _views(parts, users), page.next_cursor))


@get(
    "/users/{user_id:uuid}",
    summary="Read an end user",
    operation_id="getUser",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_user(parts: NamedDependency[Parts], user_id: FromPath[UUID]) -> Envelope[UserView]:
    """An end user and its credits."""
    return Envelope(await _read(parts, user_id))


@get(
    "/users/{user_id:uuid}/generations",
    summary="List an end user's generations",
    operation_id="listUserGenerations",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_user_generations(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    status: FromQuery[SessionStatus | None] = None,
    request_id: WantedRequest = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: UuidCursor = None,
) -> Envelope[OperatorGenerationPage]:
    """Newest first, with what the generator said."""
    await _known(parts, user_id)
    return await generations_of(
        request, parts, Owner.user(user_id), status, request_id, limit, cursor
    )


@post(
    "/users/{user_id:uuid}/credits",
    summary="Add credits to an end user",
    operation_id="addUserCredits",
    responses=replayed_as(Envelope[CreditsAdded]) | action_errors(ErrorCode.NOT_FOUND),
    **example({"amount": 5, "type": "grant", "request_id": "sorry-1001"}),
    **needs(Scope.CREDITS),
)
async def add_user_credits(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
    data: JSONBody[CreditsBody],
) -> Response[Envelope[CreditsAdded]]:
    """Adds credits once per request id; sending it again changes nothing."""
    if data.type is AdditionType.SUBSCRIPTION:
        raise wrong("type", "End users have no subscriptions: `grant` or `purchase`.")
    return await added(parts, context, Owner.user(user_id), data)


@post(
    "/users/{user_id:uuid}/block",
    summary="Block an end user",
    operation_id="blockUser",
    status_code=200,
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def block_user(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
) -> Envelope[UserView]:
    """Refuses all that the user asks for, within a second; credits stay, and generations end."""
    if not await parts.operator.users.block(context, user_id):
        raise not_found("user")
    return Envelope(await _read(parts, user_id))


@post(
    "/users/{user_id:uuid}/unblock",
    summary="Let an end user in again",
    operation_id="unblockUser",
    status_code=200,
    responses=action_errors(ErrorCode.NOT_FOUND, ErrorCode.USER_ERASED),
)
async def unblock_user(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
) -> Envelope[UserView]:
    """Lets a blocked user in again, within a second; who was erased stays blocked."""
    outcome = await parts.operator.users.unblock(context, user_id)
    match outcome:
        case Unblocking.UNBLOCKED:
            return Envelope(await _read(parts, user_id))
        case Unblocking.ERASED:
            raise Failure(
                ErrorCode.USER_ERASED, "This user was erased, and stays blocked. Nothing changed."
            )
        case Unblocking.NOT_FOUND:
            raise not_found("user")
        case _:
            assert_never(outcome)


@post(
    "/users/{user_id:uuid}/erase",
    summary="Erase what is personal of an end user",
    operation_id="eraseUser",
    status_code=200,
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def erase_user(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
) -> Envelope[UserView]:
    """Removes what the user has sent and was told, result images included, and blocks the user.

    What had not ended is ended, and its credits given back. The ledger stays, by the user's id.
    Sent again, it looks once more for what may be left.
    """
    if await parts.operator.users.erase(context, user_id) is Erasing.NOT_FOUND:
        raise not_found("user")
    await parts.erasure.settle(user_id)
    return Envelope(await _read(parts, user_id))


async def _known(parts: Parts, user_id: UUID) -> User:
    user = await parts.user_directory.get(user_id)
    if user is None:
        raise not_found("user")
    return user


async def _read(parts: Parts, user_id: UUID) -> UserView:
    user = await _known(parts, user_id)
    return (await _views(parts, [user]))[0]


async def _views(parts: Parts, users: Sequence[User]) -> list[UserView]:
    balances = await parts.credits.balances(OwnerKind.USER, [user.user_id for user in users])
    return [_view(user, balances[user.user_id]) for user in users]


def _view(user: User, credits: Balance) -> UserView:
    return UserView(
        user_id=user.user_id,
        status=user.status,
        balance=credits.balance,
        total_purchased=credits.total_added,
        total_spent=credits.total_spent,
        total_clawed_back=credits.total_clawed_back,
        total_expired=credits.total_expired,
        total_removed=credits.total_removed,
        held=credits.held,
        expiring=expiring_views(credits),
        created_at=utc(user.created_at),
        blocked_at=user.blocked_at and utc(user.blocked_at),
        erased_at=user.erased_at and utc(user.erased_at),
    )
