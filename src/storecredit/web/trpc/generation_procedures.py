"""What end users can do with generations: create, read and list them, and be told of their end."""

from collections.abc import Sequence
from typing import Any, Final, assert_never
from uuid import UUID

from msgspec import UNSET

from storecredit.generation.lifecycle import (
    Created,
    GenerationInput,
    InsufficientCredits,
    Replayed,
    RequestConflict,
)
from storecredit.generation.sessions import Session, SessionStatus
from storecredit.web.parts import Parts
from storecredit.web.resources.generation_images import IMAGES_MAX, image_refusal
from storecredit.web.resources.generation_options import OptionsRefused, price_of
from storecredit.web.resources.generation_views import archived_sentence, result_urls
from storecredit.web.resources.metadata import METADATA_TEXT_MAX
from storecredit.web.resources.waiting import waited
from storecredit.web.trpc.errors import TrpcCode, TrpcError, bad_request
from storecredit.web.trpc.events import NotYet, Tracked
from storecredit.web.trpc.procedure_views import GenerationQueued, GenerationView, StatsView
from storecredit.web.trpc.user_calls import Caller, conflict

SUBSCRIPTION_MAX_SECONDS: Final = 600
"""After so long the client is to come again, with a token that is valid then."""


async def create_generation(caller: Caller, asked: dict[str, Any]) -> GenerationQueued:
    """Take what it costs and queue the generation; the request id makes a retry safe."""
    images = _images(asked)
    _check_images(images, caller.parts)
    options: dict[str, str] = asked["options"] or {}
    credits = await _price(caller, options)
    outcome = await caller.parts.lifecycle.create(
        caller.account,
        caller.request_id,
        GenerationInput(tuple(images.values()), options=options or UNSET),
        _accessory_types(asked),
        credits,
    )
    match outcome:
        case Created(session_id) | Replayed(session_id):
            return GenerationQueued(session_id)
        case InsufficientCredits(balance, required):
            raise TrpcError(
                TrpcCode.PAYMENT_REQUIRED,
                f"Insufficient credits: you have {balance}, and this needs {required}.",
            )
        case RequestConflict():
            raise conflict("Nothing was charged")
        case _:
            assert_never(outcome)


async def _price(caller: Caller, options: dict[str, str]) -> int:
    priced = await price_of(caller.parts, caller.account.id, caller.request_id, options)
    if isinstance(priced, OptionsRefused):
        wrong = " ".join(f"{fault.key}: {fault.message}" for fault in priced.faults)
        raise bad_request(f"{wrong} Nothing was charged.")
    return priced


def _images(asked: dict[str, Any]) -> dict[str, str]:
    """The image URLs by where they stood in the input: model, outfit, accessories."""
    outfit = asked["outfitImageUrl"]
    return (
        {"modelImageUrl": asked["modelImageUrl"]}
        | ({} if outfit is None else {"outfitImageUrl": outfit})
        | {
            f"accessories[{place}].url": accessory["url"]
            for place, accessory in enumerate(asked["accessories"] or ())
        }
    )


def _check_images(images: dict[str, str], parts: Parts) -> None:
    if len(images) > IMAGES_MAX:
        raise bad_request(f"More than {IMAGES_MAX} images. Nothing was charged.")
    for name, url in images.items():
        reason = image_refusal(url, parts.settings)
        if reason is not None:
            raise bad_request(f"{name} {reason} Nothing was charged.")


def _accessory_types(asked: dict[str, Any]) -> dict[str, str] | None:
    """What the accessories are, kept with the session."""
    types = [accessory["type"] for accessory in asked["accessories"] or ()]
    if any(len(type_) > METADATA_TEXT_MAX for type_ in types):
        raise bad_request(f"An accessory's type is longer than {METADATA_TEXT_MAX} characters.")
    return {f"accessory_{number}": type_ for number, type_ in enumerate(types, start=1)} or None


async def get_generation(caller: Caller, asked: dict[str, Any]) -> GenerationView:
    """One of the user's generations; another's is as absent as an unknown one.

    With `wait`, once it has ended, or after so many seconds as it is then.
    """
    account_id, session_id = caller.account.id, UUID(asked["sessionId"])
    seconds: int | None = asked["wait"]
    session = (
        await waited(caller.parts, caller.visit, account_id, session_id, seconds)
        if seconds
        else await caller.parts.sessions.get(account_id, session_id)
    )
    return await _generation(await _there(session, caller, session_id), caller)


async def on_end(
    caller: Caller, asked: dict[str, str | None]
) -> Tracked[GenerationView] | NotYet | None:
    """One of the user's generations, once it has ended; then the subscription completes."""
    session_id = UUID(asked["sessionId"])
    if asked["lastEventId"] == str(session_id):
        return None
    session = await waited(
        caller.parts, caller.visit, caller.account.id, session_id, SUBSCRIPTION_MAX_SECONDS
    )
    session = await _there(session, caller, session_id)
    if not session.has_ended:
        return NotYet()
    return Tracked(str(session_id), await _generation(session, caller))


async def _there(session: Session | None, caller: Caller, session_id: UUID) -> Session:
    if session is None:
        archived = await caller.parts.archives.find(caller.account.id, session_id)
        if archived is not None:
            raise TrpcError(TrpcCode.NOT_FOUND, archived_sentence(archived))
        raise TrpcError(TrpcCode.NOT_FOUND, "There is no such generation.")
    return session


async def get_history(caller: Caller, asked: dict[str, Any]) -> list[GenerationView]:
    """The user's generations, newest first."""
    sessions = await caller.parts.sessions.history(
        caller.account.id,
        status=None if asked["status"] is None else SessionStatus(asked["status"]),
        limit=asked["limit"],
        offset=asked["offset"],
    )
    return await _generations(sessions, caller)


async def _generation(session: Session, caller: Caller) -> GenerationView:
    [view] = await _generations([session], caller)
    return view


async def _generations(sessions: Sequence[Session], caller: Caller) -> list[GenerationView]:
    urls = await result_urls(sessions, caller.parts, caller.link_base)
    return [_view(session, urls.get(session.session_id)) for session in sessions]


def _view(session: Session, url: str | None) -> GenerationView:
    return GenerationView(
        id=session.session_id,
        status=session.status,
        result_url=url,
        error_code=session.error_code,
        error_message=session.error_message,
        created_at=session.created_at,
        started_at=session.started_at,
        completed_at=session.completed_at,
    )


async def get_stats(caller: Caller, _input: None) -> StatsView:
    """How many generations the user has, by what became of them."""
    stats = await caller.parts.sessions.stats(caller.account.id)
    return StatsView(stats.total, stats.completed, stats.active, stats.failed)
