"""What is answered while the service starts: an answer now, and never a wait without an end.

The address is taken before the database is waited for, so requests come before they can be served.
"""

import asyncio
import contextlib
from typing import Final
from uuid import uuid4

import msgspec
from litestar.types import Receive, Scope, Send

from storecredit.web.http.envelope import JSON, Envelope, unavailable
from storecredit.web.public.health import Status

LIVE_PATH: Final = "/health/live"
BODY_MAX_SECONDS: Final = 2.0
LIVE: Final = msgspec.json.encode(Envelope(Status("ok")))
NOT_YET: Final = unavailable(
    "The service is starting and waits for its database: send the same request again in a moment. "
    "Nothing was charged or changed."
)


async def starting_app(scope: Scope, receive: Receive, send: Send) -> None:
    """503 with Retry-After to every request, but 200 to whether the process is up."""
    await _take(receive)
    is_live = scope["path"] == LIVE_PATH
    body = LIVE if is_live else NOT_YET.body()
    # The connection ends with the answer: the next one is the service's.
    headers = {
        "content-type": JSON,
        "content-length": str(len(body)),
        "x-request-id": f"req_{uuid4()}",
        "connection": "close",
    } | ({} if is_live else NOT_YET.headers)
    await send(
        {
            "type": "http.response.start",
            "status": 200 if is_live else NOT_YET.status,
            "headers": [(name.lower().encode(), each.encode()) for name, each in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _take(receive: Receive) -> None:
    """Let the body come, for a while: an end in its middle is a reset, and the answer is lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_MAX_SECONDS):
            while (await receive()).get("more_body", False):
                pass
