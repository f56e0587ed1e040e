"""What changes while a page is open, sent to it: server-sent events (HTML, 9.2), to one browser.

    retry: 1734                     so long it waits before it comes again, each a little different
    event: latest                   the newest state of one thing: `News` of operator/live.py
    id: 5f0c….17                    by which it comes again, and is told only what it has not had
    data: [{"seq": 7, …}]
    event: ping                     in silence, so that a connection that is dead is noticed
    event: signed-out               the last: the sign-in is over, and coming again is of no use

It ends without a word when the service stops: the browser comes again, to the one that is there by
then. A stream counts as a request that asked to be kept waiting: its time is nobody's delay.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from secrets import randbelow
from typing import Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Receive, Scope, Send

from storecredit.operator.live import TooManyWatch
from storecredit.operator.watches import Watch
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.web.http.envelope import ErrorCode, Failure
from storecredit.web.http.headers import lowered
from storecredit.web.http.streams import EVENTS, event, pings_until, streamed
from storecredit.web.http.visits import visit_of
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SIGNED_OUT, is_still_signed_in, signed_in
from storecredit.web.parts import Parts

PING_SECONDS: Final = 15.0
SIGN_IN_SECONDS: Final = 30.0
"""How often it is seen whether the browser is still signed in."""
RETRY_FIRST_MS: Final = 1000
RETRY_SPREAD_MS: Final = 2000
"""All that were open come again after a restart, and not at one moment."""
ROOM_SECONDS: Final = 10
"""When to ask again where too many are open."""
HEADERS: Final = {
    "Content-Type": EVENTS,
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


def live_events(
    request: Request[Any, Any, Any],
    parts: Parts,
    *,
    account_id: int | None = None,
    everything: bool = False,
) -> ASGIApp:
    """The answer to a page that asks what changes, until it or its sign-in goes away.

    It shows one account, what is of all accounts, or both. Raises Failure (503) where too many
    are open.
    """
    sign_in = signed_in(request)
    # A store may sign in as often as it likes, and is one all the same: it takes nobody's place.
    who = sign_in.store_id or sign_in.sign_in_id

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(scope)
        began = time.monotonic()
        last_id = visit.sent.get(b"last-event-id")
        try:
            with parts.live.watching(
                who, account_id, everything=everything, last_id=last_id
            ) as watch:
                events = _events(watch, visit.left(), partial(is_still_signed_in, request, parts))
                await streamed(events, lowered(HEADERS))(scope, receive, send)
        except TooManyWatch:
            raise _no_room() from None
        finally:
            visit.waited_seconds += time.monotonic() - began

    return answer


async def _events(
    watch: Watch, left: "asyncio.Future[None]", is_signed_in: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes]:
    yield b"retry: %d\n\n" % (RETRY_FIRST_MS + randbelow(RETRY_SPREAD_MS))
    signed_out = asyncio.create_task(_signed_out(is_signed_in), name="signed-out")
    try:
        while not watch.is_over:
            told = watch.told()
            async for ping in pings_until(told, signed_out, left, seconds=PING_SECONDS):
                yield ping
            if left.done():
                return
            if signed_out.done():
                signed_out.result()
                yield event(SIGNED_OUT)
                return
            yield b"".join(event(news.name, news.data, news.id) for news in watch.take())
    finally:
        signed_out.cancel()


async def _signed_out(is_signed_in: Callable[[], Awaitable[bool]]) -> None:
    """Until the sign-in is over. While the database is away it goes on."""
    while True:
        await asyncio.sleep(SIGN_IN_SECONDS)
        try:
            if not await is_signed_in():
                return
        except DatabaseUnavailable:
            continue


def _no_room() -> Failure:
    return Failure(
        ErrorCode.SERVICE_UNAVAILABLE,
        "Too many pages are open that show what changes. This one shows what was so when it came.",
        headers={"Retry-After": str(ROOM_SECONDS)},
    )


@get("/events", media_type=EVENTS)
async def owner_events(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> ASGIApp:
    """Of one store or end user: its balance, its newest movements and generations."""
    account_id = await parts.credits.account_id(place.owner)
    return live_events(request, parts, account_id=account_id)
