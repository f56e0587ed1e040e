"""`/webhooks/paddle`: what Paddle tells us, let in by its signature alone.

The body is checked as it came, byte for byte, before anything is read of it; then its event is
kept and the answer given, well within the five seconds that Paddle waits
(https://developer.paddle.com/webhooks/respond-to-webhooks). What follows from it is a job's.
"""

from typing import Any, Final

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency

from storecredit.billing.paddle.events import Receipt
from storecredit.billing.paddle.reading import MalformedEvent
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, billing_off, invalid
from storecredit.web.http.openapi import public_errors
from storecredit.web.parts import Parts

BODY_MAX_BYTES: Final = 1024 * 1024
SIGNATURE_HEADER: Final = "paddle-signature"


class Received(msgspec.Struct, frozen=True):
    """The event is kept; `receipt`: now, or it was known before."""

    receipt: Receipt


@post(
    "/webhooks/paddle",
    status_code=200,
    request_max_body_size=BODY_MAX_BYTES,
    summary="Take in an event of Paddle's",
    tags=["webhooks"],
    operation_id="receivePaddleEvent",
    responses=public_errors(
        ErrorCode.INVALID_SIGNATURE, ErrorCode.NOT_FOUND, ErrorCode.PAYLOAD_TOO_LARGE
    ),
)
async def receive_paddle_event(
    parts: NamedDependency[Parts], request: Request[Any, Any, Any]
) -> Envelope[Received]:
    """200 once the event is kept; sent again, it changes nothing."""
    if parts.signatures is None:
        raise billing_off()
    body = await request.body()
    if not parts.signatures.is_authentic(body, request.headers.get(SIGNATURE_HEADER)):
        raise Failure(
            ErrorCode.INVALID_SIGNATURE,
            "The Paddle-Signature is not one of this body by the webhook's secret, or too old.",
        )
    try:
        receipt = await parts.paddle_events.receive(body)
    except MalformedEvent as error:
        raise invalid(f"The body is no event: {error}.") from None
    return Envelope(Received(receipt))
