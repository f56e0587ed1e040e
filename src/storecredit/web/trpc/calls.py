"""Which calls a request makes, under which ids, and with what input: tRPC's requests, read.

Nothing is called here, and no input is looked at before somebody asks for it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from storecredit.web.http.request_ids import REQUEST_ID_MAX
from storecredit.web.http.streams import subscribes
from storecredit.web.trpc import superjson
from storecredit.web.trpc.errors import JSON, TrpcCode, TrpcError, bad_request
from storecredit.web.trpc.inputs import Check

BATCH_MAX: Final = 50
"""Calls in one request."""
JSONL: Final = "application/jsonl"
"""How a client asks for each result as it ends (httpBatchStreamLink)."""

C = TypeVar("C")
"""What a procedure is called with besides its input."""


GET: Final = "GET"


class Kind(Enum):
    """Whether a procedure changes something, and whether its result is sent as events."""

    QUERY = "query"
    MUTATION = "mutation"
    SUBSCRIPTION = "subscription"


METHODS: Final = {
    Kind.QUERY: (GET, "POST"),
    Kind.MUTATION: ("POST",),
    Kind.SUBSCRIPTION: (GET, "POST"),
}
"""What is no mutation may come as POST as well, its input in the body (methodOverride)."""


@dataclass(frozen=True, slots=True)
class Procedure(Generic[C]):
    """What can be called, what its input must be (None: it takes none), and what it does.

    `errors` are those of its own, each with what it means. What it gives is what `run` says that it
    returns, what it is for is what `run` says of itself. That of a subscription gives the one event
    it has, a `Tracked`, or None where the app has had it.
    """

    kind: Kind
    run: Callable[[C, Any], Awaitable[object]]
    input: Check | None = None
    errors: Mapping[TrpcCode, str] = field(default_factory=dict)


class Unread(Exception):
    """The body is for somebody else to read: nothing was called."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `path` is what follows the address of the door, percent-encoded as it came.

    `parameters` are those of its query, `request_ids` those that were sent: one for each call, or
    one for the request. `last_event_id` names the last event that a subscription's client has had.
    `body` may raise Unread.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    request_ids: Sequence[str]
    content_type: str | None
    accept: str | None
    trpc_accept: str | None
    last_event_id: str | None
    body: Callable[[], Awaitable[bytes]]

    @property
    def is_batch(self) -> bool:
        """Whether it is an array that is to be answered."""
        return self.parameters.get("batch") == "1"

    @property
    def wants_stream(self) -> bool:
        """Whether each result is to be sent as it ends."""
        if self.trpc_accept is not None:
            return self.trpc_accept == JSONL
        return JSONL in (each.strip() for each in (self.accept or "").split(","))

    @property
    def is_subscription(self) -> bool:
        """Whether it is an EventSource that asks (HTML, 9.2.2): a subscription."""
        return subscribes(self.accept)


def parameters_of(query: str) -> dict[str, str]:
    """The parameters of a query; of one that stands there twice the first counts."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True)))


@dataclass(frozen=True, slots=True)
class Call(Generic[C]):
    """One call of a request: what it is to run, or why it cannot."""

    index: int
    path: str
    target: Procedure[C] | TrpcError


def calls_of(asked: Asked, procedures: Mapping[str, Procedure[C]]) -> list[Call[C]]:
    """The calls of a request. Raises TrpcError for what is wrong with it as a whole."""
    if asked.method != GET:
        _check_content_type(asked.content_type)
    path = _decoded(asked.path)
    paths = path.split(",", BATCH_MAX) if asked.is_batch else [path]
    if len(paths) > BATCH_MAX:
        raise bad_request("Batch call exceeds maximum size")
    kinds = [procedures[path].kind.value for path in paths if path in procedures]
    if len(set(kinds)) > 1:
        mixed = ", ".join(dict.fromkeys(kinds))
        raise bad_request(f"Cannot mix procedure types in call: {mixed}")
    if asked.wants_stream and not asked.is_batch:
        raise bad_request("Streaming requests must be batched (you can do a batch of 1)")
    if len(asked.request_ids) not in {1, len(paths)}:
        raise bad_request(
            f"X-Request-Id has {len(asked.request_ids)} ids for {len(paths)} calls: send one for "
            "each call, or one for all of them. Nothing was done."
        )
    return [
        Call(index, path, _target(path, procedures.get(path), asked))
        for index, path in enumerate(paths)
    ]


def _target(path: str, procedure: Procedure[C] | None, asked: Asked) -> Procedure[C] | TrpcError:
    if procedure is None:
        return TrpcError(TrpcCode.NOT_FOUND, f'No procedure found on path "{path}"')
    if asked.method not in METHODS[procedure.kind]:
        return TrpcError(
            TrpcCode.METHOD_NOT_SUPPORTED,
            f"Unsupported {asked.method}-request to {procedure.kind.value} procedure at path "
            f'"{path}"',
        )
    if procedure.kind is Kind.SUBSCRIPTION and asked.is_batch:
        return bad_request("Cannot batch subscription calls")
    return procedure


def allowed(calls: Sequence[Call[C]], procedures: Mapping[str, Procedure[C]]) -> str | None:
    """The methods that a procedure takes which was called by another; None: none was.

    They are for the `Allow` header, which a 405 must have (RFC 9110, 15.5.6).
    """
    for call in calls:
        is_other_method = (
            isinstance(call.target, TrpcError) and call.target.code is TrpcCode.METHOD_NOT_SUPPORTED
        )
        if is_other_method and call.path in procedures:
            return ", ".join(METHODS[procedures[call.path].kind])
    return None


def request_id_of(asked: Asked, index: int) -> str:
    """The id of a call: its own; or that of the request and, from the second call on, its place.

    So a batch that is sent again is the same requests again, and two calls in it are two. With an
    id for each call, how calls are grouped into batches makes no difference.
    """
    if len(asked.request_ids) > 1:
        return asked.request_ids[index]
    own = f"{asked.request_ids[0]}:{index}" if index else asked.request_ids[0]
    if len(own) > REQUEST_ID_MAX:
        raise bad_request("The request id is too long for a batch of so many calls.")
    return own


async def inputs_of(asked: Asked, calls: Sequence[Call[C]]) -> Mapping[int, Any]:
    """The input of each call that has one. Raises NotSuperjson, TrpcError, Failure."""
    if not any(isinstance(it.target, Procedure) and it.target.input for it in calls):
        return {}
    if asked.method == GET:
        text: str | bytes = asked.parameters.get("input", "")
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
    if not asked.is_batch:
        value = superjson.deserialize(content)
        return {0: _resumed(value, asked) if subscribed_to(calls) else value}
    if not isinstance(content, dict):
        raise bad_request('"input" needs to be an object when doing a batch call')
    places = ((call.index, str(call.index)) for call in calls)
    return {index: superjson.deserialize(content[key]) for index, key in places if key in content}


def subscribed_to(calls: Sequence[Call[C]]) -> Call[C] | None:
    """The call that is answered with events, if it is one; it stands alone in its request."""
    target = calls[0].target if len(calls) == 1 else None
    is_one = isinstance(target, Procedure) and target.kind is Kind.SUBSCRIPTION
    return calls[0] if is_one else None


def _resumed(value: Any, asked: Asked) -> Any:
    """The input with the last event that was had; what a header says of it is newer."""
    if asked.last_event_id and isinstance(value, dict):
        return value | {"lastEventId": asked.last_event_id}
    return value


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
