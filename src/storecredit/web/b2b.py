"""`/api/v1`: what stores call with their API key. Parse, one call, one row of the envelope."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter
from litestar.types import HTTPScope
from msgspec import UNSET

from storecredit.billing.generation_prices import OPTION_TEXT_MAX, OPTIONS_MAX
from storecredit.generation.image_sources import refusal
from storecredit.generation.lifecycle import (
    Created,
    GenerationInput,
    InsufficientCredits,
    Replayed,
    RequestConflict,
)
from storecredit.generation.sessions import FailureCode, Session, SessionStatus
from storecredit.ledger.credits import AccountMissing
from storecredit.ledger.owners import Account, Owner
from storecredit.settings import Settings
from storecredit.web.access import caller_of, visit_of
from storecredit.web.bodies import Body
from storecredit.web.envelope import (
    INVALID_BODY,
    Envelope,
    ErrorCode,
    Failure,
    Success,
    invalid,
    not_found,
)
from storecredit.web.faults import Check, details_of
from storecredit.web.generation_options import OptionsRefused, price_of
from storecredit.web.headers import CREDITS_REMAINING
from storecredit.web.links import link_base, location
from storecredit.web.moments import utc
from storecredit.web.openapi import example, said, store_errors
from storecredit.web.paging import (
    PAGE_DEFAULT,
    Limit,
    UuidCursor,
    WantedRequest,
    uuid_cursor,
)
from storecredit.web.parts import Parts
from storecredit.web.payment_required import payment_required

IMAGES_MAX: Final = 10
PROMPT_MAX: Final = 4000
METADATA_MAX: Final = 20
RETRY_MIN_SECONDS: Final = 1
RETRY_MAX_SECONDS: Final = 15
METADATA_TEXT_MAX: Final = 500

EXAMPLE_IMAGE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mN8EevAgA0w"
    "MeAAg1MCADSdAZV4luLGAAAAAElFTkSuQmCC"
)
"""A picture of eight by eight pixels."""

Text = Annotated[str, msgspec.Meta(max_length=METADATA_TEXT_MAX)]
"""A short string of metadata."""
Metadata = Annotated[
    Annotated[dict[Text, Text], msgspec.Meta(max_length=METADATA_MAX)] | None,
    said("Yours: returned as it was sent."),
]
"""What a store keeps with a request of its own."""
OptionText = Annotated[str, msgspec.Meta(max_length=OPTION_TEXT_MAX)]
"""The name of an option, or its value."""


def _image_refusal(url: str, settings: Settings) -> str | None:
    return refusal(
        url,
        allow_private_hosts=settings.allow_private_hosts,
        max_bytes=settings.image_max_bytes,
    )


ImageUrl = Annotated[str, Check(_image_refusal)]


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


class GenerationCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A generation was queued, or had been by this very request."""

    session_id: Annotated[UUID, said("The generation's id, to read it by.")]
    status: SessionStatus
    request_id: Annotated[str, said("The request id: the same one again is the same generation.")]
    credits_charged: Annotated[int, said("What was taken for it; given back if it fails.")]
    balance: Annotated[int, said("The credits that are left.")]
    charged_as: Annotated[
        Literal["overage"] | None,
        said("`overage`: it was taken from beyond the balance; left out otherwise."),
    ] = None


class Generation(msgspec.Struct, frozen=True):
    """One generation session."""

    session_id: UUID
    status: SessionStatus
    request_id: Annotated[str, said("The request that created it.")]
    result_url: Annotated[str | None, said("The result image, by a link that expires.")]
    error_code: FailureCode | None
    error_message: Annotated[str | None, said("Why it failed, in words.")]
    credits_charged: Annotated[int, said("What was taken for it.")]
    credits_refunded: Annotated[int, said("What was given back: all of it when it failed.")]
    metadata: Annotated[dict[str, str] | None, said("As it was sent.")]
    created_at: datetime
    started_at: Annotated[datetime | None, said("When the first attempt began.")]
    completed_at: Annotated[datetime | None, said("When it ended, completed or failed.")]


class GenerationPage(msgspec.Struct, frozen=True):
    """Generations, newest first."""

    items: list[Generation]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


class Health(msgspec.Struct, frozen=True):
    """The key works."""

    status: Annotated[str, said("`ok`")]
    store_id: Annotated[UUID, said("The store whose key it is.")]
    timestamp: datetime


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
    """Takes what it costs and queues the generation. The request id makes a retry safe."""
    return (await create(request.scope, parts, data)).response()


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
        case Created(session_id):
            made = _created(outcome, SessionStatus.QUEUED, request_id)
            headers = {
                CREDITS_REMAINING: str(outcome.balance),
                "Location": _location(session_id, parts),
            }
            return Success(made, 201, headers)
        case Replayed(session_id, status):
            made = _created(outcome, status, request_id)
            headers = {
                CREDITS_REMAINING: str(outcome.balance),
                "Location": _location(session_id, parts),
            }
            return Success(made, 200, {**headers, "Idempotent-Replayed": "true"})
        case InsufficientCredits():
            raise payment_required(scope, parts, balance=outcome.balance, required=outcome.required)
        case RequestConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for another request. Nothing was charged; send a new id.",
            )
        case _:
            assert_never(outcome)


async def _price(parts: Parts, account_id: int, request_id: str, options: dict[str, str]) -> int:
    match await price_of(parts, account_id, request_id, options):
        case OptionsRefused(faults):
            raise invalid(INVALID_BODY, details_of(iter(faults), "body"))
        case credits:
            return credits


def account_of(scope: HTTPScope) -> Account:
    """The account of the store whose key was sent. Raises AccountMissing."""
    caller = caller_of(scope)
    if caller.account_id is None:
        raise AccountMissing(f"store {caller.store_id} has no account")
    return Account(caller.account_id, Owner.store(caller.store_id))


def _location(session_id: UUID, parts: Parts) -> str:
    return location(f"/api/v1/generation/{session_id}", parts)


def _created(made: Created | Replayed, status: SessionStatus, request_id: str) -> GenerationCreated:
    beyond = made.charged_as if made.charged_as == "overage" else None
    return GenerationCreated(
        made.session_id, status, request_id, made.credits, made.balance, beyond
    )


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
) -> Response[Envelope[Generation]]:
    """Its status, and once completed a link to the result image that expires.

    Until it has ended, Retry-After says when to look again.
    """
    account_id = account_of(request.scope).id
    try:
        session = await parts.sessions.get(account_id, UUID(session_id))
    except ValueError:
        raise not_found(
            "generation: its address ends with the session_id, a UUID. By the request's id it is "
            "found at /api/v1/generations?request_id=…"
        ) from None
    if session is None:
        raise not_found("generation")
    view = generation_view(session, parts, link_base(request.scope, parts))
    return Response(Envelope(view), headers=_looking_again(session))


def _looking_again(session: Session) -> dict[str, str]:
    """When to ask again for a generation that has not ended: after half of its age so far.

    Most take seconds and some minutes: who asks so learns of the end before half of the time has
    passed again that it took, and asks about ten times in the first minute.
    """
    if session.status not in {SessionStatus.QUEUED, SessionStatus.PROCESSING}:
        return {}
    age = datetime.now(UTC) - session.created_at
    seconds = min(max(int(age.total_seconds() / 2), RETRY_MIN_SECONDS), RETRY_MAX_SECONDS)
    return {"Retry-After": str(seconds)}


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
            [generation_view(session, parts, base_url) for session in page.items],
            str(page.next_before) if page.next_before else None,
        )
    )


def generation_view(session: Session, parts: Parts, base_url: str) -> Generation:
    """A session as its store sees it."""
    return Generation(
        session_id=session.session_id,
        status=session.status,
        request_id=session.request_id,
        result_url=result_url(session.result_key, parts, base_url),
        error_code=session.error_code,
        error_message=session.error_message,
        credits_charged=session.credits,
        credits_refunded=session.credits_refunded,
        metadata=session.metadata,
        created_at=utc(session.created_at),
        started_at=session.started_at and utc(session.started_at),
        completed_at=session.completed_at and utc(session.completed_at),
    )


def result_url(result_key: str | None, parts: Parts, base_url: str) -> str | None:
    """A link to the result image that expires; None as long as there is no result."""
    if result_key is None:
        return None
    token = parts.results.sign(result_key, lifetime_seconds=parts.settings.result_link_seconds)
    return f"{base_url}/results/{token}"


@get("/health", summary="Check the key", operation_id="getHealth", responses=store_errors())
async def get_health(request: Request[Any, Any, Any]) -> Envelope[Health]:
    """The key works and the store is active."""
    return Envelope(Health("ok", caller_of(request.scope).store_id, datetime.now(UTC)))
