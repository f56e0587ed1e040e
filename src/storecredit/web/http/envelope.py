"""How an answer looks: `{"data": …, "error": null}` or `{"data": null, "error": {…}}`.

One table says which status belongs to which error code, another which exception is which error.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, LitestarException

from storecredit import telemetry
from storecredit.billing.paddle.gateway import PaddleRefused, PaddleUnavailable
from storecredit.ledger.credits import AccountMissing
from storecredit.object_storage.errors import BucketUnusable
from storecredit.operator.audit import IdempotencyConflict
from storecredit.postgres.errors import CommitInDoubt, DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.group_commit import OutcomeUnknown, WaitingLineFull
from storecredit.stores.rate_limits import RateLimitsUnavailable
from storecredit.users.token_keys import TokenKeysUnavailable

T = TypeVar("T")

log = telemetry.get_logger("web.envelope")

RETRY_AFTER_SECONDS: Final = 1
JSON: Final = "application/json"
VALUE_UNKNOWN: Final = "Invalid enum value"
INVALID_BODY: Final = "The body is not valid: see `details`. Nothing was charged or changed."


class Envelope(msgspec.Struct, Generic[T], frozen=True):
    """A successful answer."""

    data: T
    error: None = None


class Success(msgspec.Struct, Generic[T], frozen=True):
    """What a handler answers when all went well, before it is known who writes it."""

    data: T
    status: int = 200
    headers: Mapping[str, str] = {}
    later: "Callable[[], Awaitable[Success[T]]] | None" = None
    """Gives what is answered in its place, and may take long: nothing of the body is to be kept."""

    def body(self) -> bytes:
        """The answer's body, JSON."""
        return msgspec.json.encode(Envelope(self.data))

    def response(self) -> Response[Envelope[T]]:
        """The whole answer, for the framework to write."""
        return Response(Envelope(self.data), status_code=self.status, headers=self.headers)


class ErrorCode(StrEnum):
    """Every `error.code` an answer can have."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_API_KEY = "INVALID_API_KEY"
    API_KEY_REVOKED = "API_KEY_REVOKED"
    API_KEY_EXPIRED = "API_KEY_EXPIRED"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    STORE_SUSPENDED = "STORE_SUSPENDED"
    DOMAIN_MISMATCH = "DOMAIN_MISMATCH"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HOLD_ENDED = "HOLD_ENDED"
    USER_ERASED = "USER_ERASED"
    NO_SUBSCRIPTION = "NO_SUBSCRIPTION"
    LIMIT_REACHED = "LIMIT_REACHED"
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    CAPTURE_EXCEEDS_HOLD = "CAPTURE_EXCEEDS_HOLD"
    REFUND_EXCEEDS_SPEND = "REFUND_EXCEEDS_SPEND"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"


STATUS: Final[dict[ErrorCode, int]] = {
    ErrorCode.VALIDATION_ERROR: 400,
    ErrorCode.INVALID_API_KEY: 401,
    ErrorCode.API_KEY_REVOKED: 401,
    ErrorCode.API_KEY_EXPIRED: 401,
    ErrorCode.INVALID_SIGNATURE: 401,
    ErrorCode.INSUFFICIENT_CREDITS: 402,
    ErrorCode.STORE_SUSPENDED: 403,
    ErrorCode.DOMAIN_MISMATCH: 403,
    ErrorCode.INSUFFICIENT_SCOPE: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.HOLD_ENDED: 409,
    ErrorCode.USER_ERASED: 409,
    ErrorCode.NO_SUBSCRIPTION: 409,
    ErrorCode.LIMIT_REACHED: 409,
    ErrorCode.ENDPOINT_DISABLED: 409,
    ErrorCode.IDEMPOTENCY_CONFLICT: 422,
    ErrorCode.CAPTURE_EXCEEDS_HOLD: 422,
    ErrorCode.REFUND_EXCEEDS_SPEND: 422,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}

_CODE_OF_STATUS: Final = {
    401: ErrorCode.INVALID_API_KEY,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
}


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `error` of an answer; further fields stand beside code and message where they help."""

    code: ErrorCode
    message: str
    details: list[dict[str, str]] | None = None
    balance: int | None = None
    required: int | None = None
    buy_url: str | None = None
    status: str | None = None
    captured: int | None = None
    ended_at: datetime | None = None
    held: int | None = None
    refundable: int | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """An answer that is an error."""

    data: None
    error: ErrorBody


@dataclass(slots=True, eq=False)
class Failure(Exception):
    """An error to be answered: its code decides the status.

    Not frozen: contextlib writes tracebacks into the exceptions that pass through it.
    """

    code: ErrorCode
    message: str
    fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUS[self.code]

    def body(self) -> bytes:
        """The answer's body, JSON."""
        error = ErrorBody(self.code, self.message, **self.fields)
        return msgspec.json.encode(ErrorEnvelope(None, error))

    def response(self) -> Response[bytes]:
        """The whole answer."""
        return Response(self.body(), status_code=self.status, headers=self.headers, media_type=JSON)


def invalid(message: str, details: list[dict[str, str]] | None = None) -> Failure:
    """400: the request is not of the documented form."""
    return Failure(ErrorCode.VALIDATION_ERROR, message, {"details": details} if details else {})


def not_found(what: str) -> Failure:
    """404: unknown, or another store's; the two look the same."""
    return Failure(ErrorCode.NOT_FOUND, f"There is no such {what}.")


def billing_off() -> Failure:
    """404: no payment provider is set up."""
    return not_found(
        "address: billing is off (STORECREDIT_PADDLE_API_KEY and "
        "STORECREDIT_PADDLE_WEBHOOK_SECRET switch it on)"
    )


def unavailable(message: str) -> Failure:
    """503: try the same request again."""
    return Failure(
        ErrorCode.SERVICE_UNAVAILABLE, message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


INTERNAL: Final = Failure(
    ErrorCode.INTERNAL_ERROR,
    "Something went wrong on our side. The request id in X-Request-Id names this request.",
)


def answer_to(error: Exception) -> Failure:
    """The answer to a request that ended in an exception; what is ours to mend is logged."""
    if type(error) is LitestarException and isinstance(error.__cause__, Exception):
        error = error.__cause__  # it came after the answer had begun
    failure = failure_of(error)
    if failure is None:
        log.error("request_broke", exc_info=error)
        return INTERNAL
    if failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_not_served", cause=type(error).__name__, error=str(error))
    return failure


def failure_of(error: BaseException) -> Failure | None:
    """The answer an exception stands for; None: nobody expected it."""
    match error:
        case Failure():
            return error
        case OutcomeUnknown() | CommitInDoubt():
            return unavailable(
                "The database did not answer in time. Send the same request with the same request "
                "id again: it will be done once, whether or not this attempt was."
            )
        case IdempotencyConflict():
            return Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This Idempotency-Key did something else before. Nothing was done now.",
            )
        case WaitingLineFull():
            return unavailable("Too many requests are waiting. Nothing was charged; try again.")
        # Misconfigured: the migrations or the pooler have been changed under a running service.
        case (
            DatabaseUnavailable()
            | DatabaseMisconfigured()
            | BucketUnusable()
            | RateLimitsUnavailable()
            | TokenKeysUnavailable()
        ):
            return unavailable(
                "The service is not available right now. Nothing was charged; send the same "
                "request with the same request id again."
            )
        case PaddleUnavailable() | PaddleRefused():
            return _failure_of_paddle(error)
        case AccountMissing():
            return Failure(ErrorCode.INTERNAL_ERROR, "The balance cannot be read.")
        case _:
            return _failure_of_framework(error) if isinstance(error, HTTPException) else None


def _failure_of_paddle(error: PaddleUnavailable | PaddleRefused) -> Failure:
    if isinstance(error, PaddleRefused):
        # Nothing the sender could mend; what Paddle says is for the operator's log.
        return Failure(ErrorCode.SERVICE_UNAVAILABLE, "The payment provider refuses this sale.")
    return unavailable(
        "The payment provider does not answer. Send the same request with the same request id "
        "again: nothing is sold twice."
    )


def _failure_of_framework(error: HTTPException) -> Failure:
    code = _CODE_OF_STATUS.get(error.status_code)
    match code:
        case ErrorCode.NOT_FOUND:
            return Failure(code, "There is nothing at this address.")
        case ErrorCode.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("allow")
            return Failure(
                code,
                "This address does not take that method.",
                headers={"Allow": allow} if allow else {},
            )
        case ErrorCode.PAYLOAD_TOO_LARGE:
            return Failure(code, "The body is too large. Nothing was charged or changed.")
        case None if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            details = _details(error)
            is_of_body = bool(details) and all(detail.get("source") == "body" for detail in details)
            return invalid(INVALID_BODY if is_of_body else "The request is not valid.", details)
        case _:
            return INTERNAL


def _details(error: HTTPException) -> list[dict[str, str]]:
    """What was wrong where, without repeating values that were sent."""
    if not isinstance(error.extra, list):
        return [{"message": str(error.__cause__ or error.detail)}]
    return [_detail(entry) for entry in error.extra if isinstance(entry, dict)]


def _detail(entry: dict[str, Any]) -> dict[str, str]:
    """One finding of the framework in the words of this API; the body as a whole has no key."""
    message = str(entry.get("message", ""))
    # The framework names parameters as Python does, and where they are by an enum's member.
    key = str(entry.get("key", "")).rstrip("_")
    source = str(entry.get("source", "")).rpartition(".")[2].lower()
    if message.startswith(VALUE_UNKNOWN):
        message = "Not one of the values listed in /api/docs"
    if source == "body" and key == "data":
        key = ""
        if message == "'data'":
            message = "The body is empty: send JSON."
    found = {"key": key, "source": source, "message": message}
    return {name: value for name, value in found.items() if value}
