"""From a call to its answer, without a socket: what to send, when again, what came of it.

Each function here is a conversation, a generator. It yields what is to be done next, a request to
send or a pause to make, is sent what came of it, and returns the result. `Client` and
`AsyncClient` do those two things, each in its own way, and decide nothing; so there is one
implementation for both.
"""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from storecredit_client.calling import Call
from storecredit_client.errors import (
    ApiError,
    NoAnswer,
    StorecreditError,
    UnexpectedAnswer,
)
from storecredit_client.models import ErrorBody
from storecredit_client.retrying import RETRIED_STATUSES, RetryPolicy, retry_after

BODY_MAX_BYTES: Final = 16 * 1024 * 1024
"""More than the largest page there can be."""
BEGINNING_MAX: Final = 200

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt to send; `seconds` is how long it may take."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing, for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; the names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """There was no answer, or not all of it; whether the request arrived is not known."""

    why: str
    cause: Exception | None = None


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a call led to.

    `is_replay`: the same call had been done before, and nothing was done now; before may have been
    an attempt of this very call whose answer was lost. `credits_remaining` is the balance, where
    the answer tells it.
    """

    data: T_co
    is_replay: bool
    request_id: str | None
    credits_remaining: int | None
    retry_after_seconds: float | None


Conversation = Generator[Request | Pause, Reply | Lost | None, T]
"""Yields what is to be done next; is sent the outcome of a request, and None after a pause."""


class Envelope(msgspec.Struct, Generic[T], frozen=True):
    """The form of every answer that is no error."""

    data: T


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The form of every error."""

    error: ErrorBody


@dataclass(slots=True)
class Reading:
    """Takes an answer piece by piece, for as long and as much as is allowed."""

    status: int
    headers: Mapping[str, str]
    ends_at: float
    body: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], request: Request) -> Self:
        """The beginning of the answer to an attempt."""
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(status, lower, time.monotonic() + request.seconds)

    def take(self, piece: bytes) -> Lost | None:
        """Keep a piece. Lost: enough of it."""
        self.body += piece
        if len(self.body) > BODY_MAX_BYTES:
            return Lost(f"the answer is longer than {BODY_MAX_BYTES} bytes")
        if time.monotonic() > self.ends_at:
            return Lost("the answer did not end in time")
        return None

    def reply(self) -> Reply:
        """All of it."""
        return Reply(self.status, self.headers, bytes(self.body))


def exchange(call: Call[T], policy: RetryPolicy) -> Conversation[Answer[T]]:
    """Send a call until it is answered, as long as the policy allows and it is safe.

    Safe is what only reads, and what has an idempotency key: the service does that once, however
    often it is sent. Raises ApiError, UnexpectedAnswer and NoAnswer.
    """
    ends_at = time.monotonic() + policy.total_seconds
    for attempt in count(1):
        outcome = yield _request(call, policy.attempt_seconds)
        assert outcome is not None, "a request has an outcome"
        wanted = retry_after(outcome.headers) if isinstance(outcome, Reply) else None
        pause = policy.pause_seconds(attempt, wanted)
        is_last = attempt >= policy.attempts_max or time.monotonic() + pause > ends_at
        if is_last or not call.is_safe or not _is_for_later(outcome):
            return _read(call, outcome, attempt, wanted)
        yield Pause(pause)
    raise AssertionError("the count of attempts has no end")


def _is_for_later(outcome: Reply | Lost) -> bool:
    return isinstance(outcome, Lost) or outcome.status in RETRIED_STATUSES


def _request(call: Call[Any], seconds: float) -> Request:
    headers = {"Accept": "application/json", **call.headers}
    body = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        body = msgspec.json.encode(call.body)
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = _structured(call.idempotency_key)
    seconds += call.wait_seconds
    return Request(call.method, call.path, call.query, headers, body, seconds)


def _structured(key: str) -> str:
    """A structured-field string (RFC 9651, 3.3.3), which carries every printable character."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read(
    call: Call[T], outcome: Reply | Lost, attempts: int, wanted_seconds: float | None
) -> Answer[T]:
    key = call.idempotency_key
    if isinstance(outcome, Lost):
        raise NoAnswer(attempts, outcome.why, idempotency_key=key) from outcome.cause
    if not 200 <= outcome.status < 300:  # noqa: PLR2004 - the class of success (RFC 9110, 15.3)
        raise _error(outcome, wanted_seconds, key)
    try:
        envelope = msgspec.json.decode(outcome.body, type=Envelope[call.result])  # type: ignore[name-defined]  # known when it runs
    except (msgspec.MsgspecError, UnicodeDecodeError) as cause:
        raise _unexpected(outcome, wanted_seconds, key) from cause
    headers = outcome.headers
    remaining = headers.get("x-credits-remaining", "")
    return Answer(
        data=envelope.data,
        is_replay=headers.get("idempotent-replayed") == "true",
        request_id=headers.get("x-request-id"),
        credits_remaining=int(remaining) if remaining.isdecimal() else None,
        retry_after_seconds=wanted_seconds,
    )


def _error(reply: Reply, wanted_seconds: float | None, key: str | None) -> StorecreditError:
    try:
        envelope = msgspec.json.decode(reply.body, type=ErrorEnvelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _unexpected(reply, wanted_seconds, key)
    return ApiError(
        reply.status,
        envelope.error,
        request_id=reply.headers.get("x-request-id"),
        retry_after_seconds=wanted_seconds,
        idempotency_key=key,
    )


def _unexpected(reply: Reply, wanted_seconds: float | None, key: str | None) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        reply.status,
        reply.body[:BEGINNING_MAX].decode("utf-8", "replace"),
        location=reply.headers.get("location"),
        retry_after_seconds=wanted_seconds,
        idempotency_key=key,
    )
