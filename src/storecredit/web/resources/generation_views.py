"""Generations as a store sees them: made, one, a page of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from math import ceil
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from storecredit.generation.archived import Archived
from storecredit.generation.lifecycle import Created, Replayed
from storecredit.generation.sessions import FailureCode, Session, SessionStatus
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said
from storecredit.web.parts import Parts

RETRY_MIN_SECONDS: Final = 1
RETRY_MAX_SECONDS: Final = 15


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
    generation: Annotated[
        Generation | None,
        said("Of an answer that waited (`Prefer: wait`): the generation as it is by now."),
    ] = None


class GenerationPage(msgspec.Struct, frozen=True):
    """Generations, newest first."""

    items: list[Generation]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


def created_view(
    made: Created | Replayed, status: SessionStatus, request_id: str
) -> GenerationCreated:
    """What a request for a generation made, now or before."""
    beyond = made.charged_as if made.charged_as == "overage" else None
    return GenerationCreated(
        made.session_id, status, request_id, made.credits, made.balance, beyond
    )


async def generation_view(session: Session, parts: Parts, base_url: str) -> Generation:
    """A session as its store sees it. Raises BucketUnusable where no link can be made."""
    [view] = await generation_views([session], parts, base_url)
    return view


async def generation_views(
    sessions: Sequence[Session], parts: Parts, base_url: str
) -> list[Generation]:
    """Sessions as their store sees them, likewise."""
    urls = await result_urls(sessions, parts, base_url)
    return [_view(session, urls.get(session.session_id)) for session in sessions]


def _view(session: Session, url: str | None) -> Generation:
    return Generation(
        session_id=session.session_id,
        status=session.status,
        request_id=session.request_id,
        result_url=url,
        error_code=session.error_code,
        error_message=session.error_message,
        credits_charged=session.credits,
        credits_refunded=session.credits_refunded,
        metadata=session.metadata,
        created_at=utc(session.created_at),
        started_at=session.started_at and utc(session.started_at),
        completed_at=session.completed_at and utc(session.completed_at),
    )


async def result_urls(sessions: Sequence[Session], parts: Parts, base_url: str) -> dict[UUID, str]:
    """Links to the result images of those that have one, which expire, by session.

    A bucket's own links, else ours. Raises BucketUnusable where no link can be made.
    """
    keys = {each.session_id: each.result_key for each in sessions if each.result_key is not None}
    if not keys:
        return {}
    lifetime = parts.settings.result_link_seconds
    signed = partial(parts.result_links.sign, lifetime_seconds=lifetime)
    own = await parts.results.links([*keys.values()], lifetime_seconds=lifetime)
    return {
        session_id: own[key] if key in own else f"{base_url}/results/{signed(key)}"
        for session_id, key in keys.items()
    }


def archived_sentence(archived: Archived) -> str:
    """What is said to who asks for a generation that is in the archive."""
    return (
        f"This generation ended long ago ({archived.status}), and was archived on "
        f"{utc(archived.archived_at):%Y-%m-%d}. What it cost stays in the ledger."
    )


def looking_again(session: Session, waited_seconds: float) -> dict[str, str]:
    """When to ask again for a generation that has not ended: after half of its age so far.

    Most take seconds and some minutes: who asks so learns of the end before half of the time has
    passed again that it took, and asks about ten times in the first minute. Who was kept waiting
    as long as that may ask again at once.
    """
    if session.has_ended:
        return {}
    age = datetime.now(UTC) - session.created_at
    seconds = min(max(int(age.total_seconds() / 2), RETRY_MIN_SECONDS), RETRY_MAX_SECONDS)
    left = ceil(seconds - waited_seconds)
    return {"Retry-After": str(left)} if left > 0 else {}
