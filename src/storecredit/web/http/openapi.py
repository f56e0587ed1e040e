"""What a handler says of itself to the OpenAPI document: its error answers, and an example body.

The document is made in `openapi_document.py`.
"""

from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from storecredit.web.http.envelope import STATUS, ErrorCode, ErrorEnvelope

EXAMPLE: Final = "example_body"
"""The option of a handler that holds a body which can be sent as it stands: `**example(…)`."""

MEANING: Final[dict[ErrorCode, str]] = {
    ErrorCode.VALIDATION_ERROR: "the request is not of the documented form",
    ErrorCode.INVALID_API_KEY: "no key or token was sent, or one that was never issued",
    ErrorCode.API_KEY_REVOKED: "the key was revoked",
    ErrorCode.API_KEY_EXPIRED: "the key has expired, or was replaced",
    ErrorCode.INVALID_SIGNATURE: "the body was not signed by whom it should come from",
    ErrorCode.INSUFFICIENT_CREDITS: "the credits do not suffice; nothing was taken",
    ErrorCode.STORE_SUSPENDED: "the store is suspended",
    ErrorCode.DOMAIN_MISMATCH: "the key does not list the web origin that the request came from",
    ErrorCode.INSUFFICIENT_SCOPE: "the operator's token has not the scope for it",
    ErrorCode.NOT_FOUND: "there is no such thing, or it is another store's",
    ErrorCode.METHOD_NOT_ALLOWED: "the address does not take that method",
    ErrorCode.PAYLOAD_TOO_LARGE: "the body is too large",
    ErrorCode.USER_ERASED: "the user was erased, and stays blocked",
    ErrorCode.NO_SUBSCRIPTION: "the store has no subscription that runs, to buy through",
    ErrorCode.LIMIT_REACHED: "there are as many as there may be",
    ErrorCode.ENDPOINT_DISABLED: "the webhook endpoint is disabled, and nothing is sent to it",
    ErrorCode.HOLD_ENDED: "the hold has ended otherwise; `status` says how",
    ErrorCode.IDEMPOTENCY_CONFLICT: "the request id was used for something else",
    ErrorCode.CAPTURE_EXCEEDS_HOLD: "fewer credits are held than were to be captured",
    ErrorCode.REFUND_EXCEEDS_SPEND: "more than is left of what was spent was to be given back",
    ErrorCode.RATE_LIMIT_EXCEEDED: "too many requests; Retry-After says when to try again",
    ErrorCode.INTERNAL_ERROR: "something went wrong on our side",
    ErrorCode.SERVICE_UNAVAILABLE: "not now; the same request may be sent again",
}
"""What each error code says, in the document."""

_SHOWN_FIELDS: Final[dict[ErrorCode, dict[str, Any]]] = {
    ErrorCode.INSUFFICIENT_CREDITS: {
        "balance": 0,
        "required": 1,
        "buy_url": "https://credits.example/buy",
    },
    ErrorCode.HOLD_ENDED: {
        "status": "captured",
        "captured": 7,
        "ended_at": "2026-11-30T10:00:00Z",
    },
    ErrorCode.CAPTURE_EXCEEDS_HOLD: {"held": 10},
    ErrorCode.REFUND_EXCEEDS_SPEND: {"refundable": 3},
}
"""What stands beside code and message in the example of an error."""

_ALWAYS: Final = (
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SERVICE_UNAVAILABLE,
)


def said(words: str) -> msgspec.Meta:
    """What a field means, for who reads the document."""
    return msgspec.Meta(description=words)


def example(body: dict[str, Any]) -> dict[str, Any]:
    """The option of a handler that shows `body` as an example; a test sends it."""
    return {EXAMPLE: body}


def error_example(code: ErrorCode, details: list[dict[str, str]]) -> dict[str, Any]:
    """An OpenAPI Example Object of the error; `details` stand in that of a 400."""
    words = MEANING[code]
    fields = {"details": details} if code is ErrorCode.VALIDATION_ERROR else _SHOWN_FIELDS.get(code)
    error = {"code": code.value, "message": f"{words[:1].upper()}{words[1:]}.", **(fields or {})}
    return {"summary": words, "value": {"data": None, "error": error}}


def public_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that anybody may ask."""
    of_status: dict[int, list[ErrorCode]] = {}
    for code in dict.fromkeys((*codes, *_ALWAYS)):
        of_status.setdefault(STATUS[code], []).append(code)
    return {
        status: ResponseSpec(
            ErrorEnvelope,
            description=_description(those),
            generate_examples=False,
            examples=[Example(id=code.value) for code in those],
        )
        for status, those in of_status.items()
    }


def _description(codes: list[ErrorCode]) -> str:
    return "; ".join(f"`{code}`: {MEANING[code]}" for code in codes)


def operator_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that takes the operator's token."""
    return public_errors(ErrorCode.INVALID_API_KEY, ErrorCode.INSUFFICIENT_SCOPE, *codes)


def action_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The same of one that does something, once per Idempotency-Key."""
    return operator_errors(ErrorCode.IDEMPOTENCY_CONFLICT, *codes)


def store_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that takes a store's API key."""
    return public_errors(
        ErrorCode.INVALID_API_KEY,
        ErrorCode.API_KEY_REVOKED,
        ErrorCode.API_KEY_EXPIRED,
        ErrorCode.STORE_SUSPENDED,
        ErrorCode.DOMAIN_MISMATCH,
        ErrorCode.RATE_LIMIT_EXCEEDED,
        *codes,
    )
