"""Errors as tRPC's client reads them: `{"error": {"json": {"message", "code", "data"}}}`.

The names, numbers and statuses are those of @trpc/server 11 (`rpc/codes.ts`,
`http/getHTTPStatusCode.ts`). What goes wrong elsewhere is turned into them here, by the one table
of errors that the B2B API has.

A request that did not get as far as its calls is answered one such error, which every link reads:
the batching ones give it to each of their calls, whether they asked for a stream or not. An
EventSource (httpSubscriptionLink) tells its app nothing of an answer other than events, so there
the error is an event: the client ends with it, and does not come again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import msgspec

from storecredit.web.http.envelope import RETRY_AFTER_SECONDS, Failure, answer_to
from storecredit.web.http.headers import RawHeaders, lowered
from storecredit.web.http.streams import EVENTS, EVENTS_HEADERS, event, subscribes
from storecredit.web.trpc import superjson

JSON: Final = "application/json"
VARY: Final = {"Vary": "trpc-accept, accept"}
"""What the form of every answer depends on, for caches."""


class TrpcCode(StrEnum):
    """The names an error can have here."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    PAYMENT_REQUIRED = "PAYMENT_REQUIRED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_SUPPORTED = "METHOD_NOT_SUPPORTED"
    CONFLICT = "CONFLICT"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UNPROCESSABLE_CONTENT = "UNPROCESSABLE_CONTENT"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    BAD_GATEWAY = "BAD_GATEWAY"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"


STATUS_AND_NUMBER: Final[dict[TrpcCode, tuple[int, int]]] = {
    TrpcCode.BAD_REQUEST: (400, -32600),
    TrpcCode.UNAUTHORIZED: (401, -32001),
    TrpcCode.PAYMENT_REQUIRED: (402, -32002),
    TrpcCode.FORBIDDEN: (403, -32003),
    TrpcCode.NOT_FOUND: (404, -32004),
    TrpcCode.METHOD_NOT_SUPPORTED: (405, -32005),
    TrpcCode.CONFLICT: (409, -32009),
    TrpcCode.PRECONDITION_FAILED: (412, -32012),
    TrpcCode.PAYLOAD_TOO_LARGE: (413, -32013),
    TrpcCode.UNSUPPORTED_MEDIA_TYPE: (415, -32015),
    TrpcCode.UNPROCESSABLE_CONTENT: (422, -32022),
    TrpcCode.TOO_MANY_REQUESTS: (429, -32029),
    TrpcCode.INTERNAL_SERVER_ERROR: (500, -32603),
    TrpcCode.BAD_GATEWAY: (502, -32603),
    TrpcCode.SERVICE_UNAVAILABLE: (503, -32603),
}
"""HTTP status and JSON-RPC 2.0 code of each name."""
_CODE_OF_STATUS: Final = {status: code for code, (status, _) in STATUS_AND_NUMBER.items()}


@dataclass(slots=True, eq=False)
class TrpcError(Exception):
    """An error to be answered; its message is for people, or zod's list of issues.

    Not frozen: contextlib writes tracebacks into the exceptions that pass through it.
    """

    code: TrpcCode
    message: str

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUS_AND_NUMBER[self.code][0]

    def content(self, path: str | None = None) -> dict[str, Any]:
        """What is said, to the call of the procedure at `path`; None: to the whole request."""
        status, number = STATUS_AND_NUMBER[self.code]
        data: dict[str, Any] = {"code": self.code.value, "httpStatus": status}
        if path is not None:
            data["path"] = path
        return {"message": self.message, "code": number, "data": data}

    def shape(self, path: str | None = None) -> dict[str, Any]:
        """The answer of one call, in superjson's form."""
        return {"error": superjson.serialize(self.content(path))}


@dataclass(frozen=True, slots=True)
class Answered:
    """The response: a status, headers beside those that all have, and what is sent at once."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw_headers(self) -> RawHeaders:
        """All of the headers."""
        of_body = {"Content-Type": self.media_type, "Content-Length": str(len(self.body))}
        later = self.status == HTTPStatus.SERVICE_UNAVAILABLE
        more = {"Retry-After": str(RETRY_AFTER_SECONDS)} if later else {}
        return lowered(of_body | VARY | more | dict(self.headers))


def refused(
    error: TrpcError, *, accept: str | None, headers: Mapping[str, str] | None = None
) -> Answered:
    """The answer to a request that does not get as far as its calls, in the form it is read in."""
    if not subscribes(accept):
        body = msgspec.json.encode(error.shape())
        return Answered(error.status, body, headers=headers or {})
    content = msgspec.json.encode(superjson.serialize(error.content()))
    events = CONNECTED + event("serialized-error", content)
    return Answered(HTTPStatus.OK, events, EVENTS, EVENTS_HEADERS)


SILENCE_MAX_SECONDS: Final = 50
"""After so long without an event the client of a subscription connects anew."""
CONNECTED: Final = event(
    "connected", msgspec.json.encode({"reconnectAfterInactivityMs": SILENCE_MAX_SECONDS * 1000})
)


def bad_request(message: str) -> TrpcError:
    """400: the request, or a call in it, is not of the documented form."""
    return TrpcError(TrpcCode.BAD_REQUEST, message)


def trpc_error(error: Exception) -> TrpcError:
    """The error an exception is answered with; what is ours to mend is logged."""
    match error:
        case TrpcError():
            return error
        case superjson.NotSuperjson():
            return bad_request(str(error))
        case _:
            return of_failure(answer_to(error))


def of_failure(failure: Failure) -> TrpcError:
    """An error of the envelope's table in tRPC's form."""
    return TrpcError(_CODE_OF_STATUS[failure.status], failure.message)


def refusal(failure: Failure, accept: str | None) -> tuple[int, bytes, RawHeaders]:
    """Status, body and headers of the answer to a request that was not let in."""
    answered = refused(of_failure(failure), accept=accept, headers=failure.headers)
    return answered.status, answered.body, answered.raw_headers()
