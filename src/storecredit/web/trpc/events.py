"""A subscription's answer: events as httpSubscriptionLink reads them (`stream/sse.ts`).

    event: connected      {"reconnectAfterInactivityMs": 50000}
    event: ping           an empty line of data, so often that the client does not give up
                          data of the one event, with the id by which the client names it later
    event: return         an empty line of data, without which the client would come again
    event: serialized-error

An answer that ends without `return` is asked for again by the client, a few seconds later: so ends
one whose time is over, and one that is told to stop. An error of 5xx is followed by another try,
too; any other ends the subscription. The status is 200 whatever comes: any other status would end
it for good, and a browser tells no app which it was.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from storecredit.web.http.streams import event, pings_until
from storecredit.web.trpc import superjson
from storecredit.web.trpc.calls import Call
from storecredit.web.trpc.errors import CONNECTED, TrpcError

PING_SECONDS: Final = 20.0
"""Twice as often as a client asks for, and more."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tracked(Generic[T]):
    """The event of a subscription; a client that has had it comes again with its `id`, if at all.

    `id` is printable ASCII.
    """

    id: str
    data: T


@dataclass(frozen=True, slots=True)
class NotYet:
    """There is nothing to tell so far: the client is to come again."""


async def events(
    call: Call[Any],
    make: Callable[[Call[Any]], Awaitable[object]],
    left: "asyncio.Future[None]",
) -> AsyncGenerator[bytes]:
    """The events of an answer, as they come. `make` gives what came of the call.

    That is a Tracked, None where the client has had it, NotYet or a TrpcError. Nothing more is
    awaited when `left` is done: the client has gone away.
    """
    yield CONNECTED
    made = asyncio.ensure_future(make(call))
    try:
        async for ping in pings_until(made, left, seconds=PING_SECONDS):
            yield ping
        if not left.done():
            yield _told(call, made.result())
    finally:
        made.cancel()


def _told(call: Call[Any], result: object) -> bytes:
    match result:
        case NotYet():
            return b""
        case TrpcError():
            shape = superjson.serialize(result.content(call.path))
            return event("serialized-error", msgspec.json.encode(shape))
        case Tracked(id_, data):
            told = msgspec.json.encode(superjson.serialize(data))
            return b"data: %b\nid: %b\n\n" % (told, id_.encode()) + event("return")
        case None:
            return event("return")
        case _:
            raise TypeError(f"a subscription gave {type(result).__name__}")
