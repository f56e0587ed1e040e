"""tRPC over HTTP, as @trpc/server 11 speaks it with superjson as its transformer.

Hides how calls stand in a request and their answers in the response:

    GET  /api/trpc/a?input={"json": …}                           a query
    GET  /api/trpc/a,b?batch=1&input={"0": {"json": …}, …}       several in one request
    POST /api/trpc/c                    {"json": …}              a mutation; likewise with batch=1

    {"result": {"data": {"json": …, "meta": …}}}  or  {"error": {"json": …}};  of a batch an array

The status is that of all calls if they agree, else 207. What is wrong with one call is its own
answer; what is wrong with the request as a whole is a single error, no array. Promises that input
is not looked at before the caller is known. Answers in parts (httpBatchStreamLink) and
subscriptions are not served.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from storecredit.web import superjson
from storecredit.web.superjson import UNDEFINED
from storecredit.web.trpc_errors import TrpcCode, TrpcError, bad_request, trpc_error
from storecredit.web.trpc_inputs import Check, checked

BATCH_MAX: Final = 50
"""Calls in one request."""
JSON: Final = "application/json"

T = TypeVar("T")
C = TypeVar("C")
"""What a procedure is called with besides its input."""


class Kind(Enum):
    """Whether a procedure changes something; the value is the method it is called with."""

    QUERY = "GET"
    MUTATION = "POST"


@dataclass(frozen=True, slots=True)
class Procedure(Generic[C]):
    """What can be called, what its input must be (None: it takes none), and what it does."""

    kind: Kind
    run: Callable[[C, Any], Awaitable[object]]
    input: Check | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `path` is what follows the address of the door, percent-encoded as it came."""

    method: str
    path: str
    query: str
    content_type: str | None
    body: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Answered:
    """The response: a status, JSON, and the one method that would have done if one did not."""

    status: int
    body: bytes
    allow: str | None = None


@dataclass(frozen=True, slots=True)
class _Call(Generic[C]):
    """One call of a request: what it is to run, or why it cannot."""

    index: int
    path: str
    target: Procedure[C] | TrpcError


Enter = Callable[[Sequence[str]], Awaitable[Callable[[int], C]]]
"""Lets the caller of these paths in; what it gives says with what the call of an index is made."""


async def answer(asked: Asked, procedures: Mapping[str, Procedure[C]], enter: Enter[C]) -> Answered:
    """Make every call of a request.

    `enter` is awaited once, if there is anything to call. What it raises is the answer of every
    call, what a procedure raises that of its own.
    """
    is_batch = _parameter(asked.query, "batch") == "1"
    try:
        calls = _calls(asked, procedures, is_batch=is_batch)
    except TrpcError as error:
        return Answered(error.status, error.body())
    results = await _results(asked, calls, enter, is_batch=is_batch)
    statuses = {result.status if isinstance(result, TrpcError) else 200 for result in results}
    shapes = [
        result.shape(call.path) if isinstance(result, TrpcError) else {"result": {"data": result}}
        for call, result in zip(calls, results, strict=True)
    ]
    return Answered(
        statuses.pop() if len(statuses) == 1 else HTTPStatus.MULTI_STATUS,
        msgspec.json.encode(shapes if is_batch else shapes[0]),
        _allowed(calls, procedures),
    )


def _calls(
    asked: Asked, procedures: Mapping[str, Procedure[C]], *, is_batch: bool
) -> list[_Call[C]]:
    """The calls of a request. Raises TrpcError for what is wrong with it as a whole."""
    if asked.method != Kind.QUERY.value:
        _check_content_type(asked.content_type)
    path = _decoded(asked.path)
    paths = path.split(",", BATCH_MAX) if is_batch else [path]
    if len(paths) > BATCH_MAX:
        raise bad_request("Batch call exceeds maximum size")
    kinds = [procedures[path].kind.name.lower() for path in paths if path in procedures]
    if len(set(kinds)) > 1:
        mixed = ", ".join(dict.fromkeys(kinds))
        raise bad_request(f"Cannot mix procedure types in call: {mixed}")
    return [
        _Call(index, path, _target(path, procedures.get(path), asked.method))
        for index, path in enumerate(paths)
    ]


def _target(path: str, procedure: Procedure[C] | None, method: str) -> Procedure[C] | TrpcError:
    if procedure is None:
        return TrpcError(TrpcCode.NOT_FOUND, f'No procedure found on path "{path}"')
    if procedure.kind.value != method:
        kind = procedure.kind.name.lower()
        return TrpcError(
            TrpcCode.METHOD_NOT_SUPPORTED,
            f'Unsupported {method}-request to {kind} procedure at path "{path}"',
        )
    return procedure


def _allowed(calls: Sequence[_Call[C]], procedures: Mapping[str, Procedure[C]]) -> str | None:
    """The method that would have done, which a 405 has to name (RFC 9110, 15.5.6)."""
    for call in calls:
        if isinstance(call.target, TrpcError) and call.path in procedures:
            return procedures[call.path].kind.value
    return None


def _check_content_type(content_type: str | None) -> None:
    if content_type is None:
        raise TrpcError(TrpcCode.UNSUPPORTED_MEDIA_TYPE, "Missing content-type header")
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise TrpcError(
            TrpcCode.UNSUPPORTED_MEDIA_TYPE, "Unsupported content-type: send application/json"
        )


_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")


def _decoded(path: str) -> str:
    """As `decodeURIComponent` does it, which takes no half escapes and no broken UTF-8."""
    try:
        if _BROKEN_ESCAPE.search(path) is None:
            return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        pass  # said below
    raise bad_request(f'Invalid URL-encoding in path "{path}"')


def _parameter(query: str, name: str) -> str | None:
    """The first value of that name."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return next((value for key, value in pairs if key == name), None)


async def _results(
    asked: Asked, calls: Sequence[_Call[C]], enter: Enter[C], *, is_batch: bool
) -> Sequence[dict[str, Any] | TrpcError]:
    """What came of each call: its data, or its error."""
    runs = [call for call in calls if isinstance(call.target, Procedure)]
    if not runs:
        return [call.target for call in calls if isinstance(call.target, TrpcError)]
    entered = await _tried(enter([call.path for call in runs]))
    if isinstance(entered, TrpcError):
        return [call.target if isinstance(call.target, TrpcError) else entered for call in calls]
    inputs = await _tried(_inputs(asked, runs, is_batch=is_batch))
    return await asyncio.gather(*(_tried(_made(call, entered, inputs)) for call in calls))


async def _tried(awaited: Awaitable[T]) -> T | TrpcError:
    try:
        return await awaited
    except Exception as cause:  # noqa: BLE001 - it becomes the answer
        return trpc_error(cause)


async def _made(
    call: _Call[C], context_of: Callable[[int], C], inputs: Mapping[int, Any] | TrpcError
) -> dict[str, Any]:
    """The data of one call."""
    if isinstance(call.target, TrpcError):
        raise call.target
    value = None
    if call.target.input is not None:
        if isinstance(inputs, TrpcError):
            raise inputs
        value = checked(call.target.input, inputs.get(call.index, UNDEFINED))
    return superjson.serialize(await call.target.run(context_of(call.index), value))


async def _inputs(asked: Asked, calls: Sequence[_Call[C]], *, is_batch: bool) -> Mapping[int, Any]:
    """The input of each call that has one. Raises NotSuperjson, TrpcError, Failure."""
    if not any(isinstance(it.target, Procedure) and it.target.input for it in calls):
        return {}
    if asked.method == Kind.QUERY.value:
        text: str | bytes = _parameter(asked.query, "input") or ""
    else:
        text = await asked.body()
    if not text:
        return {}
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        raise bad_request("The input is not valid JSON.") from None
    except RecursionError:
        raise bad_request("The input is nested too deeply.") from None
    if not is_batch:
        return {0: superjson.deserialize(content)}
    if not isinstance(content, dict):
        raise bad_request('"input" needs to be an object when doing a batch call')
    places = ((call.index, str(call.index)) for call in calls)
    return {index: superjson.deserialize(content[key]) for index, key in places if key in content}
