"""`/api/v1/generation…`: made, read and listed, each by one call and one row of the envelope."""

from functools import partial
from typing import Annotated, Any, Final, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter
from litestar.types import HTTPScope
from msgspec import UNSET
from msgspec.structs import replace

from storecredit.billing.generation_prices import OPTION_TEXT_MAX, OPTIONS_MAX
from storecredit.generation.lifecycle import (
    Created,
    GenerationInput,
    InsufficientCredits,
    Replayed,
    RequestConflict,
)
from storecredit.generation.sessions import SessionStatus
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import (
    INVALID_BODY,
    Envelope,
    ErrorCode,
    Failure,
    Success,
    invalid,
    not_found,
)
from storecredit.web.http.faults import Check, details_of
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.links import link_base, location
from storecredit.web.http.openapi import example, said, store_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, UuidCursor, WantedRequest, uuid_cursor
from storecredit.web.http.visits import visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.generation_images import IMAGES_MAX, image_refusal
from storecredit.web.resources.generation_options import OptionsRefused, price_of
from storecredit.web.resources.generation_views import (
    Generation,
    GenerationCreated,
    GenerationPage,
    archived_sentence,
    created_view,
    generation_view,
    generation_views,
    looking_again,
)
from storecredit.web.resources.metadata import Metadata
from storecredit.web.resources.payment_required import payment_required
from storecredit.web.resources.waiting import Wait, after_waiting, preferred_wait, waited
from storecredit.web.store_api.accounts import account_of

PROMPT_MAX: Final = 4000
_QUEUED: Final = SessionStatus.QUEUED

EXAMPLE_IMAGE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mN8EevAgA0w"
    "MeAAg1MCADSdAZV4luLGAAAAAElFTkSuQmCC"
)
"""A picture of eight by eight pixels."""

OptionText = Annotated[str, msgspec.Meta(max_length=OPTION_TEXT_MAX)]
"""The name of an option, or its value."""


ImageUrl = Annotated[str, Check(image_refusal)]


class CreateBody(Body, frozen=True):
    """A request for one generation."""

    image_urls: Annotated[
        list[ImageUrl],
        msgspec.Meta(
            min_length=1,
            max_length=IMAGES_MAX,
            description="What it is made of: `https:`, `http:` or `data:image/…` addresses.",
        ),
    ]
    prompt: Annotated[
        Annotated[str, msgspec.Meta(max_length=PROMPT_MAX)] | None,
        said("What to make of them."),
    ] = None
    options: Annotated[
        Annotated[dict[OptionText, OptionText], msgspec.Meta(max_length=OPTIONS_MAX)] | None,
        said("How to make it: names and values of the operator's price list, which may cost more."),
    ] = None
    metadata: Metadata = None


@post(
    "/generation/create",
    summary="Create a generation",
    operation_id="createGeneration",
    response_description="The credits were taken and the generation is queued",
    responses={
        200: ResponseSpec(
            Envelope[GenerationCreated],
            description="This very request was sent before; nothing was taken now",
            generate_examples=False,
        ),
        **store_errors(
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PAYLOAD_TOO_LARGE,
        ),
    },
    **example(
        {
            "image_urls": [EXAMPLE_IMAGE],
            "prompt": "a red hat on a white table",
            "metadata": {"order": "1001"},
        }
    ),
)
async def create_generation(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    data: JSONBody[CreateBody],
) -> Response[Envelope[GenerationCreated]]:
    """Takes what it costs and queues the generation. The request id makes a retry safe.

    With `Prefer: wait=30` it answers when the generation has ended, or after so many seconds, and
    `generation` is what it is by then.
    """
    made = await create(request.scope, parts, data)
    return (await made.later() if made.later is not None else made).response()


async def create(scope: HTTPScope, parts: Parts, body: CreateBody) -> Success[GenerationCreated]:
    """The whole of `create_generation`, without the framework: a direct route."""
    request_id = visit_of(scope).request_id
    account = account_of(scope)
    credits = parts.catalogue.generation.credits
    if body.options:
        credits = await _price(parts, account.id, request_id, body.options)
    outcome = await parts.lifecycle.create(
        account,
        request_id,
        GenerationInput(tuple(body.image_urls), body.prompt, body.options or UNSET),
        body.metadata,
        credits,
    )
    match outcome:
        case Created():
            made = created_view(outcome, _QUEUED, request_id)
            answer = Success(made, 201, _headers(made, parts))
        case Replayed(status=status):
            made = created_view(outcome, status, request_id)
            replayed = {"Idempotent-Replayed": "true"}
            answer = Success(made, 200, _headers(made, parts) | replayed)
        case InsufficientCredits():
            raise payment_required(scope, parts, balance=outcome.balance, required=outcome.required)
        case RequestConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for another request. Nothing was charged; send a new id.",
            )
        case _:
            assert_never(outcome)
    seconds = preferred_wait(visit_of(scope).sent)
    if seconds is None:
        return answer
    return replace(answer, later=partial(after_waiting, scope, parts, account, answer, seconds))


async def _price(parts: Parts, account_id: int, request_id: str, options: dict[str, str]) -> int:
    match await price_of(parts, account_id, request_id, options):
        case OptionsRefused(faults):
            raise invalid(INVALID_BODY, details_of(iter(faults), "body"))
        case credits:
            return credits


def _headers(made: GenerationCreated, parts: Parts) -> dict[str, str]:
    return {
        CREDITS_REMAINING: str(made.balance),
        "Location": location(f"/api/v1/generation/{made.session_id}", parts),
    }


@get(
    "/generation/{session_id:str}",
    summary="Read a generation",
    operation_id="getGeneration",
    responses=store_errors(ErrorCode.NOT_FOUND),
)
async def get_generation(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    session_id: Annotated[str, PathParameter(format="uuid")],
    wait: Wait = None,
) -> Response[Envelope[Generation]]:
    """Its status, and once completed a link to the result image that expires.

    Until it has ended, Retry-After says when to look again; with `wait` it is not answered before.
    """
    return (await read_generation(request.scope, parts, session_id, wait or 0)).response()


async def read_generation(
    scope: HTTPScope, parts: Parts, session_id: str, wait_seconds: int
) -> Success[Generation]:
    """The whole of `get_generation`, without the framework."""
    account_id = account_of(scope).id
    try:
        id_ = UUID(session_id)
    except ValueError:
        raise not_found(
            "generation: its address ends with the session_id, a UUID. By the request's id it is "
            "found at /api/v1/generations?request_id=…"
        ) from None
    session = (
        await waited(parts, visit_of(scope), account_id, id_, wait_seconds)
        if wait_seconds
        else await parts.sessions.get(account_id, id_)
    )
    if session is None:
        archived = await parts.archives.find(account_id, id_)
        if archived is not None:
            raise Failure(ErrorCode.NOT_FOUND, archived_sentence(archived))
        raise not_found("generation")
    view = await generation_view(session, parts, link_base(scope, parts))
    return Success(view, headers=looking_again(session, visit_of(scope).waited_seconds))


@get(
    "/generations",
    summary="List generations",
    operation_id="listGenerations",
    responses=store_errors(),
)
async def list_generations(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    status: FromQuery[SessionStatus | None] = None,
    request_id: WantedRequest = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: UuidCursor = None,
) -> Envelope[GenerationPage]:
    """The store's generations, newest first; with `request_id` the one that this request made."""
    page = await parts.sessions.list(
        account_of(request.scope).id,
        status=status,
        limit=limit,
        before=uuid_cursor(cursor),
        request_id=request_id,
    )
    base_url = link_base(request.scope, parts)
    return Envelope(
        GenerationPage(
            await generation_views(page.items, parts, base_url),
            str(page.next_before) if page.next_before else None,
        )
    )
