"""Results as they end, one JSON line each: what httpBatchStreamLink reads (`stream/jsonl.ts`).

The first line says what is awaited; each further one is what came of it, and what is awaited in
that. Here a call's result is awaited, in it its `result`, and in that its `data`:

    {"0": [[0], [null, 0, 0]], "1": [[0], [null, 0, 1]]}       calls 0 and 1 are chunks 0 and 1
    [1, 0, [[{"error": {…}}]]]                                 chunk 1: an error
    [0, 0, [[{"result": 0}], ["result", 0, 2]]]                chunk 0: its result is chunk 2
    [2, 0, [[{"data": 0}], ["data", 0, 3]]]                    chunk 2: its data is chunk 3
    [3, 0, [[{…}]]]                                            chunk 3: the data

and each of these lines stands in superjson's form of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from storecredit.web.trpc import superjson
from storecredit.web.trpc.calls import Call
from storecredit.web.trpc.errors import TrpcError

PROMISE: Final = 0
"""What is awaited is one value; iterables would be 1."""
FULFILLED: Final = 0
PLACEHOLDER: Final = 0


async def lines(
    calls: Sequence[Call[Any]], make: Callable[[Call[Any]], Awaitable[object]]
) -> AsyncGenerator[bytes]:
    """The lines of an answer: each time those that can be sent.

    All calls are made at once. `make` gives what came of one; if that is a TrpcError, an error.
    Closed before its end, it cancels the calls that are under way.
    """
    yield _line({str(it.index): [[PLACEHOLDER], [None, PROMISE, it.index]] for it in calls})
    chunks = count(len(calls))
    tasks = [asyncio.create_task(_ended(call, make, chunks)) for call in calls]
    try:
        for ready in asyncio.as_completed(tasks):
            yield await ready
    finally:
        for task in tasks:
            task.cancel()


async def _ended(
    call: Call[Any], make: Callable[[Call[Any]], Awaitable[object]], chunks: Iterator[int]
) -> bytes:
    """The lines of one result."""
    result = await make(call)
    if isinstance(result, TrpcError):
        return _line([call.index, FULFILLED, [[{"error": result.content(call.path)}]]])
    result_chunk, data_chunk = next(chunks), next(chunks)
    return (
        _line([call.index, FULFILLED, _awaiting("result", result_chunk)])
        + _line([result_chunk, FULFILLED, _awaiting("data", data_chunk)])
        + _line([data_chunk, FULFILLED, [[result]]])
    )


def _awaiting(name: str, chunk: int) -> list[object]:
    return [[{name: PLACEHOLDER}], [name, PROMISE, chunk]]


def _line(content: object) -> bytes:
    return msgspec.json.encode(superjson.serialize(content)) + b"\n"
