"""tRPC over HTTP, as @trpc/server 11 speaks it with superjson as its transformer.

Hides how calls stand in a request and their answers in the response:

    GET  /api/trpc/a?input={"json": …}                           a query
    GET  /api/trpc/a,b?batch=1&input={"0": {"json": …}, …}       several in one request
    POST /api/trpc/c                    {"json": …}              a mutation; likewise with batch=1

    {"result": {"data": {"json": …, "meta": …}}}  or  {"error": {"json": …}};  of a batch an array

The status is that of all calls if they agree, else 207. What is wrong with one call is its own
answer; what is wrong with the request as a whole is a single error, no array. A batch that asks for
a stream (`trpc-accept: application/jsonl`) gets each result as it ends, see `stream.py`; the
status is 200 then, as it is sent before anything has ended. A subscription is answered with events,
see `events.py`. Promises that input is not looked at before the caller is known, and that
nothing is called for an EventSource that asks for what is no subscription.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from storecredit.web.http.headers import RawHeaders, lowered
from storecredit.web.http.streams import EVENTS, EVENTS_HEADERS
from storecredit.web.trpc import events, stream, superjson
from storecredit.web.trpc.calls import (
    Asked,
    Call,
    Procedure,
    Unread,
    allowed,
    calls_of,
    inputs_of,
    request_id_of,
    subscribed_to,
)
from storecredit.web.trpc.errors import (
    JSON,
    VARY,
    Answered,
    TrpcCode,
    TrpcError,
    refused,
    trpc_error,
)
from storecredit.web.trpc.inputs import checked
from storecredit.web.trpc.superjson import UNDEFINED

NO_SUBSCRIPTION: Final = (
    "This is no subscription: call it as a query or a mutation, if it is there. Nothing was done."
)

T = TypeVar("T")
C = TypeVar("C")
"""What a procedure is called with besides its input."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """The response, status 200, in parts that are sent as they come."""

    parts: AsyncGenerator[bytes]
    headers: Mapping[str, str]
    media_type: str = JSON

    def raw_headers(self) -> RawHeaders:
        """All of the headers."""
        return lowered({"Content-Type": self.media_type} | VARY | dict(self.headers))


Enter = Callable[[Sequence[str]], Awaitable[Callable[[str], C]]]
"""Lets the caller of these paths in; what it gives says with what a call of an id is made."""
Make = Callable[[Call[C]], Awaitable[object]]
"""Makes a call: gives what came of it, or its TrpcError."""


async def answer(
    asked: Asked,
    procedures: Mapping[str, Procedure[C]],
    enter: Enter[C],
    left: "Callable[[], asyncio.Future[None]]",
) -> Answered | Streamed:
    """Make every call of a request.

    `enter` is awaited once, if there is anything to call. What it raises is the answer of every
    call, what a procedure raises that of its own. What `left` gives is done when the client of a
    subscription has gone away. Raises Unread, before anything is called.
    """
    try:
        calls = calls_of(asked, procedures)
    except TrpcError as error:
        return refused(error, accept=asked.accept)
    subscribed = subscribed_to(calls)
    if subscribed is not None:
        make = await _entered(asked, calls, enter)
        return Streamed(events.events(subscribed, make, left()), EVENTS_HEADERS, EVENTS)
    if asked.is_subscription:
        none = TrpcError(TrpcCode.METHOD_NOT_SUPPORTED, NO_SUBSCRIPTION)
        return refused(none, accept=asked.accept)
    allow = allowed(calls, procedures)
    headers = {"Allow": allow} if allow else {}
    make = await _entered(asked, calls, enter)
    if asked.wants_stream:
        return Streamed(stream.lines(calls, make), headers)
    # Most requests are one call, which needs no task of its own.
    alone = calls[0] if len(calls) == 1 else None
    results = (
        [await make(alone)]
        if alone is not None
        else await asyncio.gather(*(make(call) for call in calls))
    )
    return _at_once(asked, calls, results, headers)


def _at_once(
    asked: Asked,
    calls: Sequence[Call[C]],
    results: Sequence[object],
    headers: Mapping[str, str],
) -> Answered:
    statuses = {
        result.status if isinstance(result, TrpcError) else HTTPStatus.OK for result in results
    }
    shapes = [
        result.shape(call.path)
        if isinstance(result, TrpcError)
        else {"result": {"data": superjson.serialize(result)}}
        for call, result in zip(calls, results, strict=True)
    ]
    return Answered(
        statuses.pop() if len(statuses) == 1 else HTTPStatus.MULTI_STATUS,
        msgspec.json.encode(shapes if asked.is_batch else shapes[0]),
        headers=headers,
    )


async def _entered(asked: Asked, calls: Sequence[Call[C]], enter: Enter[C]) -> Make[C]:
    """Let the caller in and read the inputs; then each call can be made."""
    runs = [call for call in calls if isinstance(call.target, Procedure)]
    context_of = await _tried(enter([call.path for call in runs])) if runs else None
    is_in = not isinstance(context_of, TrpcError)
    inputs = await _tried(inputs_of(asked, runs)) if is_in else {}

    async def made(call: Call[C]) -> object:
        if isinstance(call.target, TrpcError):
            raise call.target
        if isinstance(context_of, TrpcError):
            raise context_of
        assert context_of is not None, "somebody entered for each call that can be made"
        value = None
        if call.target.input is not None:
            if isinstance(inputs, TrpcError):
                raise inputs
            value = checked(call.target.input, inputs.get(call.index, UNDEFINED))
        return await call.target.run(context_of(request_id_of(asked, call.index)), value)

    return lambda call: _tried(made(call))


async def _tried(awaited: Awaitable[T]) -> T | TrpcError:
    try:
        return await awaited
    except Unread:
        raise
    except Exception as cause:  # noqa: BLE001 - it becomes the answer
        return trpc_error(cause)
